"""Promise: a run whose settings, data or files cannot be used is refused before anything is trained, and the
error names the option or the file."""
import re
from pathlib import Path

import numpy as np, pandas as pd, pytest

from kd_nb.core import KdError, write_json
from kd_nb.metrics import predictions
from kd_nb.page import write_report
from kd_nb.pipeline import run_pipeline
from kd_nb.predict import _as_text, load_any, predict
from kd_nb.resolve import begin, resolve
from kd_nb.run import ModelRef, Run, load_data, read_made, read_sentences
from kd_nb.settings import Option, Settings, check_value
from kd_nb.students import STUDENTS, make_student
from kd_nb.teacher import load_teacher

TINY = dict(task="mini-sentiment", teacher="minilm", student="bilstm", max_train=120, teacher_epochs=1, epochs=2,
            width="1/8")
RATE = Option("Training", "its highest learning rate", bounds=dict(above=0))
KINDS = Option("Student", "", names=["bilstm", "bert"], what="student", several=True)


def refused(word, do, *args, **kwargs):
    with pytest.raises(KdError, match=re.escape(word)): do(*args, **kwargs)


@pytest.fixture(scope="module")
def small(): return load_data(Settings(task="mini-sentiment", max_train=200))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    "A run folder that looks finished, though nobody trained its models, and its predictions are noise."
    with begin(Settings(**TINY), tmp_path_factory.mktemp("runs")/"tiny") as run:
        teacher, task = load_teacher("minilm", run.task.labels), run.task
        teacher.save(run/"teacher")
        made = make_student(teacher, "bilstm", **STUDENTS["bilstm"].sizes("1/8"))
        for ref in run.students: made.save_pretrained(run.home(ref))
        sentences, gold = task.splits["dev"]["sentence"][:], task.splits["dev"]["label"][:]
        (run/"predictions").mkdir()
        for i, ref in enumerate(run.models):
            logits = np.random.default_rng(i).normal(size=(len(sentences), 2))
            table = predictions(sentences, logits, task.labels, gold)
            table.to_parquet(run/f"predictions/{ref}-dev.parquet")
        sizes = dict(parameters=9, without_embeddings=9, disk_bytes=9, ms_batch_1=1.0, ms_batch_256=1.0)
        rows = [dict(model=str(ref), dev=0.5, dev_low=0.4, dev_high=0.6) | sizes for ref in run.models]
        about = dict(task=task.name, metric=task.metric, labels=task.labels, source=task.source, threads=1)
        write_json(run/"metrics.json", about | dict(models=rows))
    return run.folder


# settings

@pytest.mark.parametrize("bad, message", [
    (0, "--lr must be above 0, not 0"), (float("nan"), "--lr must be a finite number"),
    (float("inf"), "finite"), ("0.1", "--lr must be a number, not '0.1'"), ("", "--lr is empty"),
    (True, "--lr must be a number, not True")])
def test_numbers(bad, message): refused(message, check_value, "lr", bad, float, RATE)


def test_names():
    check_value("lr", 0.1, float, RATE)
    refused("name each student once", check_value, "student", "bert,bert", str, KINDS)
    refused("did you mean 'bilstm'?", check_value, "student", "bert,lstm", str, KINDS)


@pytest.mark.parametrize("bad, message", [
    (dict(epochs=0), "--epochs must be above 0"), (dict(epochs=2.5), "--epochs must be a whole number"),
    (dict(augment="lmm"), "did you mean 'lm'?"), (dict(n_augment=5), "--n-augment goes with --augment"),
    (dict(augment="rules", lm_top_p=0.9), "--lm-top-p goes with --augment lm"),
    (dict(augment="lm", lm_top_p=1.5), "--lm-top-p must be above 0 and at most 1, not 1.5"),
    (dict(augment="lm", min_logp=3.0), "--min-logp must be below 0"),
    (dict(assistant_width="2"), "goes with --assistant"), (dict(student="brt"), "did you mean 'bert'?"),
    (dict(seed=-1), "--seed must be a whole number"), (dict(dev="d.csv"), "goes with --data"),
    (dict(temperature=float("nan")), "--temperature must be a finite number")])
def test_settings(bad, message): refused(message, Settings, **bad)


def test_settings_with_what_they_go_with():
    assert Settings(augment="lm", lm_top_p=1, dev="d.csv", data="t.csv").lm_top_p == 1


@pytest.mark.parametrize("bad, message", [
    (dict(student="bilstm", width="1/5"), "width of a bilstm student"),
    (dict(width="teacher"), "width of a bag student"),
    (dict(student="cut", layers=7), "has only 6"),
    (dict(student="cut", mode="static"), "leave out --mode"),
    (dict(student="cut", width="1/4"), "width of a cut student"),
    (dict(student="bilstm,cut", embeddings="word"), "leave out --mode"),
    (dict(embeddings="nowhere.vec"), "no such file of word vectors"),
    (dict(student="bilstm", state_loss="hint"), "--student bilstm: it compares a BERT student"),
    (dict(student="bert", state_loss="hint", embeddings="word"), "leave out --embeddings"),
    (dict(embeddings="scrach"), "did you mean 'scratch'?"),
    (dict(embeddings="scratch", mode="static"), "must be trained")])
