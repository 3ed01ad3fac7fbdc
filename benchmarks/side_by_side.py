"""Seconds to train a student and its gold-label baseline one after the other, and side by side.

    python benchmarks/side_by_side.py

mini-intents, the packaged MiniLM as teacher. The other process starts anew each time, which is part of its seconds.
Both ways take turns; the least time counts, and the weights must be the same.
"""
import argparse, shutil, tempfile, time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from safetensors.torch import load_file

from kd_nb import pipeline
from kd_nb.run import TEACHER
from kd_nb.settings import Settings


def train(settings, made, folder, together):
    "Seconds to train student and baseline of a run that is made as far as its transfer set."
    shutil.copytree(made, folder)
    pipeline._leaves_a_core = lambda *args: together
    with redirect_stdout(StringIO()), pipeline.begin(settings, folder) as run:
        teacher = run.load(TEACHER)
        if settings.student == "bag": pipeline.student_vectors(run, "static", teacher, [])  # not what is compared
        start = time.perf_counter()
        pipeline.train_students(run, teacher, run.transfer, [])
    return time.perf_counter() - start

def same(a, b):
    "Have two runs the same students?"
    def weights(run): return {p.parent.name: load_file(p) for p in (run/"students").rglob("model.safetensors")}
    a, b = weights(a), weights(b)
    return len(a) == 2 and a.keys() == b.keys() and all(v.equal(b[s][k]) for s in a for k, v in a[s].items())

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--student", default="bilstm", help="bilstm or bag")
    p.add_argument("--max-train", type=int, help="training sentences")
    p.add_argument("--epochs", type=int)
    p.add_argument("--rounds", type=int, default=2)
    args = p.parse_args()
    settings = Settings(task="mini-intents", teacher="minilm", student=args.student, max_train=args.max_train,
                        epochs=args.epochs, teacher_epochs=1)
    seconds = {False: [], True: []}
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        with redirect_stdout(StringIO()): pipeline.run_pipeline(settings, work/"made", until="transfer")
        for i in range(args.rounds):
            for together, found in seconds.items():
                found.append(train(settings, work/"made", work/f"{together}{i}", together))
            assert same(work/f"False{i}", work/f"True{i}")
    one, two = min(seconds[False]), min(seconds[True])
    print(f"{args.student} and its baseline: {one:.0f} s one after the other, {two:.0f} s side by side")
    print(f"{one / two:.2f} times as fast, with the same weights")


if __name__ == "__main__": main()
