"Promise: a labelled file is read as it was meant, whoever wrote it, or refused with the row that looks wrong."
import csv, json

import numpy as np, pandas as pd, pytest
from hypothesis import assume, given, settings, strategies as st

from kd_nb.core import KdError
from kd_nb.data import check_rows
from kd_nb.tables import in_order, label_text, read_table

calm = settings(max_examples=150, deadline=None, derandomize=True)
CHARACTERS = st.sampled_from("ab ,;|\t\n\"'é猫\u00a0\u200b")
TEXTS = st.text(CHARACTERS, min_size=1, max_size=12).filter(str.strip)
LABELS = st.sampled_from(["pos", "neg", "10", "so so", "naïve"])
TABLES = st.lists(st.tuples(TEXTS, LABELS), min_size=1, max_size=6)
QUOTES = st.text(st.sampled_from("ab \"',;"), min_size=1, max_size=8).filter(str.strip)
LINES = st.text(st.sampled_from("abc é猫'"), min_size=1, max_size=8).filter(str.strip)


def written(folder, name, content):
    with open(folder/name, "w", encoding="utf-8", newline="") as f: f.write(content)
    return folder/name


def looks_like_rows(rows, delimiter):
    "Does a sentence of several lines hold what parts columns? Its lines may then look like rows."
    return any("\n" in text and delimiter in text for text, _ in rows)


@calm
@given(TABLES, st.sampled_from(",;|\t"), st.sampled_from(["t.csv", "t.CSV", "t.tsv"]), st.booleans(), st.booleans())
def test_what_pandas_writes_is_read(tmp_path_factory, rows, delimiter, name, every, windows):
    assume(not looks_like_rows(rows, delimiter))
    df = pd.DataFrame(rows, columns=["sentence", "label"])
    how = dict(quoting=csv.QUOTE_ALL if every else csv.QUOTE_MINIMAL, lineterminator="\r\n" if windows else "\n")
    content = df.to_csv(sep=delimiter, index=False, **how)
    got = read_table(written(tmp_path_factory.getbasetemp(), name, content))
    assert got.values.tolist() == df.values.tolist()


@calm
@given(st.lists(st.tuples(QUOTES, LABELS), min_size=1))
def test_a_plain_tsv_keeps_its_quotes(tmp_path_factory, rows):
    assume(not any(text[0] == text[-1] == '"' and '""' in text[1:-1] for text, _ in rows))  # could be either kind
    content = "sentence\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)
    got = read_table(written(tmp_path_factory.getbasetemp(), "plain.tsv", content))
    assert got.values.tolist() == [list(row) for row in rows]


@calm
@given(st.lists(st.tuples(LINES, st.sampled_from(["pos", "neg"])), min_size=4, max_size=12), st.data(),
       st.sampled_from(['"', ",", '",', '"x', 'x"', "\n"]), st.integers(1, 3))
def test_stray_characters_swallow_no_row(tmp_path_factory, rows, data, stray, times):
    "One to three strays: what is read has a row for each line, or is refused with a line."
    rows = [("good", "pos"), ("bad", "neg"), *rows]  # each label stands on a line of its own
    content = "".join(f"{text},{label}\n" for text, label in rows)
    for _ in range(times):
        at = data.draw(st.integers(0, len(content) - 1))
        content = content[:at] + stray + content[at:]
    path = written(tmp_path_factory.getbasetemp(), "stray.csv", "sentence,label\ngood,pos\nbad,neg\n" + content)
    try: got = read_table(path)
    except KdError as e:
        assert "line" in str(e), e
        return
    lines = content.rstrip().count("\n") + 3
    assert len(got) == lines or '"' in stray and got.sentence.str.contains("\n").any() and len(got) == lines - 1


BAD = {  # name -> content, and what is said
    "three fields": ("good,pos\nI like it, really,pos\n", "row 2 (line 3): fields: 3, of the header: 2"),
    "one field": ("good,pos\nno label\n", "row 2 (line 3): fields: 1"),
    "open quote": ('good,pos\n"not closed,neg\nbad,neg\n', "line 3: a quote is open"),
    "closed in the middle": ('good,pos\n"so" she said,neg\n', "line 3: a quote is open there, or closed in the middle"),
    "two strays": ('good,pos\n"bad,neg\nfine,pos\nends",pos\nbad,neg\n', "row 2 (line 3): a quote opens there"),
    "strays on two lines": ('good,pos\nbad,neg\n"bad,neg\nends",pos\n', "row 3 (line 4): a quote opens there"),
    "strays around all": ('good,pos\n"a,neg\nb,pos\nc,neg\nd,pos\nz",neg\n', "row 2 (line 3)")}

@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("ending, delimiter", [("csv", ","), ("csv", ";"), ("CSV", "\t"), ("csv", "|")])
def test_rows_that_look_wrong_are_named(tmp_path, name, ending, delimiter):
    content, word = BAD[name]
    path = written(tmp_path, f"t.{ending}", ("sentence,label\n" + content).replace(",", delimiter))
    with pytest.raises(KdError) as e: read_table(path)
    assert str(path) in str(e.value) and word in str(e.value)


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\r\n\r\n", " \n", ",\n,\n"])
def test_blank_lines_at_the_end_are_no_rows(tmp_path, end):
    assert len(read_table(written(tmp_path, "t.csv", "sentence,label\ngood,pos\nbad,neg\n" + end))) == 2
    lines = '{"sentence": "good", "label": "pos"}\n{"sentence": "bad", "label": "neg"}\n' + end.replace(",", "")
    assert len(read_table(written(tmp_path, "t.jsonl", lines))) == 2


