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
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from itertools import chain, islice, repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np, pandas as pd, torch
from fastai.basics import set_seed

from kd_nb.core import pick_device, read_json
from kd_nb.data import load_task
from kd_nb.distil import distil, student_recipe
from kd_nb.losses import make_loss
from kd_nb.metrics import score, seeds_interval
from kd_nb.pipeline import make_sentences, make_transfer, student_vectors, train_teacher
from kd_nb.resolve import begin
from kd_nb.run import TEACHER, ModelRef, Run
from kd_nb.settings import Settings
from kd_nb.splits import seen_rows
from kd_nb.state_losses import STATE_LOSSES
from kd_nb.student import epochs_of
from kd_nb.students import STUDENTS, make_student
from kd_nb.training import Batches
from stamp import COMMIT, processor, save

STEPS = {"cut": 1_100, "bag": 2_200}  # of 32 sentences, as their recipes have them
MOST = {"crossover": 30_000, "rules": 10_000}  # new sentences of each source
USUAL = dict(source="crossover", n=10_000, loss="soft", follows="vectors", layers=None, vectors=None, made={},
             before=False, times=1)  # are the pre-trained teacher's vectors learnt before; how many times STEPS
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
        "no word dropout": dict(made=dict(word_dropout=0.)),
        "2,200 steps more": dict(times=2), "2,200 steps before, to pre-trained vectors": dict(before=True)},
    "cut": BOTH | {"2 layers": dict(layers=2), "3 layers": dict(layers=3)}}


def runs_of(args, seed):
    "The run folders of a seed, one for each source of new sentences."
    return {source: args.runs_dir/f"ablation-{args.task}-{seed}-{source}" for source in MOST}

def prepare(args, seed):
    "Make the runs of a seed as far as their transfer sets; what is kept of their teacher, which they share."
    first, *others = runs_of(args, seed).items()
    for source, folder in (first, *others):
        settings = Settings(task=args.task, teacher="minilm", max_train=args.max_train, student="cut,bag",
                            augment=source, n_augment=MOST[source], seed=seed)
        with begin(settings, folder) as run:
            if folder != first[1] and not (run/"teacher").exists():
                shutil.copytree(first[1]/"teacher", run/"teacher")
            new = make_sentences(run)
            train_teacher(run)
            teacher = run.load(TEACHER)
            make_transfer(run, new, teacher)
            student_vectors(run, "static", teacher, [])  # kept for all students of the run
    return dict(student="teacher", arm="fine-tuned", seed=seed) | scores_of(run, teacher)

def scores_of(run, model):
    "Its scores on selection, on dev and on the dev rows that training has not seen; and its classes of dev."
    task, found = run.task, dict(commit=COMMIT, processor=processor())
    unseen = ~seen_rows(task, "dev")
    for part in ("select", "dev"):
        label, pred = np.array(task.splits[part]["label"]), model.logits(task.splits[part]["sentence"][:]).argmax(1)
        found[part] = score(task.metric, label, pred)
    found["dev_unseen"] = score(task.metric, label[unseen], pred[unseen])
    return found | dict(pred=" ".join(map(str, pred)))  # as text: a line of the file

def learn_vectors(run, student, sentences, kind):
    """Two-stage distillation: before its task the student learns to give the pre-trained teacher's sentence vectors.

    Adam at the recipe's learning rate, warmed up and brought down as there; the loss is 1 less the cosine.
    """
    states, steps = STATE_LOSSES["vectors"](run.load(ModelRef("pretrained")), 1.), STEPS[kind]
    lr, device = student_recipe(kind, len(sentences))["lr"], pick_device()
    batches = Batches(student.tokenise(sentences), torch.arange(len(sentences)))
    student.to(device).train()
    with states.on(student, sentences):
        optimizer = torch.optim.Adam(student.parameters())
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
        for ids, lengths, (rows,) in islice(chain.from_iterable(repeat(batches)), steps):
            with states.watching() as seen: student(ids.to(device), lengths.to(device))
            optimizer.zero_grad()
            states.term(seen, rows).backward()
            optimizer.step()
            schedule.step()

