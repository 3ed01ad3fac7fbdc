"""What `kd-nb errors` found in finished runs, as small files that notebook 09 reads: tables, how many sentences answer each question, and the first of them.

    kd-nb errors runs/sara; kd-nb errors runs/cola
    python benchmarks/questions.py runs/sara runs/cola --out nbs/saved

Writes `errors-<task>.json` for each run, and `reliability-<task>.json`: the bins of its reliability diagrams before and after the temperature. No more than `--examples` sentences a question are kept.
"""
import argparse, json
from pathlib import Path

import pandas as pd

from kd_nb.analysis import temperatures
from kd_nb.calibration import apply_temperature, reliability_bins
from kd_nb.core import write_json
from kd_nb.run import Run

TABLES = ("confidence", "overlap", "differences", "correlation", "most-confused")
QUESTIONS = ("right-by-one", "sure-by-one", "only-teacher-right", "only-teacher-sure")


def records(table): return json.loads(table.to_json(orient="records", double_precision=4))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("runs", nargs="+", type=Path, help="folders of finished runs, after `kd-nb errors`")
    p.add_argument("--out", type=Path, default=Path("."))
    p.add_argument("--examples", type=int, default=2)
    args = p.parse_args()
    for run in map(Run, args.runs):
        task, tables = (
            run.settings.task,
            {name: pd.read_csv(run / f"errors/dev-{name}.csv") for name in (*TABLES, *QUESTIONS, "most-confident")})
        found = {name: records(tables[name].drop(columns="example", errors="ignore").round(6)) for name in TABLES}
        found["sentences"] = {
            name: len(tables[name]) if name.startswith("only") else tables[name].groupby("only").size().to_dict()
            for name in QUESTIONS}
        found["examples"] = {name: records(tables[name].head(args.examples).round(2)) for name in QUESTIONS}
        most = tables["most-confident"]
        found["examples"]["most confident mistakes"] = records(
            most[most.kind == "most confident mistakes"].groupby("model", sort=False).head(args.examples)
            .drop(columns="kind").round(2))
        write_json(args.out/f"errors-{task}.json", found)
        t, bins = temperatures(run), []
        for name, table in run.predictions().items():
            for how, scored in (
                ("as it is", table),
                ("at its temperature", apply_temperature(table, t[name]) if t[name] > 0 else None)):
                if scored is not None: bins.append(reliability_bins(scored).assign(model=name, how=how))
        write_json(args.out/f"reliability-{task}.json", records(pd.concat(bins).round(4)))
        print(f"{task}: {', '.join(f'{k} {v}' for k, v in found['sentences'].items())}")


if __name__ == "__main__":
    main()
