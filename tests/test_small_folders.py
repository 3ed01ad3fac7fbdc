"""Promise: an exported student is small and of the same opinion, whatever tokeniser and width it has."""
import json

import numpy as np, pytest, torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from kd_nb.data import load_task
from kd_nb.deploy import export_student, fold
from kd_nb.quantise import EIGHT_BIT_ROWS, codes, packed, quantise
from kd_nb.students import STUDENTS, make_student
from kd_nb.teacher import load_teacher
from kd_nb.vocabulary import FOLDER_BYTES, fitting_rows, kept_rows, trim

SPECIAL = ["<unk>", "<pad>", "<s>", "</s>"]


@pytest.fixture(scope="module")
def task(): return load_task("mini-intents")


@pytest.fixture(scope="module")
def teacher(task): return load_teacher("minilm", task.labels).to("cpu")


def trained(model, trainer, before, train, late=()):
    made = Tokenizer(model)
    made.pre_tokenizer = before
    made.train_from_iterator(train, trainer)
    made.add_special_tokens(list(late))  # these get numbers beyond the model's own
    ends = [(t, made.token_to_id(t)) for t in ("<s>", "</s>")]
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return made


def bytes_bpe(train, about):
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(**about, initial_alphabet=alphabet)
    return trained(models.BPE(), trainer, pre_tokenizers.ByteLevel(), train)


def letters_bpe(train, about):
    "As Llama's: sentence pieces, merges as texts of an older file format."
    made = trained(models.BPE(unk_token="<unk>"), trainers.BpeTrainer(**about), pre_tokenizers.Metaspace(), train)
    state = json.loads(made.to_str())
    state["model"]["merges"] = [" ".join(pair) for pair in state["model"]["merges"]]
    return Tokenizer.from_str(json.dumps(state))


def unigram(train, about, late=()):
    trainer = trainers.UnigramTrainer(**about, unk_token="<unk>")
    return trained(models.Unigram(), trainer, pre_tokenizers.Metaspace(), train, late)


def unigram_and_more(train, about): return unigram(train, about, ["<extra_0>", "<extra_1>"])  # as T5's


def wordpiece(train, about):
    trainer = trainers.WordPieceTrainer(**about)
    return trained(models.WordPiece(unk_token="<unk>"), trainer, pre_tokenizers.Whitespace(), train)


def words(train, about):
    trainer = trainers.WordLevelTrainer(**about)
    return trained(models.WordLevel(unk_token="<unk>"), trainer, pre_tokenizers.Whitespace(), train)


KINDS = [bytes_bpe, letters_bpe, unigram, unigram_and_more, wordpiece, words]


@pytest.mark.parametrize("share", [0.3, 0.6, 1.])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_with_kept_pieces_is_read_as_before(task, teacher, kind, share):
    train = task.splits["train"]["sentence"][:600]
    made = kind(train, dict(vocab_size=900, special_tokens=SPECIAL, show_progress=False))
    n = made.get_vocab_size()
    student = make_student(teacher, "bag", (made, torch.randn(n, 8)), hidden_size=4)
    small = trim(student, train, round(share * n))
    numbers = sorted(small.tokenizer.get_vocab().values())
    assert numbers == list(range(len(small.embedding.tables[0].weight)))
    kept = set(small.tokenizer.get_vocab())
    assert set(SPECIAL) <= kept and small.pad_id == small.tokenizer.token_to_id("<pad>")
    sentences = [s for s in train if set(made.encode(s).tokens) <= kept]
    assert len(sentences) >= {0.3: 0, 0.6: 5, 1.: 600}[share]
    assert [small.tokenizer.encode(s).tokens for s in sentences] == [made.encode(s).tokens for s in sentences]
    assert np.array_equal(small.logits(sentences), student.logits(sentences))
    odd = ["", "\U0001f600 ☃", "x" * 300, "<s> </s>"]
    assert np.isfinite(small.logits(odd)).all()


def test_the_commonest_pieces_come_first(task, teacher):
    train = task.splits["train"]["sentence"][:]
    student = make_student(teacher, "bag", (teacher.tokenizer, torch.zeros(30522, 4)), hidden_size=4)
    ids = student.tokenise(train).ids.tolist()
    keep = kept_rows(student, train, 500)
    counts = [ids.count(i) for i in keep if i not in student.tokenizer.get_added_tokens_decoder()]
    assert len(keep) == 500 and counts == sorted(counts, reverse=True) and counts[0] == max(map(ids.count, set(ids)))


