"""Students side by side on one real task: both kinds, squared error and soft cross-entropy, the simple models, and for the BiLSTM on
request its embedding modes and widths; several seeds, one table.

    KD_NB_DATA=~/data python benchmarks/students.py --task sara --more --save nbs/saved/students-sara.json
    KD_NB_DATA=~/data python benchmarks/students.py --task sst2 --max-train 8000 --epochs 10 --save nbs/saved/students-sst2.json
    KD_NB_DATA=~/data python benchmarks/students.py --task cola --epochs 10 --save nbs/saved/students-cola.json

Each seed has its own selection split, teacher, order and dropout; within a seed all students share the teacher and its labels of the
training sentences (no augmentation). Soft cross-entropy is at T = 1. Runs and students that exist are not made again. Scores are on dev, which no choice was made
on; an interval resamples dev sentences and averages the seeds in each draw.
"""
import argparse, json
from dataclasses import replace
from pathlib import Path

import numpy as np

from kd_nb.core import atomic, read_json
from kd_nb.data import score
from kd_nb.pipeline import loss_of, predict_splits, resolve, run_pipeline, train_student
from kd_nb.run import ModelRef, Run
from kd_nb.settings import Settings
from kd_nb.speed import baselines
from kd_nb.teacher import load_teacher
from kd_nb.training import predictions
from real_data import interval, read_predictions

# name -> settings that differ; the student's kind is the name's first word
BOTH = {"bilstm": {}, "bilstm-mse": dict(loss="mse"), "bert": {}, "bert-mse": dict(loss="mse")}
MORE = ({f"bilstm-{m}": dict(mode=m) for m in ("static", "non-static")} | {"bilstm-scratch": dict(embeddings="scratch")}
        | {f"bilstm-word-{m}": dict(embeddings="word", mode=m) for m in ("multichannel", "static", "non-static")}
        | {f"bilstm-w{w.replace('/', '_')}": dict(width=w) for w in ("1/2", "1/4", "1/8")}
        | {"bert-copied": dict(width="teacher", epochs=15)})


def students(base: Settings, run: Path, arms: dict):
    "Dev predictions of all arms and of the simple models, into the run's `predictions/`."
    missing = [name for name in (*arms, "tf-idf", "static") if not (run/"predictions"/f"{name}-dev.parquet").exists()]
    if not missing: return
    opened, teacher = Run(run), load_teacher(run/"teacher")
    task, transfer = opened.task, opened.transfer
    for name in [n for n in missing if n in arms]:
        ref = ModelRef(*name.split("-", 1))
        opened.config = resolve(replace(base, student=ref.name, **arms[name]), task)
        train_student(opened, ref, teacher, transfer, loss_of(opened.config))
        predict_splits(opened, ref, opened.load(ref))
    if "static" in missing or "tf-idf" in missing:
        dev = task.splits["dev"]
        for name, model in baselines(task, load_teacher("minilm", task.labels)).items():
            with atomic(run / "predictions" / f"{name}-dev.parquet") as part:
                predictions(
                    dev["sentence"][:], model.logits(dev["sentence"][:]), task.labels, dev["label"][:]).to_parquet(part)


def row(metric, runs, model, teacher):
    "Mean score of a model over the seeds with its interval, and the share of its teachers' score."
    label, preds = read_predictions(runs, model)
    mean = lambda label, *preds: np.mean([score(metric, label, p) for p in preds])
    low, high = interval(mean, label, *preds)
    seeds = [score(metric, label, p) for p in preds]
    return dict(
        model=model, mean=float(np.mean(seeds)), low=low, high=high, seeds=seeds,
        kept=float(np.mean(seeds)) / (teacher or np.mean(seeds)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="sara, cola or sst2")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--max-train", type=int, help="a stratified sample of about so many training sentences")
    parser.add_argument("--epochs", type=int, help="of all students; the package's defaults where not given")
    parser.add_argument(
        "--more", action="store_true", help="embedding modes, widths and layers copied from the teacher as well")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--save", type=Path, help="write the summary to this JSON file too")
    args = parser.parse_args()
    arms, runs = BOTH | (MORE if args.more else {}), []
    for seed in args.seeds:
        base, run = (
            Settings(task=args.task, teacher="minilm", max_train=args.max_train, epochs=args.epochs, seed=seed),
            args.runs_dir / f"{args.task}-s{seed}")
        run_pipeline(base, run)
        students(base, run, arms)
        runs.append(run)
    metric = read_json(runs[0]/"metrics.json")["metric"]
    rows = [row(metric, runs, "teacher", None)]
    rows += [row(metric, runs, name, rows[0]["mean"]) for name in (*arms, "bilstm-hard", "tf-idf", "static")]
    print(f"\n{args.task}, dev {metric}, MiniLM teacher, seeds {args.seeds}")
    for r in rows:
        print(
            f"{r['model']:26} {100 * r['mean']:5.1f} [{100 * r['low']:.1f}, {100 * r['high']:.1f}]  {' '.join(f'{100 * s:.1f}' for s in r['seeds'])}  {100 * r['kept']:.1f} % of teacher")
    if args.save:
        args.save.write_text(
            json.dumps(
                dict(
                    task=args.task, metric=metric, max_train=args.max_train, seeds=args.seeds,
                    epochs=args.epochs, rows=rows),
                indent=1)
            + "\n")


if __name__ == "__main__": main()
