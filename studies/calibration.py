"""How calibrated are teachers and students, as they are and at a fitted temperature?

    export KD_NB_DATA=~/data
    python studies/calibration.py runs/sara-s0 runs/sara-s1 runs/sara-s2 \\
        runs/sst2-s0 runs/sst2-s1 runs/sst2-s2 runs/cola-s0 runs/cola-s1 runs/cola-s2 \\
        --students bilstm bilstm-mse bilstm-hard --out nbs/saved/calibration.csv

The runs are those that studies/students.py leaves, or any of `kd-nb run`. Scores are on dev.
A temperature is fitted on the selection split of its run. The page on calibration reads the table.
"""
import argparse
from pathlib import Path

import pandas as pd

from kd_nb.calibration import apply_temperature, calibration, fit_temperature
from kd_nb.core import KdError
from kd_nb.metrics import aligned, read_predictions
from kd_nb.results import predict_splits
from kd_nb.run import Run
from stamp import save


def rows(run, students):
    run = Run(run)
    task = run.task
    files = {m: run/f"predictions/{m}-dev.parquet" for m in ("teacher", *students)}
    tables = aligned({m: read_predictions(file) for m, file in files.items() if file.exists()})
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
    scores = calibration({key: table for key, (table, _) in found.items()}, task.labels).assign(
        temperature=[t for _, t in found.values()], task=task.name, seed=run.settings.seed, n=len(table))
    return scores.set_axis(pd.MultiIndex.from_tuples(found, names=["model", "how"])).reset_index()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("runs", nargs="+", type=Path)
    p.add_argument("--students", nargs="+", default=["bilstm", "bilstm-hard"])
    p.add_argument("--out", type=Path, default=Path("calibration.csv"))
    args = p.parse_args()
    table = pd.concat([rows(run, args.students) for run in args.runs], ignore_index=True)
    save(args.out, table.round(4))
    means = table.drop(columns=["seed"]).groupby(["task", "model", "how"], sort=False).mean()
    print(means.round(2).to_string())


if __name__ == "__main__": main()