def learn(run, kind, arm, seed):
    "A student that was trained as an arm has it."
    teacher = run.load(TEACHER)
    rows = run.transfer.select(range(len(run.task.splits["train"]) + arm["n"]))
    set_seed(seed)
    source, mode = arm["vectors"] or STUDENTS[kind].vectors()
    vectors = student_vectors(run, source, teacher, rows["sentence"])
    sizes = STUDENTS[kind].sizes("1", arm["layers"], teacher) | arm["made"]
    student = make_student(teacher, kind, vectors, mode=mode, **sizes)
    if arm["before"]: learn_vectors(run, student, rows["sentence"][:], kind)
    states = STATE_LOSSES[arm["follows"]](teacher) if arm["follows"] else None
    recipe = student_recipe(kind, len(rows)) | dict(epochs=epochs_of(len(rows), arm["times"] * STEPS[kind], 1))
    with tempfile.TemporaryDirectory() as work:
        distil(student, rows, run.task.splits["select"], run.task.metric, work, make_loss(arm["loss"]), **recipe,
               seed=seed, label=f"{kind}, seed {seed}", states=states)
    return student


def one_fit(args, kind, name, seed):
    "What is kept of an arm and a seed."
    start, arm = time.perf_counter(), USUAL | ARMS[kind][name]
    run = Run(runs_of(args, seed)[arm["source"]])
    student = learn(run, kind, arm, seed)
    seconds = time.perf_counter() - start
    return dict(student=kind, arm=name, seed=seed, seconds=seconds) | scores_of(run, student)

def summary(found, task):
    "A row an arm of which all seeds are there; `of teacher` is its share of the teacher's score on unseen dev rows."
    gold, rows, fits = np.array(task.splits["dev"]["label"]), [], pd.DataFrame(found["fits"]).sort_values("seed")
    def preds(of): return [np.array(text.split(), int) for text in of.pred]
    whole = {key: of for key, of in fits.groupby(["student", "arm"], sort=False) if len(of) == len(found["seeds"])}
    for (kind, name), of in whole.items():
        row = dict(student=kind, arm=name, select=of["select"].mean())
        row |= dict(zip(("dev", "low", "high"), seeds_interval(task.metric, gold, preds(of))))
        row["of teacher"] = of.dev_unseen.mean() / whole["teacher", "fine-tuned"].dev_unseen.mean()
        usual = whole.get((kind, "usual"))
        if name != "usual" and usual is not None:
            row["less usual"] = list(seeds_interval(task.metric, gold, preds(of), preds(usual)))
        rows.append(row)
    return rows


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--task", required=True, help="one that `kd-nb tasks` lists")
    p.add_argument("--max-train", type=int, help="a stratified sample of about so many training sentences")
    p.add_argument("--students", nargs="+", choices=ARMS, default=list(ARMS))
    p.add_argument("--arms", nargs="+", metavar="ARM", choices=list(ARMS["bag"] | ARMS["cut"]),
                   help="only these, e.g. usual 'gold labels'")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--jobs", type=int, default=1, help="fits at the same time: a GPU has room for several")
    p.add_argument("--runs-dir", type=Path, default=Path("runs"))
    p.add_argument("--save", type=Path, required=True, help="JSON file, gone on with where it exists")
    args = p.parse_args()
    about = dict(task=args.task, max_train=args.max_train, seeds=args.seeds, steps=STEPS)
    found = read_json(args.save) if args.save.exists() else about | dict(fits=[], rows=[])
    if any(found[k] != v for k, v in about.items()): p.error(f"{args.save} is of another task, sample or seeds")

    def keep(fit):
        found["fits"].append(fit)
        save(args.save, found)
        print("{student}, {arm}, seed {seed}: dev {dev:.3f}".format(**fit), flush=True)

    there = {(fit["student"], fit["arm"], fit["seed"]) for fit in found["fits"]}
    missing = [(kind, name, seed) for kind in args.students for name in ARMS[kind] for seed in args.seeds
               if name in (args.arms or ARMS[kind]) and (kind, name, seed) not in there]
    with ProcessPoolExecutor(args.jobs, get_context("spawn")) as pool:
        for fit in pool.map(partial(prepare, args), args.seeds if missing else []):
            if ("teacher", "fine-tuned", fit["seed"]) not in there: keep(fit)
        for future in as_completed([pool.submit(one_fit, args, *which) for which in missing]): keep(future.result())
    found["rows"] = summary(found, load_task(args.task))
    save(args.save, found)
    print(pd.DataFrame(found["rows"]).to_string(index=False))


if __name__ == "__main__": main()
