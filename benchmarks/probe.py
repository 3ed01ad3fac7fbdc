"""All probes of several layers as one model, against the same protocol one probe at a time: the same scores? how much faster?

The vectors are MiniLM's (before any task) on self-made probing tasks; the plain version is SentEval's classifier written with `nn.Sequential`, autograd and torch's Adam (`train_plain`). Both use all threads; needs an idle machine.

    python benchmarks/probe.py [--tasks Tense TopConstituents] [--n-train 2000] [--seeds 3]
"""
import argparse, tempfile, time

import numpy as np, pandas as pd, torch

from kd_nb.encodings import encode
from kd_nb.grammar import make_task
from kd_nb.probe import GRID, Part, chosen, probe, train_plain
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
            dev, acc = train_plain(parts, len(names), nhid, dropout, seed)
            rows.append(dict(layer=k, devacc=100 * dev, acc=100 * acc, nhid=nhid, dropout=dropout, ntest=len(at["te"])))
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
    print(
        f"{'small BERT' if args.student else 'MiniLM'}, layers {args.layers}, {args.n_train} / {args.n_eval} / {args.n_eval} sentences, {len(GRID)} settings, {torch.get_num_threads()} threads")
    for task in args.tasks:
        table, times, scores = make_task(task, (args.n_train, args.n_eval, args.n_eval)), [], []
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
        gap = {what: (s[what]["probe"] - s[what]["one_at_a_time"]).groupby("seed").mean() for what in ("acc", "logreg")}
        print(
            f"{task}: {t.probe.mean():.1f} s against {t.one_at_a_time.mean():.1f} s = {(t.one_at_a_time / t.probe).mean():.1f}x (seeds: {', '.join(f'{r:.1f}' for r in t.one_at_a_time / t.probe)})")
        for what, g in gap.items():
            by_layer = s[what].groupby("layer").mean()
            print(
                f"  {what}: together minus one at a time, mean over layers: {g.mean():+.2f} points (seeds: {', '.join(f'{x:+.2f}' for x in g)}); layers, mean over seeds: {', '.join(f'{x:+.1f}' for x in by_layer['probe'] - by_layer['one_at_a_time'])}",
                flush=True)


if __name__ == "__main__":
    main()
