"""Promise: questions about mistakes, confidence and words refuse what they cannot answer.
What they do answer is what one finds by hand."""
import re
from math import comb

import numpy as np, pytest, torch
from scipy.special import log_softmax, softmax

from kd_nb.calibration import apply_temperature, brier_score, expected_calibration_error, fit_temperature
from kd_nb.calibration import gold_classes, nll, reliability_bins
from kd_nb.core import KdError
from kd_nb.errors import by_confidence, compare, confusion, correlation, mean_confidence, most_confused
from kd_nb.errors import only_teacher_right, only_teacher_sure, overlap, per_class, right_by_one, sure_by_one
from kd_nb.metrics import METRICS, hits, predictions, score
from kd_nb.questions import Filter, first_of_each, questions
from kd_nb.report import explorer
from kd_nb.students import STUDENTS, make_student
from kd_nb.teacher import load_teacher
from kd_nb.why import WORD, by_change, consistency, gradient_x_input, leave_one_out, perturbed, prefix_curve
from kd_nb.why import read_perturbations

LABELS = ["affirm", "bye", "greet", "help", "thank"]


def refused(text, do, *args, **kwargs):
    "Is it refused, in these words?"
    with pytest.raises(KdError, match=re.escape(text)): do(*args, **kwargs)


@pytest.fixture(scope="module")
def tables():
    "Three models with mistakes of their own, on the same 300 sentences."
    rng = np.random.default_rng(0)
    gold = rng.integers(5, size=300)
    def made(strength):
        z = strength * np.eye(5)[gold] + 1.5 * rng.normal(size=(300, 5))
        return predictions([f"sentence {i}" for i in range(300)], z, LABELS, gold)
    return {"words": made(3.0), "letters": made(3.5), "bayes": made(2.5)}


@pytest.fixture(scope="module")
def right(tables): return {name: (t.label == t.pred).to_numpy() for name, t in tables.items()}


# ---- mistakes: who is asked

@pytest.mark.parametrize("teacher, students, text", [
    ("teacher", ["words"], "teacher"), ("words", ["words"], "cannot be among"),
    ("words", "letters", "in a list"), ("words", [], "1 or more")])
def test_teacher_and_students(tables, teacher, students, text):
    refused(text, only_teacher_right, tables, teacher, students)


def test_one_student_and_a_percentage(tables):
    refused("2 or more", right_by_one, tables, ["words"])
    refused("between 0 and 1", sure_by_one, tables, ["words", "letters"], 90)


@pytest.mark.parametrize("asked, text", [
    (dict(b="words", metric="f2"), "f2"), (dict(b="worms"), "did you mean 'words'"),
    (dict(b="words", n_resamples=0), "n_resamples")])
def test_comparisons(tables, asked, text):
    refused(text, compare, tables, "letters", **asked)


def test_classes_that_are_not_named(tables):
    refused("not among the labels", confusion, tables["words"], ["greet"])
    assert confusion(tables["words"], LABELS[::-1]).index.tolist() == LABELS[::-1]


# ---- mistakes: what is answered

def test_hits_and_mistakes_by_confidence(tables, right):
    words = tables["words"]
    assert by_confidence(words, False, 4).confidence.is_monotonic_decreasing
    least = by_confidence(words, True, 9, least=True)
    assert len(least) == 9 and (least.pred == least.label).all()
    assert len(by_confidence(words, False, 10**6)) == (~right["words"]).sum()


def test_correlations(tables, right):
    words, letters = tables["words"], tables["letters"]
    found = correlation(tables).iloc[0]
    plain = np.corrcoef(words.confidence, letters.confidence)[0, 1]
    assert found.Pearson == pytest.approx(plain, abs=1e-5)
    ranks = np.corrcoef(words.confidence.rank(), letters.confidence.rank())[0, 1]
    assert found.Spearman == pytest.approx(ranks, abs=1e-5)
    # hits shared as far as they can be
    best = np.corrcoef(np.sort(right["words"]), np.sort(right["letters"]))[0, 1]
    assert found["phi / max"] == pytest.approx(found["phi (hits)"] / best, abs=1e-5)
    assert correlation({name: t[:1] for name, t in tables.items()}).Pearson.isna().all()


