"""How calibrated are teachers and students, as they are and at a temperature fitted on their selection splits? The table that notebook 09a reads.

    KD_NB_DATA=~/data python benchmarks/calibration.py runs/sara-s0 runs/sara-s1 runs/cola-s0 --students bilstm bilstm-hard --out nbs/saved/calibration.csv

Scores are on dev. The runs are those of `kd-nb run`, or of benchmarks/students.py.
"""
import argparse
from pathlib import Path

import pandas as pd

from kd_nb.calibration import apply_temperature, calibration, fit_temperature
from kd_nb.core import KdError
from kd_nb.errors import aligned, read_predictions
from kd_nb.pipeline import predict_splits
from kd_nb.run import Run


def rows(run, students):
    run = Run(run)
    task = run.task
    tables = aligned(
        {
            m: read_predictions(run / f"predictions/{m}-dev.parquet") for m in ("teacher", *students)
            if (run / f"predictions/{m}-dev.parquet").exists()})
    found = {}
    for name, table in tables.items():
        found[name, "as it is"] = table, 1.
        held_out = predict_splits(run, run.ref(name), run.load(run.ref(name)), ("select",))["select"]
        try:
            t = fit_temperature(held_out, task.labels)
        except KdError as e:
            print(f"{run.folder}: {name}: {e}")
            continue
        found[name, "at its temperature"] = apply_temperature(table, t), t
    scores = calibration({key: table for key, (table, _) in found.items()}, task.labels)
    return (
        scores.assign(
            temperature=[t for _, t in found.values()], task=task.name, seed=run.settings.seed, n=len(table))
        .set_axis(pd.MultiIndex.from_tuples(found, names=["model", "how"])).reset_index())


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("runs", nargs="+", type=Path)
    p.add_argument("--students", nargs="+", default=["bilstm", "bilstm-hard"])
    p.add_argument("--out", type=Path, default=Path("calibration.csv"))
    args = p.parse_args()
    table = pd.concat([rows(run, args.students) for run in args.runs], ignore_index=True)
    table.round(4).to_csv(args.out, index=False)
    print(table.drop(columns=["seed"]).groupby(["task", "model", "how"], sort=False).mean().round(2).to_string())


if __name__ == "__main__":
    main()
