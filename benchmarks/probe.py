"""All probes of several layers as one model, against one probe at a time: the same scores? how much faster?

    python benchmarks/probe.py --tasks Tense
    python benchmarks/probe.py --tasks Tense --student --layers 0 1 2 3 4 5

The vectors are MiniLM's (before any task) on self-made probing tasks. The plain version is SentEval's
classifier written with `nn.Sequential`, autograd and torch's Adam (`train_probe`).
Both use all threads, and need an idle machine.
"""
import argparse, tempfile, time

import numpy as np, pandas as pd, torch

from kd_nb.encodings import encode
from kd_nb.grammar import make_task
from kd_nb.probe import GRID, Part, chosen, probe, train_probe
from kd_nb.students import STUDENTS, make_student
from kd_nb.teacher import load_teacher


def one_at_a_time(layers, table, seed):
    "What `probe` does, plainly."
    names = sorted(table.label.unique())
    y, rows = torch.tensor(table.label.map(names.index).to_numpy().copy()), []
    for k, layer in enumerate(layers):
        at = {s: np.flatnonzero(table.split == s) for s in ("tr", "va", "te")}
        parts = {s: Part(torch.from_numpy(layer[None, i].astype(np.float32)), y[i]) for s, i in at.items()}
        for nhid, dropout in GRID:
            dev, acc = train_probe(parts, len(names), nhid, dropout, seed)
            scores = dict(devacc=100 * dev, acc=100 * acc, ntest=len(at["te"]))
            rows.append(dict(layer=k, nhid=nhid, dropout=dropout) | scores)
    return pd.DataFrame(rows)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--tasks", nargs="+", default=["Tense", "TopConstituents"])
    p.add_argument("--n-train", type=int, default=2000)
    p.add_argument("--n-eval", type=int, default=1000)
    p.add_argument("--layers", nargs="+", type=int, default=[0, 2, 4, 6], help="of MiniLM's 0 to 6")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument(
        "--student", action="store_true",
        help="the layers of an untrained small BERT, 204 units wide, instead of MiniLM's 384")
    args = p.parse_args()
    model = load_teacher("minilm", ["-", "+"])
    if args.student: model = make_student(model, "bert", **STUDENTS["bert"].sizes())
    sizes = (args.n_train, args.n_eval, args.n_eval)
    print(
        f"{'small BERT' if args.student else 'MiniLM'}, layers {args.layers},"
        f" {args.n_train} / {args.n_eval} / {args.n_eval} sentences, {len(GRID)} settings,"
        f" {torch.get_num_threads()} threads")
    for task in args.tasks:
        table, times, scores = make_task(task, sizes), [], []
        with tempfile.TemporaryDirectory() as tmp:
            layers = encode(model, table.sentence.tolist(), f"{tmp}/e")
            layers = [np.array(layers[k]) for k in args.layers if k < len(layers)]
        for seed in range(args.seeds):
            for f in (probe, one_at_a_time)[::1 if seed % 2 else -1]:
                start = time.perf_counter()
                best = chosen(f(layers, table, seed))
                times.append((f.__name__, seed, time.perf_counter() - start))
                scores.append(best.assign(how=f.__name__, seed=seed))
        t = pd.DataFrame(times, columns=["how", "seed", "s"]).pivot(index="seed", columns="how", values="s")
        s = pd.concat(scores).pivot(index=["layer", "seed"], columns="how", values=["acc", "logreg"])
        faster = t.one_at_a_time / t.probe
        print(
            f"{task}: {t.probe.mean():.1f} s against {t.one_at_a_time.mean():.1f} s = {faster.mean():.1f}x"
            f" (seeds: {', '.join(f'{r:.1f}' for r in faster)})")
        for what in ("acc", "logreg"):
            gap = s[what]["probe"] - s[what]["one_at_a_time"]
            by_seed, by_layer = gap.groupby("seed").mean(), gap.groupby("layer").mean()
            print(
                f"  {what}: together minus one at a time, mean over layers: {by_seed.mean():+.2f} points"
                f" (seeds: {', '.join(f'{x:+.2f}' for x in by_seed)}); layers, mean over seeds:"
                f" {', '.join(f'{x:+.1f}' for x in by_layer)}",
                flush=True)


if __name__ == "__main__":
    main()
