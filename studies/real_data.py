"""The study in small: teacher, distilled students and gold-label baselines on one real task, in several seeds.

    export KD_NB_DATA=~/data
    python studies/real_data.py --task sara --save nbs/saved/sara.json
    python studies/real_data.py --task sst2 --max-train 8000 --epochs 10 --save nbs/saved/sst2.json
    python studies/real_data.py --task cola --epochs 10 --save nbs/saved/cola.json

and the usual students as they are made by themselves:

    OPTIONS="--students cut bag --augment crossover --runs-dir runs/usual"
    python studies/real_data.py --task sara --max-train 10000 $OPTIONS --save nbs/saved/usual-sara.json
    python studies/real_data.py --task sst2 --max-train 8000 $OPTIONS --save nbs/saved/usual-sst2.json
    python studies/real_data.py --task cola $OPTIONS --save nbs/saved/usual-cola.json

Each seed is a whole run, `runs/<task>-s<seed>`: another selection split, teacher head, order and dropout.
A run that exists is not made again. Scores are on dev, which no choice was made on.
`of teacher` is the share of the teacher's mean score on those dev rows that training has not seen.
An interval is over seeds and dev sentences, see `kd_nb.metrics.seeds_interval`; of a single seed, over sentences.
"""
import argparse
from pathlib import Path

import numpy as np, pandas as pd
from scipy import stats

from kd_nb.core import read_json
from kd_nb.metrics import score, seeds_interval
from kd_nb.pipeline import run_pipeline
from kd_nb.run import Run
from kd_nb.settings import Settings
from kd_nb.splits import seen_rows
from stamp import save


HARD = "bilstm-hard"


def read_predictions(runs, model):
    "Gold classes int[n] and predicted classes int[n_seeds, n], over the same dev sentences."
    tables = [pd.read_parquet(run/"predictions"/f"{model}-dev.parquet") for run in runs]
    names = sorted(set(tables[0].label) | set().union(*(t.pred for t in tables)))
    return tables[0].label.map(names.index).to_numpy(), np.stack([t.pred.map(names.index) for t in tables])


def scored(metric, label, preds, baseline=None):
    "Mean, its 95 % interval, and the seeds: of scores, or of differences to a baseline."
    def scores(rows):
        of = lambda several: np.array([score(metric, label[rows], p[rows]) for p in several])
        return of(preds) - (0 if baseline is None else of(baseline))
    seeds = scores(np.arange(len(label)))
    if len(preds) > 1: mean, low, high = seeds_interval(metric, label, preds, baseline)
    else:
        drawn = stats.bootstrap(
            (np.arange(len(label)),), lambda rows: scores(rows).mean(), vectorized=False, n_resamples=1000,
            method="percentile", rng=0)
        mean, (low, high) = seeds.mean(), drawn.confidence_interval
    return dict(mean=mean, low=low, high=high, seeds=seeds.tolist())


def summary(runs, students):
    "A row a model: scores of the seeds, their mean with its interval; and what each student gains over hard labels."
    metric, rows, preds = read_json(runs[0]/"metrics.json")["metric"], [], {}
    unseen, scores = ~seen_rows(Run(runs[0]).task, "dev"), {}
    for model in ("teacher", *students, *(f"{student}-hard" for student in students)):
        label, preds[model] = read_predictions(runs, model)
        scores[model] = np.mean([score(metric, label[unseen], pred[unseen]) for pred in preds[model]])
        rows.append(dict(model=model) | scored(metric, label, preds[model]))
        rows[-1]["of teacher"] = scores[model] / scores["teacher"]
    for student in students:
        gain = scored(metric, label, preds[student], preds[f"{student}-hard"])
        rows.append(dict(model="gain over hard", student=student) | gain)
    return metric, rows


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--task", required=True, help="sara, cola or sst2")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--max-train", type=int, help="a stratified sample of about so many training sentences")
    p.add_argument("--students", nargs="+", default=["bilstm"], help="cut, bag, bilstm, bert; bilstm where not given")
    p.add_argument("--augment", help="10,000 new sentences of that source; none where not given")
    p.add_argument("--loss", help="mse or soft; soft where not given")
    p.add_argument("--epochs", type=int, default=Settings.epochs, help="of the students")
    p.add_argument("--runs-dir", type=Path, default=Path("runs"))
    p.add_argument("--save", type=Path, help="write the summary to this JSON file too")
    args = p.parse_args()
    runs = [args.runs_dir/f"{args.task}-s{seed}" for seed in args.seeds]
    for run, seed in zip(runs, args.seeds):
        settings = Settings(
            task=args.task, teacher="minilm", student=",".join(args.students), max_train=args.max_train,
            augment=args.augment, loss=args.loss, epochs=args.epochs, seed=seed)
        run_pipeline(settings, run)
    metric, rows = summary(runs, args.students)
    print(f"\n{args.task}, dev {metric}, MiniLM teacher, seeds {args.seeds}")
    for r in rows:
        kept = f"  {100 * r['of teacher']:.0f} % of teacher" if "of teacher" in r else ""
        name = f"{r['student']}: {r['model']}" if "student" in r else r["model"]
        print(
            f"{name:20} {100 * r['mean']:5.1f} [{100 * r['low']:.1f}, {100 * r['high']:.1f}]  "
            + " ".join(f"{100 * s:.1f}" for s in r["seeds"]) + kept)
    if args.save: save(args.save, dict(task=args.task, metric=metric, max_train=args.max_train, rows=rows))


if __name__ == "__main__": main()
