"""Promise: the folder that `kd-nb export` leaves is all one has to copy, small, fast, and of the same opinion
as the student it came from."""
import csv, io, json, shutil, subprocess, sys

import numpy as np, pandas as pd, pytest

FAST = [
    "--teacher", "minilm", "--teacher-epochs", "3", "--max-train", "700", "--epochs", "6", "--student",
    "bilstm,bert", "--width", "1/4"]
ODD = [
    "word " * 10_000, "\U0001f600\U0001f44d\u200d\ufe0f", "\x01\x07", "\u1230\u120b\u121d", "x" * 5_000,
    "\u4f60\u597d"]


def rows(text): return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    "A run with both students, exported and timed; the tests below only look at it."
    from conftest import COMMAND
    import os
    tmp = tmp_path_factory.mktemp("deploy")
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(tmp/"cache")}
    def call(*args, stdin=""):
        return subprocess.run(
            [COMMAND, *map(str, args)], text=True, input=stdin, capture_output=True, cwd=tmp, env=env, timeout=900)
    said = {
        "run": call("run", "--task", "mini-intents", "--name", "r", *FAST), "speed": call("speed", "runs/r"),
        "export": call("export", "runs/r", "--onnx", "--int8")}
    for r in said.values(): assert r.returncode == 0, r.stderr
    return tmp/"runs/r", said, call


def test_every_form_agrees_with_its_student(run):
    from datasets import load_from_disk
    from kd_nb.deploy import agreement
    from kd_nb.vocabulary import trim
    from kd_nb.onnx_student import OnnxStudent
    from kd_nb.students import load_student
    folder, said, _ = run
    for student in ("bilstm", "bert"):
        sentences = load_from_disk(folder/"transfer")["sentence"][:]
        trimmed = trim(load_student(folder/"students"/student).to("cpu"), sentences)
        dev = pd.read_parquet(folder/f"predictions/{student}-dev.parquet").sentence.tolist()
        want = trimmed.logits(dev)
        got = {form: OnnxStudent(folder/f"export/{student}-{form}").logits(dev) for form in ("onnx", "int8")}
        same = agreement(want, got["onnx"])
        assert same["max_diff"] < 1e-4 and same["same"] == 1
        # Briefly trained students are undecided about many sentences, so equal labels say little of them: the error
        # must be small beside the spread of the logits. 99 % equal labels is asked of real runs, in the speed notebook.
        assert (got["int8"] - want).std() < 0.03*want.std()
        assert np.allclose(trimmed.logits(ODD), OnnxStudent(folder/f"export/{student}-onnx").logits(ODD), atol=1e-4)
        assert sum(f.stat().st_size for f in (folder/f"export/{student}-int8").iterdir()) < 15e6
    for word in ("same label as trimmed student", "100.0%", "bilstm", "bert", "int8", "MB"):
        assert word in said["export"].stdout


