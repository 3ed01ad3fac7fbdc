"""Promise: a loss, a state loss, a way to make sentences and a section of the report are each declared once;
all else follows."""
from conftest import after

NEW = '''
import torch.nn.functional as F
from kd_nb import augment, losses, state_losses
from kd_nb.page import Section

# a loss on logits: one line
losses.LOSSES["l1"] = losses.Loss("its logits, roughly", lambda z, t, y, temperature: F.l1_loss(z, t))

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
augment.AUGMENTS["backwards"] = augment.Augmentation(backwards, "last word first")

# a section of the report: one line in its owner
from kd_nb import results
results.SECTIONS += (Section("Greeting", "run", ("config.json",), lambda run: "<p>hello</p>"),)
'''


def test_new_parts_are_options_checked_run_and_reported(tmp_path):
    few = ["run", "--task", "mini-sentiment", "--teacher", "minilm", "--max-train", "120", "--teacher-epochs", "1",
           "--epochs", "1", "--student", "bert", "--width", "1/16"]
    new = ["--loss", "l1", "--state-loss", "first", "--augment", "backwards", "--n-augment", "30", "--name", "new"]
    wrong = [["--loss", "l2"], ["--augment", "backward"], ["--state-loss", "firsts"]]
    help, run, report, info, *refused = after(
        NEW, tmp_path, ["run", "--help"], [*few, *new], ["report", "runs/new"], ["info", "runs/new"],
        *([*few, *options] for options in wrong))
    shown = " ".join(help.stdout.replace("│", " ").split())
    for words in ("l1 (its logits, roughly)", "backwards (last word first)", "derivative, first"): assert words in shown
    assert run.returncode == 0, run.stdout + run.stderr
    assert "hello</p>" in (tmp_path/"runs/new/report.html").read_text()
    assert "Greeting" in report.stdout and "Greeting" in info.stdout
    for r in refused: assert r.returncode == 2 and "did you mean" in r.stderr
