"""What more sentences are worth: a BiLSTM distilled from the training sentences alone, from them and sentences of a language model, from
them and rule-made ones, each with its gold-label baseline, and the score by the number of new sentences; several seeds, one table.

    KD_NB_DATA=~/data python benchmarks/augmentation.py --task sara --save nbs/saved/augment-sara.json
    KD_NB_DATA=~/data python benchmarks/augmentation.py --task sst2 --max-train 8000 --base-epochs 10 --epochs 5 --seeds 0 --sizes --save nbs/saved/augment-sst2.json
    KD_NB_DATA=~/data python benchmarks/augmentation.py --task cola --base-epochs 10 --epochs 5 --seeds 0 --sizes --save nbs/saved/augment-cola.json

Each seed has its own selection split, teacher, language model, sentences, order and dropout; within a seed all students share the teacher.
More sentences mean more steps in as many epochs. Sara's students see 77k sentences with none added (30 epochs), 76k with 2,500, 114k with 5,000
and 189k with 10,000 (15 epochs each); with the second command those of SST-2 see 72k and 86k.
The baseline of a student sees the same sentences, with gold labels where there are some and the teacher's class where not. Smaller sets are the
first so many of the new sentences. Runs that exist are not made again. Scores are on dev, which no choice was made on; an interval resamples
dev sentences and averages the seeds in each draw.
"""
import argparse, json, shutil
from pathlib import Path

import numpy as np
from datasets import concatenate_datasets, load_from_disk

from kd_nb.augment import plot_sentences, same_key
from kd_nb.core import atomic, read_json, set_style
from kd_nb.data import load_task, score
from kd_nb.pipeline import loss_of, predict_splits, run_pipeline, train_student
from kd_nb.run import ModelRef, Run
from kd_nb.settings import Settings
from kd_nb.teacher import load_teacher
from kd_nb.transfer import plot_labels
from real_data import HARD, interval, read_predictions


def with_teacher_of(base, settings, folder):
    "A run with the teacher of another one."
    run_pipeline(settings, folder, until="augment")
    if not (folder/"teacher").exists():
        with atomic(folder/"teacher") as part: shutil.copytree(base/"teacher", part)
    run_pipeline(settings, folder)


def student_of(run, size):
    "A student from the training sentences and the first `size` new ones of a finished run; its dev predictions stay in the run."
    run, ref = Run(run), ModelRef("bilstm", str(size))
    transfer = run.transfer.select(range(len(run.task.splits["train"]) + size))
    train_student(run, ref, load_teacher(run/"teacher"), transfer, loss_of(run.config))
    predict_splits(run, ref, run.load(ref))


def unseen_rows(task):
    "Which dev sentences do not stand in the training file as well: bool[n]. (127 of Sara's 970 do, 19 of CoLA's 1,043.)"
    splits = load_task(task).splits
    known = {same_key(s) for s in splits["train"]["sentence"]}
    return np.array([same_key(s) not in known for s in splits["dev"]["sentence"]])


def row(name, runs, model, teacher, unseen, **more):
    "Scores of one model over the seeds, with its interval, the share of its teachers' score, and the score on unseen dev sentences alone."
    metric = read_json(runs[0]/"metrics.json")["metric"]
    mean = lambda label, *preds: np.mean([score(metric, label, p) for p in preds])
    label, preds = read_predictions(runs, model)
    low, high = interval(mean, label, *preds)
    seeds = [score(metric, label, p) for p in preds]
    return dict(
        name=name, **more, mean=mean(label, *preds), low=low, high=high, seeds=seeds,
        kept=np.mean(seeds) / teacher, unseen=mean(label[unseen], *preds[:, unseen]))


def gain(name, metric, runs, model, other_runs, other):
    "How much better one model is than another on the same sentences, with its interval."
    label, a = read_predictions(runs, model)
    _, b = read_predictions(other_runs, other)
    diff = lambda label, *both: (
        np.mean([score(metric, label, p) for p in both[: len(a)]])
        - np.mean([score(metric, label, p) for p in both[len(a) :]]))
    low, high = interval(diff, label, *a, *b)
    return dict(name=name, mean=diff(label, *a, *b), low=low, high=high)


