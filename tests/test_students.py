"""Promise: a kind of student is one class and one line in the table of kinds; every command takes it."""
import pandas as pd

from kd_nb.core import read_json

from conftest import after

TOY = '''
from torch import nn
from kd_nb.student import Student, mean_state
from kd_nb.students import STUDENTS

class Mean(Student):
    "The mean of word vectors, and a linear layer."
    kind = "mean"
    def __init__(self, tokenizer, labels, vocab_size, embed_dim, mode="static"):
        super().__init__(tokenizer, labels, vocab_size, embed_dim, mode)
        self.head = nn.Linear(self.embedding.dim, len(labels))
    def forward(self, ids, lengths): return self.head(mean_state(self.embedding(ids), lengths))

STUDENTS["mean"] = Mean
'''


def test_a_third_kind_is_run_exported_probed_and_tuned(tmp_path):
    (tmp_path/"in.txt").write_text("not a dull minute\ni want my evening back\n")
    run = tmp_path/"runs/toy"
    few = ["--task", "mini-sentiment", "--teacher", "minilm", "--max-train", "120", "--teacher-epochs", "1"]
    models = ["--models", "mean,mean-untrained,mean-vectors", "--tasks", "Length", "--n-train", 100, "--n-eval", 50]
    said = after(
        TOY, tmp_path, ["run", *few, "--epochs", 2, "--student", "mean,bilstm", "--width", "1/16", "--name", "toy"],
        ["export", "runs/toy", "--onnx"], ["predict", "runs/toy/export/mean-onnx", "in.txt"],
        ["probe", "runs/toy", *models], ["tune", "runs/toy", "--steps", "lr,size", "--epochs", 1],
        ["tune", "runs/toy", "--trials", 2, "--epochs", 1])
    for r in said: assert r.returncode == 0, r.stdout + r.stderr
    made, exported, predicted, *_ = (r.stdout for r in said)
    assert "mean-hard" in made and read_json(run/"students/mean/config.json")["kind"] == "mean"
    models = [m["model"] for m in read_json(run/"metrics.json")["models"]]
    assert models == ["teacher", "mean", "mean-hard", "bilstm", "bilstm-hard"]
    assert "100.0%" in exported and (run/"export/mean-onnx/model.onnx").exists()
    assert predicted.count("\n") == 3
    assert set(pd.read_csv(run/"probing/made-mean/scores.csv").model) == {"mean", "mean-untrained", "mean-vectors"}
    assert {"lr", "size"} == set(pd.read_csv(run/"tuning/mean/steps.csv").step)
    assert len(pd.read_csv(run/"tuning/mean-joint/joint.csv")) == 2
