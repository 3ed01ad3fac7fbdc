"""What each part of a recipe brings: one thing is changed at a time, at about the same number of steps.

    python studies/ablation.py --task mini-intents --save nbs/saved/ablation-intents.json

A seed has its own selection split, teacher, new sentences, order and dropout; its arms share them. Usual recipes
are those of *cut* and *bag*, with 10,000 crossovers, and that of the BiLSTM, with training sentences only.
A file that exists is gone on with: its fits are not made again, so a study of hours can be made in several sittings.
Arms are compared where all their seeds are there.
Steps are those of whole epochs, so they differ by up to a tenth; the last two arms of the bag make twice as many,
and the last one of the cut student makes a third more: four epochs of its usual sentences for three.
Fewer sentences at as many steps mean more epochs to choose from: `select` is flattered then.
Scores are of dev, and `select` is what a choice would go by. Intervals are over seeds and dev sentences, see
`kd_nb.metrics.seeds_interval`; a difference is that of an arm less another of its student, seed by seed: the usual
recipe, or the arm that differs from it in one part only (`BESIDE`).
"""
import argparse, os, shutil, signal, sys, tempfile, time
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np, pandas as pd, torch, torch.nn.functional as F
from fastai.basics import set_seed

from kd_nb.core import atomic, read_json
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
from kd_nb.timing import threads
from kd_nb.training import Batches, fit
from kd_nb.transfer import targets, teacher_key
from stamp import COMMIT, processor, save

STEPS = {"cut": 1_100, "bag": 2_200, "bilstm": 1_600}  # of 32 sentences, as their recipes have them
MOST = {"crossover": 30_000, "rules": 10_000}  # new sentences of each source
USUAL = dict(source="crossover", n=10_000, loss="soft", follows="vectors", layers=None, vectors=None, made={},
             before=False, times=1)  # are the pre-trained teacher's vectors learnt before; how many times STEPS
USUAL_OF = {"cut": USUAL, "bag": USUAL, "bilstm": USUAL | dict(n=0, follows=None)}
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
        "no word dropout": dict(made=dict(word_dropout=0.)), "no windows": dict(made=dict(pooling="mean")),
        "2,200 steps more": dict(times=2), "2,200 steps before, to pre-trained vectors": dict(before=True)},
    "cut": BOTH | {"2 layers": dict(layers=2), "3 layers": dict(layers=3), "370 steps more": dict(times=4 / 3)},
    "bilstm": {
        "usual": {}, "one trained table": dict(vectors=("wordpiece", "non-static")),
        "static vectors": dict(vectors=("static", "non-static")),
        "mean and maximum": dict(made=dict(pooling="mean-max")), "dropout 0.3": dict(made=dict(dropout=0.3)),
        "word dropout 0.15": dict(made=dict(word_dropout=0.15)),
        "all four": dict(vectors=("static", "non-static"),
                         made=dict(pooling="mean-max", dropout=0.3, word_dropout=0.15))}}
# what an arm is compared with, where the usual recipe differs from it in more than one part, or in steps
BESIDE = {
    "gold labels": "no new sentences, no vectors followed",
    "no new sentences, no vectors followed": "no new sentences",
    "2,200 steps before, to pre-trained vectors": "2,200 steps more",
    "static vectors": "one trained table"}


def chosen(args):
    "Students and arms that are asked for."
    return [(kind, name) for kind in args.students for name in ARMS[kind] if name in (args.arms or ARMS[kind])]

def runs_of(args, seed):
    "The run folders of a seed, one for each source of new sentences that is asked for."
    sources = {(USUAL_OF[kind] | ARMS[kind][name])["source"] for kind, name in chosen(args)}
    return {source: args.runs_dir/f"ablation-{args.task}-{seed}-{source}" for source in MOST if source in sources}