def test_settings_that_do_not_suit_each_other(small, bad, message):
    refused(message, resolve, Settings(task="mini-sentiment", teacher="minilm", **bad), small)


@pytest.mark.parametrize("n, lr", [(None, 2e-3), (100, 2e-3), (800_000, 5e-4)])
def test_the_size_of_the_transfer_set_chooses_the_rate(small, n, lr):
    s = Settings(task="mini-sentiment", teacher="minilm", student="bilstm", augment="rules", n_augment=n)
    assert resolve(s, small)["recipes"]["bilstm"]["lr"] == lr


# data and files

def test_data_that_nobody_named(tmp_path):
    refused("--task", load_data, Settings())
    pd.DataFrame({"body": ["so, so", ""]}).to_csv(tmp_path/"mine.csv")
    refused("row 2", read_sentences, tmp_path/"mine.csv", "body")
    refused("--augment", run_pipeline, Settings(**TINY), tmp_path/"none", until="augment")


def test_a_file_that_was_cut_off(tmp_path):
    (tmp_path/"half.json").write_text('{"threshold": 0.9, "rows": {"1')
    again = "kd-nb errors runs/demo makes it again"
    refused("half.json is damaged", read_made, tmp_path/"half.json", again)
    refused(again, read_made, tmp_path/"half.json", again)


def test_what_a_run_does_not_have_yet(tmp_path):
    with begin(Settings(**TINY), tmp_path/"new") as run: pass
    refused("did you mean 'teacher'", run.ref, "techer")
    refused("is not finished", lambda: run.metrics)
    refused("Known: dev, test", run.predictions, "select")
    refused("kd-nb label", lambda: run.transfer)
    refused("no run in", Run, tmp_path)


def test_data_that_are_nowhere(tmp_path):
    sentences = [f"{word} {i}" for i in range(20) for word in ("fine", "dull")]
    rows = pd.DataFrame({"sentence": sentences, "label": ["good", "bad"] * 20})
    rows.to_csv(tmp_path/"mine.csv", index=False)
    mine = Settings(data=str(tmp_path/"mine.csv"), teacher="minilm")
    with begin(mine, tmp_path/"run") as run: pass
    (tmp_path/"mine.csv").unlink()
    refused("nowhere.csv is gone", Run, run.folder, tmp_path/"nowhere.csv")
    assert Run(run.folder).settings.data == mine.data  # a wrong place is not kept


def test_a_model_is_read_as_it_is_written():
    for ref in (ModelRef("bert", variant="vectors"), ModelRef("bilstm", "hard", "untrained")):
        assert ModelRef.parse(str(ref)) == ref


# a finished run

def test_an_exported_student_is_no_pytorch_model(finished):
    refused("load it with OnnxStudent(", Run(finished).load, ModelRef("bilstm", "int8"))


def test_other_settings_under_the_same_name(finished):
    refused("epochs: 2 -> 3", run_pipeline, Settings(**TINY | dict(epochs=3)), finished)


def test_a_nasty_sentence_stays_a_text(finished):
    tables = {p: pd.read_parquet(p) for p in (finished/"predictions").iterdir()}
    for path, table in tables.items(): table.assign(sentence="<script>alert(1)</script>").to_parquet(path)
    write_report(Run(finished))
    for path, table in tables.items(): table.to_parquet(path)
    page = (finished/"report.html").read_text()
    assert "<script>alert" not in page and "&lt;script&gt;" in page


def test_predictions_that_were_cut_off(finished):
    path = finished/"predictions/bilstm-dev.parquet"
    content = path.read_bytes()
    path.write_bytes(b"PAR1 and then nothing")
    refused("bilstm-dev.parquet: this is no such file of predictions", write_report, Run(finished))
    path.write_bytes(content)


# answers

def test_answers_of_a_student_that_is_not_there(finished, tmp_path):
    refused("no student", predict, str(tmp_path/"nowhere"))
    refused(".csv or .jsonl", predict, str(finished), out=Path("x.xlsx"))


def test_answers_are_the_student_s(finished, tmp_path):
    sentences = ["not a dull minute", "so, so"]
    pd.DataFrame({"id": [1, 2], "body": sentences}).to_csv(tmp_path/"in.csv", index=False)
    student = finished/"students/bilstm"
    predict(str(student), tmp_path/"in.csv", text="body", out=tmp_path/"out.jsonl")
    got = pd.read_json(tmp_path/"out.jsonl", lines=True)
    assert got.sentence.tolist() == sentences
    assert got.pred.tolist() == load_any(student).predict(sentences).pred.tolist()


def test_a_sentence_with_quotes(tmp_path):
    (tmp_path/"out.csv").write_text(_as_text([dict(sentence='so, "so"', pred="a", confidence=0.5)]))
    assert pd.read_csv(tmp_path/"out.csv").sentence[0] == 'so, "so"'
