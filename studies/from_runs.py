"""Copy a file of a finished run to where the pages read it.

    make demo
    python studies/from_runs.py runs/demo/metrics.json nbs/saved/demo-metrics.json

    kd-nb run --task sara --teacher minilm --student bilstm,bert --name sara
    kd-nb speed runs/sara
    python studies/from_runs.py runs/sara/speed.json nbs/saved/speed-sara.json
    python studies/from_runs.py runs/sara/figures/speed.png nbs/images/speed-sara.png

Copy on the machine that made the run, and before the checkout moves on: the stamp is of the copy.
It also says where the file came from, and the day on which the run wrote it.
"""
import argparse, shutil
from datetime import date
from pathlib import Path

from kd_nb.core import atomic
from stamp import relative, stamp


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("file", type=Path, help="of a finished run, e.g. runs/demo/metrics.json")
    p.add_argument("to", type=Path, help="e.g. nbs/saved/demo-metrics.json")
    args = p.parse_args()
    if not args.file.is_file(): p.error(f"no file '{args.file}'")
    with atomic(args.to) as part: shutil.copyfile(args.file, part)
    made = date.fromtimestamp(args.file.stat().st_mtime)
    stamp(args.to, copied_from=relative(str(args.file)), made=str(made))
    print(f"{args.to}: copied from {args.file}")


if __name__ == "__main__": main()
