"""Promise: the error analysis gives the study's published figures from its published predictions."""
import pytest

STUDENTS = ("BERT", "LSTM")
PAIRS = [
    ("teacher", "BERT"), ("teacher", "LSTM"), ("BERT", "teacher"), ("BERT", "LSTM"), ("LSTM", "teacher"),
    ("LSTM", "BERT")]


@pytest.fixture
def study(real_data):
    from kd_nb.metrics import aligned, read_predictions
    def read(name): return read_predictions(real_data/f"thesis-predictions/CoLA-{name}.tsv")
    return aligned({name: read(name) for name in ("teacher", *STUDENTS)})


@pytest.mark.parametrize("right, published", [(True, [86, 86, 93, 90, 94, 92]), (False, [64, 71, 47, 70, 50, 67])])
def test_overlap(study, right, published):
    from kd_nb.errors import overlap
    shares = overlap(study, right)
    assert [shares.loc[pair] for pair in PAIRS] == pytest.approx(published, abs=0.51)


def test_correlation_of_confidences(study):
    from kd_nb.errors import correlation
    r = correlation(study).set_index(["model", "and"]).Pearson
    assert [r["BERT", "LSTM"], r["teacher", "BERT"]] == pytest.approx([0.38, 0.28], abs=0.005)


def test_calibration_error(study):
    from kd_nb.calibration import expected_calibration_error
    assert 100 * expected_calibration_error(study["teacher"], 10) == pytest.approx(9.8, abs=0.05)


def test_eight_questions_have_answers(study):
    from kd_nb.errors import by_confidence, mean_confidence, only_teacher_right, only_teacher_sure, right_by_one
    from kd_nb.errors import sure_by_one
    assert len(mean_confidence(study)) == 3 and len(by_confidence(study["teacher"], right=False)) == 10
    right = {name: (t.label == t.pred).to_numpy() for name, t in study.items()}
    assert len(right_by_one(study, STUDENTS)) == (right["BERT"] ^ right["LSTM"]).sum()
    only = right["teacher"] & ~right["BERT"] & ~right["LSTM"]
    assert len(only_teacher_right(study, "teacher", STUDENTS)) == only.sum()
    sure = {name: (t.confidence >= 0.8).to_numpy() for name, t in study.items()}
    assert len(sure_by_one(study, STUDENTS, 0.8)) == (sure["BERT"] ^ sure["LSTM"]).sum()
    only = sure["teacher"] & ~sure["BERT"] & ~sure["LSTM"]
    assert len(only_teacher_sure(study, "teacher", STUDENTS, 0.8)) == only.sum()


def test_other_tasks_and_layouts(tmp_path):
    "Another task, in the study's layout, with names of its own: the same answers as from a run's file."
    import numpy as np, pandas as pd
    from kd_nb.calibration import calibration, fit_temperature
    from kd_nb.errors import compare, correlation, overlap, per_class
    from kd_nb.metrics import predictions, read_predictions
    rng, names = np.random.default_rng(0), [f"intent {k}" for k in range(57)]
    gold = rng.integers(57, size=400)
    def made(p):
        logits = rng.normal(size=(400, 57)) + 4 * np.eye(57)[gold] * (rng.random((400, 1)) < p)
        return predictions([f"sentence {i}" for i in range(400)], logits, names, gold)
    tables = {"teacher": made(0.9), "LSTM": made(0.7)}
    read = {}
    for m, t in tables.items():
        logits = t.logits.map(lambda z: ",".join(map(repr, map(float, z))))
        text = t.assign(logits=logits, certainty_of_pred=t.confidence, certainty_of_label=0.0)
        text.to_csv(tmp_path/f"{m}.tsv", sep="\t", index=False)
        read[m] = read_predictions(tmp_path/f"{m}.tsv")
        assert read[m].pred.tolist() == t.pred.tolist()
        assert np.allclose(read[m].confidence, t.confidence, atol=1e-6)
    for f in (
        overlap, correlation, lambda t: calibration(t, names), lambda t: per_class(t["LSTM"]),
        lambda t: pd.DataFrame([compare(t, "teacher", "LSTM", "macro_f1")])):
        pd.testing.assert_frame_equal(f(read), f(tables), atol=1e-4)
    # with logits as pandas reads them back from CSV
    lstm = tables["LSTM"]
    text = lstm.assign(logits=lstm.logits.map(lambda z: str(z.tolist())))
    assert fit_temperature(text, names) == pytest.approx(fit_temperature(lstm, names), abs=1e-4)


