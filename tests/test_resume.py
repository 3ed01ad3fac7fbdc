"""Promise: a run that is killed goes on where it was, and ends with the same weights as one that was not."""
import os, signal, subprocess, time

from safetensors.torch import load_file

from conftest import COMMAND

ARGS = [
    "run", "--task", "mini-sentiment", "--teacher", "minilm", "--max-train", "100", "--teacher-epochs", "2",
    "--epochs", "3", "--student", "bilstm", "--width", "1/16"]


def weights(run): return {p.relative_to(run): load_file(p) for p in sorted(run.rglob("model.safetensors"))}


def killed_when(line, tmp_path, name):
    "Starts a run and kills it (SIGKILL: no chance to tidy up) as soon as it prints `line`."
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [COMMAND, *ARGS, "--name", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=tmp_path, env=env) as p:
        for out in p.stdout:
            if line in out:
                p.send_signal(signal.SIGKILL)
                return
    raise AssertionError(f"'{line}' was never printed")


def test_killed_run_ends_with_the_same_weights(kd_nb, tmp_path):
    whole = kd_nb(*ARGS, "--name", "whole")
    assert whole.returncode == 0, whole.stderr
    for line in ("teacher: epoch 1/2", "bilstm: epoch 2/3", "bilstm-hard: epoch 1/3"):
        killed_when(line, tmp_path, "killed")
    end = kd_nb(*ARGS, "--name", "killed")
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
    again = kd_nb(*ARGS, "--name", "whole")
    assert again.returncode == 0 and "epoch" not in again.stdout and time.time() - start < 60
    assert stamps == {p: p.stat().st_mtime_ns for p in (tmp_path/"runs/whole").rglob("*") if p.is_file()}
    # killed after its numbers were written: the report is made, the numbers are not taken anew
    (tmp_path/"runs/whole/report.html").unlink()
    (tmp_path/"runs/whole/.work").mkdir()
    assert kd_nb(*ARGS, "--name", "whole").returncode == 0
    assert (tmp_path/"runs/whole/report.html").exists() and not (tmp_path/"runs/whole/.work").exists()
    numbers = tmp_path/"runs/whole/metrics.json"
    assert numbers.stat().st_mtime_ns == stamps[numbers]
    other = kd_nb(*ARGS, "--name", "whole", "--lr", "0.001", "--seed", "1")
    assert other.returncode == 2 and "lr: None -> 0.001" in other.stderr and "seed: 0 -> 1" in other.stderr
