"""Promise: a mistake of the user's is one line that names file and row or option, before any training starts."""
import pytest

good = "sentence,label\n" + "".join(f"it was good {i},pos\nit was bad {i},neg\n" for i in range(10))

FILES = {  # name -> content of a file, and what the message must say
    "missing column": ("body,label\nfine,pos\n", ["t.csv", "no column 'sentence'", "body, label", "--text"]),
    "empty file": ("", ["t.csv", "the file is empty"]),
    "header only": ("sentence,label\n", ["t.csv", "holds no rows"]),
    "empty sentence": (good + " ,pos\n", ["t.csv, row 21", "the sentence is empty"]),
    "missing label": (good + "fine,\n", ["t.csv, row 21", "the label is missing"]),
    "single class": ("sentence,label\nfine,pos\ngood,pos\n", ["t.csv", "all 2 rows have the label 'pos'"]),
    "ragged row": (good + "a,b,c\n", ["t.csv", "line 22"]),
}


def one_line(result, *words):
    "The process ended with 2 and one line on standard error that holds all words; nothing was trained."
    assert result.returncode == 2, result.stdout + result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("kd-nb: "), result.stderr
    for word in words: assert word in lines[0]
    assert "epoch" not in result.stdout


def test_a_process_ends_like_that(kd_nb, tmp_path):
    "The other tests call the command within their own process."
    (tmp_path/"t.csv").write_text(FILES["single class"][0])
    one_line(kd_nb("run", "--data", "t.csv"), *FILES["single class"][1])


@pytest.mark.parametrize("case", FILES)
def test_bad_table(case, here, tmp_path):
    content, words = FILES[case]
    (tmp_path/"t.csv").write_text(content)
    one_line(here("run", "--data", "t.csv"), *words)
    assert not (tmp_path/"runs").exists()


def test_wrong_encoding(here, tmp_path):
    (tmp_path/"t.csv").write_bytes((good + "café,pos\n").encode("latin-1"))
    one_line(here("run", "--data", "t.csv"), "t.csv, near row 21", "UTF-8")


def test_sentence_that_is_a_number(here, tmp_path):
    (tmp_path/"t.jsonl").write_text('{"sentence": "fine", "label": "pos"}\n{"sentence": 7, "label": "neg"}\n')
    one_line(here("run", "--data", "t.jsonl"), "t.jsonl, row 2", "not a text")


def test_label_that_only_dev_has(here, tmp_path):
    (tmp_path/"t.csv").write_text(good)
    (tmp_path/"d.csv").write_text("sentence,label\nfine,pos\nso so,meh\n")
    one_line(
        here("run", "--data", "t.csv", "--dev", "d.csv"), "d.csv, row 2", "'meh'",
        "does not occur in the training rows")


@pytest.mark.parametrize(
    "args, words",
    [
        (["--task", "mini-intent"], ["unknown task 'mini-intent'", "did you mean 'mini-intents'?"]),
        (["--data", "nowhere.csv"], ["no such file: nowhere.csv"]),
        (["--task", "mini-intents", "--dev", "t.csv"], ["--dev goes with --data"]),
        (["--task", "mini-intents", "--test", "t.csv"], ["--test goes with --data"]),
        (["--task", "mini-intents", "--label", "team"], ["--label goes with --data"]),
        (["--task", "mini-intents", "--text", "body"], ["--text goes with --data or --unlabelled"]),
        *((["--task", "mini-intents", option, value], [f"{option} must be a finite number"])
          for option in ("--lr", "--alpha", "--noise", "--dropout", "--teacher-lr", "--warmup-ratio")
          for value in ("nan", "inf", "-inf")),
        (["--task", "mini-intents", "--data", "t.csv"], ["--task", "--data"]),
        (["--task", "mini-intents", "--loss", "sof"], ["unknown loss 'sof'", "did you mean 'soft'?"]),
        (["--task", "mini-intents", "--mode", "statik"], ["did you mean 'static'?"]),
        (["--task", "mini-intents", "--metric", "f1"], ["unknown metric 'f1'"]),
        (["--task", "mini-intents", "--temperature", "0"], ["--temperature must be above 0"]),
        (["--task", "mini-intents", "--alpha", "2"], ["--alpha must be at least 0 and at most 1"]),
        (["--task", "mini-intents", "--epochs", "0"], ["--epochs must be above 0"]),
        (["--task", "mini-intents", "--max-train", "3"], ["--max-train 3"]),
        (["--task", "mini-intents", "--seed", "-1"], ["--seed must be a whole number"]),
        (["--task", "mini-intents", "--augment", "rule"], ["unknown augmentation 'rule'", "did you mean 'rules'?"]),
        (["--task", "mini-intents", "--n-augment", "50"], ["--n-augment goes with --augment"]),
        (["--task", "mini-intents", "--augment", "rules", "--lm", "smollm2"], ["--lm goes with --augment lm"]),
        (["--task", "mini-intents", "--augment", "lm", "--lm", "no/such-model"],
         ["language model 'no/such-model' cannot be loaded", "smollm2"]),
        (["--task", "mini-intents", "--augment", "lm", "--lm-top-p", "2"], ["--lm-top-p", "at most 1"]),
        (["--task", "mini-intents", "--augment", "lm", "--min-logp", "1"], ["--min-logp", "below 0"]),
        (["--task", "mini-intents", "--teacher", "minilm", "--augment", "mlm"],
         ["--augment mlm needs a teacher", "has none", "rules"]),
        (["--task", "mini-intents", "--unlabelled", "nowhere.txt"], ["no such file: nowhere.txt"]),
        (["--task", "mini-intents", "--teacher", "no-such-folder"], ["teacher 'no-such-folder'", "minilm"]),
        (["--task", "cola"], ["KD_NB_DATA"])])
