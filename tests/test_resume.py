"""Promise: a run that is killed goes on where it was, and ends with the same weights as one that was not."""
import os, shutil, signal, subprocess, sys, time

import psutil, pytest
from safetensors.torch import load_file

from kd_nb.pipeline import beside, run_pipeline
from kd_nb.run import ModelRef, Run
from kd_nb.settings import Settings

from conftest import COMMAND

ARGS = [
    "run", "--task", "mini-sentiment", "--teacher", "minilm", "--max-train", "100", "--teacher-epochs", "2",
    "--epochs", "3", "--student", "bilstm", "--width", "1/16"]


ONE = {"OMP_NUM_THREADS": "1"}  # all in one process


def weights(run): return {p.relative_to(run): load_file(p) for p in sorted(run.rglob("model.safetensors"))}


def killed_when(line, tmp_path, name):
    "Starts a run and kills it (SIGKILL: no chance to tidy up) as soon as it prints `line`."
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", **ONE}
    with subprocess.Popen(
        [COMMAND, *ARGS, "--name", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=tmp_path, env=env) as p:
        for out in p.stdout:
            if line in out:
                p.send_signal(signal.SIGKILL)
                return
    raise AssertionError(f"'{line}' was never printed")


def test_killed_run_ends_with_the_same_weights(kd_nb, tmp_path):
    whole = kd_nb(*ARGS, "--name", "whole", **ONE)
    assert whole.returncode == 0, whole.stderr
    for line in ("teacher: epoch 1/2", "bilstm: epoch 2/3", "bilstm-hard: epoch 1/3"):
        killed_when(line, tmp_path, "killed")
    end = kd_nb(*ARGS, "--name", "killed", **ONE)
    assert end.returncode == 0, end.stderr
    assert "teacher: done before" in end.stdout and "bilstm: done before" in end.stdout
    assert "bilstm-hard: continuing after epoch 1" in end.stdout
    a, b = weights(tmp_path/"runs/whole"), weights(tmp_path/"runs/killed")
    assert len(a) == 4 and a.keys() == b.keys()  # a teacher has its head beside it
    for path in a:
        for name in a[path]: assert a[path][name].equal(b[path][name]), (path, name)
    assert not list((tmp_path/"runs/killed").rglob("*.part")) and not (tmp_path/"runs/killed/.work").exists()

    # nothing is done twice, and other settings under the same name are refused
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path/"runs/whole").rglob("*") if p.is_file()}
    start = time.time()
    again = kd_nb(*ARGS, "--name", "whole", **ONE)
    assert again.returncode == 0 and "epoch" not in again.stdout and time.time() - start < 60
    assert stamps == {p: p.stat().st_mtime_ns for p in (tmp_path/"runs/whole").rglob("*") if p.is_file()}
    # killed after its numbers were written: the report is made, the numbers are not taken anew
    (tmp_path/"runs/whole/report.html").unlink()
    (tmp_path/"runs/whole/.work").mkdir()
    assert kd_nb(*ARGS, "--name", "whole", **ONE).returncode == 0
    assert (tmp_path/"runs/whole/report.html").exists() and not (tmp_path/"runs/whole/.work").exists()
    numbers = tmp_path/"runs/whole/metrics.json"
    assert numbers.stat().st_mtime_ns == stamps[numbers]
    other = kd_nb(*ARGS, "--name", "whole", "--lr", "0.001", "--seed", "1")
    assert other.returncode == 2 and "lr: None -> 0.001" in other.stderr and "seed: 0 -> 1" in other.stderr


FEW = dict(task="mini-sentiment", teacher="minilm", max_train=100, teacher_epochs=1, epochs=3, student="bilstm",
           width="1/16")
SCRIPT = f"""
import os, sys, torch
os.environ["CUDA_VISIBLE_DEVICES"] = ""
from kd_nb import pipeline
from kd_nb.run import TEACHER
from kd_nb.run import ModelRef, Run
from kd_nb.settings import Settings
torch.get_num_threads = lambda: 2  # one thread leaves no core idle
pipeline.LONG = 0
if sys.argv[2] == "broken": sys.executable = "false"
if sys.argv[2] == "alone": pipeline._leaves_a_core = lambda *args: False
with pipeline.begin(Settings(**{FEW}), sys.argv[1]) as run:
    pipeline.train_students(run, run.load(TEACHER), run.transfer, [])
"""


def processes(attribute): return [p.info[attribute] for p in psutil.process_iter([attribute])]


def test_a_baseline_trains_beside_its_student(tmp_path):
    "The same weights as one after the other; a killed run leaves no process behind, and no failure is hidden."
    run_pipeline(Settings(**FEW), tmp_path/"made", until="transfer")
    def train(name, how, kill_at=None):
        if not (tmp_path/name).exists(): shutil.copytree(tmp_path/"made", tmp_path/name)
        words, said = [sys.executable, "-u", "-c", SCRIPT, str(tmp_path/name), how], ""
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as p:
            for line in p.stdout:
                said += line
                if kill_at and kill_at in line: p.send_signal(signal.SIGKILL)
        assert p.returncode == (-signal.SIGKILL if kill_at else 0), said
        return said
    def others(): return [p for p in processes("cmdline") if "train_beside" in str(p) and "killed" in str(p)]
    assert "beside" not in train("alone", "alone")
    assert "bilstm-hard: the process beside this one ended early (1; " in train("broken", "broken")
    train("killed", "beside", "bilstm: epoch 1/3")
    until = time.time() + 30
    while others() and time.time() < until: time.sleep(0.2)
    assert not others()
    for name in ("killed", "beside"):
        said = train(name, "beside")
        assert said.index("bilstm: epoch 3/3") < said.index("bilstm-hard: epoch 3/3") and "early" not in said
    wanted = weights(tmp_path/"alone")
    assert len(wanted) == 4  # a teacher has its head beside it
    for name in ("broken", "killed", "beside"):
        found = weights(tmp_path/name)
        assert found.keys() == wanted.keys()
        for path, values in wanted.items():
            for key, value in values.items(): assert value.equal(found[path][key]), (name, path, key)


@pytest.mark.parametrize("folder", ["runs/x", "runs/it's \"x\" at 5 % – \u4f60"])
def test_the_other_process_ends_with_the_block(tmp_path, monkeypatch, folder):
    "Whatever the folder is called, and whatever lies where it was started."
    monkeypatch.chdir(tmp_path)
    for name in ("select", "tokenizers", "kd_nb"): (tmp_path/f"{name}.py").write_text("raise SystemExit(77)\n")
    begun = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **more: begun.append(popen(*args, **more)) or begun[-1])
    run = Run.create(tmp_path/folder, dict(recipes={}))
    with pytest.raises(KeyboardInterrupt), beside(run, ModelRef("bilstm", "hard")): raise KeyboardInterrupt
    assert begun[0].returncode == -signal.SIGKILL
    with beside(run, ModelRef("bilstm", "hard")): pass  # it has no settings
    assert begun[1].returncode == 1
