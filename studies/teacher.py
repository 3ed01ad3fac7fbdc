"""Ways to fine-tune a teacher, on all tasks, in several seeds: which is best by selection, and what it scores on dev.

    export KD_NB_DATA=~/data
    python studies/teacher.py --work runs/teachers
    python studies/teacher.py --work runs/teachers --teacher mpnet --tasks cola --ways usual
    python studies/teacher.py --work runs/teachers --tasks --save nbs/saved/teachers.csv
    python studies/teacher.py --work runs/teacher-ways --save nbs/saved/teacher-ways.csv

A training is `<work>/<teacher>-<way>-<task>-s<seed>.json`; one that exists is not made again. So several of these
can run at the same time, and the last one saves them all. The trainings of a folder are of one kind of machine.
Each seed has another selection split, order and dropout.
An interval of a mean is over seeds and dev sentences, see `kd_nb.metrics.seeds_interval`.
"""
import argparse, tempfile, time
from pathlib import Path

import numpy as np, pandas as pd, torch
from fastai.basics import set_seed

from kd_nb.calibration import apply_temperature, fit_temperature
from kd_nb.core import KdError, fast_bf16, pick_device, read_json, write_json
from kd_nb.metrics import predictions, score, seeds_interval
from kd_nb.run import load_data
from kd_nb.settings import Settings
from kd_nb.teacher import fine_tune, load_teacher, teacher_recipe
from stamp import processor, save

TASKS = {"mini-intents": None, "mini-sentiment": None, "mini-acceptability": None, "sara": None,
         "sst2": 8000, "cola": None}  # task -> `--max-train`
WAYS = {  # what differs from the usual: how it reads a sentence, whether the head is fitted, the rate (times) ...
    "usual": {}, "study": dict(study=True, pooling="head", fitted=False),
    "new head": dict(fitted=False), "head": dict(pooling="head"),
    "half the rate": dict(times=0.5), "twice the rate": dict(times=2),
    "batches of 72": dict(batch_size=72), "batches of 144": dict(batch_size=144),
    "batches of 144, twice the rate": dict(batch_size=144, times=2),
    "batches of 144, three times the rate": dict(batch_size=144, times=3),
    "new head, half the rate": dict(fitted=False, times=0.5), "new head, twice the rate": dict(fitted=False, times=2),
    "new head, batches of 144, twice the rate": dict(fitted=False, batch_size=144, times=2),
    "new head, batches of 144, three times the rate": dict(fitted=False, batch_size=144, times=3),
    "third frozen": dict(frozen=1 / 3), "half frozen": dict(frozen=1 / 2),
    "72, third frozen": dict(batch_size=72, frozen=1 / 3),
    "144, third frozen": dict(batch_size=144, frozen=1 / 3),
    "144, third frozen, twice the rate": dict(batch_size=144, frozen=1 / 3, times=2),
    "144, half frozen, twice the rate": dict(batch_size=144, frozen=1 / 2, times=2)}


def keep_lower(teacher, share):
    "The lowest layers, a share of all, keep their weights, and so do all embeddings."
    if not share: return
    count = teacher.model.config.num_hidden_layers
    stack = next(m for m in teacher.model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count)
    teacher.model.base_model.requires_grad_(False)
    stack[round(share * count):].requires_grad_(True)


def train(name, way, task, seed):
    "One training: selection score, dev predictions, seconds."
    way_of = dict(study=False, pooling=None, fitted=True, times=1, frozen=0) | WAYS[way]
    recipe = teacher_recipe(name, task.splits["train"].num_rows, study=way_of["study"])
    recipe |= dict(lr=recipe["lr"] * way_of["times"], batch_size=way_of.get("batch_size", recipe["batch_size"]))
    set_seed(seed)
    teacher = load_teacher(name, task.labels, way_of["pooling"])
    keep_lower(teacher, way_of["frozen"])
    train, select, dev = (task.splits[s] for s in ("train", "select", "dev"))
    with tempfile.TemporaryDirectory() as state:
        start = time.perf_counter()
        log = fine_tune(teacher, train, select, task.metric, state, **recipe, seed=seed, fitted=way_of["fitted"])
        seconds = time.perf_counter() - start
    z = {s: teacher.logits(task.splits[s]["sentence"][:]) for s in ("select", "dev")}
    return recipe | dict(
        teacher=name, way=way, task=task.name, seed=seed, pooling=teacher.pooling, metric=task.metric,
        selection=log.score.max(), frozen=log.score[0] if log.epoch[0] == 0 else None,
        kept=int(log.epoch[log.score.argmax()]),
        dev=score(task.metric, np.array(dev["label"]), z["dev"].argmax(1)), seconds=seconds,
        threads=torch.get_num_threads(), bf16=fast_bf16(pick_device()),
        machine=processor(),
        label=list(dev["label"]), pred=z["dev"].argmax(1).tolist(),
        logits={s: np.round(v.astype(float), 4).tolist() for s, v in z.items()}, select_label=list(select["label"]))