def test_bad_option(args, words, here):
    one_line(here("run", *args, KD_NB_DATA=""), *words)


def test_folder_that_cannot_be_written(here, tmp_path):
    (tmp_path/"file").write_text("")
    one_line(
        here("run", "--task", "mini-sentiment", "--runs-dir", "file/runs"), "cannot write into folder",
        "--runs-dir")


def test_data_folder_without_the_task(here, tmp_path):
    one_line(here("run", "--task", "cola", KD_NB_DATA=str(tmp_path)), "CoLA", "KD_NB_DATA")


def test_a_failed_start_does_not_block_the_name(here, tmp_path):
    one_line(here("run", "--task", "mini-sentiment", "--teacher", "tpyo", "--name", "x"), "teacher 'tpyo'")
    one_line(
        here("augment", "--task", "mini-sentiment", "--augment", "lm", "--lm", "tpyo", "--name", "x"),
        "language model 'tpyo'")
    one_line(
        here("run", "--task", "mini-sentiment", "--unlabelled", "nowhere.txt", "--name", "x"),
        "no such file: nowhere.txt")  # nothing of those names stays
    r = here(
        "run", "--task", "mini-sentiment", "--teacher", "minilm", "--teacher-epochs", "1", "--epochs", "1",
        "--max-train", "40", "--name", "x")
    assert r.returncode == 0, r.stderr
    one_line(here("predict", "runs/x/teacher", stdin="fine"), "holds no student of this version")
    (tmp_path/"same.csv").write_text("sentence\nfine\n")
    for name in ("same.csv", str(tmp_path/"same.csv"), "../" + tmp_path.name + "/same.csv"):
        one_line(here("predict", "runs/x", "same.csv", "--out", name), "is the file that is read")
    one_line(here("errors", "runs/x", "--threshold", "nan"), "--threshold must be a finite number")
    (tmp_path/"out.csv").mkdir()
    one_line(here("predict", "runs/x", "--out", "out.csv", stdin="fine"), "--out out.csv")


def test_nothing_to_predict(here, tmp_path):
    one_line(here("predict", tmp_path), "no student in")
    one_line(here("info", tmp_path), "no run in")


def test_a_run_that_broke(here, tmp_path):
    """Files of a run that were cut off are named, with what makes them again; what a killed command left out
    is said; two dev rows are enough."""
    rows = "sentence,label\n" + "".join(f"a fine evening {i},good\na dull evening {i},bad\n" for i in range(20))
    (tmp_path/"t.csv").write_text(rows)
    (tmp_path/"d.csv").write_text("sentence,label\na fine film,good\na dull film,bad\n")
    r = here(
        "run", "--data", "t.csv", "--dev", "d.csv", "--name", "x", "--teacher", "minilm", "--teacher-epochs",
        "1", "--epochs", "1", "--student", "bilstm", "--width", "1/16")
    assert r.returncode == 0, r.stderr
    all_missing = "kd-nb errors runs/x adds: Classes, Mistakes and confidence, Words behind the answers"
    assert all_missing in here("report", "runs/x").stdout
    r = here("errors", "runs/x")
    assert r.returncode == 0 and "Traceback" not in r.stderr, r.stderr
    assert "kd-nb errors" not in here("report", "runs/x").stdout

    run = tmp_path/"runs/x"
    def broken(path, words):
        content = path.read_bytes()
        path.write_bytes(content[:len(content) // 2])
        one_line(here("report", "runs/x"), path.name, *words)
        path.write_bytes(content)
    broken(run/"predictions/bilstm-dev.parquet", ["delete it", "metrics.json"])
    broken(run/"errors/dev-why.json", ["is damaged", "kd-nb errors runs/x --split dev"])
    broken(run/"metrics.json", ["is damaged", "kd-nb run"])
    (run/"errors/dev-why.json").unlink()  # a kill in the long part of `kd-nb errors`
    assert "kd-nb errors runs/x adds: Words behind the answers" in here("report", "runs/x").stdout
    (run/"errors/dev-differences.csv").unlink()
    r = here("report", "runs/x")
    assert r.returncode == 0, r.stderr + r.stdout
    missing = "kd-nb errors runs/x adds: Mistakes and confidence, Words behind the answers"
    assert missing in r.stdout, r.stderr + r.stdout
