"""The saved tables of the page on choosing a student, from a run in which students were searched for.

    export KD_NB_DATA=~/data
    kd-nb label --task sara --teacher minilm --name search
    kd-nb tune runs/search --student bilstm --epochs 10
    kd-nb tune runs/search --student bert --epochs 10
    kd-nb tune runs/search --student bilstm --trials 16 --epochs 10      # twice at the same time
    python studies/tuning.py save runs/search
    python studies/tuning.py time runs/search
    python studies/tuning.py range runs/search
    python studies/tuning.py dev runs/search/tuning/bilstm/bilstm-0123abcd ...

`save` copies steps.csv and curves.csv of `bilstm` and `bert`, and joint.csv of `bilstm-joint`.
`time` times the architectures of the saved tables anew, and works out the front again.
`range` makes range tests of the usual BERT student and of two larger ones.
`dev` collects trials that `kd-nb run` has completed. All go to nbs/saved/tuning-<task>-*.csv.

`time` needs a run's teacher and transfer set only, since time does not depend on the weights.
It makes untrained students, and reads 20 sentences, one at a time on one thread. For each the least of
--rounds rounds counts, in each of two passes, so that what else the machine does matters little.
"""
import argparse
from pathlib import Path

import pandas as pd

from kd_nb.core import read_json
from kd_nb.run import Run
from kd_nb.steps import measure_range
from kd_nb.student import MODES, word_vectors
from kd_nb.students import STUDENTS, make_student
from kd_nb.timing import threads
from kd_nb.trials import config_of, fastest, open_base
import stamp

# For `range`: sizes, and what the exploration of BERT kept.
SIZES = [dict(width=w, layers=n) for w, n in (("1", 5), ("1", 8), ("2", 5))]
KEPT = dict(warmup_ratio=0., decay=False, batch_size=32, embeddings="wordpiece", mode="multichannel")
# For `dev`: what is told of a trial.
SETTINGS = ("trial", "lr", "batch_size", "warmup_ratio", "embeddings", "mode", "width", "layers", "epochs")


def write(table: pd.DataFrame, path: Path, **more):
    stamp.save(path, table.round(5), **more)
    print(f"{path}: {len(table)} rows")


def numbered(table: pd.DataFrame) -> pd.DataFrame:
    "Processes as 1, 2, ... instead of the numbers that the machine gave them."
    numbers = {p: i + 1 for i, p in enumerate(table.process.dropna().unique())}
    return table.assign(process=table.process.map(numbers))


def save(run: Path, out: Path, task: str):
    for kind in ("bilstm", "bert"):
        home = run/"tuning"/kind
        if not (home/"steps.csv").exists(): continue
        write(numbered(pd.read_csv(home/"steps.csv")), out/f"tuning-{task}-{kind}.csv")
        write(pd.read_csv(home/"curves.csv"), out/f"tuning-{task}-{kind}-curves.csv")
    joint = run/"tuning/bilstm-joint/joint.csv"
    if joint.exists(): write(numbered(pd.read_csv(joint)), out/f"tuning-{task}-joint.csv")


def on_front(table: pd.DataFrame) -> list[bool]:
    "Is a trial finished, and no other at least as good in score, time and size and better in one?"
    rows = [(r.score, -r.ms, -r.megabytes) if r.state == "finished" else None for r in table.itertuples()]
    def beaten(a): return any(b and b != a and all(y >= x for x, y in zip(a, b)) for b in rows)
    return [a is not None and not beaten(a) for a in rows]


def architecture(r) -> tuple:
    "All that the time of a row depends on. Random vectors of pieces take as long as the teacher's."
    embeddings = "wordpiece" if r.embeddings == "scratch" else r.embeddings
    return r.student, r.width, int(r.layers), embeddings, len(MODES[r.mode])


def retime(run: Path, out: Path, task: str, rounds: int):
    paths = [p for n in ("bilstm", "bert", "joint") if (p := out/f"tuning-{task}-{n}.csv").exists()]
    tables = {p: pd.read_csv(p, dtype=dict(width=str)) for p in paths}
    base = open_base(Run(run), "bilstm")
    wanted = sorted({architecture(r) for t in tables.values() for r in t[t.ms.notna()].itertuples()})
    sentences, passes = base.task.splits["select"]["sentence"][:], []
    vectors = {e: word_vectors(e, base.teacher, base.transfer["sentence"][:]) for e in ("wordpiece", "word")}
    for _ in range(2):
        passes.append({})
        for kind, width, layers, embeddings, copies in wanted:
            mode = next(m for m, trained in MODES.items() if len(trained) == copies)
            student = make_student(
                base.teacher, kind, vectors[embeddings], mode=mode, **STUDENTS[kind].sizes(width, layers))
            passes[-1][kind, width, layers, embeddings, copies] = fastest(student, sentences, rounds)
    for key in wanted: print(*key, "ms in each pass:", *(round(p[key], 3) for p in passes))
    apart = 100 * pd.Series([abs(passes[0][k] / passes[1][k] - 1) for k in wanted])
    print(
        f"{len(wanted)} architectures; the passes differ by {apart.median():.0f} % (median),"
        f" {apart.max():.0f} % (at most)")
    def least(r): return min(p[architecture(r)] for p in passes) if r.ms == r.ms else None
    for path, table in tables.items():
        table["ms"] = [least(r) for r in table.itertuples()]
        table["ms"] = table.ms.round(5)
        if "front" in table: table["front"] = on_front(table)
        write(table, path, only="ms and front" if "front" in table else "ms")


def ranges(run: Path, out: Path, task: str):
    base, curves = open_base(Run(run), "bert"), []
    def six(x): return float(f"{x:.6g}")
    for size in SIZES:
        with threads(1): curve = measure_range(base, config_of(base, KEPT | size | dict(lr=1.)))
        curves.append(curve.assign(**size, lr=curve.lr.map(six), loss=curve.loss.map(six)))
    stamp.save(out/f"tuning-{task}-range.csv", pd.concat(curves)[["width", "layers", "lr", "loss"]])


def dev(trials: list[Path], out: Path):
    rows = []
    for folder in trials:
        trial, metrics = read_json(folder/"trial.json"), read_json(folder/"metrics.json")
        model = next(m for m in metrics["models"] if m["model"] == trial["student"])
        selection = dict(selection=trial["score"], selection_low=trial["low"], selection_high=trial["high"])
        rows.append(
            {k: trial[k] for k in SETTINGS} | selection
            | {k: model[k] for k in ("dev", "dev_low", "dev_high", "n_dev")})
    write(pd.DataFrame(rows), out/f"tuning-{metrics['task']}-dev.csv")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["save", "time", "range", "dev"])
    p.add_argument("folder", type=Path, nargs="+", help="the run; for `dev` its completed trials")
    p.add_argument("--out", type=Path, default=stamp.ROOT/"nbs/saved")
    p.add_argument("--rounds", type=int, default=30, help="of each architecture, in each of two passes")
    args = p.parse_args()
    if args.what == "dev": return dev(args.folder, args.out)
    run, task = args.folder[0], read_json(args.folder[0]/"config.json")["task"]
    if args.what == "save": save(run, args.out, task)
    elif args.what == "time": retime(run, args.out, task, args.rounds)
    else: ranges(run, args.out, task)


if __name__ == "__main__": main()
