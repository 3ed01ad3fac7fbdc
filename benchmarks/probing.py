"""Probe the teachers and students of several runs, with their untrained twins, on the self-made suite: the table that notebook 08 reads.

    python benchmarks/probing.py sara=runs/sara sst2=runs/sst2 cola=runs/cola --work probing --out nbs/saved/probing.csv

With `--models`, `--tasks` and `--control` it made the table of random labels (nbs/saved/probing-controls.csv); the command stands in notebook 08.

The runs are those of `kd-nb run --teacher minilm --student bilstm,bert` (for SST-2 with `--max-train 8000 --epochs 10`, for CoLA with `--epochs 10`); students `bilstm-scratch` and `bert-scratch` (`--embeddings scratch`) are probed where a run has them. Stopped, it goes on; two of these at a time share the work, model by model (`--backwards` for the second).
"""
import argparse
from pathlib import Path

import pandas as pd

from kd_nb.core import open_run
from kd_nb.encodings import table_of, untrained
from kd_nb.grammar import SPLITS
from kd_nb.probe import chosen
from kd_nb.probing import control_labels, load_suite, probe_model, without_model
from kd_nb.students import load_student
from kd_nb.teacher import load_teacher


def jobs(runs):
    "(run, model) -> a function that loads it; what no run has changed belongs to the run '-'."
    def before(): return load_teacher("minilm", ["-", "+"])
    first = next(iter(runs.values()))
    out = {
        ("-", "pretrained"): before, ("-", "teacher-untrained"): lambda: untrained(before()),
        ("-", "teacher-vectors"): lambda: table_of(before())}
    for kind in ("bilstm", "bert"):
        out["-", f"{kind}-untrained"] = lambda kind=kind: untrained(load_student(first / "students" / kind))
    for run, folder in runs.items():
        out[run, "teacher"] = lambda folder=folder: load_teacher(folder/"teacher")
        for student in ("bilstm", "bert", "bilstm-scratch", "bert-scratch"):
            if (folder / "students" / student).is_dir():
                out[run, student] = lambda path=folder / "students" / student: load_student(path)
    return out


def names(text): return text.split(",")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("runs", nargs="+", help="NAME=FOLDER of finished runs with the MiniLM teacher and both students")
    p.add_argument("--work", type=Path, default=Path("probing"))
    p.add_argument("--out", type=Path, default=Path("probing.csv"))
    p.add_argument("--n-train", type=int, default=5000)
    p.add_argument("--n-eval", type=int, default=1000)
    p.add_argument("--tasks", type=names, help="some of the ten; all by default")
    p.add_argument("--models", type=names, help="RUN/MODEL to probe, e.g. sara/teacher,-/pretrained; all by default")
    p.add_argument("--control", type=names, default=[], help="RUN/MODEL to probe with random labels as well")
    p.add_argument("--backwards", action="store_true", help="start with the last model")
    args = p.parse_args()
    runs = {name: Path(folder) for name, folder in (r.split("=", 1) for r in args.runs)}
    todo, tables = list(jobs(runs).items()), []
    there = ["/".join(job) for job, _ in todo]
    for name in [*(args.models or []), *args.control]:
        if name not in there: p.error(f"no model '{name}' in these runs; there are {', '.join(there)}")
    open_run(
        args.work, dict(n_train=args.n_train, n_eval=args.n_eval))  # scores of other sizes must not be taken for these
    suite = load_suite("made", args.tasks, (args.n_train, args.n_eval, args.n_eval))
    for (run, model), load in todo[::-1] if args.backwards else todo:
        if args.models and f"{run}/{model}" not in args.models: continue
        scores = probe_model(
            load(), suite, args.work / run / model, f"{run}/{model}", control=f"{run}/{model}" in args.control)
        tables.append(scores.assign(run=run, model=model))
    best = chosen(pd.concat(tables), ["run", "model", "control", "task", "layer"])
    def reference(suite, control):
        rows = without_model(suite).rename_axis("task").reset_index().melt("task", var_name="model", value_name="acc")
        return rows.dropna().assign(run="-", control=control)
    references = [reference(suite, False)]
    if args.control:
        references.append(
            reference({t: control_labels(d) for t, d in suite.items()}, True).query("model == 'majority'"))
    pd.concat([best, *references]).round(2).to_csv(args.out, index=False)
    print(
        f"{args.out}: {len(best)} layers; {', '.join(f'{s} {n}' for s, n in zip(SPLITS, (args.n_train, args.n_eval, args.n_eval)))} sentences a task")


if __name__ == "__main__":
    main()
