"""Intervals over seeds and sentences, for results whose intervals were over sentences alone.

    export KD_NB_DATA=~/data
    python studies/with_seeds.py nbs/saved/sara.json nbs/saved/augment-sara.json nbs/saved/students-sara.json

The files have the scores of each seed, and an interval of their mean over sentences, whose width gives the variance
over sentences. `kd_nb.metrics.mean_of_seeds` puts both together. A file that was widened is left as it is, and so is
one of a single seed. The studies themselves give such intervals now.
"""
import argparse
from pathlib import Path

from kd_nb.core import read_json, write_json
from kd_nb.data import load_task
from kd_nb.metrics import mean_of_seeds
from stamp import stamp

WIDER = "intervals, by the seeds"
GAINS = {"train + {} over train, distilled": ("train + {}, distilled", "train, distilled"),
         "train + {}: distilled over hard": ("train + {}, distilled", "train + {}, hard")}


def widen(row, n):
    "A row with its interval over seeds and sentences."
    over_rows = ((row["high"] - row["low"]) / (2 * 1.96))**2
    mean, low, high = mean_of_seeds(row["seeds"], over_rows, n)
    return row | dict(low=low, high=high)


def with_differences(row, first, second):
    "A row of a difference, with that of each seed."
    return row | dict(seeds=[a - b for a, b in zip(first["seeds"], second["seeds"])])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("files", type=Path, nargs="+")
    for path in p.parse_args().files:
        made, n = read_json(path), load_task(read_json(path)["task"]).splits["dev"].num_rows
        rows = {r.get("name") or r["model"]: r for r in made["rows"]}
        if "gain over hard" in rows:
            rows["gain over hard"] = with_differences(rows["gain over hard"], rows["bilstm"], rows["bilstm-hard"])
        several = len(next(iter(rows.values()))["seeds"]) > 1
        if not several or read_json(path.with_name("stamps.json"))[path.name].get("only") == WIDER: continue
        made["rows"] = [widen(r, n) for r in rows.values()]
        if "curve" in made: made["curve"] = [widen(r, n) for r in made["curve"]]
        if "gains" in made:
            pairs = {
                name.format(way): [rows[m.format(way)] for m in models]
                for name, models in GAINS.items() for way in ("lm", "rules")}
            made["gains"] = [widen(with_differences(g, *pairs[g["name"]]), n) for g in made["gains"]]
        write_json(path, made)
        stamp(path, only=WIDER)


if __name__ == "__main__": main()
