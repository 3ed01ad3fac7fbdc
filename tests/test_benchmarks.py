"""Each benchmark runs, on little data: the code that it times moves on, and takes its arguments along."""
import os, subprocess, sys
from pathlib import Path

import pytest

root = Path(__file__).parent.parent
LITTLE = {
    "errors": "--rows 2000 --models 3 --classes 4",
    "fine_tune": "--steps 1 --threads 1",
    "label_sentences": "--task mini-intents --n 8 --batch-size 8",
    "probe": "--tasks Tense --n-train 60 --n-eval 40 --layers 0 --seeds 1",
    "side_by_side": "--max-train 100 --epochs 1 --rounds 1",
    "threads": "--n 64 --rounds 1",
    "train_student": "--task mini-intents --n 64 --epochs 1 --mode static",
}
SLOW = {"generate"}  # it fine-tunes a language model


def test_every_benchmark_is_here():
    assert set(LITTLE) | SLOW == {p.stem for p in (root/"benchmarks").glob("*.py")}


@pytest.mark.parametrize("name", LITTLE)
def test_a_benchmark_runs(name, tmp_path):
    r = subprocess.run(
        [sys.executable, root/f"benchmarks/{name}.py", *LITTLE[name].split()], cwd=tmp_path, text=True,
        capture_output=True, env=os.environ | dict(OMP_NUM_THREADS="1"))
    assert r.returncode == 0, r.stderr[-2000:]
    assert len(r.stdout.splitlines()) > 1
