"""The whole error analysis on made-up predictions: how long, how much memory?

    python benchmarks/errors.py [--rows 1000000] [--models 3] [--classes 57]

The models are random: a teacher that is right four times in five, students that mostly follow it.
"""
import argparse, resource, time

import matplotlib
import numpy as np, pandas as pd, torch

from kd_nb.calibration import BINNINGS, apply_temperature, calibration, fit_temperature, plot_reliability
from kd_nb.calibration import reliability_bins
from kd_nb.errors import by_confidence, compare, confusion, correlation, mean_confidence, most_confused
from kd_nb.errors import only_teacher_right, only_teacher_sure, overlap, per_class, plot_confidence
from kd_nb.errors import plot_confusion, right_by_one, sure_by_one
from kd_nb.metrics import aligned, predictions


def made_up(rows, models, classes):
    "model -> predictions, and the names of the classes."
    rng, names = np.random.default_rng(0), [f"class {k:02}" for k in range(classes)]
    gold, sentences = rng.integers(classes, size=rows), [f"sentence {i}" for i in range(rows)]
    base = rng.normal(size=(rows, classes)).astype(np.float32)
    base[np.arange(rows), gold] += 4 * (rng.random(rows) < 0.8)
    def logits(m): return base + m * rng.normal(size=(rows, classes), scale=0.5).astype(np.float32)
    return {f"model {m}": predictions(sentences, logits(m), names, gold) for m in range(models)}, names


def memory():
    "Largest resident set of this process so far, in GB."
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--rows", type=int, default=1_000_000)
    p.add_argument("--models", type=int, default=3)
    p.add_argument("--classes", type=int, default=57)
    args = p.parse_args()
    matplotlib.use("agg")
    tables, names = made_up(args.rows, args.models, args.classes)
    teacher, *students = tables
    first = tables[students[0]]
    held_out = first[:args.rows // 10]
    parts = {
        "aligned": lambda: aligned(tables),
        "by_confidence": lambda: [
            by_confidence(t, right, 20, least) for t in tables.values() for right in (True, False)
            for least in (True, False)],
        "mean_confidence": lambda: mean_confidence(tables),
        "plot_confidence": lambda: plot_confidence(tables),
        "correlation": lambda: correlation(tables),
        "overlap": lambda: [overlap(tables, right) for right in (True, False)],
        "right_by_one": lambda: right_by_one(tables, students),
        "sure_by_one": lambda: sure_by_one(tables, students),
        "only_teacher_right": lambda: only_teacher_right(tables, teacher, students),
        "only_teacher_sure": lambda: only_teacher_sure(tables, teacher, students),
        "compare (micro F1)": lambda: [compare(tables, teacher, s, "micro_f1") for s in students],
        "compare (macro F1)": lambda: [compare(tables, teacher, s, "macro_f1") for s in students],
        "compare (MCC)": lambda: [compare(tables, teacher, s, "mcc") for s in students],
        "confusion": lambda: [(confusion(t), most_confused(t), per_class(t)) for t in tables.values()],
        "plot_confusion": lambda: plot_confusion(first),
        "reliability": lambda: [reliability_bins(t, 10, e) for t in tables.values() for e in BINNINGS],
        "calibration": lambda: calibration(tables, names),
        "temperature": lambda: apply_temperature(first, fit_temperature(held_out, names)),
        "plot_reliability": lambda: plot_reliability(tables)}
    before, times, cpu = memory(), {}, time.process_time()
    for name, part in parts.items():
        start = time.perf_counter()
        part()
        times[name] = time.perf_counter() - start
    cpu = time.process_time() - cpu
    print(
        f"{args.rows:,} made-up predictions x {args.models} models x {args.classes} classes,"
        f" {torch.get_num_threads()} threads")
    print(pd.Series(times, name="s").sort_values(ascending=False).round(2).to_string())
    print(
        f"together {sum(times.values()):.1f} s ({cpu:.1f} s of processor time); peak memory"
        f" {memory():.2f} GB, of which {before:.2f} GB were needed to make the tables")


if __name__ == "__main__":
    main()
