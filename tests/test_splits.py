"Parts that are cut share no text, and what given parts share is said."
import json
from unicodedata import normalize

import numpy as np, pandas as pd, pytest

from kd_nb.data import make_task
from kd_nb.run import load_data
from kd_nb.settings import Settings
from kd_nb.splits import contained, data_notes, load_file, same_key, seen_rows, stratified_sample, stratified_split
from kd_nb.splits import text_groups, two_labels
from test_run_folders import FAST


def task_of(train, dev=None, **more):
    frames = dict(train=train, dev=train[:2] if dev is None else dev, **more)
    return make_task("toy", "accuracy", frames, {split: f"{split}.csv" for split in frames})


def rows_of(sentences, labels): return pd.DataFrame(dict(sentence=sentences, label=labels))


def repeated(n=40, copies=3):
    "Texts of two classes, each there three times, spelt differently."
    spell = (str, str.upper, lambda s: s.replace(" ", "  "))
    texts = [f"text number {i} of class {i % 2}" for i in range(n)]
    return rows_of([spell[c](t) for c in range(copies) for t in texts], [f"c{i % 2}" for i in range(n)] * copies)


def keys(ds): return {same_key(s) for s in ds["sentence"]}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.1, 0.15, 0.5])
def test_the_same_text_is_on_one_side(seed, share):
    first, second = stratified_split(task_of(repeated()).splits["train"], share, seed)
    assert not keys(first) & keys(second)
    assert len(first) + len(second) == 120
    assert len(second) == pytest.approx(share * 120, abs=6)
    assert abs(np.mean(second["label"]) - 0.5) <= 0.1


def phrases(n=30):
    "Sentences of seven words and all their phrases, as SST-2 has them, and the words that sentences share."
    sentences = [f"film{i} is a truly odd little{i} story{i}" for i in range(n)]
    words = [s.split() for s in sentences]
    parts = {" ".join(w[a:b]) for w in words for a in range(7) for b in range(a + 1, 8)}
    return rows_of(sorted(parts), ["good" if len(p) % 2 else "bad" for p in sorted(parts)])


@pytest.mark.parametrize("seed", range(3))
def test_a_phrase_stays_with_its_sentence(seed):
    train, select = stratified_split(task_of(phrases()).splits["train"], 0.2, seed)
    assert len(select)
    texts = [f" {s} " for s in train["sentence"]]
    assert not [s for s in select["sentence"] if any(f" {s} " in t for t in texts)]
    within = [s for s in train["sentence"] if any(f" {s} " in f" {t} " for t in select["sentence"])]
    assert not any(c.isdigit() for s in within for c in s)  # none that a single sentence has


def test_short_texts_that_stand_in_others_by_chance_are_free():
    sentences = ["yes", "no", "thanks"] + [f"yes i want number {i} now" for i in range(30)]
    assert (text_groups(sentences) >= 0).all() and len(set(text_groups(sentences))) == 33


def test_long_texts_are_compared_in_time():
    rng = np.random.default_rng(0)
    texts = [" ".join(map(str, rng.integers(0, 5000, 300))) for _ in range(1500)]
    texts.append(" ".join(texts[7].split()[40:50]))
    assert contained(texts).tolist() == [[1500, 7]]


def test_a_class_with_one_text_stays_in_training_and_is_named():
    single = rows_of(["alone", "Alone", "single"], ["lonely", "lonely", "one"])
    rows = pd.concat([repeated(), single], ignore_index=True)
    for seed in range(5):
        first, second = stratified_split(task_of(rows).splits["train"], 0.3, seed)
        assert {"alone", "Alone", "single"} <= set(first["sentence"])
    task = task_of(rows)
    task.splits["train"], task.splits["select"] = first, second
    assert data_notes(task)[:2] == [
        "labels with one training row only, is each of them meant? 1: one",
        "the selection part has no rows of some labels; 2: lonely, one"]


@pytest.mark.parametrize("seed", range(20))
def test_texts_of_two_labels_take_no_class_away(seed):
    texts, labels = "t1 t1 t2 t2 t5 t5 t6 t6".split(), list("zbzcbece")
    rows = rows_of(texts + [f"other {i}" for i in range(20)], labels + ["e"] * 20)
    first, _ = stratified_split(task_of(rows).splits["train"], 0.15, seed)
    assert set(first["label"]) == {0, 1, 2, 3}


