"""Promise: a student that cannot be made, loaded or asked as wished is refused, and the error says why; where
there are two ways to what it computes, both give the same."""
import json, re, shutil, subprocess, sys
from fractions import Fraction

import numpy as np, onnx, pytest, torch
from datasets import Dataset
from onnx import TensorProto, helper
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from kd_nb import onnx_student
from kd_nb.bert import BERT_WIDTHS, BertStudent
from kd_nb.bilstm import BiLSTM
from kd_nb.core import KdError, check_name
from kd_nb.cut import Cut
from kd_nb.distil import distil
from kd_nb.fast_lstm import fast_outputs
from kd_nb.losses import make_loss
from kd_nb.onnx_student import OnnxStudent
from kd_nb.pretrained import packaged_folder
from kd_nb.state_losses import STATE_LOSSES
from kd_nb.student import MODES, WIDTHS, Student, WordVectors, check_embeddings, read_vectors, word_vectors
from kd_nb.students import load_student, make_student
from kd_nb.teacher import load_teacher

SENTENCES = [
    "where do i sign up?", "no", "it is a truth universally acknowledged that tests must be able to fail"]


def refused(word, do, *args, error=KdError):
    with pytest.raises(error, match=re.escape(word)): do(*args)


@pytest.fixture(scope="module")
def teacher(): return load_teacher("minilm", ["negative", "positive"]).to("cpu")


@pytest.fixture(scope="module")
def student(teacher): return make_student(teacher, hidden_size=20, fc_size=10)


@pytest.fixture(scope="module")
def small_bert(teacher): return make_student(teacher, "bert", **BertStudent.sizes("1/16", 2))


def saved(student, folder):
    student.save_pretrained(folder)
    return load_student(folder).to("cpu")


# word vectors

def test_word_vectors_that_do_not_exist():
    refused("did you mean 'non-static'?", WordVectors, 4, 3, "nonstatic")
    refused("no such file of word vectors: nowhere.bin", check_embeddings, "nowhere.bin")
    refused("did you mean 'wordpiece'?", check_embeddings, "wordpeice")
    refused("must be trained", check_embeddings, "scratch", "static")
    modes = [check_embeddings("word"), check_embeddings("scratch"), check_embeddings("word", "static")]
    assert modes == ["multichannel", "non-static", "static"]


def test_files_without_word_vectors(tmp_path, teacher):
    (tmp_path/"prose.txt").write_text("Call me Ishmael.\nSome years ago\n")
    (tmp_path/"glove.txt").write_text("film 1 2\ndull 0 -1\nzebra 5 5\n")
    refused("prose.txt: no word vectors", read_vectors, tmp_path/"prose.txt", ["film"])
    refused("none of the 1 words", read_vectors, tmp_path/"glove.txt", ["gnu"])
    table = read_vectors(tmp_path/"glove.txt", ["[UNK]", "dull", "minute", "film"])
    assert table[[0, 2]].abs().max() <= 0.25 and (table[0] != table[2]).all()  # two that the file lacks
    tokenizer, table = word_vectors(str(tmp_path/"glove.txt"), teacher, ["a dull film", "not dull?"])
    assert table.shape == (tokenizer.get_vocab_size(), 2)


def test_random_word_vectors(teacher):
    random = word_vectors("scratch", teacher, [])[1]
    assert abs(random.std() - 0.5 / 12**0.5) < 1e-3  # of a uniform distribution one half wide
    assert word_vectors("scratch", teacher, [], seed=0)[1].equal(random)
    assert not word_vectors("scratch", teacher, [], seed=1)[1].equal(random)


def test_both_tables_start_as_the_teacher_s(student, teacher):
    weight = teacher.model.get_input_embeddings().weight
    for table in student.embedding.tables: assert table.weight.equal(weight)


# sizes and recipes

class Bag(Student):
    "A kind that declares nothing of its own."
    kind = "bag"


def test_sizes_that_a_student_cannot_have(teacher):
    refused("unknown width of a bag student", Bag.sizes, "1/5")
    refused("unknown width of a bilstm student", BiLSTM.sizes, "teacher")
    refused("unknown width of a bert student", BertStudent.sizes, "1/5")
    refused("only 6 to copy", Cut.sizes, "1", 7, teacher)


def test_widths_of_the_small_bert():
    assert tuple(BERT_WIDTHS) == WIDTHS and BertStudent.sizes("1/4")["hidden_size"] == 51
    for width, (hidden, between, heads) in BERT_WIDTHS.items():
        assert hidden % heads == 0
        assert hidden / (204 * Fraction(width)) == pytest.approx(1, abs=0.03)
        assert between / (750 * Fraction(width)) == pytest.approx(1, abs=0.01)


def test_small_transfer_sets_get_a_higher_rate():
    assert (Bag.recipe(800_000)["lr"], Bag.recipe(2_569)["lr"]) == (5e-4, 2e-3)


def test_top_layer_gives_the_logits(small_bert):
    batch = small_bert.tokenise(SENTENCES).pad(torch.arange(3))
    with torch.inference_mode():
        states = small_bert.layers(*batch)[-1][0]
        logits = small_bert.classifier(small_bert.pooler(states))
        torch.testing.assert_close(logits, small_bert(*batch), atol=1e-6, rtol=0)


# saved and loaded

def test_folders_without_a_student(tmp_path):
    refused("config.json is missing", load_student, tmp_path)
    refused("holds no student of this version", load_student, packaged_folder("minilm"))


def test_saved_students_come_back(student, small_bert, tmp_path):
    again = saved(student, tmp_path/"bilstm")
    assert again.labels == student.labels == ["negative", "positive"]
    assert json.loads((tmp_path/"bilstm/config.json").read_text())["labels"] == student.labels
    again = saved(small_bert, tmp_path/"bert")
    assert type(again) is BertStudent
    np.testing.assert_array_equal(again.logits(SENTENCES), small_bert.logits(SENTENCES))


