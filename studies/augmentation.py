"""What more sentences are worth: a BiLSTM distilled from the training sentences alone, and from more.

    export KD_NB_DATA=~/data
    python studies/augmentation.py --task sara --save nbs/saved/augment-sara.json --figures nbs/images
    python studies/augmentation.py --task sst2 --max-train 8000 --base-epochs 10 --epochs 5 --seeds 0 \\
        --sizes --save nbs/saved/augment-sst2.json
    python studies/augmentation.py --task cola --base-epochs 10 --epochs 5 --seeds 0 \\
        --sizes --save nbs/saved/augment-cola.json

The new sentences are those of a language model, or made by rules. Each student has its gold-label baseline.
The baseline sees the same sentences, with gold labels where there are some and the teacher's class where not.
A curve has the score by the number of the language model's sentences. Smaller sets are the first so many.

Each seed has its own selection split, teacher, language model, sentences, order and dropout.
Within a seed all students share the teacher. More sentences mean more steps in as many epochs.
Sara's students see 77k sentences with none added (30 epochs), 76k with 2,500, 114k with 5,000 and 189k with
10,000 (15 epochs each). With the second command those of SST-2 see 72k and 86k.
Runs that exist are not made again. Scores are on dev, which no choice was made on.
An interval is over seeds and dev sentences, see `kd_nb.metrics.seeds_interval`; of a single seed, over sentences.
"""
import argparse, shutil
from pathlib import Path

import numpy as np
from datasets import concatenate_datasets, load_from_disk

from kd_nb.augment import plot_sentences
from kd_nb.core import atomic, read_json, set_style
from kd_nb.data import load_task
from kd_nb.metrics import score
from kd_nb.pipeline import run_pipeline, train_student
from kd_nb.results import predict_splits
from kd_nb.resolve import loss_of
from kd_nb.run import ModelRef, Run
from kd_nb.settings import Settings
from kd_nb.splits import seen_rows
from kd_nb.teacher import load_teacher
from kd_nb.transfer import plot_labels
from real_data import HARD, read_predictions, scored
from stamp import save, stamp


def with_teacher_of(base, settings, folder):
    "A run with the teacher of another one."
    run_pipeline(settings, folder, until="augment")
    if not (folder/"teacher").exists():
        with atomic(folder/"teacher") as part: shutil.copytree(base/"teacher", part)
    run_pipeline(settings, folder)


def student_of(run, size):
    "A student from the training sentences and the first `size` new ones; its predictions stay in the run."
    run, ref = Run(run), ModelRef("bilstm", str(size))
    transfer = run.transfer.select(range(len(run.task.splits["train"]) + size))
    train_student(run, ref, load_teacher(run/"teacher"), transfer, loss_of(run.config, ref.name))
    predict_splits(run, ref, run.load(ref))


def unseen_rows(task):
    "Dev sentences that are not training sentences too: bool[n]. (127 of Sara's 970 are, 19 of CoLA's 1,043.)"
    return ~seen_rows(load_task(task), "dev")


def row(name, runs, model, teacher, unseen, **more):
    "Scores of one model over the seeds, their mean with its interval, and the mean on unseen dev sentences."
    metric = read_json(runs[0]/"metrics.json")["metric"]
    label, preds = read_predictions(runs, model)
    found = scored(metric, label, preds)
    unseen_mean = np.mean([score(metric, label[unseen], p[unseen]) for p in preds])
    return dict(name=name, **more) | found | dict(kept=found["mean"] / teacher, unseen=unseen_mean)


def gain(name, metric, runs, model, other_runs, other):
    "How much better one model is than another on the same sentences, with its interval."
    label, preds = read_predictions(runs, model)
    return dict(name=name) | scored(metric, label, preds, read_predictions(other_runs, other)[1])


def draw(runs, folder, name):
    "Figures of the new sentences of all ways, beside the training sentences, from one seed's runs."
    sets = [load_from_disk(run/"transfer") for run in runs]
    only = lambda ds, new: ds.select(np.flatnonzero((np.array(ds["origin"][:]) != "train") == new))
    transfer = concatenate_datasets([only(sets[0], False)] + [only(ds, True) for ds in sets])
    set_style()
    figures = {
        "sentences": plot_sentences(transfer.select_columns(["sentence", "origin"]).to_pandas()),
        "labels": plot_labels(transfer, load_teacher(runs[0]/"teacher").labels)}
    for part, axes in figures.items():
        path = folder/f"augment-{name}-{part}.png"
        with atomic(path) as file: axes[0].figure.savefig(file, dpi=96, format="png")
        stamp(path)


