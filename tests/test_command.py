"""Promise: help, mistyped names and exported students answer at once: nothing heavy is imported before it is needed."""
import json, os, subprocess, sys

import pytest

WATCHED = """
import json, sys, time
from kd_nb.cli import main
sys.argv = ["kd-nb", *sys.argv[1:]]
try: main()
except SystemExit as e: code = e.code or 0
names = ("torch", "transformers", "datasets", "pandas", "fastai", "matplotlib", "sklearn")
heavy = [name for name in names if name in sys.modules]
print(json.dumps([code, heavy, time.process_time()]), file=sys.stderr)
"""


def watched(*args, stdin=""):
    "Exit code, heavy libraries that were imported, seconds of processor time, and what was said."
    r = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, args)], input=stdin, text=True, capture_output=True,
        env={**os.environ, "COLUMNS": "100"})
    *said, last = r.stderr.splitlines()
    return *json.loads(last), r.stdout + "\n".join(said)


@pytest.mark.parametrize("args, code, words", [
    (["--help"], 0, ["run", "predict", "Label sentences"]),
    (["--version"], 0, ["kd_nb"]),
    (["prdict"], 2, ["Did you mean 'predict'?"]),
    (["predict", "--help"], 0, ["--text", "standard input"]),
])
def test_help_and_mistakes_answer_at_once(args, code, words):
    rc, heavy, seconds, said = watched(*args)
    assert rc == code and not heavy and seconds < 0.7, (rc, heavy, seconds)
    for word in words: assert word in said


def test_an_exported_student_answers_without_torch(tmp_path):
    from kd_nb.deploy import export_student
    from kd_nb.students import STUDENTS
    from kd_nb.student import word_tokenizer
    tokenizer = word_tokenizer(["a good film", "a bad film"])
    student = STUDENTS["bilstm"](tokenizer, ["bad", "good"], tokenizer.get_vocab_size(), 8).eval()
    export_student(student, tmp_path/"exported")
    (tmp_path/"in.txt").write_text("a good film\na bad film\n")
    for args, stdin in (
        ([], "a good film\na bad film\n"), ([tmp_path/"in.txt"], ""),
        ([tmp_path/"in.txt", "--out", tmp_path/"out.jsonl"], "")):
        rc, heavy, seconds, said = watched("predict", tmp_path/"exported", *args, stdin=stdin)
        assert rc == 0 and not heavy and seconds < 1.5, (rc, heavy, seconds, said)
    assert len((tmp_path/"out.jsonl").read_text().splitlines()) == 2
    rc, heavy, _, said = watched("predict", tmp_path/"exported", stdin="a good film\n\nfine\n")
    assert rc == 2 and "standard input, row 2: the sentence is empty" in said and not heavy


def test_the_front_door_is_light():
    code = (
        "import sys, time, kd_nb; assert 'torch' not in sys.modules; print(time.process_time()); "
        "from kd_nb import Run, Settings, run_pipeline, load_student")
    r = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True)
    assert r.returncode == 0 and float(r.stdout) < 0.3, r.stderr
    wrong = subprocess.run([sys.executable, "-c", "from kd_nb import Rnu"], capture_output=True, text=True)
    assert wrong.returncode == 1
