"""Promise: a kind of student is one class and one line in the table of kinds; every command takes it."""
import re
from dataclasses import replace

import pandas as pd, pytest, torch
from onnxruntime import InferenceSession

from kd_nb.core import KdError, read_json
from kd_nb.resolve import resolve
from kd_nb.run import Run, load_data
from kd_nb.settings import Settings
from kd_nb.student import word_vectors
from kd_nb.students import STUDENTS, make_student
from kd_nb.teacher import load_teacher
from kd_nb.trials import config_of, open_base, run_trial

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


def test_commands_take_a_kinds_own_settings(here, tmp_path):
    few = ["--task", "mini-sentiment", "--teacher", "minilm", "--max-train", "120", "--teacher-epochs", "1"]
    own = ["--dropout", "0.2", "--word-dropout", "0.3", "--pooling", "mean-max"]
    for args in (["run", *few, "--student", "bilstm", "--width", "1/16", "--epochs", "2", *own, "--name", "x"],
                 ["export", "runs/x", "--onnx"]):
        r = here(*args, cwd=tmp_path)
        assert r.returncode == 0, r.stdout + r.stderr
    assert "100.0%" in r.stdout
    run, config = Run(tmp_path/"runs/x"), "students/bilstm/config.json"
    base = open_base(run)
    trial = base.home/run_trial(base, dict(lr=1e-3))["trial"]
    for made in (run/config, trial/config):
        assert read_json(made).items() >= dict(word_dropout=0.3, pooling="mean-max", dropout=0.2).items()
    assert config_of(open_base(run, "cut"), {})["dropout"] is None  # a kind that has none of them


@pytest.fixture(scope="module")
def teacher(): return load_teacher("minilm", ["a", "b"]).to("cpu")


@pytest.mark.parametrize("kind, pooling", [(kind, one) for kind, made in STUDENTS.items() for one in made.poolings])
def test_graphs_have_the_logits_of_every_pooling(teacher, kind, pooling):
    torch.manual_seed(0)
    vectors = word_vectors("wordpiece", teacher, [])
    layers = 2 if kind == "bilstm" else 1
    student = make_student(teacher, kind, vectors, **STUDENTS[kind].sizes("1/8", layers), pooling=pooling)
    sents = ["no", "", "not a dull minute in the whole of this long film", "where do i sign up?"]
    ids, lengths = student.tokenise(sents).pad(torch.arange(4))
    session = InferenceSession(student.graph().SerializeToString())
    logits, = session.run(None, {"ids": ids.long().numpy(), "lengths": lengths.long().numpy()})
    assert logits == pytest.approx(student.logits(sents), abs=1e-5)
    for i, sent in enumerate(sents): assert student.logits([sent])[0] == pytest.approx(logits[i], abs=1e-5)


@pytest.mark.parametrize("own, message", [
    (dict(student="cut", dropout=0.2), "a cut student has no --dropout"),
    (dict(student="cut,bag", word_dropout=0.2), "a cut student has no --word-dropout"),
    (dict(student="bert", pooling="last"), "a bert student has no --pooling"),
    (dict(student="bert", word_dropout=0.), "a bert student has no --word-dropout"),
    (dict(student="bag", pooling="last"), "unknown pooling of a bag student 'last'"),
    (dict(student="bilstm", recipe="study", temperature=2.), "for --loss soft, and the loss here is mse: leave it out"),
    (dict(student="bilstm,cut", loss="hard", temperature=3.), "and the loss here is hard"),
    (dict(student="bilstm", pooling="mean"), "unknown pooling of a bilstm student 'mean'"),
    (dict(student="bilstm", pooling="means"), "unknown pooling of students 'means'"),
    (dict(student="bilstm", dropout=1.), "--dropout must be at least 0 and below 1"),
    (dict(student="bilstm", word_dropout=float("nan")), "--word-dropout must be a finite number")])
def test_settings_that_a_kind_lacks_are_refused(own, message):
    with pytest.raises(KdError, match=re.escape(message)):
        settings = Settings(task="mini-sentiment", teacher="minilm", max_train=100, **own)
        resolve(settings, load_data(settings))


@pytest.mark.parametrize("kind", [k for k, made in STUDENTS.items() if made.own])
def test_dropping_words_changes_training_only(teacher, kind):
    own = {name: value for name, value in dict(dropout=0., word_dropout=0.5).items() if name in STUDENTS[kind].own}
    student = make_student(teacher, kind, word_vectors("wordpiece", teacher, []), **STUDENTS[kind].sizes("1/8") | own)
    ids, lengths = student.tokenise(["not a dull minute in the whole of this long film", "no"]).pad(torch.arange(2))
    def logits():
        with torch.no_grad(): return [student(ids, lengths) for _ in range(3)]
    for z in logits(): assert torch.equal(z, student.eval()(ids, lengths))
    if "word_dropout" in own:
        student.train()
        torch.manual_seed(0)
        first, *others = logits()
        assert any(not torch.allclose(first[0], z[0]) for z in others)
        for z in others: torch.testing.assert_close(first[1], z[1])  # of a sentence of one word nothing is left out


def test_the_study_trains_its_students_in_its_own_way():
    settings = Settings(task="mini-sentiment", teacher="minilm", student="cut,bag,bilstm,bert", recipe="study")
    found = resolve(settings, load_data(settings))
    assert {kind: tuple(loss.values()) for kind, loss in found["losses"].items()} == {
        "cut": ("soft", 1), "bag": ("soft", 1), "bilstm": ("mse", 1), "bert": ("soft", 3)}
    usual = resolve(replace(settings, recipe=None), load_data(settings))
    assert {kind: r["epochs"] for kind, r in found["recipes"].items()} == {
        "cut": usual["recipes"]["cut"]["epochs"], "bag": usual["recipes"]["bag"]["epochs"], "bilstm": 30, "bert": 60}
    assert found["recipes"]["bilstm"]["lr"] == 5e-4 and usual["recipes"]["bilstm"]["lr"] == 2e-3


@pytest.mark.parametrize("own, kind", [
    (dict(pooling="last"), "bilstm"), (dict(pooling="mean"), "bag"), (dict(pooling="mean-max"), "bag"),
    (dict(word_dropout=0.), "bag"), (dict(dropout=0.1, pooling="last"), "bilstm")])
def test_a_student_that_has_what_is_asked_for_is_chosen(own, kind):
    settings = Settings(task="mini-sentiment", teacher="minilm", max_train=100, **own)
    assert resolve(settings, load_data(settings))["student"] == kind


def test_one_loss_of_all_students_is_one_setting():
    "So it is the same run whether a loss is left out or given, and whether one tunes it later."
    settings = Settings(task="mini-sentiment", teacher="minilm", max_train=100, student="cut,bilstm")
    task = load_data(settings)
    found = resolve(settings, task)
    assert (found["loss"], found["temperature"]) == ("soft", 1) and "losses" not in found
    assert resolve(replace(settings, loss="soft", temperature=1.), task) == found
    of_study = resolve(replace(settings, student="bilstm", recipe="study"), task)
    assert (of_study["loss"], of_study["temperature"]) == ("mse", 1)
    assert resolve(Settings.of(of_study), task) == of_study
