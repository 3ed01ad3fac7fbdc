"""Promise: a loss, a state loss, a way to make sentences and a section of the report are each declared once;
all else follows."""
import os, subprocess, sys

NEW = '''
import sys
import torch.nn.functional as F
from kd_nb import augment, losses, results, state_losses
from kd_nb.cli import main
from kd_nb.page import Section

# a loss on logits: one line
losses.LOSSES["l1"] = lambda z, t, y, temperature: F.l1_loss(z, t)

# a state loss: one class, and its line in the table
class FirstState(state_losses.HintLoss):
    "Hints under another name."
state_losses.STATE_LOSSES["first"] = FirstState

# a way to make sentences: a writer, and its line in the table
def backwards(sentences, select, config, work):
    import pandas as pd
    def write(chunk, n):
        rows = [" ".join(reversed(s.split())) for s in sentences[chunk * n:(chunk + 1) * n]]
        return pd.DataFrame({"sentence": rows, "ended": True, "logp": 0.})
    return write
augment.AUGMENTS["backwards"] = augment.Augmentation(backwards)

# a section of the report: one line in its owner
results.SECTIONS += (Section("Greeting", "run", "config.json", lambda run: "<p>hello</p>"),)
sys.exit(main())
'''


def test_new_parts_are_options_checked_run_and_reported(tmp_path):
    (tmp_path/"new.py").write_text(NEW)
    def call(*args):
        env = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, "new.py", *args], cwd=tmp_path, capture_output=True, text=True, env=env)
    few = ["run", "--task", "mini-sentiment", "--teacher", "minilm", "--max-train", "120", "--teacher-epochs", "1",
           "--epochs", "1", "--student", "bert", "--width", "1/16"]
    r = call(
        *few, "--loss", "l1", "--state-loss", "first", "--augment", "backwards", "--n-augment", "30",
        "--name", "new")
    assert r.returncode == 0, r.stdout + r.stderr
    assert "hello</p>" in (tmp_path/"runs/new/report.html").read_text()
    assert "Greeting" in call("report", "runs/new").stdout and "Greeting" in call("info", "runs/new").stdout
    for option, wrong in (("--loss", "l2"), ("--augment", "backward"), ("--state-loss", "firsts")):
        r = call(*few, option, wrong)
        assert r.returncode == 2 and "did you mean" in r.stderr
