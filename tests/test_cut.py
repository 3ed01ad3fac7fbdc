"A cut student is its teacher with fewer layers, whatever encoder that is; every command takes it."
from dataclasses import asdict

import numpy as np, pytest, torch
from datasets import Dataset

from kd_nb import resolve
from kd_nb.core import KdError, read_json
from kd_nb.cut import Cut, layers_of
from kd_nb.data import load_task
from kd_nb.distil import distil
from kd_nb.losses import make_loss
from kd_nb.resolve import resolve_students, state_loss_of
from kd_nb.run import load_data
from kd_nb.settings import Settings
from kd_nb.state_losses import STATE_LOSSES
from kd_nb.students import load_student, make_student
from kd_nb.teacher import load_teacher
from kd_nb.training import only_rows
from test_teacher import SENTENCES, make

KINDS = ["bert", "roberta", "electra", "distilbert", "mpnet"]


def cut(teacher, layers): return make_student(teacher, "cut", **Cut.sizes("1", layers, teacher)).to("cpu")


@pytest.fixture
def teacher(request, float32, tmp_path):
    kind, pooling = request.param
    return load_teacher(make(tmp_path/kind, kind), ["a", "b", "c"], pooling).to("cpu")


def of(*pairs): return pytest.mark.parametrize("teacher", pairs, indirect=True)


@of(*((k, p) for k in KINDS for p in ("mean", "cls", "last", "head")))
def test_with_all_layers_it_is_the_teacher(teacher):
    whole, half = cut(teacher, 2), cut(teacher, 1)
    wanted = teacher.logits(SENTENCES)
    assert whole.logits(SENTENCES) == pytest.approx(wanted, abs=1e-5)
    assert (half.logits(SENTENCES) != wanted).any()
    ours, theirs = (layers_of(m.model)[1][0].state_dict() for m in (half, teacher))
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)
    tokens = whole.tokenise(SENTENCES)
    with only_rows(whole.embedding.tables, tokens) as (small,):
        assert whole.logits(small) == pytest.approx(wanted, abs=1e-5)


@of(*((k, "mean") for k in KINDS), ("bert", "cls"), ("bert", "last"), ("bert", "head"))
def test_it_trains_is_saved_and_exported(teacher, tmp_path):
    import onnxruntime
    student = cut(teacher, 1)
    student.train()(*student.tokenise(SENTENCES).pad(torch.arange(3))).sum().backward()
    assert student.embedding.tables[0].weight.grad is not None
    student.eval().save_pretrained(tmp_path/"s")
    again = load_student(tmp_path/"s").to("cpu")
    assert (again.logits(SENTENCES) == student.logits(SENTENCES)).all() and again.pooling == teacher.pooling
    session = onnxruntime.InferenceSession(student.graph().SerializeToString())
    ids, lengths = student.tokenise(SENTENCES).pad(torch.arange(3))
    found = session.run(None, dict(ids=ids.numpy(), lengths=lengths.numpy()))[0]
    assert found == pytest.approx(student.logits(SENTENCES), abs=1e-4)
    assert [h.shape[-1] for h, _ in student.layers(ids, lengths)][1:] == [24]


@of(("bert", "mean"), ("bert", "head"))
@pytest.mark.parametrize("name", STATE_LOSSES)
def test_it_follows_states_of_its_teacher(teacher, name, tmp_path):
    data = Dataset.from_dict(dict(sentence=SENTENCES, label=[0, 1, 0], logits=teacher.logits(SENTENCES).tolist()))
    def loss(layers, states):
        student = cut(teacher, layers)
        for m in student.modules():
            if isinstance(m, torch.nn.Dropout): m.p = 0.
        log = distil(student, data, data, "accuracy", tmp_path/f"{layers}-{bool(states)}",
                     make_loss("mse"), epochs=1, lr=1e-9, states=states)
        return log.loss.iloc[-1]
    half, whole = (loss(layers, STATE_LOSSES[name](teacher)) - loss(layers, None) for layers in (1, 2))
    assert half > 1e-7
    assert name == "hint" or whole < half / 100  # all layers have the teacher's states; a regressor is random


@of(("bert", "mean"))
@pytest.mark.parametrize("kind, given, wanted", [
    ("cut", {}, ("vectors", 5)), ("cut", dict(state_loss="vectors", state_weight=2.), ("vectors", 2)),
    ("bilstm", {}, None), ("cut", dict(state_loss="none"), None), ("cut", dict(assistant="bert"), None),
    ("bilstm", dict(state_loss="vectors"), ("vectors", 5))])