def test_shared_mistakes(tables, right):
    both = list(zip(right["words"], right["letters"]))
    by_hand = 100 * sum(not w and not l for w, l in both) / sum(not l for _, l in both)
    assert overlap(tables, False).loc["letters", "words"] == pytest.approx(by_hand)


def test_right_by_one(tables, right):
    found = right_by_one(tables, list(tables))
    for _, row in found.iterrows():
        assert [m for m in tables if row[f"pred: {m}"] == row.label] == [row.only]
    def alone(m, i): return right[m][i] and not any(right[o][i] for o in tables if o != m)
    assert found.groupby("only").size().to_dict() == {m: sum(alone(m, i) for i in range(300)) for m in tables}


def test_sure_by_one(tables):
    found = sure_by_one(tables, ["words", "bayes"], 0.7)
    assert len(found) > 0
    for _, row in found.iterrows():
        assert (row["confidence: words"] >= 0.7) != (row["confidence: bayes"] >= 0.7)
        assert row[f"confidence: {row.only}"] >= 0.7


def test_only_the_teacher(tables, right):
    lost = right["letters"] & ~right["words"] & ~right["bayes"]
    assert len(only_teacher_right(tables, "letters", ["words", "bayes"])) == lost.sum() > 0
    unsure = only_teacher_sure(tables, "letters", ["words", "bayes"], 0.8)
    assert len(unsure) > 0
    for _, row in unsure.iterrows():
        assert row["confidence: letters"] >= 0.8 > max(row["confidence: words"], row["confidence: bayes"])


def test_a_model_without_mistakes(tables):
    perfect = tables["words"].assign(pred=tables["words"].label)
    assert overlap({"perfect": perfect, "words": tables["words"]}, False).loc["perfect"].isna().all()
    assert mean_confidence({"perfect": perfect}).isna().sum().sum() == 1
    assert len(most_confused(perfect)) == 0


def test_mcnemar_by_hand(tables, right):
    found = compare(tables, "letters", "words", "mcc")
    only_a, only_b = (right["letters"] & ~right["words"]).sum(), (right["words"] & ~right["letters"]).sum()
    assert [found["only_a"], found["only_b"]] == [only_a, only_b]
    n = only_a + only_b
    tail = 2 * sum(comb(n, i) for i in range(min(only_a, only_b) + 1)) / 2**int(n)  # of the binomial, twice
    assert found["mcnemar_p"] == pytest.approx(min(1, tail), abs=1e-9)
    assert compare({"w": tables["words"], "v": tables["words"]}, "w", "v")["mcnemar_p"] == 1


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_scikit_learn_s(tables, metric):
    found = compare(tables, "letters", "words", metric)
    gold, a, b = (
        c.map(LABELS.index).to_numpy()
        for c in (tables["words"].label, tables["letters"].pred, tables["words"].pred))
    by_sentence = [100 * score(metric, gold, a), 100 * score(metric, gold, b)]
    assert [found["score_a"], found["score_b"]] == pytest.approx(by_sentence, abs=1e-5)


def test_confusion(tables, right):
    words = tables["words"]
    matrix, top = confusion(words), most_confused(words, 1).iloc[0]
    assert matrix.to_numpy().sum() == len(words)
    assert np.trace(matrix) / len(words) == pytest.approx(right["words"].mean())
    assert top.sentences == (matrix.to_numpy() * (1 - np.eye(len(matrix)))).max()
    assert per_class(words).sentences[top.label] == matrix.loc[top.label].sum()


# ---- calibration

NAMES = list("abc")


@pytest.fixture(scope="module")
def honest():
    "Made-up predictions whose labels are drawn from their own probabilities, so that confidence is right."
    rng = np.random.default_rng(0)
    z = rng.normal(size=(20_000, 3)) * 1.5
    gold = (softmax(z, 1).cumsum(1) < rng.random((len(z), 1))).sum(1).clip(max=2)
    return predictions([f"sentence {i}" for i in range(len(z))], z, NAMES, gold)


def test_bins(honest):
    assert expected_calibration_error(honest, equal="mass") < 0.01
    assert (reliability_bins(honest, 8, "mass").n == 2500).all()
    for equal in ("width", "mass"):
        assert reliability_bins(honest.assign(confidence=1.0), 10, equal).n.tolist() == [20_000]
    refused("area", reliability_bins, honest, equal="area")
    refused("at least one bin", reliability_bins, honest, 0)