def draw(runs, folder, name):
    "Figures of the new sentences of all ways, beside the training sentences, from one seed's runs."
    sets = [load_from_disk(run/"transfer") for run in runs]
    only = lambda ds, new: ds.select(np.flatnonzero((np.array(ds["origin"][:]) != "train") == new))
    transfer = concatenate_datasets([only(sets[0], False)] + [only(ds, True) for ds in sets])
    set_style()
    for part, axes in (
        ("sentences", plot_sentences(transfer.select_columns(["sentence", "origin"]).to_pandas())),
        ("labels", plot_labels(transfer, load_teacher(runs[0] / "teacher").labels))):
        axes[0].figure.savefig(folder/f"augment-{name}-{part}.png", dpi=96)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="sara, cola or sst2")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", default=["lm", "rules"])
    parser.add_argument("--n-augment", type=int, default=10_000)
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[2500, 5000], help="smaller sets of the language model's sentences")
    parser.add_argument("--max-train", type=int, help="a stratified sample of about so many training sentences")
    parser.add_argument("--base-epochs", type=int, default=Settings.epochs, help="of students without augmentation")
    parser.add_argument("--epochs", type=int, default=15, help="of students with it")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--figures", type=Path, help="draw the new sentences of the first seed into this folder")
    parser.add_argument("--save", type=Path, help="write the summary to this JSON file too")
    args = parser.parse_args()
    if any(size > args.n_augment for size in args.sizes): parser.error("--sizes must not exceed --n-augment")
    base, runs = {}, {way: {} for way in args.ways}
    for seed in args.seeds:
        s = dict(task=args.task, teacher="minilm", max_train=args.max_train, seed=seed)
        base[seed] = args.runs_dir/f"{args.task}-s{seed}"
        run_pipeline(Settings(**s, epochs=args.base_epochs), base[seed])
        for way in args.ways:
            settings = Settings(**s, epochs=args.epochs, augment=way, n_augment=args.n_augment)
            runs[way][seed] = args.runs_dir/f"{args.task}-{way}-s{seed}"
            with_teacher_of(base[seed], settings, runs[way][seed])
            if way == "lm":
                for size in args.sizes: student_of(runs[way][seed], size)
    base, runs = list(base.values()), {way: list(r.values()) for way, r in runs.items()}
    metric = read_json(base[0]/"metrics.json")["metric"]
    unseen = unseen_rows(args.task)
    teacher = row("teacher", base, "teacher", 1., unseen)
    rows = [teacher | dict(kept=1.)]
    for n, where, way in [(0, base, "train")] + [(args.n_augment, r, way) for way, r in runs.items()]:
        for model in ("bilstm", HARD):
            rows.append(
                row(
                    f"{way if n == 0 else 'train + ' + way}, {'hard' if model == HARD else 'distilled'}", where,
                    model, teacher["mean"], unseen, way=way, new=n))
    curve = [r for r in rows[1:] if "distilled" in r["name"] and r["way"] in ("train", "lm")]
    curve += [
        row(f"train + lm {size}", runs["lm"], f"bilstm-{size}", teacher["mean"], unseen, way="lm", new=size)
        for size in args.sizes if "lm" in runs]
    gains = [
        gain(f"train + {way} over train, distilled", metric, r, "bilstm", base, "bilstm") for way, r in runs.items()]
    gains += [gain(f"train + {way}: distilled over hard", metric, r, "bilstm", r, HARD) for way, r in runs.items()]
    print(f"\n{args.task}, dev {metric}, MiniLM teacher, seeds {args.seeds}")
    for r in rows + curve:
        print(
            f"{r['name']:34} {100 * r['mean']:5.1f} [{100 * r['low']:.1f}, {100 * r['high']:.1f}]  {100 * r['kept']:.1f} % of teacher  unseen {100 * r['unseen']:.1f}  "
            + " ".join(f"{100 * x:.1f}" for x in r["seeds"]))
    for r in gains: print(f"{r['name']:48} {100*r['mean']:+.1f} [{100*r['low']:+.1f}, {100*r['high']:+.1f}]")
    out = dict(
        task=args.task, metric=metric, max_train=args.max_train, seeds=args.seeds, n_augment=args.n_augment,
        base_epochs=args.base_epochs, epochs=args.epochs, rows=rows,
        curve=sorted(curve, key=lambda r: r["new"]), gains=gains)
    if args.figures: draw([r[0] for r in runs.values()], args.figures, args.task)
    if args.save: args.save.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__": main()
