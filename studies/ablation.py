"""What each part of a recipe brings: one thing is changed at a time, and all fits make the same number of steps.

    python studies/ablation.py --task mini-intents --save nbs/saved/ablation-intents.json

A seed has its own selection split, teacher, new sentences, order and dropout; its arms share them. Usual recipes
are those of *cut* and *bag*, with 10,000 crossovers. A file that exists is gone on with: its fits are not made
again, so a study of hours can be made in several sittings. Arms are compared where all their seeds are there.
Fewer sentences at as many steps mean more epochs to choose from: `select` is flattered then.
Scores are of dev, and `select` is what a choice would go by. Intervals are over seeds and dev sentences, see
`kd_nb.metrics.seeds_interval`; a difference is that of an arm less the usual recipe of its student, seed by seed.
"""
import argparse, shutil, tempfile, time
from pathlib import Path

import numpy as np, pandas as pd, torch
from fastai.basics import set_seed

from kd_nb.core import read_json
from kd_nb.distil import distil, student_recipe
from kd_nb.losses import make_loss
from kd_nb.metrics import score, seeds_interval
from kd_nb.pipeline import make_sentences, make_transfer, student_vectors, train_teacher
from kd_nb.resolve import begin
from kd_nb.run import TEACHER
from kd_nb.settings import Settings
from kd_nb.state_losses import STATE_LOSSES
from kd_nb.student import epochs_of
from kd_nb.students import STUDENTS, make_student
from stamp import COMMIT, save

STEPS = {"cut": 1_100, "bag": 2_200}  # of 32 sentences, as their recipes have them
MOST = {"crossover": 30_000, "rules": 10_000}  # new sentences of each source
USUAL = dict(source="crossover", n=10_000, loss="soft", follows="vectors", layers=None, vectors=None, made={})
BOTH = {
    "usual": {}, "no vectors followed": dict(follows=None),
    "no new sentences": dict(n=0), "no new sentences, no vectors followed": dict(n=0, follows=None),
    "gold labels": dict(n=0, follows=None, loss="hard"),
    "1,000 crossovers": dict(n=1_000), "3,000 crossovers": dict(n=3_000), "30,000 crossovers": dict(n=30_000),
    "10,000 by rules": dict(source="rules")}
ARMS = {
    "bag": BOTH | {
        "vectors from the teacher's table": dict(vectors=("wordpiece", "non-static")),
        "random vectors": dict(vectors=("scratch", "non-static")),
        "no dropout, no word dropout": dict(made=dict(dropout=0., word_dropout=0.)),
        "no word dropout": dict(made=dict(word_dropout=0.))},
    "cut": BOTH | {"2 layers": dict(layers=2), "3 layers": dict(layers=3)}}


def taught(settings, folder, teacher=None):
    "A run with its transfer set; its teacher is copied from another run where there is one."
    with begin(settings, folder) as run:
        if teacher and not (run/"teacher").exists(): shutil.copytree(teacher, run/"teacher")
        new = make_sentences(run)
        train_teacher(run)
        return run, make_transfer(run, new, run.load(TEACHER))


def learn(run, transfer, kind, arm, seed):
    "A student that was trained as an arm has it."
    arm, teacher = USUAL | arm, run.load(TEACHER)
    rows = transfer.select(range(len(run.task.splits["train"]) + arm["n"]))
    set_seed(seed)
    source, mode = arm["vectors"] or STUDENTS[kind].vectors()
    vectors = student_vectors(run, source, teacher, rows["sentence"])
    sizes = STUDENTS[kind].sizes("1", arm["layers"], teacher) | arm["made"]
    student = make_student(teacher, kind, vectors, mode=mode, **sizes)
    states = STATE_LOSSES[arm["follows"]](teacher) if arm["follows"] else None
    recipe = student_recipe(kind, len(rows)) | dict(epochs=epochs_of(len(rows), STEPS[kind], 1))
    with tempfile.TemporaryDirectory() as work:
        distil(student, rows, run.task.splits["select"], run.task.metric, work, make_loss(arm["loss"]), **recipe,
               seed=seed, label=f"{kind}, seed {seed}", states=states)
    return student


def one_fit(run, transfer, kind, name, seed):
    "What is kept of an arm and a seed."
    start = time.perf_counter()
    student = learn(run, transfer, kind, ARMS[kind][name], seed)
    made = dict(student=kind, arm=name, seed=seed, commit=COMMIT, seconds=time.perf_counter() - start)
    for part in ("select", "dev"):
        split = run.task.splits[part]
        pred = student.logits(split["sentence"][:]).argmax(1)
        made[part] = score(run.task.metric, np.array(split["label"]), pred)
    return made | dict(pred=" ".join(map(str, pred)))  # of dev, as text: a line of the file


def summary(found, task, seeds):
    "A row an arm of which all seeds are there."
    gold, rows = np.array(task.splits["dev"]["label"]), []
    def preds(kind, name):
        return [np.array(fit["pred"].split(), int) for seed in seeds for fit in found["fits"]
                if (fit["student"], fit["arm"], fit["seed"]) == (kind, name, seed)]
    for kind, arms in ARMS.items():
        usual = preds(kind, "usual")
        for name in arms:
            mine = preds(kind, name)
            if not len(mine) == len(usual) == len(seeds): continue
            select = [fit["select"] for fit in found["fits"] if (fit["student"], fit["arm"]) == (kind, name)]
            row = dict(student=kind, arm=name, select=float(np.mean(select)))
            row |= dict(zip(("dev", "low", "high"), seeds_interval(task.metric, gold, mine)))
            if name != "usual": row["less usual"] = list(seeds_interval(task.metric, gold, mine, usual))
            rows.append(row)
    return rows


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--task", required=True, help="one that `kd-nb tasks` lists")
    p.add_argument("--max-train", type=int, help="a stratified sample of about so many training sentences")
    p.add_argument("--students", nargs="+", choices=ARMS, default=list(ARMS))
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--runs-dir", type=Path, default=Path("runs"))
    p.add_argument("--save", type=Path, required=True, help="JSON file, gone on with where it exists")
    args = p.parse_args()
    about = dict(task=args.task, max_train=args.max_train, seeds=args.seeds, steps=STEPS)
    found = read_json(args.save) if args.save.exists() else about | dict(fits=[], rows=[])
    if any(found[k] != v for k, v in about.items()): p.error(f"{args.save} is of another task, sample or seeds")
    for seed in args.seeds:
        there = {(fit["student"], fit["arm"]) for fit in found["fits"] if fit["seed"] == seed}
        missing = [(kind, name) for kind in args.students for name in ARMS[kind] if (kind, name) not in there]
        if not missing: continue
        runs, first = {}, args.runs_dir/f"ablation-{args.task}-{seed}-crossover"
        for source, n in MOST.items():
            base = Settings(task=args.task, teacher="minilm", max_train=args.max_train, student="cut,bag",
                            augment=source, n_augment=n, seed=seed)
            folder = first.with_name(f"ablation-{args.task}-{seed}-{source}")
            runs[source] = taught(base, folder, first/"teacher" if folder != first else None)
        for kind, name in missing:
            source = (USUAL | ARMS[kind][name])["source"]
            found["fits"].append(one_fit(*runs[source], kind, name, seed))
            found["rows"] = summary(found, runs[source][0].task, args.seeds)
            save(args.save, found)
    print(pd.DataFrame(found["rows"]).to_string(index=False))


if __name__ == "__main__": main()