def test_what_a_student_follows(teacher, kind, given, wanted):
    s = Settings(task="mini-sentiment", teacher="minilm", student=kind, **given)
    config = asdict(s) | resolve_students(s, load_task("mini-sentiment"), 1000, lambda: teacher)
    found = state_loss_of(config, kind, teacher)
    if wanted is None: assert found is None
    else: assert (type(found), found.weight) == (STATE_LOSSES[wanted[0]], wanted[1])
    assert config.get("follows", {}) == ({kind: wanted[0]} if wanted else {})  # a run says what it did


@of(*((k, "mean") for k in KINDS), ("bert", "cls"), ("bert", "head"))
def test_the_vector_of_any_teacher_is_followed(teacher):
    whole, tokens = cut(teacher, 2), teacher.tokenise(SENTENCES)
    follow = STATE_LOSSES["vectors"](teacher)
    with follow.on(whole, SENTENCES), follow.watching() as seen:
        whole(*whole.tokenise(SENTENCES).pad(torch.arange(3)))
        assert follow.term(seen, torch.arange(3)).item() == pytest.approx(0, abs=1e-6)
        assert follow.term(seen, torch.tensor([1, 2, 0])).item() > 2e-6  # another sentence's vector
    assert seen["vectors"].detach().numpy() == pytest.approx(teacher.vectors(tokens), abs=1e-5)


@of(("distilbert", "mean"), ("roberta", "mean"))
def test_states_of_others_are_refused(teacher):
    with pytest.raises(KdError, match="compares a BERT student with a BERT teacher"):
        STATE_LOSSES["hint"](teacher).check(cut(teacher, 1))


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_other_models_are_not_cut(tmp_path, kind):
    teacher = load_teacher(make(tmp_path/"m", kind), ["a", "b"], "head")
    with pytest.raises(KdError, match="layers of an encoder such as BERT"): Cut.sizes("1", 1, teacher)


def test_every_command_takes_it(here, tmp_path):
    few = ["--task", "mini-sentiment", "--teacher", "minilm", "--max-train", "120", "--teacher-epochs", "1"]
    small = ["--models", "cut,cut-untrained,cut-vectors", "--tasks", "Length", "--n-train", "100", "--n-eval", "50"]
    for args in (["run", *few, "--student", "cut,bilstm", "--layers", "2", "--epochs", "1", "--name", "x"],
                 ["export", "runs/x", "--onnx"], ["probe", "runs/x", *small],
                 ["tune", "runs/x", "--steps", "lr", "--epochs", "1"], ["errors", "runs/x"]):
        r = here(*args, cwd=tmp_path)
        assert r.returncode == 0, r.stdout + r.stderr
    models = {m["model"]: m for m in read_json(tmp_path/"runs/x/metrics.json")["models"]}
    assert list(models) == ["teacher", "cut", "cut-hard", "bilstm", "bilstm-hard"]
    vectors = read_json(tmp_path/"runs/x/config.json")["vectors"]
    assert vectors == {"cut": ["wordpiece", "non-static"], "bilstm": ["wordpiece", "multichannel"]}
    assert read_json(tmp_path/"runs/x/students/cut/config.json")["num_layers"] == 2


@pytest.mark.parametrize("more", [{}, dict(student="cut,bag"), dict(student="bag", assistant="cut")])
def test_settings_are_checked_with_one_load_of_the_teacher(monkeypatch, more):
    loads = []
    def load(*args):
        loads.append(args)
        return load_teacher(*args)
    monkeypatch.setattr(resolve, "load_teacher", load)
    settings = Settings(task="mini-sentiment", max_train=100, teacher="minilm", **more)
    task = load_data(settings)
    first = resolve.resolve(settings, task)
    assert len(loads) == 1
    assert resolve.resolve(settings, task, layout=load_teacher("minilm", task.labels)) == first and len(loads) == 1


def test_an_assistant_is_named_where_it_is_at_fault():
    settings = Settings(task="mini-sentiment", teacher="minilm", student="bag", assistant="cut", assistant_width="1/2")
    with pytest.raises(KdError, match="^--assistant cut: "): resolve.resolve(settings, load_data(settings))
