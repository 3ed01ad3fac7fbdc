"""Promise: a file of predictions that contradicts itself or others is refused, with file, line and model."""
import numpy as np, pytest
from scipy.special import softmax

from kd_nb.core import KdError
from kd_nb.metrics import aligned, hits, logits_of, predictions, read_predictions

HEADER = "sentence\tlabel\tpred\tcertainty_of_pred\tcertainty_of_label\tlogits\n"


@pytest.fixture
def words():
    "Predictions of ten sentences."
    z = np.random.default_rng(0).normal(size=(10, 3))
    return predictions([f"sentence {i}" for i in range(10)], z, ["greet", "thank", "bye"], np.arange(10) % 3)


def refused(word, do, *args, **kwargs):
    with pytest.raises(KdError, match=word): do(*args, **kwargs)


def test_tables_of_other_sentences(words):
    refused("no predictions", aligned, {})
    refused("'b' of 5", aligned, {"a": words, "b": words[:5]})
    other = words.assign(sentence=words.sentence.where(words.index != 2, "other"))
    refused("row 3: the sentence", aligned, {"a": words, "b": other})
    refused("'b' have no column label", aligned, {"a": words, "b": words.drop(columns="label")})


def test_tables_that_cannot_be_scored(words):
    refused("no predictions", hits, words[:0])
    refused("row 1", hits, words.assign(label=None))
    refused("use the same names", hits, words.assign(label=range(len(words))))
    refused("between 0 and 1", hits, words.assign(confidence=100 * words.confidence))
    same = words.head(3).astype({"label": object}).assign(label=np.int32(1), pred=np.int64(1))
    assert hits(same).all()  # numbers of two kinds are numbers


def test_parquet(words, tmp_path):
    words.to_parquet(tmp_path/"words-dev.parquet")
    assert read_predictions(tmp_path/"words-dev.parquet").pred.tolist() == words.pred.tolist()
    words.drop(columns="logits").to_parquet(tmp_path/"bad.parquet")
    refused("no column logits", read_predictions, tmp_path/"bad.parquet")
    refused("no such file", read_predictions, tmp_path/"none.parquet")


@pytest.mark.parametrize("name, content", [
    ("empty.tsv", b""), ("latin.tsv", "caf\xe9\t1".encode("latin-1")), ("text.parquet", b"no parquet")])
def test_files_of_another_kind(tmp_path, name, content):
    (tmp_path/name).write_bytes(content)
    refused(name, read_predictions, tmp_path/name)


@pytest.mark.parametrize("row, word", [
    ("1\t1\t0.9\t0.9\t-1.0;1.2", "line 3: the logits must be 2 numbers"),
    ("1\t1\t0.9\t0.9\tnan,1.2", "line 3"),
    ("1\t0\t0.9\t0.9\t-1.0,1.2", "the largest logit is that of '1'"),
    ("2\t1\t0.9\t0.9\t-1.0,1.2", "line 3: label '2'")])
def test_the_study_s_layout(tmp_path, row, word):
    (tmp_path/"study.tsv").write_text(HEADER + "fine\t1\t1\t0.9\t0.9\t-1.0,1.2\n" + f"a word\t{row}\n")
    refused(word, read_predictions, tmp_path/"study.tsv")


def test_quotes_and_names(tmp_path):
    (tmp_path/"study.tsv").write_text(HEADER + 'a "quoted" word\t1\t1\t0.9\t0.9\t-1.0,1.2\n')
    assert read_predictions(tmp_path/"study.tsv").iloc[0, :3].tolist() == ['a "quoted" word', "1", "1"]
    (tmp_path/"study.tsv").write_text(HEADER + "a word\tyes\tyes\t0.9\t0.9\t-1.0,1.2\n")
    assert read_predictions(tmp_path/"study.tsv", ["no", "yes"]).pred.item() == "yes"


@pytest.fixture
def study_file(tmp_path):
    def write(*rows, name="study.tsv", head="sentence\tlabel\tpred\tlogits"):
        (tmp_path/name).write_text("\n".join([head, *rows]) + "\n\n")
        return tmp_path/name
    return write


def test_class_names_brackets_and_ties(study_file):
    named = study_file("a\tno\tno\t[2.0, -1.0, 0.5]", "b\tperhaps\tyes\t[-1.0 3.0 0.5]", "c\tyes\tyes\t0,1,1")
    got = read_predictions(named)
    assert hits(got).tolist() == [True, False, True]
    np.testing.assert_allclose(got.confidence, softmax(logits_of(got), 1).max(1), atol=1e-6)
    assert read_predictions(named, ["no", "yes", "perhaps"]).pred.tolist() == got.pred.tolist()
    refused("line 2: the prediction is 'no'", read_predictions, named, ["yes", "no", "perhaps"])


@pytest.mark.parametrize("rows, word", [
    (["a\tno\tno\t2,1", "b\tno\tno\t2,1", "c\tyes\tyes\t3,1"], "line 4: the prediction is 'yes'"),
    (["a\tno\tno\t2,1", "b\tno\tno\t1,2"], "logits 1, 2 are all of 'no'"),
    (["a\tno\tno\t2,1", "b\t\tno\t2,1"], "line 3: label or prediction")])
def test_rows_that_contradict_each_other(study_file, rows, word):
    refused(word, read_predictions, study_file(*rows))


def test_numbers_and_commas(study_file):
    assert read_predictions(study_file("a\t1.0\t1\t0,2")).label.tolist() == ["1"]
    table = study_file('"a, b",no,no,"0.5,0.1"', name="some.csv", head="sentence,label,pred,logits")
    assert read_predictions(table).sentence.tolist() == ["a, b"]


def test_logits_as_text(words):
    texts = words.assign(logits=words.logits.map(lambda z: str(z.tolist())))
    np.testing.assert_allclose(logits_of(texts), np.stack(words.logits), atol=1e-6)
    refused("row 5: the logits", logits_of, texts.assign(logits=texts.logits.where(texts.index != 4, "x")))
