"""Promise: a probing task with a mistake is refused with file and line, and official files are fetched once,
or an error says what to do."""
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from kd_nb.core import KdError
from kd_nb.probing import load_suite
from kd_nb.suite import SPLITS, limit, official_file, read_task

LINES = [
    f"{split}\t{label}\t{label.lower()} sentence {i} ." for split, n in (("tr", 60), ("va", 12), ("te", 12))
    for i in range(n) for label in ("PAST", "PRES", "PRES")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "A folder with one task, and no other place to take tasks from."
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path/"cache"))
    monkeypatch.setenv("KD_NB_DATA", "")
    (tmp_path/"past_present.txt").write_text("\n".join(LINES) + "\n")
    return tmp_path


def refused(word, do, *args, **kwargs):
    with pytest.raises(KdError, match=word): do(*args, **kwargs)


@pytest.mark.parametrize("bad, word", [
    ("tr\tPAST", "2 columns"), ("dev\tPAST\tx", "not 'dev'"), ("te\tPAST\t ", "the sentence is empty"),
    ("te\tFUTURE\tx", "'FUTURE' occurs in no line of the part 'tr'"), ("te\tPAST\ta\tb", "4 columns")])
def test_a_bad_line(folder, bad, word):
    (folder/"bad.txt").write_text("\n".join([*LINES[:180], bad, *LINES[180:]]))
    refused("bad.txt, line 181", read_task, folder/"bad.txt")
    refused(word, read_task, folder/"bad.txt")


def test_a_bad_first_line_and_a_missing_part(folder):
    (folder/"bad.txt").write_text("\n".join(["tr\tPAST\ta\tb", *LINES]))
    refused("line 1: 4 columns", read_task, folder/"bad.txt")
    (folder/"bad.txt").write_text("\n".join(LINES[:180]))
    refused("part 'va'", read_task, folder/"bad.txt")


def test_a_rare_label_stays(folder):
    rows = [f"{s}\t{'AB'[i % 10 == 0]}\tsentence {i}" for s in SPLITS for i in range(40)]
    (folder/"rare.txt").write_text("\n".join(rows))
    assert set(limit(read_task(folder/"rare.txt"), (2, 9, 9)).query("split == 'tr'").label) == {"A", "B"}
    refused("--n-train", limit, read_task(folder/"past_present.txt"), (1, 1, 1))


def test_official_files_are_fetched_once(folder, capsys):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_): pass
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    fetched = official_file("Tense", base)
    assert "fetching" in capsys.readouterr().out
    assert read_task(fetched).equals(read_task(folder/"past_present.txt"))
    assert official_file("Tense") == fetched and not capsys.readouterr().out  # the second time it is there
    refused("tree_depth.txt cannot be fetched", official_file, "Depth", base)
    server.shutdown()


def test_official_files_in_the_data_folder(folder, monkeypatch):
    (folder/"data/probing").mkdir(parents=True)
    (folder/"data/probing/past_present.txt").write_text("\n".join(LINES))
    monkeypatch.setenv("KD_NB_DATA", str(folder/"data"))
    assert official_file("Tense") == folder/"data/probing/past_present.txt"
    few = limit(read_task(folder/"past_present.txt"), (9, 6, 3))
    assert load_suite("senteval", ["Tense"], (9, 6, 3))["Tense"].equals(few)


def test_a_folder_has_what_it_has(folder):
    assert load_suite(str(folder), sizes=(9, 6, 3)).keys() == {"Tense"}
    refused("tree_depth.txt", load_suite, str(folder), ["Tense", "Depth"], (9, 6, 3))


def test_other_sources(folder):
    (folder/"latin.txt").write_bytes("café".encode("latin-1"))
    refused("not UTF-8", load_suite, str(folder/"latin.txt"), pipeline="en")
    (folder/"bad.txt").write_text("a sentence")
    refused("--spacy", load_suite, str(folder/"bad.txt"))
    refused("name the folder", load_suite, str(folder/"past_present.txt"))
    refused("did you mean 'made'", load_suite, "mad")
    refused("no such file", load_suite, "x.conllu")
    refused("did you mean 'Length'", load_suite, "made", ["Lenght"])
    refused("--spacy goes with", load_suite, "made", pipeline="en")