def test_names_of_classes(honest):
    refused("3 logits", brier_score, honest, ["a", "b"])
    refused("is none of", nll, honest, ["a", "b", "d"])
    numbers = honest[:3].assign(label=[0., 2., 1.], pred=0)
    assert gold_classes(numbers, range(3)).tolist() == [0, 2, 1]


def test_logits_that_are_texts(honest):
    texts = honest[:50].assign(logits=honest.logits[:50].map(lambda z: str(z.tolist())))
    assert nll(texts, NAMES) == pytest.approx(nll(honest[:50], NAMES), abs=1e-6)


def test_temperatures(honest):
    few = honest[:5000]
    refused("all 5000", fit_temperature, few.assign(label=few.pred), NAMES)
    other = few.pred.map({"a": "b", "b": "c", "c": "a"})
    refused("of which 0 are right", fit_temperature, few.assign(label=other), NAMES)
    refused("above 0", apply_temperature, few, 0)


def test_a_temperature_keeps_rows_and_predictions(honest):
    part = honest[5000:5100]
    cooler = apply_temperature(part, 2.5)
    assert cooler.index.equals(part.index)
    assert (np.stack(cooler.logits).argmax(1) == np.stack(part.logits).argmax(1)).all()


# ---- why

SENTENCE = "The waiter was friendly but the soup was cold and awful."


@pytest.fixture(scope="module")
def models():
    "MiniLM before any task, and a student that has not learnt; large weights make both answer firmly."
    torch.manual_seed(0)
    teacher = load_teacher("minilm", ["negative", "positive"]).to("cpu").eval()
    student = make_student(teacher, "bilstm", **STUDENTS["bilstm"].sizes("1/4")).to("cpu").eval()
    for model in (teacher, student):
        head = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
        head.weight.data *= 10
    return {"teacher": teacher, "student": student}


@pytest.fixture(scope="module")
def student(models): return models["student"]


class Answers:
    "What an exported student has: no module, only labels and logits."
    def __init__(self, model): self.labels, self.logits = model.labels, model.logits


def test_sentences_and_classes(student):
    refused("no words", leave_one_out, student, "   ")
    refused("neutral", leave_one_out, student, "fine", "neutral")
    refused("use leave_one_out", gradient_x_input, Answers(student), SENTENCE)
    refused("no models", prefix_curve, {}, SENTENCE)
    refused("'word'", prefix_curve, {"word": student}, SENTENCE)


def test_leave_one_out(student):
    found = leave_one_out(student, SENTENCE)
    assert found.attrs["target"] == student.predict([SENTENCE]).pred[0]
    assert np.allclose(leave_one_out(Answers(student), SENTENCE).weight, found.weight, atol=1e-5)
    assert len(leave_one_out(student, "fine")) == 1
    assert prefix_curve({"a": student}, SENTENCE).word.tolist() == SENTENCE.split()


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_gradient_by_trying(models, name, float32):
    "The derivative by each word: all vectors of its pieces scaled by 1 ± h."
    model, h = models[name], 3e-3
    model.tokenise([SENTENCE])  # without the padding that a tokeniser is saved with
    module = model.model.get_input_embeddings() if name == "teacher" else model.embedding
    offsets = model.tokenizer.encode(SENTENCE, add_special_tokens=model.special).offsets
    def logp(word, factor):
        inside = [a < b and a >= word.start() and b <= word.end() for a, b in offsets]
        scale = torch.where(torch.tensor(inside), factor, 1.0)[None, :, None]
        handle = module.register_forward_hook(lambda m, args, out: out * scale)
        try: return log_softmax(model.logits([SENTENCE]), 1)[0, 0]
        finally: handle.remove()
    tried = np.array([(logp(w, 1 + h) - logp(w, 1 - h)) / (2 * h) for w in WORD.finditer(SENTENCE)])
    assert abs(tried).max() > 2e-3
    found = gradient_x_input(model, SENTENCE, "negative").weight.to_numpy()
    assert found / abs(tried).max() == pytest.approx(tried / abs(tried).max(), abs=0.02)
    assert all(p.grad is None for p in model.parameters())


def test_gradient_of_odd_sentences(student):
    assert gradient_x_input(student, "very " * 300 + "bad").weight.iloc[-1] == 0  # beyond the longest input
    assert gradient_x_input(student, f"  {SENTENCE}  \n").word.tolist() == SENTENCE.split()