@pytest.mark.parametrize("seed", range(5))
def test_forms_of_unicode_are_one_text(seed):
    texts = [f"un café numéro {i}" for i in range(20)]
    rows = rows_of(texts + [normalize("NFD", t) for t in texts] + [f"\u200b{t}" for t in texts], ["a", "b"] * 30)
    first, second = stratified_split(task_of(rows).splits["train"], 0.3, seed)
    assert len(second) and not keys(first) & keys(second)
    assert not {normalize("NFC", s).strip("\u200b") for s in first["sentence"]} & {
        normalize("NFC", s).strip("\u200b") for s in second["sentence"]}


@pytest.mark.parametrize("seed", range(5))
def test_groups_do_not_depend_on_the_order_of_spellings(seed):
    rows = ["x a b c y", "a b c", "ab c", "now sign up", "now signup", "now"] + [f"filler {i}" for i in range(20)]
    order = np.random.default_rng(seed).permutation(len(rows))
    moved = dict(zip((rows[i] for i in order), text_groups([rows[i] for i in order])))
    assert moved["x a b c y"] == moved["a b c"] == moved["ab c"]
    assert moved["now sign up"] == moved["now signup"]


def test_dev_rows_that_are_all_in_training():
    train = rows_of(["one", "two", "three", "four"], ["a", "b", "a", "b"])
    assert data_notes(task_of(train, train))[-1].endswith(": their score says nothing of new sentences")


def test_no_class_leaves_training():
    "Even where all rows of a class carry other labels, too."
    rows = rows_of(["x", "x", "y", "y", "z", "w", "v", "u"], ["a", "b", "a", "c", "b", "c", "a", "c"])
    for seed in range(20):
        first, _ = stratified_split(task_of(rows).splits["train"], 0.4, seed)
        assert set(first["label"]) == {0, 1, 2}


def test_a_dev_part_that_is_cut_shares_nothing(tmp_path):
    repeated().to_csv(tmp_path/"mine.csv", index=False)
    task = load_file(tmp_path/"mine.csv")
    assert not seen_rows(task, "dev").any() and not data_notes(task)
    task = load_data(Settings(data=str(tmp_path/"mine.csv"), max_train=60))
    assert not keys(task.splits["train"]) & keys(task.splits["select"])
    assert len(task.splits["train"]) + len(task.splits["select"]) == pytest.approx(60, abs=6)


def test_a_sample_has_every_class():
    sample = stratified_sample(task_of(rows_of(list("abcdefgh"), list("11111112"))).splits["train"], 0.3)
    assert sorted(sample["label"]) == [0, 0, 1]


def test_what_given_parts_share_is_said():
    train = rows_of(["one a", "two b", "three c", "ONE A"], ["p", "n", "p", "n"])
    dev, test = rows_of(["one  a", "four"], ["p", "n"]), rows_of(["five", "Two b", "three c"], ["p", "n", "n"])
    task = task_of(train, dev, test=test)
    assert seen_rows(task, "dev").tolist() == [True, False] and seen_rows(task, "test").tolist() == [False, True, True]
    assert two_labels(task).sentence.tolist() == ["one a", "three c"]
    notes = data_notes(task)
    assert notes[0].startswith("1 of 2 dev rows") and notes[1].startswith("2 of 3 test rows")
    assert "2 texts carry more than one label, e.g. 'one a': p, n" in notes[2]


def test_a_run_scores_unseen_rows_beside_all(here, tmp_path):
    rows = repeated(60, copies=1)
    rows.to_csv(tmp_path/"train.csv", index=False)
    new = rows_of(["something new", "something else"], ["c0", "c1"])
    pd.concat([rows[:10], new]).to_csv(tmp_path/"dev.csv", index=False)
    new.to_csv(tmp_path/"test.csv", index=False)
    args = ["run", "--data", "train.csv", "--dev", "dev.csv", "--test", "test.csv", *FAST, "--name", "x"]
    r = here(*args, cwd=tmp_path)
    assert r.returncode == 0, r.stderr
    assert "note: 10 of 12 dev rows stand in the training rows too" in r.stdout and "test rows" not in r.stdout
    models = json.loads((tmp_path/"runs/x/metrics.json").read_text())["models"]
    assert [(m["n_dev"], m["n_dev_unseen"], m["n_test_unseen"]) for m in models] == [(12, 2, 2)] * len(models)
    table = pd.read_parquet(tmp_path/"runs/x/predictions/teacher-dev.parquet")
    assert models[0]["dev_unseen"] == (table.label == table.pred)[10:].mean()
    assert models[0]["test_unseen"] == models[0]["test"]
    assert "dev, rows unseen" in r.stdout and "test, rows unseen" not in r.stdout
    assert "dev, rows unseen" in (tmp_path/"runs/x/report.html").read_text()
