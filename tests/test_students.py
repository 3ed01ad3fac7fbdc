"""Promise: a kind of student is one class and one line in the table of kinds; every command takes it."""
import os, subprocess, sys

import pandas as pd

from kd_nb.core import read_json

TOY = '''
import sys
from torch import nn
from kd_nb.cli import main
from kd_nb.student import Student, mean_state
from kd_nb.students import STUDENTS

class Bag(Student):
    "The mean of word vectors, and a linear layer."
    kind = "bag"
    def __init__(self, tokenizer, labels, vocab_size, embed_dim, mode="static"):
        super().__init__(tokenizer, labels, vocab_size, embed_dim, mode)
        self.head = nn.Linear(self.embedding.dim, len(labels))
    def forward(self, ids, lengths): return self.head(mean_state(self.embedding(ids), lengths))

STUDENTS["bag"] = Bag
sys.exit(main())
'''


def test_a_third_kind_is_run_exported_probed_and_tuned(tmp_path):
    (tmp_path/"toy.py").write_text(TOY)
    def call(*args):
        r = subprocess.run(
            [sys.executable, "toy.py", *args], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"}, timeout=600)
        assert r.returncode == 0, r.stdout + r.stderr
        return r.stdout
    run = tmp_path/"runs/toy"
    said = call(
        "run", "--task", "mini-sentiment", "--teacher", "minilm", "--max-train", "120", "--teacher-epochs", "1",
        "--epochs", "2", "--student", "bag,bilstm", "--width", "1/16", "--name", "toy")
    assert "bag-hard" in said and read_json(run/"students/bag/config.json")["kind"] == "bag"
    assert [m["model"] for m in read_json(run / "metrics.json")["models"]] == [
        "teacher", "bag", "bag-hard", "bilstm", "bilstm-hard"]
    assert "100.0%" in call("export", "runs/toy", "--onnx") and (run/"export/bag-onnx/model.onnx").exists()
    (tmp_path/"in.txt").write_text("not a dull minute\ni want my evening back\n")
    assert call("predict", "runs/toy/export/bag-onnx", "in.txt").count("\n") == 3
    call(
        "probe", "runs/toy", "--models", "bag,bag-untrained,bag-vectors", "--tasks", "Length", "--n-train",
        "100", "--n-eval", "50")
    assert set(pd.read_csv(run/"probing/made-mean/scores.csv").model) == {"bag", "bag-untrained", "bag-vectors"}
    call("tune", "runs/toy", "--steps", "lr,size", "--epochs", "1")
    assert {"lr", "size"} == set(pd.read_csv(run/"tuning/bag/steps.csv").step)
    call("tune", "runs/toy", "--trials", "2", "--epochs", "1")
    assert len(pd.read_csv(run/"tuning/bag-joint/joint.csv")) == 2