def test_copied_folder_answers_alone(run, tmp_path):
    "Copied elsewhere, in a process that can import neither torch nor here, it says what the student says."
    folder, _, call = run
    shutil.copytree(folder/"export/bert-onnx", tmp_path/"copied")
    heavy = ["torch", "kd_nb", "transformers", "pandas", "fastai", "datasets", "sklearn"]
    block = (
        f"import sys; sys.modules |= dict.fromkeys({heavy}); import runpy; sys.argv = ['predict.py']; "
        "runpy.run_path('copied/predict.py', run_name='__main__')")
    text = "how do i sign up?\nwhat does it cost\n"
    alone = subprocess.run([sys.executable, "-c", block], input=text, text=True, capture_output=True, cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    assert rows(alone.stdout) == rows(call("predict", folder/"export/bert-onnx", stdin=text).stdout)
    full = rows(call("predict", folder/"students/bert", stdin=text).stdout)
    assert [r["pred"] for r in full] == [r["pred"] for r in rows(alone.stdout)]


def test_odd_sentences_get_an_answer_and_empty_ones_the_same_error(run):
    folder, _, call = run
    text = "\n".join(ODD)
    for where in ("students/bilstm", "export/bilstm-onnx", "export/bert-int8"):
        assert [r["sentence"] for r in rows(call("predict", folder/where, stdin=text).stdout)] == ODD
    for other in ("students/bilstm", "export/bilstm-onnx", "export/bert-int8"):
        r = call("predict", folder/other, stdin="fine\n\nfine")
        assert r.returncode == 2 and "row 2" in r.stderr and "empty" in r.stderr


def test_speed_says_what_it_costs(run):
    folder, said, _ = run
    speed = json.loads((folder/"speed.json").read_text())
    assert {m["model"] for m in speed["models"]} == {
        "teacher", "teacher int8", "bilstm", "bilstm onnx", "bilstm int8", "bert", "bert onnx", "bert int8", "tf-idf",
        "static"}
    assert {(r["threads"], r["batch_size"]) for r in speed["rows"]} >= {(1, 1), (1, 256)}
    assert all(r["ms"] > 0 for r in speed["rows"])
    assert all(m["bytes"] > 0 for m in speed["models"]) and (folder/"figures/speed.png").stat().st_size > 10_000
    report = (folder/"report.html").read_text()
    assert '<img alt="speed"' in report and "ms, batch 1, 1 thread" in report
    for word in ("what one would put to work", "teacher int8", "bert int8", "from hard labels"):
        assert word in said["speed"].stdout and word in report
    assert "bilstm onnx" not in said["speed"].stdout
    small = {m["model"]: m["bytes"] for m in speed["models"]}
    assert small["bilstm int8"] < small["bilstm onnx"] / 3 < small["bilstm"] / 3


def test_assistant_stands_between(here, tmp_path):
    "With an assistant the student's targets are its logits, not the teacher's; the gold-label baseline stays the same."
    from datasets import load_from_disk
    from safetensors.numpy import load_file
    args = [
        "run", "--task", "mini-sentiment", "--teacher", "minilm", "--max-train", "100", "--teacher-epochs", "1",
        "--epochs", "1", "--student", "bilstm", "--width", "1/16"]
    for more in (["--assistant", "bert", "--assistant-width", "1/8", "--name", "a"], ["--name", "b"]):
        r = here(*args, *more)
        assert r.returncode == 0, r.stderr
    def head(name, student):
        path = tmp_path/"runs"/name/"students"/student/"model.safetensors"
        return load_file(path)["head.0.weight"]
    assert not np.allclose(head("a", "bilstm"), head("b", "bilstm"), atol=1e-6)
    assert np.allclose(head("a", "bilstm-hard"), head("b", "bilstm-hard"), atol=1e-6)
    r = here("info", "runs/a")
    def logits(name): return np.array(load_from_disk(tmp_path/"runs/a"/name)["logits"][:])
    assert not np.allclose(logits("transfer"), logits("transfer-assistant"))
    from kd_nb.students import load_student
    sentences = load_from_disk(tmp_path/"runs/a/transfer")["sentence"][:]
    assistant = load_student(tmp_path/"runs/a/students/assistant")
    assert np.allclose(logits("transfer-assistant"), assistant.logits(sentences), atol=1e-4)
    assert "assistant" in r.stdout and "bilstm-hard" in r.stdout


@pytest.mark.parametrize("args, words", [
    (["export", "nowhere"], ["no run in 'nowhere'"]),
    (["speed", "nowhere"], ["no run in 'nowhere'"]),
    (["run", "--task", "mini-intents", "--student", "bart"], ["unknown student 'bart'", "did you mean 'bert'?"]),
    (["run", "--task", "mini-intents", "--student", "bilstm", "--width", "0.5"],
     ["unknown width of a bilstm student '0.5'", "1/2"]),
    (["run", "--task", "mini-intents", "--embeddings", "glove.txt"], ["no such file of word vectors: glove.txt"]),
    (["run", "--task", "mini-intents", "--embeddings", "prose.txt"], ["prose.txt", "no word vectors"]),
    (["run", "--task", "mini-intents", "--layers", "0"], ["--layers must be above 0"]),
])
def test_bad_option(args, words, here, tmp_path):
    (tmp_path/"prose.txt").write_text("Call me Ishmael.\nSome years ago\n")
    r = here(*args, HF_HUB_OFFLINE="1")
    assert r.returncode == 2 and len(r.stderr.strip().splitlines()) == 1, r.stderr
    for word in words: assert word in r.stderr


def test_broken_export_is_said(here, tmp_path):
    (tmp_path/"e").mkdir()
    (tmp_path/"e/model.onnx").write_bytes(b"not a graph")
    r = here("predict", "e", stdin="fine")
    assert r.returncode == 2 and "config.json is missing" in r.stderr
    for name, text in (("config.json", "{}"), ("tokenizer.json", "{}")): (tmp_path/"e"/name).write_text(text)
    r = here("predict", "e", stdin="fine")
    assert r.returncode == 2 and "holds no exported student" in r.stderr and "Traceback" not in r.stderr


@pytest.mark.parametrize("kind", ["bilstm", "bert"])
def test_pushed_student_comes_back(kind, tmp_path, monkeypatch):
    "What `push_to_hub` uploads (to a stand-in for the hub) is a whole student, without a pickle."
    from huggingface_hub import hub_mixin
    from kd_nb.students import STUDENTS, load_student
    from kd_nb.student import word_tokenizer
    class Hub:
        def __init__(self, token=None): pass
        def create_repo(self, repo_id, **_): return type("Repo", (), dict(repo_id=repo_id))
        def upload_folder(self, repo_id, folder_path, **_): shutil.copytree(folder_path, tmp_path/repo_id)
    monkeypatch.setattr(hub_mixin, "HfApi", Hub)
    tokenizer = word_tokenizer(["a good film", "a bad film"])
    student = STUDENTS[kind](
        tokenizer=tokenizer, labels=["bad", "good"], vocab_size=tokenizer.get_vocab_size(), embed_dim=6,
        **(dict(hidden_size=12) if kind == "bert" else {})).eval()
    student.push_to_hub("user/student")
    assert {p.suffix for p in (tmp_path/"user/student").iterdir()} <= {".json", ".safetensors", ".md"}
    back = load_student(tmp_path/"user/student")
    assert np.allclose(back.logits(["a good film"]), student.logits(["a good film"]), atol=1e-6)