def prepare(args, seed):
    "Make the runs of a seed as far as their transfer sets; what is kept of their teacher, which they share."
    folders = runs_of(args, seed)
    shared = next(iter(folders.values()))/"teacher"
    for source, folder in folders.items():
        settings = Settings(task=args.task, teacher="minilm", max_train=args.max_train, student="cut,bag",
                            augment=source, n_augment=MOST[source], seed=seed)
        with begin(settings, folder) as run:
            if shared.exists() and not (run/"teacher").exists():
                with atomic(run/"teacher") as part: shutil.copytree(shared, part)
            new = make_sentences(run)
            train_teacher(run)
            teacher = run.load(TEACHER)
            make_transfer(run, new, teacher)
            student_vectors(run, "static", teacher, [])  # kept for all students of the run
    return dict(student="teacher", arm="fine-tuned", seed=seed) | scores_of(run, teacher, teacher)

def scores_of(run, model, teacher):
    "Its scores on selection, on dev and on the dev rows that training has not seen; its classes of dev; its teacher."
    task, found = run.task, dict(commit=COMMIT, processor=processor(), teacher=teacher_key(teacher))
    unseen = ~seen_rows(task, "dev")
    for part in ("select", "dev"):
        label, pred = np.array(task.splits[part]["label"]), model.logits(task.splits[part]["sentence"][:]).argmax(1)
        found[part] = score(task.metric, label, pred)
    found["dev_unseen"] = score(task.metric, label[unseen], pred[unseen])
    return found | dict(pred=" ".join(map(str, pred)))  # as text: a line of the file

def learn_vectors(run, student, rows, recipe, work):
    """Two-stage distillation: before its task the student learns to give the pre-trained teacher's sentence vectors.

    The loss is 1 less the cosine; the epoch with the best cosine on selection sentences is kept.
    """
    teacher, select = run.load(ModelRef("pretrained")), run.task.splits["select"]["sentence"][:]
    states = STATE_LOSSES["vectors"](teacher, 1.)
    theirs = torch.from_numpy(teacher.vectors(teacher.tokenise(select)))
    held_out = student.tokenise(select).pad(torch.arange(len(select)))
    batches = Batches(student.tokenise(rows["sentence"][:]), *targets(rows), torch.arange(len(rows)))
    @torch.no_grad()
    def cosine():
        device = next(student.parameters()).device
        with states.watching() as seen: student(*(x.to(device) for x in held_out))
        return F.cosine_similarity(student.regressor(seen["vectors"]).float(), theirs.to(device)).mean().item()
    recipe = {k: v for k, v in recipe.items() if k != "batch_size"}
    with threads(1), states.on(student, rows["sentence"][:]):
        fit(student, batches, lambda logits, _: 0 * logits.sum(), cosine, work, **recipe, label="vectors", cbs=[states])

def learn(run, teacher, kind, arm, seed):
    "A student that was trained as an arm has it."
    rows = run.transfer.select(range(len(run.task.splits["train"]) + arm["n"]))
    set_seed(seed)
    source, mode = arm["vectors"] or STUDENTS[kind].vectors()
    vectors = student_vectors(run, source, teacher, rows["sentence"])
    sizes = STUDENTS[kind].sizes("1", arm["layers"], teacher) | arm["made"]
    student = make_student(teacher, kind, vectors, mode=mode, **sizes)
    states = STATE_LOSSES[arm["follows"]](teacher) if arm["follows"] else None
    recipe = student_recipe(kind, len(rows)) | dict(seed=seed)
    epochs = [epochs_of(len(rows), times * STEPS[kind], 1) for times in (1, arm["times"])]
    with tempfile.TemporaryDirectory() as before, tempfile.TemporaryDirectory() as work:
        if arm["before"]: learn_vectors(run, student, rows, recipe | dict(epochs=epochs[0]), before)
        distil(student, rows, run.task.splits["select"], run.task.metric, work, make_loss(arm["loss"]),
               **recipe | dict(epochs=epochs[1]), label=f"{kind}, seed {seed}", states=states)
    return student

