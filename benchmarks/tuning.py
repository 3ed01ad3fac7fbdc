"""The saved tables of notebook 11, `nbs/saved/tuning-<task>-*.csv`, from a run in which students were searched for.

    kd-nb label --task sara --teacher minilm --name sara
    kd-nb tune runs/sara --student bilstm --epochs 10; kd-nb tune runs/sara --student bert --epochs 10
    kd-nb tune runs/sara --student bilstm --trials 16 --epochs 10      # twice at the same time
    python benchmarks/tuning.py save runs/sara    # steps.csv and curves.csv of `bilstm` and `bert`, joint.csv of `bilstm-joint`
    python benchmarks/tuning.py time runs/sara    # times the architectures in the saved tables anew, and works out the front again
    python benchmarks/tuning.py range runs/sara   # range tests of the usual BERT student and two larger ones: tuning-sara-range.csv
    python benchmarks/tuning.py dev runs/sara/tuning/bilstm/bilstm-0123abcd ...   # trials that `kd-nb run` has completed: tuning-sara-dev.csv

KD_NB_DATA names the folder with the data. `time` needs a run's teacher and transfer set only, since time does not depend on the weights: it
makes untrained students and reads 20 sentences, one at a time on one thread. For each the least of --rounds rounds counts, in each of two
passes, so that what else the machine does matters little.
"""
import argparse
from pathlib import Path

import pandas as pd

from kd_nb.core import atomic, read_json
from kd_nb.run import Run
from kd_nb.speed import threads
from kd_nb.students import STUDENTS, make_student
from kd_nb.tuning import config_of, fastest, measure_range, open_base
from kd_nb.vectors import MODES, word_vectors

SIZES = [
    dict(width=w, layers=n) for w, n in (("1", 5), ("1", 8), ("2", 5))]  # for `range`, with what the exploration of BERT kept:
KEPT = dict(warmup_ratio=0., decay=False, batch_size=32, embeddings="wordpiece", mode="multichannel")


def write(table: pd.DataFrame, path: Path):
    with atomic(path) as part: table.round(5).to_csv(part, index=False)
    print(f"{path}: {len(table)} rows")


def numbered(table: pd.DataFrame) -> pd.DataFrame:
    "Processes as 1, 2, ... instead of the numbers that the machine gave them."
    return table.assign(process=table.process.map({p: i + 1 for i, p in enumerate(table.process.dropna().unique())}))


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
    "All that the time of a row depends on; random vectors of pieces take as long as the teacher's."
    return (
        r.student, r.width, int(r.layers), "wordpiece" if r.embeddings == "scratch" else r.embeddings,
        len(MODES[r.mode]))


def retime(run: Path, out: Path, task: str, rounds: int):
    paths = [p for n in ("bilstm", "bert", "joint") if (p := out/f"tuning-{task}-{n}.csv").exists()]
    tables = {p: pd.read_csv(p, dtype=dict(width=str)) for p in paths}
    base, wanted = (
        open_base(Run(run), "bilstm"),
        sorted({architecture(r) for t in tables.values() for r in t[t.ms.notna()].itertuples()}))
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
    apart = pd.Series([abs(passes[0][k] / passes[1][k] - 1) for k in wanted])
    print(
        f"{len(wanted)} architectures; the passes differ by {100 * apart.median():.0f} % (median), {100 * apart.max():.0f} % (at most)")
    for path, table in tables.items():
        table["ms"] = [min(p[architecture(r)] for p in passes) if r.ms == r.ms else None for r in table.itertuples()]
        table["ms"] = table.ms.round(5)
        if "front" in table: table["front"] = on_front(table)
        write(table, path)


def ranges(run: Path, out: Path, task: str):
    base, curves = open_base(Run(run), "bert"), []
    for size in SIZES:
        with threads(1): curve = measure_range(base, config_of(base, KEPT | size | dict(lr=1.)))
        curves.append(curve.assign(**size)[["width", "layers", "lr", "loss"]])
    with atomic(out / f"tuning-{task}-range.csv") as part:
        pd.concat(curves).to_csv(part, index=False, float_format="%.6g")


def dev(trials: list[Path], out: Path):
    rows = []
    for folder in trials:
        trial, metrics = read_json(folder/"trial.json"), read_json(folder/"metrics.json")
        settings = {
            k: trial[k]
            for k in (
                "trial", "lr", "batch_size", "warmup_ratio", "embeddings", "mode", "width", "layers", "epochs")}
        model = next(m for m in metrics["models"] if m["model"] == trial["student"])
        rows.append(settings | dict(selection=trial["score"], selection_low=trial["low"], selection_high=trial["high"])
                    | {k: model[k] for k in ("dev", "dev_low", "dev_high", "n_dev")})
    write(pd.DataFrame(rows), out/f"tuning-{metrics['task']}-dev.csv")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["save", "time", "range", "dev"])
    parser.add_argument("folder", type=Path, nargs="+", help="the run; for `dev` its completed trials")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent/"nbs/saved")
    parser.add_argument("--rounds", type=int, default=30, help="of each architecture, in each of two passes")
    args = parser.parse_args()
    if args.what == "dev": return dev(args.folder, args.out)
    run, task = args.folder[0], read_json(args.folder[0]/"config.json")["task"]
    if args.what == "save": save(run, args.out, task)
    elif args.what == "time": retime(run, args.out, task, args.rounds)
    else: ranges(run, args.out, task)


if __name__ == "__main__": main()
