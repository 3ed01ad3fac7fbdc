"""What `kd-nb errors` found in finished runs, as small files that pages read.

    kd-nb errors runs/sara
    kd-nb errors runs/cola
    python studies/questions.py runs/sara runs/cola --out nbs/saved

It writes two files a run. `errors-<task>.json` has the tables, how many sentences answer each question, and
the first of them, no more than `--examples` a question. `reliability-<task>.json` has the bins of the
reliability diagrams, before and after the temperature. The pages on mistakes and on calibration read them.
"""
import argparse, json
from pathlib import Path

import pandas as pd

from kd_nb.calibration import apply_temperature, reliability_bins
from kd_nb.questions import temperatures
from kd_nb.run import Run
from stamp import save

TABLES = ("confidence", "overlap", "differences", "correlation", "most-confused")
QUESTIONS = ("right-by-one", "sure-by-one", "only-teacher-right", "only-teacher-sure")


def records(table): return json.loads(table.to_json(orient="records", double_precision=4))


def found_in(run, examples):
    "The tables of a run, and the first answers to its questions."
    names = (*TABLES, *QUESTIONS, "most-confident")
    tables = {name: pd.read_csv(run/f"errors/dev-{name}.csv") for name in names}
    found = {name: records(tables[name].drop(columns="example", errors="ignore").round(6)) for name in TABLES}
    found["sentences"] = {
        name: len(tables[name]) if name.startswith("only") else tables[name].groupby("only").size().to_dict()
        for name in QUESTIONS}
    found["examples"] = {name: records(tables[name].head(examples).round(2)) for name in QUESTIONS}
    most, mistakes = tables["most-confident"], "most confident mistakes"
    first = most[most.kind == mistakes].groupby("model", sort=False).head(examples)
    found["examples"][mistakes] = records(first.drop(columns="kind").round(2))
    return found


def bins_of(run):
    "The bins of all models of a run, as they are and at their temperatures."
    t, bins = temperatures(run), []
    for name, table in run.predictions().items():
        bins.append(reliability_bins(table).assign(model=name, how="as it is"))
        if t[name] > 0:
            scored = apply_temperature(table, t[name])
            bins.append(reliability_bins(scored).assign(model=name, how="at its temperature"))
    return records(pd.concat(bins).round(4))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("runs", nargs="+", type=Path, help="folders of finished runs, after `kd-nb errors`")
    p.add_argument("--out", type=Path, default=Path("."))
    p.add_argument("--examples", type=int, default=2)
    args = p.parse_args()
    for run in map(Run, args.runs):
        task, found = run.settings.task, found_in(run, args.examples)
        save(args.out/f"errors-{task}.json", found)
        save(args.out/f"reliability-{task}.json", bins_of(run))
        print(f"{task}: {', '.join(f'{k} {v}' for k, v in found['sentences'].items())}")


if __name__ == "__main__": main()