def one_fit(args, which):
    "What is kept of a student, arm and seed."
    kind, name, seed = which
    start, arm = time.perf_counter(), USUAL_OF[kind] | ARMS[kind][name]
    run = Run(runs_of(args, seed)[arm["source"]])
    teacher = run.load(TEACHER)
    student = learn(run, teacher, kind, arm, seed)
    seconds = time.perf_counter() - start
    return dict(student=kind, arm=name, seed=seed, seconds=seconds) | scores_of(run, student, teacher)

def summary(found, task):
    "A row an arm of which all seeds are there; `of teacher` is its share of the teacher's score on unseen dev rows."
    gold, rows, fits = np.array(task.splits["dev"]["label"]), [], pd.DataFrame(found["fits"]).sort_values("seed")
    def preds(of): return [np.array(text.split(), int) for text in of.pred]
    whole = {key: of for key, of in fits.groupby(["student", "arm"], sort=False) if len(of) == len(found["seeds"])}
    for (kind, name), of in whole.items():
        row = dict(student=kind, arm=name, select=of["select"].mean())
        row |= dict(zip(("dev", "low", "high"), seeds_interval(task.metric, gold, preds(of))))
        row["of teacher"] = of.dev_unseen.mean() / whole["teacher", "fine-tuned"].dev_unseen.mean()
        beside = whole.get((kind, BESIDE.get(name, "usual")))
        if name != "usual" and beside is not None:
            row["less"] = BESIDE.get(name, "usual")
            row["difference"] = list(seeds_interval(task.metric, gold, preds(of), preds(beside)))
        rows.append(row)
    return rows

def quiet():
    "Several workers would write their bars over each other; of Ctrl-C the main process takes care."
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr = open(os.devnull, "w")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--task", required=True, help="one that `kd-nb tasks` lists")
    p.add_argument("--max-train", type=int, help="a stratified sample of about so many training sentences")
    p.add_argument("--students", nargs="+", choices=ARMS, default=list(ARMS))
    names = sorted({name for arms in ARMS.values() for name in arms})
    p.add_argument("--arms", nargs="+", metavar="ARM", choices=names, help="only these, e.g. usual 'gold labels'")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--jobs", type=int, default=1, help="fits at the same time: a GPU has room for several")
    p.add_argument("--runs-dir", type=Path, default=Path("runs"))
    p.add_argument("--save", type=Path, required=True, help="JSON file, gone on with where it exists")
    args = p.parse_args()
    if len(args.seeds) < 2: p.error("--seeds: an interval over seeds needs two or more")
    if args.jobs < 1: p.error("--jobs: one at least")
    about = dict(task=args.task, max_train=args.max_train, seeds=args.seeds, steps=STEPS)
    found = read_json(args.save) if args.save.exists() else about | dict(fits=[], rows=[])
    if any(found[k] != v for k, v in about.items()): p.error(f"{args.save} is of another task, sample, seeds or steps")

    def keep(fit):
        found["fits"].append(fit)
        save(args.save, found)
        print("{student}, {arm}, seed {seed}: dev {dev:.3f}".format(**fit), flush=True)

    there = {(fit["student"], fit["arm"], fit["seed"]) for fit in found["fits"]}
    missing = [(kind, name, seed) for kind, name in chosen(args) for seed in args.seeds
               if (kind, name, seed) not in there]
    if not chosen(args): p.error("--arms: none of them is one of these --students")
    with get_context("spawn").Pool(args.jobs, quiet) if args.jobs > 1 else nullcontext() as pool:
        each = pool.imap_unordered if pool else map
        for fit in each(partial(prepare, args), args.seeds if missing else []):
            if any(old["teacher"] != fit["teacher"] for old in found["fits"] if old["seed"] == fit["seed"]):
                p.error(f"{args.save} has fits of another teacher of seed {fit['seed']}: put the runs "
                        "of its first sitting back into --runs-dir, or name a new file")
            if ("teacher", "fine-tuned", fit["seed"]) not in there: keep(fit)
        for fit in each(partial(one_fit, args), missing): keep(fit)
    found["rows"] = summary(found, load_task(args.task))
    save(args.save, found)
    print(pd.DataFrame(found["rows"]).to_string(index=False))


if __name__ == "__main__": main()