def test_calibration_error_by_hand():
    "Bins (0.5, 0.6], (0.7, 0.8] and (0.9, 1]: |1/2 - 0.55| twice, |1 - 0.8|, |0 - 1| of four predictions."
    import pandas as pd
    from kd_nb.calibration import expected_calibration_error
    table = pd.DataFrame(dict(
        sentence=list("abcd"), label=["x", "x", "y", "y"], pred=["x", "y", "y", "x"],
        confidence=[0.52, 0.58, 0.8, 1.0], logits=[[0.0, 1.0]] * 4))
    assert expected_calibration_error(table, 10) == pytest.approx((2 * 0.05 + 0.2 + 1) / 4)


@pytest.mark.parametrize("name, content, expected", [
    # a class that is never predicted
    ("named.tsv", "sentence\tlabel\tpred\tlogits\na\tno\tno\t[2.0, -1.0, 0.5]\nb\tperhaps\tyes\t-1 3 0.5\n",
     [True, False]),
    # a tie either way, a blank line
    ("tied.tsv", "sentence\tlabel\tpred\tlogits\na\t1\t1\t1,1\nb\t0\t0\t2,2\n\n", [True, True]),
    ("floats.tsv", "sentence\tlabel\tpred\tlogits\na\t1.0\t1\t0,1\nb\t0.0\t1\t0,1\n", [True, False]),
    ("quoted.csv", 'sentence,label,pred,logits\n"a, ""b""",1,1,"[0.1\n 0.2]"\nc,0,1,"0.1,0.2"\n',
     [True, False]),
])
def test_layouts(tmp_path, name, content, expected):
    from kd_nb.metrics import hits, read_predictions
    (tmp_path/name).write_text(content)
    assert hits(read_predictions(tmp_path/name)).tolist() == expected


@pytest.mark.parametrize("rows, words", [
    ("a\tno\tno\t2,1\nb\tno\tno\t1,2", "logits 1, 2 are all of 'no'"),
    ("a\tx\tx\t2,1\nb\tx\tx\t2,1\nc\ty\ty\t2,1", "line 4: the prediction is 'y'"),
    ("a\tx\tx\t2,1\nb\t\tx\t2,1", "line 3: label or prediction"),
    ("a\tx\tx\t2,1\nb\tx\tx\t2,1,0", "line 3: the logits")])
def test_contradictions_are_refused(tmp_path, rows, words):
    from kd_nb.core import KdError
    from kd_nb.metrics import read_predictions
    (tmp_path/"p.tsv").write_text(f"sentence\tlabel\tpred\tlogits\n{rows}\n")
    with pytest.raises(KdError, match=words): read_predictions(tmp_path/"p.tsv")


def test_small_and_numeric_tables():
    "One row, integers of two kinds, no draws: values or a message, never a traceback."
    import numpy as np, pandas as pd
    from kd_nb.calibration import calibration
    from kd_nb.core import KdError
    from kd_nb.errors import compare, correlation, mean_confidence, overlap
    row = pd.DataFrame(dict(
        sentence=["a"], label=np.int32([1]), pred=np.int64([1]), confidence=[0.7], logits=["[0.0 0.8]"]))
    tables = {"a": row, "b": row.assign(pred=np.int64([0]))}
    assert correlation(tables).Pearson.isna().all() and overlap(tables).loc["a", "b"] == 0
    assert len(mean_confidence(tables)) == 2
    assert calibration(tables, [0, 1]).accuracy.tolist() == [100, 0]
    assert calibration({"a": row.assign(label=1.0)}, ["0", "1"]).accuracy.item() == 100
    assert compare(tables, "a", "b", "mcc")["only_a"] == 1
    with pytest.raises(KdError, match="n_resamples"): compare(tables, "a", "b", n_resamples=0)
    with pytest.raises(KdError, match="between 0 and 1"): mean_confidence({"a": row.assign(confidence=70.)})


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "mcc"])
def test_normal_limit_is_the_bootstrap(monkeypatch, metric):
    import numpy as np
    from kd_nb import errors
    from kd_nb.metrics import predictions
    rng = np.random.default_rng(0)
    gold = rng.integers(10, size=4000)
    def made(p):
        logits = rng.normal(size=(4000, 10)) + 4 * np.eye(10)[gold] * (rng.random((4000, 1)) < p)
        return predictions(list(map(str, range(4000))), logits, list("abcdefghij"), gold)
    tables = {"a": made(0.8), "b": made(0.7)}
    plain = errors.compare(tables, "a", "b", metric, n_resamples=4000)
    monkeypatch.setattr(errors, "MANY_KINDS", 0)
    normal = errors.compare(tables, "a", "b", metric, n_resamples=4000)
    assert normal["score_a"] == plain["score_a"]
    assert [normal["low"], normal["high"]] == pytest.approx([plain["low"], plain["high"]], abs=0.25)
