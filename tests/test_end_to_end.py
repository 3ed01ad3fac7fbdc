"""Promise: from labelled sentences to a student that answers, with one command; on real data where it is at hand."""
import csv, io, json

import pytest

FAST = ["--teacher", "minilm", "--teacher-epochs", "1", "--epochs", "2", "--student", "bilstm", "--width", "1/16"]
ROWS = [("the soup was cold", "bad"), ("a lovely evening", "good")] * 30


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_own_file(ending, request, tmp_path):
    import pandas as pd
    kd_nb = request.getfixturevalue("kd_nb" if ending == "csv" else "here")  # in a process of its own once
    df = pd.DataFrame([(f"{s} {i}", l) for i, (s, l) in enumerate(ROWS)], columns=["body", "team"])
    path = tmp_path/f"tickets.{ending}"
    {"csv": lambda: df.to_csv(path, index=False), "tsv": lambda: df.to_csv(path, index=False, sep="\t"),
     "jsonl": lambda: df.to_json(path, orient="records", lines=True), "parquet": lambda: df.to_parquet(path)}[ending]()
    r = kd_nb("run", "--data", path.name, "--text", "body", "--label", "team", *FAST)
    assert r.returncode == 0, r.stderr
    for word in ("teacher", "bilstm", "bilstm-hard", "95 %", "batch 256", "of teacher", "Look into runs/tickets"):
        assert word in r.stdout
    assert "\r" not in r.stdout + r.stderr  # no bars where the output is no terminal
    run = tmp_path/"runs/tickets"
    assert {m["model"] for m in json.loads((run / "metrics.json").read_text())["models"]} == {
        "teacher", "bilstm", "bilstm-hard"}
    assert not [p for p in run.rglob("*") if p.suffix in (".pkl", ".pt", ".pth", ".bin")]

    said = kd_nb("predict", "runs/tickets", stdin='the "soup", again\na lovely evening\n')
    rows = list(csv.DictReader(io.StringIO(said.stdout)))
    assert [r["sentence"] for r in rows] == ['the "soup", again', "a lovely evening"] and {
        r["pred"] for r in rows} <= {"good", "bad"}
    assert kd_nb("predict", "runs/tickets", path.name, "--text", "body", "--out", "out.jsonl").returncode == 0
    assert len((tmp_path/"out.jsonl").read_text().splitlines()) == 60
    for word in ("seed", "students/bilstm", "there", "of teacher"): assert word in kd_nb("info", "runs/tickets").stdout


def test_help_teaches(here):
    for command in ("run", "predict", "export", "speed", "info", "tasks"):
        assert "Example" in here(command, "--help").stdout


@pytest.mark.parametrize("task, sizes", [("cola", (8551, 1043)), ("sst2", (67349, 872)), ("sara", (2853, 970))])
def test_real_tasks_load(task, sizes, real_data):
    from kd_nb.data import load_task
    t = load_task(task)
    assert (t.splits["train"].num_rows, t.splits["dev"].num_rows) == sizes
    assert len(t.labels) == (57 if task == "sara" else 2)


@pytest.mark.parametrize("model, published", [("BERT", 45.0), ("LSTM", 44.2)])
def test_published_predictions_score_as_published(model, published, real_data):
    "Our metric on the published CoLA predictions of the thesis's students gives the published scores."
    import pandas as pd
    from kd_nb.metrics import score
    df = pd.read_csv(real_data/f"thesis-predictions/CoLA-{model}.tsv", sep="\t", quoting=csv.QUOTE_NONE)
    assert round(100 * score("mcc", df.label.to_numpy(), df.pred.to_numpy()), 1) == published


def test_sara_in_small(here, real_data):
    r = here("run", "--task", "sara", "--max-train", "600", *FAST)
    assert r.returncode == 0, r.stderr
    assert "57 labels, micro F1" in r.stdout
    e = here("errors", "runs/sara")
    assert e.returncode == 0 and "Right by the teacher alone" in e.stdout, e.stderr
    for argument, word in (
        ("--split=test", "split 'test'"), ("--split=select", "Known: dev, test"),
        ("--threshold=90", "--threshold")):
        e = here("errors", "runs/sara", argument)
        assert e.returncode == 2 and word in e.stderr and "Traceback" not in e.stderr