@pytest.mark.parametrize("header, ending, wanted", [
    ("body;team", ".csv", "body, team"), ("body\tteam", ".csv", "body, team"), ("a|b|c", ".tsv", "a, b, c")])
def test_columns_of_another_name_are_listed(tmp_path, header, ending, wanted):
    path = written(tmp_path, f"t{ending}", header + "\n" + header + "\n")
    with pytest.raises(KdError, match=f"no column 'sentence'; name one of {wanted} with --text"): read_table(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_lines_may_end_in_any_way(tmp_path, end, name):
    path = written(tmp_path, name, end.join(["sentence,label", "good,pos", "bad,neg", ""]))
    assert read_table(path).values.tolist() == [["good", "pos"], ["bad", "neg"]]


def test_two_columns_of_one_name(tmp_path):
    with pytest.raises(KdError, match="two columns are called 'label'"):
        read_table(written(tmp_path, "t.csv", "sentence,label,label\na,b,c\n"))


def test_other_columns_do_no_harm(tmp_path):
    path = written(tmp_path, "t.csv", 'id, label ,note,sentence\n1,pos,"a, b",good\n2,neg,,"bad\nfilm"\n')
    assert read_table(path).values.tolist() == [["good", "pos"], ["bad\nfilm", "neg"]]
    assert read_table(path, "sentence", "id").label.tolist() == ["1", "2"]


def test_the_study_s_files_keep_every_row(real_data):
    "As pandas reads them without any quoting."
    for path in sorted(p for task in ("CoLA", "SST-2", "Sara") for p in (real_data/task).glob("*.tsv")):
        plain = pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE, dtype=str, keep_default_na=False)
        assert read_table(path).values.tolist() == plain[["sentence", "label"]].values.tolist(), path


NAMES = st.one_of(st.text(max_size=6), st.booleans(), st.integers(-10**20, 10**20), st.floats(), st.none(),
                  st.lists(st.integers()), st.dictionaries(st.text(), st.integers()), st.binary())

@calm
@given(NAMES, st.sampled_from(["", " ", "\t", "\u00a0"]))
def test_a_label_is_a_name_without_spaces_or_refused(value, space):
    try: name = label_text(value)
    except ValueError:
        assert isinstance(value, (list, dict, bytes))
        return
    assert not isinstance(value, (list, dict, bytes))
    assert name is None or name == name.strip() != ""
    if isinstance(value, str): assert label_text(space + value + space) == name
    if isinstance(value, bool): assert json.loads(name) is value


@calm
@given(st.lists(st.sampled_from([True, False, 0, 1, 10, -2, "pos", "10"]), min_size=1, max_size=6))
def test_a_label_is_the_same_in_every_kind_of_file(tmp_path_factory, labels):
    folder = tmp_path_factory.getbasetemp()
    text = [json.dumps(label).strip('"') for label in labels]
    lines = "".join(json.dumps(dict(sentence="a", label=label)) + "\n" for label in labels)
    table = "sentence,label\n" + "".join(f"a,{label}\n" for label in text)
    for path in (written(folder, "l.jsonl", lines), written(folder, "l.csv", table)):
        assert check_rows(read_table(path), "t").label.tolist() == text
    for kind in (bool, int, str):
        if all(type(label) is kind for label in labels):
            pd.DataFrame(dict(sentence="a", label=labels)).to_parquet(folder/"l.parquet")
            assert check_rows(read_table(folder/"l.parquet"), "t").label.tolist() == text


@calm
@given(st.lists(st.integers(-50, 200), unique=True, min_size=1), st.randoms())
def test_numbers_keep_their_order(numbers, random):
    names = list(map(str, numbers))
    random.shuffle(names)
    assert in_order(names) == list(map(str, sorted(numbers)))


@pytest.mark.parametrize("value", [
    ["a"], {"x": 1}, ("a",), {1}, b"pos", np.array(["a"]), object(), pd.Timestamp("2020-01-01"), pd.Interval(0, 1)])
def test_what_is_no_name_is_refused_with_its_row(value):
    df = pd.DataFrame(dict(sentence=["a", "b", "c"], label=pd.Series(["pos", None, "neg"], dtype=object)))
    df.at[1, "label"] = value
    with pytest.raises(KdError, match="t.jsonl, row 2: the label is no text, number or truth value"):
        check_rows(df, "t.jsonl")


@pytest.mark.parametrize("line", ['{"sentence": "a\\ud800", "label": "pos"}', '{"sentence": "a", "label": "\\udfff"}'])
def test_half_characters_are_refused_in_used_columns_only(tmp_path, line):
    fine = '{"sentence": "a", "label": "pos", "other": "\\ud800"}\n'
    assert len(check_rows(read_table(written(tmp_path, "t.jsonl", fine)), "t")) == 1
    with pytest.raises(KdError, match="row 2: the (sentence|label) is not valid Unicode"):
        check_rows(read_table(written(tmp_path, "t.jsonl", fine + line)), "t")
