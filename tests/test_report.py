"""Promise: a run's report is one file that opens without a network, in a real browser: it sorts, searches and answers questions; a sentence stays a text."""
import os, shutil, subprocess

import pandas as pd, pytest

FAST = ["--teacher", "minilm", "--teacher-epochs", "4", "--epochs", "3", "--width", "1/8"]
NASTY = "<script>document.title = 'broken'</script><img src=x onerror=\"document.title='broken'\"> what a film"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    "A run on 300 sentences of the built-in sentiment task, with one that is not friendly, after `kd-nb errors`."
    from conftest import COMMAND
    from kd_nb.data import load_task
    tmp, task = tmp_path_factory.mktemp("report"), load_task("mini-sentiment")
    tables = {split: task.splits[split].to_pandas().assign(label=lambda d: d.label.map(lambda k: task.labels[k]))[["sentence", "label"]] for split in ("train", "dev")}
    tables["train"].sample(300, random_state=0).to_csv(tmp/"train.csv", index=False)
    pd.concat([tables["dev"].head(60), pd.DataFrame({"sentence": [NASTY], "label": ["positive"]})]).to_csv(tmp/"dev.csv", index=False)
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(tmp/"cache")}
    for args in (["run", "--data", "train.csv", "--dev", "dev.csv", "--name", "r", *FAST], ["errors", "runs/r"], ["report", "runs/r"]):
        r = subprocess.run([COMMAND, *args], text=True, capture_output=True, cwd=tmp, env=env, timeout=600)
        assert r.returncode == 0, r.stderr
    assert "kd-nb speed runs/r adds: Speed and size" in r.stdout and "kd-nb probe" in r.stdout
    return tmp/"runs/r"


@pytest.fixture
def opened(run, browser, tmp_path):
    "The report, alone in another folder, in the browser; its rows by a script, as lists of what is to be seen."
    from selenium.webdriver.support.ui import WebDriverWait
    shutil.copy(run/"report.html", tmp_path/"alone.html")
    browser.get(f"file://{tmp_path}/alone.html")
    WebDriverWait(browser, 60).until(lambda b: b.execute_script("return document.querySelectorAll('#predictions-dev tbody tr').length") == 10)
    return browser


def rows(browser): return browser.execute_script("return [...document.querySelectorAll('#predictions-dev tbody tr:not(:has(td.why))')].map(tr => [...tr.cells].map(td => td.textContent))")
def headings(browser): return browser.execute_script("return [...document.querySelectorAll('#predictions-dev thead th')].map(th => th.textContent)")
def search(browser, text): browser.execute_script("const box = document.querySelector('.dt-search input'); box.value = arguments[0]; box.dispatchEvent(new Event('input', {bubbles: true}))", text)


def ask(browser, start):
    from selenium.webdriver.support.ui import Select
    box = Select(browser.find_element("id", "predictions-dev-questions"))
    box.select_by_visible_text(next(o.text for o in box.options if o.text.startswith(start)))


def test_opens_without_errors_and_has_all_sections(opened):
    assert [e for e in opened.get_log("browser") if e["level"] == "SEVERE" and "net::ERR" not in e["message"]] == []
    assert opened.execute_script("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert opened.execute_script("return [...document.querySelectorAll('h2')].map(h => h.textContent)") == [
        "Results", "What was run", "Learning", "Agreement with the teacher", "Classes", "Mistakes and confidence", "Predictions"]


def test_sorts(opened, run):
    from selenium.webdriver.support.ui import WebDriverWait
    table = pd.read_parquet(run/"predictions/bilstm-dev.parquet")
    header = opened.find_elements("css selector", "#predictions-dev thead th")[headings(opened).index("bilstm: confidence")]
    for ascending in (True, False):
        header.click()
        WebDriverWait(opened, 10).until(lambda b: header.get_attribute("aria-sort") == ("ascending" if ascending else "descending"))
        assert [r[1] for r in rows(opened)] == table.sort_values("confidence", ascending=ascending, kind="stable").sentence.head(10).tolist()


@pytest.mark.parametrize("text", ["film", "7"])
def test_searches(opened, run, text):
    table = pd.read_parquet(run/"predictions/bilstm-dev.parquet")
    search(opened, text)
    found = rows(opened)
    assert all(text in " ".join(r).lower() for r in found)
    if text == "film": assert len(found) == min(10, table.sentence.str.contains(text, case=False).sum()) > 0


def test_answers_questions(opened, run):
    tables = {m: pd.read_parquet(run/f"predictions/{m}-dev.parquet") for m in ("teacher", "bilstm")}
    wrong = tables["bilstm"][tables["bilstm"].pred != tables["bilstm"].label]
    ask(opened, "bilstm's mistakes, surest first")
    assert [r[1] for r in rows(opened)] == wrong.sort_values("confidence", ascending=False, kind="stable").sentence.head(10).tolist()
    lost = tables["teacher"].sentence[(tables["teacher"].pred == tables["teacher"].label) & (tables["bilstm"].pred != tables["teacher"].label)]
    ask(opened, "right by teacher")
    assert len(lost) > 0 and {r[1] for r in rows(opened)} <= set(lost)
    assert f"of {len(lost)} entr" in opened.find_element("css selector", ".dt-info").text
    ask(opened, "all")
    assert "of 61 entr" in opened.find_element("css selector", ".dt-info").text


def test_says_why(opened):
    ask(opened, "bilstm's mistakes, surest first")
    row = opened.find_element("css selector", "#predictions-dev tr.openable")
    sentence = row.find_elements("tag name", "td")[1].text
    row.click()
    why = opened.find_element("css selector", "#predictions-dev td.why")
    assert why.text.count(":") >= 2 and "teacher" in why.text and len(why.find_elements("css selector", ".saliency")) == 2
    assert why.find_element("css selector", ".saliency").text.split() == sentence.split()
    row.click()
    assert not opened.find_elements("css selector", "#predictions-dev td.why")


def test_a_sentence_stays_a_text(opened):
    search(opened, "document.title")
    assert [r[1] for r in rows(opened)] == [NASTY]
    ask(opened, "all")
    for row in opened.find_elements("css selector", "#predictions-dev tr.openable"): row.click()
    assert opened.title == "r" and not opened.find_elements("css selector", "img[src=x]")


def test_reads_on_a_phone_and_prints(opened):
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", dict(width=390, height=844, deviceScaleFactor=1, mobile=True))
    try: assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
    finally: opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert len(opened.print_page()) > 50_000  # a PDF, in base64
