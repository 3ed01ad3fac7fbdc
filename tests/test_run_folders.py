"""Promise: a run folder belongs to one process at a time, and a run finds its data from any folder, or says
plainly that they moved, changed or went."""
import os, signal, subprocess

import pandas as pd, pytest

from kd_nb.core import read_json
from kd_nb.run import Run

from conftest import COMMAND

FAST = ["--teacher", "minilm", "--teacher-epochs", "1", "--epochs", "1", "--student", "bilstm", "--width", "1/16"]


def environment(): return {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def test_a_second_process_says_at_once_that_another_is_at_work(kd_nb, tmp_path):
    args = ["run", "--task", "mini-sentiment", "--max-train", "100", *FAST, "--name", "x"]
    with subprocess.Popen(
        [COMMAND, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
        env=environment()) as p:
        for line in p.stdout:
            if line.startswith("task "): break  # it has the folder now
        p.send_signal(signal.SIGSTOP)  # however fast it is, the others come meanwhile
        for other in (args, [*args, "--lr", "0.1"], ["augment", *args[1:], "--augment", "rules"]):
            second = kd_nb(*other)
            assert second.returncode == 2 and "another process is at work in 'runs/x'" in second.stderr, second.stderr
            assert second.stderr.count("\n") == 1 and "epoch" not in second.stdout
        assert p.poll() is None
        p.send_signal(signal.SIGKILL)
    again = kd_nb(*args)  # a kill leaves no lock behind
    assert again.returncode == 0, again.stderr
    assert (tmp_path/"runs/x/metrics.json").exists()


@pytest.fixture
def mine(here, tmp_path):
    "A run on files of the user's own, made from another folder."
    (tmp_path/"data").mkdir()
    rows = [(f"a fine evening {i}", "good") for i in range(30)] + [(f"a dull evening {i}", "bad") for i in range(30)]
    for name, part in (("train", rows[::2]), ("dev", rows[1::2])):
        pd.DataFrame(part, columns=["sentence", "label"]).to_csv(tmp_path/f"data/{name}.csv", index=False)
    r = here("run", "--data", "data/train.csv", "--dev", "data/dev.csv", *FAST, "--name", "mine")
    assert r.returncode == 0, r.stderr
    return tmp_path/"runs/mine"


def test_data_that_moved_changed_or_went(mine, here, tmp_path):
    config = read_json(mine/"config.json")
    assert config["data"] == str(tmp_path/"data/train.csv") and config["dev"] == str(tmp_path/"data/dev.csv")
    elsewhere = tmp_path/"elsewhere"
    elsewhere.mkdir()
    def call(*args): return here(*args, cwd=elsewhere)
    first = call("errors", "../runs/mine")  # from another folder
    assert first.returncode == 0, first.stderr
    again = call(
        "run", "--data", "../data/train.csv", "--dev", "../data/dev.csv", *FAST, "--name", "mine", "--runs-dir",
        "../runs")
    assert again.returncode == 0 and "mine: done before" in again.stdout, again.stderr

    (tmp_path/"data").rename(tmp_path/"moved")
    gone = call("errors", "../runs/mine")
    assert gone.returncode == 2 and gone.stderr.count("\n") == 1
    assert "train.csv is gone" in gone.stderr and "--data" in gone.stderr
    assert call("errors", "../runs/mine", "--data", "../moved/train.csv").returncode == 0
    assert read_json(mine/"config.json")["dev"] == str(tmp_path/"moved/dev.csv")  # it lay beside the other
    assert call("errors", "../runs/mine").returncode == 0  # the new place is remembered

    table = pd.read_csv(tmp_path/"moved/train.csv")
    table[1:].to_csv(tmp_path/"moved/train.csv", index=False)
    for args in (
        ["errors", "../runs/mine"], ["speed", "../runs/mine"], ["tune", "../runs/mine"],
        ["tune", "../runs/mine", "--data", "../moved/train.csv"]):
        changed = call(*args)
        assert changed.returncode == 2 and "have changed" in changed.stderr, changed.stderr
        assert changed.stderr.count("\n") == 1, changed.stderr
    task = call("errors", "../runs/mine", "--data", "../moved/nothing.csv")
    assert task.returncode == 2 and "nothing.csv is gone" in task.stderr


def test_a_run_shows_itself(mine):
    run = Run(mine)
    assert [str(ref) for ref in run.models] == ["teacher", "bilstm", "bilstm-hard"]
    text = run._repr_html_()
    for word in ("train.csv", "minilm", "students/bilstm", "of teacher", "95 %"): assert word in text
    assert str(mine) in repr(run) and "\n" not in repr(run)