# state losses

def test_states_that_cannot_be_compared(teacher, student):
    refused("did you mean 'hint'?", check_name, "hnt", STATE_LOSSES, "state loss")
    refused("compares a BERT student with a BERT teacher", STATE_LOSSES["hint"](teacher).check, student)
    deep = make_student(teacher, "bert", **BertStudent.sizes("1/16", 8))
    refused("8 layers cannot follow the teacher's 6", STATE_LOSSES["attention"](teacher).check, deep)


@pytest.mark.parametrize("name", STATE_LOSSES)
@pytest.mark.parametrize("where", ["the loss", "the forward pass"])
def test_an_error_in_a_batch_leaves_nothing_behind(name, where, teacher, small_bert, tmp_path, monkeypatch):
    data = Dataset.from_dict(dict(sentence=SENTENCES, label=[0, 1, 0], logits=[[1., 0.], [0., 1.], [2., 0.]]))
    def failing(*args): raise KeyboardInterrupt
    loss = failing if where == "the loss" else make_loss("mse")
    if where != "the loss": monkeypatch.setattr(small_bert, "forward", failing)
    with pytest.raises(KeyboardInterrupt):
        distil(small_bert, data, data, "accuracy", tmp_path, loss, epochs=1, lr=1e-3,
               states=STATE_LOSSES[name](teacher))
    assert not [m for m in small_bert.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not hasattr(small_bert, "regressor") and torch.backends.cuda.flash_sdp_enabled()


# the fast LSTM

@pytest.mark.parametrize("mode", MODES)
def test_states_and_gradients_are_those_of_the_library(mode):
    def states_and_gradients(own):
        torch.manual_seed(0)
        vectors = WordVectors(50, 6, mode)
        lstm = nn.LSTM(6 * len(MODES[mode]), 8, batch_first=True, bidirectional=True)
        ids, lengths = torch.randint(1, 50, (5, 9)), torch.tensor([3, 9, 1, 4, 9])
        packed = pack_padded_sequence(vectors(ids), lengths, batch_first=True, enforce_sorted=False)
        if own: out = fast_outputs(lstm, vectors, ids, lengths)
        else: out, _ = pad_packed_sequence(lstm(packed)[0], batch_first=True)
        (out * torch.arange(16.)).pow(2).sum().backward()
        trained = [p for p in (*lstm.parameters(), *vectors.parameters()) if p.requires_grad]
        return [out, *(p.grad for p in trained)]
    for ours, theirs in zip(states_and_gradients(True), states_and_gradients(False), strict=True):
        largest = theirs.abs().max()
        torch.testing.assert_close(ours / largest, theirs / largest, atol=1e-5, rtol=0)


# without torch

@pytest.fixture
def exported(tmp_path):
    "An exported student whose logits are the number of tokens and the sum of their ids, with `predict.py`."
    node, io = helper.make_node, helper.make_tensor_value_info
    nodes = [
        node("ReduceSum", ["ids", "axis"], ["sum"], keepdims=1),
        node("Unsqueeze", ["lengths", "axis"], ["count"]),
        node("Concat", ["count", "sum"], ["both"], axis=1),
        node("Cast", ["both"], ["logits"], to=TensorProto.FLOAT)]
    inputs = [io("ids", TensorProto.INT64, ["n", "length"]), io("lengths", TensorProto.INT64, ["n"])]
    outputs = [io("logits", TensorProto.FLOAT, ["n", 2])]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "toy", inputs, outputs, [axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path/"model.onnx")
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "?": 1, "a": 2, "b": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path/"tokenizer.json"))
    config = dict(labels=["count", "sum"], pad_id=0, special=False, max_length=128)
    (tmp_path/"config.json").write_text(json.dumps(config))
    shutil.copy(onnx_student.__file__, tmp_path/"predict.py")
    return tmp_path


def answers(folder, *sentences, stdin=None):
    "What `python predict.py` does in that folder."
    command = [sys.executable, "predict.py", *sentences]
    return subprocess.run(command, input=stdin, text=True, capture_output=True, cwd=folder)


@pytest.mark.parametrize("sentences, word", [
    ("a b", "not one string"), (["a", 3.5], "sentence 2 is not a text but 3.5"),
    (["\ud800"], "sentence 1 is not valid Unicode")])
def test_what_is_no_list_of_texts(exported, sentences, word):
    refused(word, OnnxStudent(exported).predict, sentences, error=ValueError)


def test_exports_that_are_broken(exported):
    (exported/"tokenizer.json").write_text("{}")
    refused("holds no exported student", OnnxStudent, exported, error=ValueError)
    (exported/"tokenizer.json").unlink()
    refused("tokenizer.json is missing", OnnxStudent, exported, error=ValueError)
    r = answers(exported, "a")
    assert r.returncode == 1 and "Traceback" not in r.stderr and "tokenizer.json is missing" in r.stderr


def test_lines_on_standard_input(exported):
    assert answers(exported, stdin="a b\nb\n").stdout.splitlines()[1:] == ["a b,sum,0.9526", "b,sum,0.8808"]
    # a head and one row: only a line break ends a sentence
    assert answers(exported, stdin="a\x1cb\u2028b\n").stdout.count("\n") == 2


@pytest.mark.parametrize("stdin, message", [("a\n\nb\n", "sentence 2 is empty"), ("", "sentence 1 is empty")])
def test_empty_sentences_on_standard_input(exported, stdin, message):
    r = answers(exported, stdin=stdin)
    assert (r.returncode, r.stderr) == (1, f"predict: {message}\n")
