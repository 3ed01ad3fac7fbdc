"""Promise: the error analysis gives the study's published figures from its published predictions."""
import pytest

STUDENTS = ("BERT", "LSTM")
PAIRS = [("teacher", "BERT"), ("teacher", "LSTM"), ("BERT", "teacher"), ("BERT", "LSTM"), ("LSTM", "teacher"), ("LSTM", "BERT")]


@pytest.fixture
def study(real_data):
    from kd_nb.errors import aligned, read_predictions
    return aligned({name: read_predictions(real_data/f"thesis-predictions/CoLA-{name}.tsv") for name in ("teacher", *STUDENTS)})


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
    from kd_nb.errors import by_confidence, mean_confidence, only_teacher_right, only_teacher_sure, right_by_one, sure_by_one
    assert len(mean_confidence(study)) == 3 and len(by_confidence(study["teacher"], right=False)) == 10
    right = {name: (t.label == t.pred).to_numpy() for name, t in study.items()}
    assert len(right_by_one(study, STUDENTS)) == (right["BERT"] ^ right["LSTM"]).sum()
    assert len(only_teacher_right(study, "teacher", STUDENTS)) == (right["teacher"] & ~right["BERT"] & ~right["LSTM"]).sum()
    sure = {name: (t.confidence >= 0.8).to_numpy() for name, t in study.items()}
    assert len(sure_by_one(study, STUDENTS, 0.8)) == (sure["BERT"] ^ sure["LSTM"]).sum()
    assert len(only_teacher_sure(study, "teacher", STUDENTS, 0.8)) == (sure["teacher"] & ~sure["BERT"] & ~sure["LSTM"]).sum()


def test_other_tasks_and_layouts(tmp_path):
    "Predictions of another task, in the study's layout, with class names of their own: the same answers as from a run's file."
    import numpy as np, pandas as pd
    from kd_nb.calibration import calibration, fit_temperature
    from kd_nb.errors import compare, correlation, overlap, per_class, read_predictions
    from kd_nb.training import predictions
    rng, names = np.random.default_rng(0), [f"intent {k}" for k in range(57)]
    gold = rng.integers(57, size=400)
    tables = {m: predictions([f"sentence {i}" for i in range(400)], rng.normal(size=(400, 57)) + 4 * np.eye(57)[gold] * (rng.random((400, 1)) < p), names, gold) for m, p in (("teacher", 0.9), ("LSTM", 0.7))}
    read = {}
    for m, t in tables.items():
        text = t.assign(logits=t.logits.map(lambda z: ",".join(map(repr, map(float, z)))), certainty_of_pred=t.confidence, certainty_of_label=0.)
        text.to_csv(tmp_path/f"{m}.tsv", sep="\t", index=False)
        read[m] = read_predictions(tmp_path/f"{m}.tsv")
        assert read[m].pred.tolist() == t.pred.tolist() and np.allclose(read[m].confidence, t.confidence, atol=1e-6)
    for f in (overlap, correlation, lambda t: calibration(t, names), lambda t: per_class(t["LSTM"]), lambda t: pd.DataFrame([compare(t, "teacher", "LSTM", "macro_f1")])):
        pd.testing.assert_frame_equal(f(read), f(tables), atol=1e-4)
    texts = {m: t.assign(logits=t.logits.map(lambda z: str(z.tolist()))) for m, t in tables.items()}  # as pandas reads them back from CSV
    assert fit_temperature(texts["LSTM"], names) == pytest.approx(fit_temperature(tables["LSTM"], names), abs=1e-4)