def too_sure(g, task_labels):
    "Confidence less accuracy on dev, in points, before and after a temperature fitted on selection; and that."
    names = [str(i) for i in range(task_labels)]
    select, dev = (predictions([""] * len(y), np.array(g.logits[s]), names, y)
                   for s, y in (("select", g.select_label), ("dev", g.label)))
    def gap(table): return 100 * (table.confidence.mean() - (table.label == table.pred).mean())
    try: temperature = fit_temperature(select, names)
    except KdError: return gap(dev), np.nan, np.nan  # none fits: mini-acceptability has 40 selection rows
    return gap(dev), gap(apply_temperature(dev, temperature)), temperature


def collect(work):
    "A row for each teacher, way and task: means over its seeds, with intervals."
    made = pd.DataFrame([read_json(p) for p in sorted(work.glob("*.json"))])
    rows, usual = [], {key: g for key, g in made[made.way == "usual"].groupby(["teacher", "task"])}
    for (name, way, task), g in made.groupby(["teacher", "way", "task"]):
        g, known = g.sort_values("seed"), usual.get((name, task))
        row = dict(teacher=name, way=way, task=task, seeds=len(g), epochs=g.epochs.iloc[0], lr=g.lr.iloc[0])
        row |= {k: g[k].astype(float).mean() for k in ("selection", "frozen", "dev", "seconds")}
        row |= {f"{k}_seeds": " ".join(f"{100 * x:.1f}" for x in g[k]) for k in ("selection", "dev")}
        row |= dict(kept=" ".join(map(str, g.kept))) | {k: g[k].iloc[0] for k in ("threads", "bf16", "machine")}
        label, metric = np.array(g.label.iloc[0]), g.metric.iloc[0]
        preds = [np.array(p) for p in g.pred]
        sure = np.mean([too_sure(r, len(r.logits["dev"][0])) for r in g.itertuples()], axis=0)
        row |= dict(zip(("too_sure", "too_sure_cooled", "temperature"), sure))
        if len(g) > 1: _, row["low"], row["high"] = seeds_interval(metric, label, preds)
        if len(g) > 1 and known is not None and way != "usual":
            both = g.merge(known, on="seed", suffixes=("", "_usual"))  # the same selection splits
            preds, others = ([np.array(p) for p in both[k]] for k in ("pred", "pred_usual"))
            row["minus_usual"], row["minus_low"], row["minus_high"] = seeds_interval(metric, label, preds, others)
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--work", type=Path, required=True)
    p.add_argument("--save", type=Path, help="write the table of all trainings in --work")
    p.add_argument("--teacher", default="minilm")
    p.add_argument("--tasks", nargs="*", default=list(TASKS), choices=TASKS)
    p.add_argument("--ways", nargs="*", default=list(WAYS), choices=WAYS)
    p.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    args = p.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for way in args.ways:
        for seed in args.seeds:
            for task in args.tasks:
                path = args.work/f"{args.teacher}-{way.replace(' ', '_')}-{task}-s{seed}.json"
                if path.exists(): continue
                data = load_data(Settings(task=task, max_train=TASKS[task], seed=seed))
                write_json(path, train(args.teacher, way, data, seed))
    if args.save:
        made = collect(args.work)
        save(args.save, made, trained_on=sorted(made.machine.unique()))
