"""Students side by side on one real task: both kinds, both losses, and the simple models.

    export KD_NB_DATA=~/data
    python studies/students.py --task sara --more --save nbs/saved/students-sara.json
    python studies/students.py --task sst2 --max-train 8000 --epochs 10 --save nbs/saved/students-sst2.json
    python studies/students.py --task cola --epochs 10 --save nbs/saved/students-cola.json

With `--more` also the BiLSTM's embedding modes and widths, and a BERT with layers copied from its teacher.
Each seed has its own selection split, teacher, order and dropout. Within a seed all students share the
teacher and its labels of the training sentences (no augmentation). Soft cross-entropy is at T = 1.
Runs and students that exist are not made again. Scores are on dev, which no choice was made on.
An interval is over seeds and dev sentences, see `kd_nb.metrics.seeds_interval`.
"""
import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from kd_nb.core import atomic, read_json
from kd_nb.metrics import predictions, score
from kd_nb.pipeline import run_pipeline, train_student
from kd_nb.results import predict_splits
from kd_nb.resolve import loss_of, resolve
from kd_nb.run import ModelRef, Run
from kd_nb.settings import Settings
from kd_nb.speed import baselines
from kd_nb.teacher import load_teacher
from real_data import read_predictions, scored
from stamp import save

# name -> settings that differ; the student's kind is the name's first word
BOTH = {"bilstm": {}, "bilstm-mse": dict(loss="mse"), "bert": {}, "bert-mse": dict(loss="mse")}
MORE = (
    {f"bilstm-{m}": dict(mode=m) for m in ("static", "non-static")}
    | {"bilstm-scratch": dict(embeddings="scratch")}
    | {f"bilstm-word-{m}": dict(embeddings="word", mode=m) for m in ("multichannel", "static", "non-static")}
    | {f"bilstm-w{w.replace('/', '_')}": dict(width=w) for w in ("1/2", "1/4", "1/8")}
    | {"cut": dict(epochs=15)})


def students(base: Settings, run: Path, arms: dict):
    "Dev predictions of all arms and of the simple models, into the run's `predictions/`."
    def place(name): return run/"predictions"/f"{name}-dev.parquet"
    missing = [name for name in (*arms, "tf-idf", "static") if not place(name).exists()]
    if not missing: return
    opened, teacher = Run(run), load_teacher(run/"teacher")
    task, transfer = opened.task, opened.transfer
    for name in [n for n in missing if n in arms]:
        ref = ModelRef(*name.split("-", 1))
        opened.config = resolve(replace(base, student=ref.name, **arms[name]), task)
        train_student(opened, ref, teacher, transfer, loss_of(opened.config, ref.name))
        predict_splits(opened, ref, opened.load(ref))
    if "static" in missing or "tf-idf" in missing:
        sentences, gold = task.splits["dev"]["sentence"][:], task.splits["dev"]["label"][:]
        for name, model in baselines(task, load_teacher("minilm", task.labels)).items():
            table = predictions(sentences, model.logits(sentences), task.labels, gold)
            with atomic(place(name)) as part: table.to_parquet(part)


def row(metric, runs, model, teacher):
    "Mean score of a model over the seeds with its interval, and the share of its teachers' score."
    found = scored(metric, *read_predictions(runs, model))
    return dict(model=model) | found | dict(kept=found["mean"] / (teacher or found["mean"]))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--task", required=True, help="sara, cola or sst2")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--max-train", type=int, help="a stratified sample of about so many training sentences")
    p.add_argument("--epochs", type=int, help="of all students; the package's defaults where not given")
    p.add_argument(
        "--more", action="store_true", help="also embedding modes, widths and layers copied from the teacher")
    p.add_argument("--runs-dir", type=Path, default=Path("runs"))
    p.add_argument("--save", type=Path, help="write the summary to this JSON file too")
    args = p.parse_args()
    arms, runs = BOTH | (MORE if args.more else {}), []
    for seed in args.seeds:
        base = Settings(
            task=args.task, teacher="minilm", student="bilstm", max_train=args.max_train, epochs=args.epochs, seed=seed)
        run = args.runs_dir/f"{args.task}-s{seed}"
        run_pipeline(base, run)
        students(base, run, arms)
        runs.append(run)
    metric = read_json(runs[0]/"metrics.json")["metric"]
    rows = [row(metric, runs, "teacher", None)]
    rows += [row(metric, runs, name, rows[0]["mean"]) for name in (*arms, "bilstm-hard", "tf-idf", "static")]
    print(f"\n{args.task}, dev {metric}, MiniLM teacher, seeds {args.seeds}")
    for r in rows:
        print(
            f"{r['model']:26} {100 * r['mean']:5.1f} [{100 * r['low']:.1f}, {100 * r['high']:.1f}]"
            f"  {' '.join(f'{100 * s:.1f}' for s in r['seeds'])}  {100 * r['kept']:.1f} % of teacher")
    if args.save:
        found = dict(
            task=args.task, metric=metric, max_train=args.max_train, seeds=args.seeds, epochs=args.epochs,
            rows=rows)
        save(args.save, found)


if __name__ == "__main__": main()
