"""Promise: a kind of student is one class and one line in the table of kinds; every command takes it."""
import pandas as pd

from kd_nb.core import read_json

from conftest import after

TOY = '''
from torch import nn
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
'''


def test_a_third_kind_is_run_exported_probed_and_tuned(tmp_path):
    (tmp_path/"in.txt").write_text("not a dull minute\ni want my evening back\n")
    run = tmp_path/"runs/toy"
    few = ["--task", "mini-sentiment", "--teacher", "minilm", "--max-train", "120", "--teacher-epochs", "1"]
    models = ["--models", "bag,bag-untrained,bag-vectors", "--tasks", "Length", "--n-train", 100, "--n-eval", 50]
    said = after(
        TOY, tmp_path, ["run", *few, "--epochs", 2, "--student", "bag,bilstm", "--width", "1/16", "--name", "toy"],
        ["export", "runs/toy", "--onnx"], ["predict", "runs/toy/export/bag-onnx", "in.txt"],
        ["probe", "runs/toy", *models], ["tune", "runs/toy", "--steps", "lr,size", "--epochs", 1],
        ["tune", "runs/toy", "--trials", 2, "--epochs", 1])
    for r in said: assert r.returncode == 0, r.stdout + r.stderr
    made, exported, predicted, *_ = (r.stdout for r in said)
    assert "bag-hard" in made and read_json(run/"students/bag/config.json")["kind"] == "bag"
    models = [m["model"] for m in read_json(run/"metrics.json")["models"]]
    assert models == ["teacher", "bag", "bag-hard", "bilstm", "bilstm-hard"]
    assert "100.0%" in exported and (run/"export/bag-onnx/model.onnx").exists()
    assert predicted.count("\n") == 3
    assert set(pd.read_csv(run/"probing/made-mean/scores.csv").model) == {"bag", "bag-untrained", "bag-vectors"}
    assert {"lr", "size"} == set(pd.read_csv(run/"tuning/bag/steps.csv").step)
    assert len(pd.read_csv(run/"tuning/bag-joint/joint.csv")) == 2
