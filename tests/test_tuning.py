"""Promise: `kd-nb tune` loses nothing: two processes share one study, a killed one goes on, each trial is
a run, and dev is not looked at."""
import os, re, shlex, signal, subprocess

import pandas as pd, pytest

from kd_nb.core import read_json, write_json
from kd_nb.run import Run
from kd_nb.search import open_study
from kd_nb.trials import open_base

from conftest import COMMAND

FAST = [
    "--task", "mini-sentiment", "--teacher", "minilm", "--max-train", "100", "--teacher-epochs", "1",
    "--student", "bilstm", "--width",
    "1/16", "--mode", "static"]


def start(tmp_path, *args):
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    # a shell's background jobs, of which pytest may be one, ignore Ctrl-C
    def heed(): signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        [COMMAND, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path, env=env,
        preexec_fn=heed)


@pytest.fixture
def labelled(here, tmp_path):
    "A run with a teacher and a transfer set."
    assert here("label", *FAST, "--name", "r").returncode == 0
    return tmp_path/"runs/r"


def test_two_processes_share_a_search(labelled, tmp_path):
    both = [start(tmp_path, "tune", "runs/r", "--trials", "8", "--epochs", "2") for _ in range(2)]
    said = [p.communicate(timeout=600)[0] for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    table = pd.read_csv(labelled/"tuning/bilstm-joint/joint.csv")
    assert 8 <= len(table) <= 9 and table.number.is_unique  # the last two may begin at the same time
    assert table.process.nunique() == 2 and table.front.any()
    for _, same in table.groupby(["width", "layers", "embeddings", table["mode"] == "multichannel"]):
        assert same.ms.nunique() == 1
    assert not (labelled/"predictions").exists()  # dev and test were not asked
    page = (labelled/"report.html").read_text()
    assert "Choosing a student" in page and '<img alt="tuning bilstm joint front"' in page


def test_a_killed_study_goes_on_and_its_best_becomes_a_run(labelled, here, tmp_path):
    args = ["tune", "runs/r", "--steps", "optimizer,lr", "--epochs", "3"]
    with start(tmp_path, *args) as p:
        epochs = 0
        for line in p.stdout:
            epochs += "epoch" in line
            if epochs == 5:
                p.send_signal(signal.SIGKILL)
                break  # in the second trial
    home = labelled/"tuning/bilstm"
    first = {f: f.stat().st_mtime_ns for f in home.glob("*/trial.json")}
    assert len(first) == 1
    again = here(*args)
    assert again.returncode == 0 and "continuing after epoch" in again.stdout, again.stderr
    assert all(f.stat().st_mtime_ns == t for f, t in first.items())
    table = pd.read_csv(home/"steps.csv")
    assert table.groupby("step").best.sum().tolist() == [1, 1]
    assert len(list(home.glob("*/trial.json"))) == table.trial.nunique()
    for step in ("lr", "optimizer"): assert (labelled/f"figures/tuning-bilstm-{step}.png").exists()
    assert not (labelled/"predictions").exists()

    trial = table.trial[table.best].iloc[-1]
    assert here("predict", home/trial, stdin="not a dull minute\n").returncode == 0
    command = shlex.split(re.search("(kd-nb run .*)", again.stdout)[1])[1:]
    done = here(*command)
    assert done.returncode == 0, done.stderr
    assert "teacher: done before" in done.stdout and "bilstm: done before" in done.stdout, done.stderr
    assert (home/trial/"report.html").exists() and (home/trial/"metrics.json").exists()
    assert (labelled/"teacher/model.safetensors").exists()


def test_an_interrupted_search_says_so_in_a_line_and_goes_on(labelled, here, tmp_path):
    args = ["tune", "runs/r", "--trials", "2", "--epochs", "4"]
    with start(tmp_path, *args) as p:
        said = []
        for line in p.stdout:
            said.append(line)
            if "epoch 2/4" in line:
                p.send_signal(signal.SIGINT)
                break
        said += p.stdout.readlines()
    assert p.returncode == 130 and "stopped; the same command continues" in said[-1], said
    assert "Traceback" not in "".join(said) and len(said) < 8, said
    again = here(*args)
    assert again.returncode == 0 and "goes on where it was stopped" in again.stdout, again.stderr
    assert "continuing after epoch" in again.stdout, again.stderr
    table = pd.read_csv(labelled/"tuning/bilstm-joint/joint.csv")
    assert len(table) == 2 and set(table.state) == {"finished"}

    other = here("tune", "runs/r", "--trials", "3", "--epochs", "5")
    assert other.returncode == 2 and "Traceback" not in other.stderr
    assert "epochs: 4 -> 5" in other.stderr and "--name" in other.stderr


def test_who_comes_too_late_is_told(labelled, here):
    base = open_base(Run(labelled), name="late", epochs=2)
    with base.lock("search-0"):  # another process is at the only trial
        open_study(base).ask()
        r = here("tune", "runs/r", "--trials", "1", "--epochs", "2", "--name", "late")
    assert r.returncode == 0 and "still at 1 of the 1 trials" in r.stdout, (r.stdout, r.stderr)
    assert "no trial has ended yet" in r.stdout, (r.stdout, r.stderr)
    assert "Traceback" not in r.stderr


def test_one_kind_does_not_take_over_the_settings_of_the_other(labelled, here):
    config = read_json(labelled/"config.json")  # as if the run had been made for another kind
    write_json(labelled/"config.json", config | dict(student="cut", width="1", mode=None, layers=2))
    r = here("tune", "runs/r", "--student", "bilstm", "--steps", "schedule", "--epochs", "1")
    assert r.returncode == 0, r.stderr
    table = pd.read_csv(labelled/"tuning/bilstm/steps.csv", dtype=dict(width=str))
    assert set(table.width) == {"1"} and set(table.layers) == {1} and set(table["mode"]) == {"multichannel"}
    r = here("tune", "runs/r", "--steps", "lr,embeddings", "--epochs", "1")
    assert r.returncode == 2 and "'embeddings'" in r.stderr and not (labelled/"tuning/cut").exists(), r.stderr


def test_wrong_options_are_named_before_anything_is_trained(labelled, here):
    for args, word in (
        (["--steps", "rate"], "unknown step"), (["--trials", "0"], "--trials"),
        (["--trials", "3", "--steps", "lr"], "leave out --steps"),
        (["--student", "lstm"], "did you mean 'bilstm'"), (["--epochs", "0"], "--epochs"),
        (["--name", "a/b"], "without slashes"), (["--name", ".."], "without slashes")):
        r = here("tune", "runs/r", *args)
        assert r.returncode == 2 and word in r.stderr and "Traceback" not in r.stderr, (args, r.stderr)
    assert not list((labelled/"tuning").glob("*/*/students"))
    r = here("tune", "runs/nothing")
    assert r.returncode == 2 and "no run in" in r.stderr