def test_gradient_leaves_the_mode(student):
    student.train()
    gradient_x_input(student, SENTENCE)
    was_training = student.training
    student.eval()
    assert was_training


# ---- perturbed sentences

HEAD = "original\tsentence\tlabel\tchange\n"


@pytest.mark.parametrize("content, text", [
    (f"{HEAD}a\tb\tc\td\n", "line 2: no line"), (f"{HEAD}a\tb\tc\n", "line 2: four texts"),
    (f"{HEAD}a\ta\tc\tnone\na\ta\tc\tnone\n", "line 3: 'a' has a line"),
    ("sentence\tlabel\na\tb\n", "line 1: the columns")])
def test_files_of_perturbations(tmp_path, content, text):
    (tmp_path/"bad.tsv").write_text(content)
    refused(text, read_perturbations, tmp_path/"bad.tsv")


def test_sets_and_labels_that_do_not_fit(student):
    refused("choose acceptability", read_perturbations, "humour")
    refused("label of 'x'", perturbed, {"x": student}, read_perturbations("acceptability"))


@pytest.mark.parametrize("name, labels", [
    ("acceptability", {"acceptable", "unacceptable"}), ("sentiment", {"positive", "negative"})])
def test_sets_of_the_package(name, labels):
    table = read_perturbations(name)
    first = table.sentence == table.original
    assert table.original.nunique() == first.sum() == 12 and len(table) == 60
    assert set(table.label) == labels and table.groupby("original").label.nunique().min() == 2
    assert (table.change == "none").equals(first) and not table.sentence.duplicated().any()


def test_scored_perturbations(student):
    scored = perturbed({"x": student}, read_perturbations("sentiment"))
    said = student.predict(scored.sentence.tolist())
    hit = said.pred == scored.label
    assert scored["x right"].tolist() == hit.tolist()
    assert np.allclose(scored.x[hit], said.confidence[hit], atol=1e-5)
    assert by_change(scored).sentences.sum() == len(scored)
    every = scored.groupby("original")["x right"].all()
    assert consistency(scored).x == pytest.approx(100 * every.mean())


# ---- questions to a run, and its table

@pytest.fixture(scope="module")
def invented():
    "A teacher and two students on sixty sentences."
    rng, gold = np.random.default_rng(0), np.array([1, 0, 2] * 20)
    z = {"teacher": 2.5 * np.eye(3)[gold] + rng.normal(size=(60, 3))}
    for name, noise in (("bilstm", 1.0), ("bilstm-hard", 2.0)):
        z[name] = z["teacher"] + noise * rng.normal(size=(60, 3))
    return {name: predictions([f"hello {i}" for i in range(60)], x, NAMES, gold) for name, x in z.items()}


def test_questions(invented):
    asked = questions(invented, "teacher", ["bilstm", "bilstm-hard"], ["bilstm"])
    rows = {f.text: list(f.rows) for f in asked}
    right = {name: hits(t) for name, t in invented.items()}
    wrong = invented["bilstm"][~right["bilstm"]].sort_values("confidence")
    assert rows["bilstm's mistakes, surest first"] == wrong.index[::-1].tolist()
    assert rows["bilstm's mistakes, least sure first"] == wrong.index.tolist()
    one = np.flatnonzero(right["bilstm"] & ~right["bilstm-hard"])
    assert sorted(rows["right by bilstm alone of the students"]) == one.tolist()
    lost = np.flatnonzero(right["teacher"] & ~right["bilstm"])
    assert sorted(rows["right by teacher, wrong by bilstm"]) == lost.tolist()


def test_questions_to_a_single_student(invented):
    texts = [f.text for f in questions(invented, "teacher", ["bilstm"], ["bilstm"])]
    assert not any("alone of the students" in text for text in texts)


def test_first_of_each():
    def answers(*rows): return [Filter("", "", r, "") for r in rows]
    assert first_of_each(answers([4, 2, 7], [2], [9, 4])) == [4, 2, 9, 7]
    assert first_of_each(answers([4, 2, 7], [9]), 2) == [4, 9]
    assert first_of_each([]) == []


def test_tables_that_cannot_be_shown(invented):
    refused("'label'", explorer, {"label": invented["teacher"]})
    refused("'other' of 3", explorer, {**invented, "other": invented["teacher"].iloc[:3]})
