"""What do real teachers and students rest on, and do they follow when a sentence is changed?

    python studies/why.py acceptability=runs/cola sentiment=runs/sst2 --out nbs/saved

It writes two files for each set of perturbations. `perturbed-<set>.csv` has all its sentences, scored by the
run's teacher and distilled students. `why-<set>.json` has saliency and prefix curves of the originals.
The page that asks why reads them.
"""
import argparse
from pathlib import Path

from kd_nb.questions import explain
from kd_nb.run import TEACHER, Run
from kd_nb.why import perturbed, prefix_curve, read_perturbations
from stamp import save


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("runs", nargs="+", help="SET=FOLDER")
    p.add_argument("--out", type=Path, default=Path("."))
    args = p.parse_args()
    for name, run in ((n, Run(f)) for n, f in (r.split("=", 1) for r in args.runs)):
        models = {str(ref): run.load(ref) for ref in (TEACHER, *run.distilled)}
        table = read_perturbations(name)
        scored = perturbed(models, table)
        save(args.out/f"perturbed-{name}.csv", scored.round(4))
        sentences = table.sentence.tolist()
        weights = explain(models, sentences, range(len(sentences)))
        saliency = {sentences[int(i)]: w for i, w in weights.items()}
        prefixes = {
            sentences[i]: prefix_curve(models, sentences[i]).round(4).to_dict("list")
            for i in table.index[table.change == "none"]}
        save(args.out/f"why-{name}.json", dict(saliency=saliency, prefixes=prefixes))
        print(name, scored[[c for c in scored if c.endswith(" right")]].mean().round(3).to_dict())


if __name__ == "__main__": main()