def make_runs(args):
    "All runs of a study: without new sentences, a seed each; and way -> those with new sentences."
    base, runs = [], {way: [] for way in args.ways}
    for seed in args.seeds:
        s = dict(task=args.task, teacher="minilm", student="bilstm", max_train=args.max_train, seed=seed)
        base.append(args.runs_dir/f"{args.task}-s{seed}")
        run_pipeline(Settings(**s, epochs=args.base_epochs), base[-1])
        for way in args.ways:
            settings = Settings(**s, epochs=args.epochs, augment=way, n_augment=args.n_augment)
            runs[way].append(args.runs_dir/f"{args.task}-{way}-s{seed}")
            with_teacher_of(base[-1], settings, runs[way][-1])
            if way == "lm":
                for size in args.sizes: student_of(runs[way][-1], size)
    return base, runs


def summary(args, base, runs):
    "Scores of all models, the curve over the number of new sentences, and what is gained."
    metric, unseen = read_json(base[0]/"metrics.json")["metric"], unseen_rows(args.task)
    teacher = row("teacher", base, "teacher", 1., unseen)
    def scores(name, where, model, way, new):
        return row(name, where, model, teacher["mean"], unseen, way=way, new=new)
    rows = [teacher | dict(kept=1.)]
    for n, where, way in [(0, base, "train")] + [(args.n_augment, r, way) for way, r in runs.items()]:
        name = way if n == 0 else f"train + {way}"
        rows.append(scores(f"{name}, distilled", where, "bilstm", way, n))
        rows.append(scores(f"{name}, hard", where, HARD, way, n))
    curve = [r for r in rows[1:] if "distilled" in r["name"] and r["way"] in ("train", "lm")]
    if "lm" in runs:
        curve += [scores(f"train + lm {n}", runs["lm"], f"bilstm-{n}", "lm", n) for n in args.sizes]
    gains = []
    for way, r in runs.items():
        gains.append(gain(f"train + {way} over train, distilled", metric, r, "bilstm", base, "bilstm"))
    for way, r in runs.items():
        gains.append(gain(f"train + {way}: distilled over hard", metric, r, "bilstm", r, HARD))
    return dict(
        task=args.task, metric=metric, max_train=args.max_train, seeds=args.seeds, n_augment=args.n_augment,
        base_epochs=args.base_epochs, epochs=args.epochs, rows=rows,
        curve=sorted(curve, key=lambda r: r["new"]), gains=gains)


def show(found):
    print(f"\n{found['task']}, dev {found['metric']}, MiniLM teacher, seeds {found['seeds']}")
    for r in [*found["rows"], *found["curve"]]:
        print(
            f"{r['name']:34} {100 * r['mean']:5.1f} [{100 * r['low']:.1f}, {100 * r['high']:.1f}]"
            f"  {100 * r['kept']:.1f} % of teacher  unseen {100 * r['unseen']:.1f}  "
            + " ".join(f"{100 * x:.1f}" for x in r["seeds"]))
    for r in found["gains"]:
        print(f"{r['name']:48} {100*r['mean']:+.1f} [{100*r['low']:+.1f}, {100*r['high']:+.1f}]")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--task", required=True, help="sara, cola or sst2")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--ways", nargs="+", default=["lm", "rules"])
    p.add_argument("--n-augment", type=int, default=10_000)
    p.add_argument(
        "--sizes", type=int, nargs="*", default=[2500, 5000], help="smaller sets of the model's sentences")
    p.add_argument("--max-train", type=int, help="a stratified sample of about so many training sentences")
    p.add_argument(
        "--base-epochs", type=int, default=Settings.epochs, help="of students without augmentation")
    p.add_argument("--epochs", type=int, default=15, help="of students with it")
    p.add_argument("--runs-dir", type=Path, default=Path("runs"))
    p.add_argument("--figures", type=Path, help="draw the new sentences of the first seed into this folder")
    p.add_argument("--save", type=Path, help="write the summary to this JSON file too")
    args = p.parse_args()
    if any(size > args.n_augment for size in args.sizes): p.error("--sizes must not exceed --n-augment")
    base, runs = make_runs(args)
    found = summary(args, base, runs)
    show(found)
    if args.figures: draw([r[0] for r in runs.values()], args.figures, args.task)
    if args.save: save(args.save, found)


if __name__ == "__main__": main()