@pytest.mark.parametrize("kind, width", [
    ("cut", "1"), ("bag", "1"), ("bag", "1/16"), ("bilstm", "1"), ("bilstm", "1/16"), ("bert", "1"), ("bert", "1/16")])
def test_few_bits_keep_the_answers(task, teacher, tmp_path, kind, width):
    train, dev = (task.splits[s]["sentence"][:300] for s in ("train", "dev"))
    torch.manual_seed(0)
    vectors = teacher.tokenizer, teacher.model.get_input_embeddings().weight.detach()
    student = make_student(teacher, kind, vectors, **STUDENTS[kind].sizes(width, None, teacher))
    small = trim(student, train)
    made, before = export_student(small, tmp_path/"x", int8=True), small.logits(dev)
    after = made.logits(dev)
    assert np.abs(after - before).max() < 0.1 * max(0.5, np.ptp(before))
    assert np.corrcoef(after.ravel(), before.ravel())[0, 1] > 0.998
    alone = np.concatenate([made.logits([s]) for s in dev[:30]])
    if kind != "bilstm": assert (alone - after[:30]).std() < 0.02*after.std()  # neighbours: rounding only
    assert sum(p.stat().st_size for p in (tmp_path/"x").iterdir()) <= FOLDER_BYTES


@pytest.mark.parametrize("rows", [5, EIGHT_BIT_ROWS, EIGHT_BIT_ROWS + 1, EIGHT_BIT_ROWS + 500])
@pytest.mark.parametrize("columns", [16, 17])
@pytest.mark.parametrize("large", [True, False])
def test_tables_of_any_shape(monkeypatch, rows, columns, large):
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper
    table = np.random.default_rng(0).normal(size=(rows * max(1, 12_000 // rows), columns)).astype(np.float32)
    ids, out = (helper.make_tensor_value_info(name, kind, None) for name, kind in (
        ("ids", TensorProto.INT64), ("out", TensorProto.FLOAT)))
    if large: monkeypatch.setattr("kd_nb.quantise.EIGHT_BITS", 0)
    node = helper.make_node("Gather", ["table", "ids"], ["out"], name="look")
    graph = helper.make_graph([node], "g", [ids], [out], [numpy_helper.from_array(table, "table")])
    model = quantise(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    asked = np.array([[0, len(table) - 1, min(EIGHT_BIT_ROWS, len(table)) - 1, min(EIGHT_BIT_ROWS, len(table) - 1)]])
    found = session.run(None, {"ids": asked})[0][0]
    for vector, row in zip(found, asked[0]):
        q, scale = codes(table[[row]], 8 if row < EIGHT_BIT_ROWS or not large else 4)
        assert vector == pytest.approx((q * scale)[0], abs=1e-5)


def test_packed_numbers_are_the_numbers():
    rows = np.random.default_rng(0).normal(size=(50, 9)).astype(np.float32)
    found, scales = packed(rows)
    low, high = found & 15, found >> 4
    q, expected = codes(np.pad(rows, ((0, 0), (0, 1))), 4)
    assert np.array_equal(np.hstack([low, high]).astype(int) - 8, q) and np.array_equal(scales, expected)


def test_scales_are_the_best_of_those_tried():
    row = np.random.default_rng(0).normal(size=(1, 384)).astype(np.float32)
    row[0, 0] = 5  # one that is better cut off
    q, scale = codes(row, 4)
    error = ((q * scale - row) ** 2).sum()
    tried = [share * 5 / 7 for share in (1., 0.9, 0.8, 0.7, 0.6)]
    errors = [((np.clip(np.round(row / s), -8, 7) * s - row) ** 2).sum() for s in tried]
    assert error == pytest.approx(min(errors), rel=1e-5) and error < errors[0]


def test_a_vocabulary_of_a_size_that_makes_no_sense(here, tmp_path):
    for n in ("0", "-3"):
        r = here("export", "nowhere", "--vocabulary", n)
        assert r.returncode == 2 and "--vocabulary must be at least 1" in r.stderr and "Traceback" not in r.stderr


def test_a_huge_student_keeps_some_pieces(teacher):
    student = make_student(teacher, "bert", **STUDENTS["bert"].sizes("4"))
    assert fitting_rows(student) == 10_000
    assert fold(student).embedding.dim == 816
