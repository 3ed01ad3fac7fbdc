"""What do real teachers and students rest on, and do they follow when a sentence is changed? The tables that notebook 09b reads.

    python benchmarks/why.py acceptability=runs/cola sentiment=runs/sst2 --out nbs/saved

For each set of perturbations: `perturbed-<set>.csv`, all its sentences scored by the run's teacher and distilled students, and `why-<set>.json`: saliency and prefix curves of the originals.
"""
import argparse
from pathlib import Path

from kd_nb.core import write_json
from kd_nb.report import explain
from kd_nb.run import TEACHER, Run
from kd_nb.why import perturbed, prefix_curve, read_perturbations


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("runs", nargs="+", help="SET=FOLDER")
    p.add_argument("--out", type=Path, default=Path("."))
    args = p.parse_args()
    for name, run in ((n, Run(f)) for n, f in (r.split("=", 1) for r in args.runs)):
        models = {str(ref): run.load(ref) for ref in (TEACHER, *run.distilled)}
        table = read_perturbations(name)
        scored = perturbed(models, table)
        scored.round(4).to_csv(args.out/f"perturbed-{name}.csv", index=False)
        sentences = table.sentence.tolist()
        curves = {
            str(i): prefix_curve(models, sentences[i]).round(4).to_dict("list")
            for i in table.index[table.change == "none"]}
        write_json(
            args.out / f"why-{name}.json",
            dict(
                saliency={
                    sentences[int(i)]: w for i, w in explain(models, sentences, range(len(sentences))).items()},
                prefixes={sentences[int(i)]: c for i, c in curves.items()}))
        print(name, scored[[c for c in scored if c.endswith(" right")]].mean().round(3).to_dict())


if __name__ == "__main__":
    main()
