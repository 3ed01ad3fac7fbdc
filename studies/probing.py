"""Probe the teachers and students of several runs, with their untrained twins, on the self-made suite.

    python studies/probing.py sara=runs/sara sst2=runs/sst2 cola=runs/cola --work probing \\
        --out nbs/saved/probing.csv

The runs are those of `kd-nb run --teacher minilm --student bilstm,bert`, for SST-2 with
`--max-train 8000 --epochs 10`, for CoLA with `--epochs 10`. Where a run has students `bilstm-scratch` and
`bert-scratch` (`--embeddings scratch`), they are probed too. The table of random labels is made by

    python studies/probing.py sara=runs/sara --work probing-controls --n-train 2000 \\
        --models sara/teacher,sara/bilstm,-/pretrained --control sara/teacher,sara/bilstm,-/pretrained \\
        --out nbs/saved/probing-controls.csv

Stopped, it goes on. Two of these at a time share the work, model by model (`--backwards` for the second).
The page on probing reads both tables.
"""
import argparse
from pathlib import Path

import pandas as pd

from kd_nb.core import open_run
from kd_nb.encodings import table_of, untrained
from kd_nb.probe import chosen
from kd_nb.probing import load_suite, probe_model
from kd_nb.students import load_student
from kd_nb.suite import SPLITS, control_labels, without_model
from kd_nb.teacher import load_teacher
from stamp import save


def jobs(runs):
    "(run, model) -> a function that loads it. What no run has changed belongs to the run '-'."
    def before(): return load_teacher("minilm", ["-", "+"])
    first = next(iter(runs.values()))
    out = {
        ("-", "pretrained"): before, ("-", "teacher-untrained"): lambda: untrained(before()),
        ("-", "teacher-vectors"): lambda: table_of(before())}
    for kind in ("bilstm", "bert"):
        out["-", f"{kind}-untrained"] = lambda kind=kind: untrained(load_student(first/"students"/kind))
    for run, folder in runs.items():
        out[run, "teacher"] = lambda folder=folder: load_teacher(folder/"teacher")
        for student in ("bilstm", "bert", "bilstm-scratch", "bert-scratch"):
            path = folder/"students"/student
            if path.is_dir(): out[run, student] = lambda path=path: load_student(path)
    return out


def reference(suite, control):
    "What is right without a model, a row a task and way."
    wide = without_model(suite).rename_axis("task").reset_index()
    return wide.melt("task", var_name="model", value_name="acc").dropna().assign(run="-", control=control)


def names(text): return text.split(",")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("runs", nargs="+", help="NAME=FOLDER of finished runs, MiniLM teacher and both students")
    p.add_argument("--work", type=Path, default=Path("probing"))
    p.add_argument("--out", type=Path, default=Path("probing.csv"))
    p.add_argument("--n-train", type=int, default=5000)
    p.add_argument("--n-eval", type=int, default=1000)
    p.add_argument("--tasks", type=names, help="some of the ten, all by default")
    p.add_argument("--models", type=names, help="RUN/MODEL to probe, e.g. sara/teacher,-/pretrained")
    p.add_argument("--control", type=names, default=[], help="RUN/MODEL to probe with random labels as well")
    p.add_argument("--backwards", action="store_true", help="start with the last model")
    args = p.parse_args()
    runs = {name: Path(folder) for name, folder in (r.split("=", 1) for r in args.runs)}
    todo, tables = list(jobs(runs).items()), []
    there = ["/".join(job) for job, _ in todo]
    for name in [*(args.models or []), *args.control]:
        if name not in there: p.error(f"no model '{name}' in these runs; there are {', '.join(there)}")
    # Scores of other sizes must not be taken for these.
    open_run(args.work, dict(n_train=args.n_train, n_eval=args.n_eval))
    sizes = (args.n_train, args.n_eval, args.n_eval)
    suite = load_suite("made", args.tasks, sizes)
    for (run, model), load in todo[::-1] if args.backwards else todo:
        name = f"{run}/{model}"
        if args.models and name not in args.models: continue
        scores = probe_model(load(), suite, args.work/run/model, name, control=name in args.control)
        tables.append(scores.assign(run=run, model=model))
    best = chosen(pd.concat(tables), ["run", "model", "control", "task", "layer"])
    references = [reference(suite, False)]
    if args.control:
        random = reference({t: control_labels(d) for t, d in suite.items()}, True)
        references.append(random.query("model == 'majority'"))
    save(args.out, pd.concat([best, *references]).round(2))
    sentences = ", ".join(f"{s} {n}" for s, n in zip(SPLITS, sizes))
    print(f"{args.out}: {len(best)} layers; {sentences} sentences a task")


if __name__ == "__main__": main()
