"""Promise: a run's report is one file that opens without a network, in a real browser: it sorts, searches and
answers questions; a sentence stays a text."""
import os, re, shutil, subprocess

import pandas as pd, pytest

FAST = ["--teacher", "minilm", "--teacher-epochs", "4", "--epochs", "3", "--student", "bilstm", "--width", "1/8"]
LANDSCAPE, PORTRAIT = 1046, 718  # CSS pixels across A4 between margins of 10 mm
NASTY = "<script>document.title = 'broken'</script><img src=x onerror=\"document.title='broken'\"> what a film"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    "A run on 300 sentences of the built-in sentiment task, with one that is not friendly, after `kd-nb errors`."
    from conftest import COMMAND
    from kd_nb.data import load_task
    tmp, task = tmp_path_factory.mktemp("report"), load_task("mini-sentiment")
    tables = {}
    for split in ("train", "dev"):
        table = task.splits[split].to_pandas()
        tables[split] = table.assign(label=table.label.map(lambda k: task.labels[k]))[["sentence", "label"]]
    tables["train"].sample(300, random_state=0).to_csv(tmp/"train.csv", index=False)
    nasty = pd.DataFrame({"sentence": [NASTY], "label": ["positive"]})
    pd.concat([tables["dev"].head(60), nasty]).to_csv(tmp/"dev.csv", index=False)
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(tmp/"cache")}
    for args in (
        ["run", "--data", "train.csv", "--dev", "dev.csv", "--name", "r", *FAST], ["errors", "runs/r"],
        ["report", "runs/r"]):
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
    WebDriverWait(browser, 60).until(
        lambda b: b.execute_script("return document.querySelectorAll('#predictions-dev tbody tr').length") == 10)
    return browser


@pytest.fixture
def screen(opened):
    "Sets the width of the report's screen, in CSS pixels, and its medium; everything is as before at the end."
    def set(width, medium="screen"):
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", dict(media=medium))
        opened.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            dict(width=width, height=844, deviceScaleFactor=1, mobile=width < 500))
    yield set
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", dict(media=""))
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def predictions(run):
    models = ("teacher", "bilstm", "bilstm-hard")
    return {m: pd.read_parquet(run/f"predictions/{m}-dev.parquet") for m in models}


def rows(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('#predictions-dev tbody tr:not(:has(td.why, td.dt-empty))')]"
        ".map(tr => [...tr.cells].map(td => td.textContent))")


def count(browser):
    said = browser.find_element("css selector", ".dt-info").text
    return int(re.search(r"of ([\d,]+) entr", said)[1])


def headings(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('#predictions-dev thead th')].map(th => th.textContent)")


def search(browser, text):
    browser.execute_script(
        "const box = document.querySelector('.dt-search input'); box.value = arguments[0]; "
        "box.dispatchEvent(new Event('input', {bubbles: true}))",
        text)


def ask(browser, start):
    from selenium.webdriver.support.ui import Select
    box = Select(browser.find_element("id", "predictions-dev-questions"))
    box.select_by_visible_text(next(o.text for o in box.options if o.text.startswith(start)))


def page_length(browser, n):
    from selenium.webdriver.support.ui import Select
    Select(browser.find_element("css selector", ".dt-length select")).select_by_visible_text(str(n))


def open_all(browser):
    browser.execute_script("document.querySelectorAll('#predictions-dev tr.openable').forEach(tr => tr.click())")


def test_opens_without_errors_and_has_all_sections(opened):
    assert [e for e in opened.get_log("browser") if e["level"] == "SEVERE"] == []
    assert opened.execute_script("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
    titles = opened.execute_script("return [...document.querySelectorAll('h2')].map(h => h.textContent)")
    assert titles == [
        "Results", "What was run", "Learning", "Agreement with the teacher", "Classes",
        "Mistakes and confidence", "Predictions"]


def test_fetches_nothing(opened, run):
    "No file beside it, no address in it, and the browser has asked for nothing but what the page holds."
    asked = opened.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [a for a in asked if not a.startswith(("blob:", "data:"))] == []
    parts = opened.execute_script(
        "return [...document.querySelectorAll('[src],link[href],object[data],use[href]')]"
        ".map(e => e.getAttribute('src') || e.getAttribute('href') || e.getAttribute('data'))")
    assert parts and [p for p in parts if not p.startswith("data:")] == []
    styles = "".join(re.findall("<style>(.*?)</style>", (run/"report.html").read_text(), re.S))
    assert not re.findall(r"""@import|url\(\s*["']?(?:https?:)?//""", styles)


def test_every_figure_has_a_caption(opened):
    captions = opened.execute_script(
        "return [...document.images].map(i => i.closest('figure').querySelector('figcaption')?.textContent)")
    assert all(captions) and len(set(captions)) == len(captions)
    errors = opened.execute_script(
        "return [...document.querySelectorAll('#section-mistakes-and-confidence figcaption')].map(c => c.textContent)")
    assert len(errors) > 8 and all("on dev" in c for c in errors)


def test_sorts(opened, run):
    from selenium.webdriver.support.ui import WebDriverWait
    table = pd.read_parquet(run/"predictions/bilstm-dev.parquet")
    at = headings(opened).index("bilstm: confidence")
    header = opened.find_elements("css selector", "#predictions-dev thead th")[at]
    for ascending in (True, False):
        header.click()
        order = "ascending" if ascending else "descending"
        WebDriverWait(opened, 10).until(lambda b: header.get_attribute("aria-sort") == order)
        expected = table.sort_values("confidence", ascending=ascending, kind="stable").sentence.head(10)
        assert [r[1] for r in rows(opened)] == expected.tolist()


@pytest.mark.parametrize("text", ["film", "7", "no such words"])
def test_searches(opened, run, text):
    "In all that can be read in a row: sentence, label, predictions, confidences with three decimals."
    tables = predictions(run)
    seen = tables["teacher"].sentence + " " + tables["teacher"].label
    for t in tables.values(): seen += " " + t.pred + t.confidence.map(" {:.3f}".format)
    expected = seen.str.contains(text, case=False)
    search(opened, text)
    page_length(opened, 100)
    assert [r[1] for r in rows(opened)] == tables["teacher"].sentence[expected].tolist()
    assert count(opened) == expected.sum()
    assert expected.any() == (text != "no such words")


def answers(run):
    "Question -> sentences in order, worked out with pandas alone; surest first unless the question says otherwise."
    tables, students = predictions(run), ["bilstm", "bilstm-hard"]
    right = pd.DataFrame({m: t.pred == t.label for m, t in tables.items()})
    confidence = pd.DataFrame({m: t.confidence for m, t in tables.items()})
    sure = confidence >= 0.9
    found = {}
    for m in tables:
        for kind, chosen in (("mistakes", ~right[m]), ("hits", right[m])):
            for order, rising in (("surest", False), ("least sure", True)):
                found[f"{m}'s {kind}, {order} first"] = (m, chosen, rising)
    for s in students:
        others = [o for o in students if o != s]
        for word, flags in (("right", right), ("sure", sure)):
            found[f"{word} by {s} alone of the students"] = (s, flags[s] & ~flags[others].any(axis=1), False)
    found["right by teacher, wrong by bilstm"] = ("teacher", right.teacher & ~right.bilstm, False)
    found["sure by teacher, unsure by bilstm"] = ("teacher", sure.teacher & ~sure.bilstm, False)
    def in_order(m, chosen, rising):
        return tables[m][chosen].sort_values("confidence", ascending=rising, kind="stable").sentence.tolist()
    return {question: in_order(*of) for question, of in found.items()}


def test_answers_all_questions(opened, run):
    expected = answers(run)
    options = opened.execute_script(
        "return [...document.querySelectorAll('#predictions-dev-questions option')].map(o => o.textContent)")
    counted = {f"{question} ({len(found)})" for question, found in expected.items()}
    assert options == ["all 61 sentences"] + [o for o in options if o in counted]
    assert len(options) == 1 + len(expected) == 1 + 3 * 4 + 4 + 2
    page_length(opened, 100)
    for question, found in expected.items():
        ask(opened, question)
        assert [r[1] for r in rows(opened)] == found, question
    # each sentence is a hit or a mistake of each model, in two orders; and some more
    assert sum(map(len, expected.values())) > 3 * 61 * 2
    ask(opened, "all")
    assert count(opened) == 61 and [r[1] for r in rows(opened)] == predictions(run)["teacher"].sentence.tolist()


def test_says_why(opened):
    ask(opened, "bilstm's mistakes, surest first")
    row = opened.find_element("css selector", "#predictions-dev tr.openable")
    sentence = row.find_elements("tag name", "td")[1].text
    row.click()
    why = opened.find_element("css selector", "#predictions-dev td.why")
    assert why.text.count(":") >= 2 and "teacher" in why.text
    assert len(why.find_elements("css selector", ".saliency")) == 2
    assert why.find_element("css selector", ".saliency").text.split() == sentence.split()
    row.click()
    assert not opened.find_elements("css selector", "#predictions-dev td.why")


def test_a_sentence_stays_a_text(opened):
    search(opened, "document.title")
    assert [r[1] for r in rows(opened)] == [NASTY]
    ask(opened, "all")
    for row in opened.find_elements("css selector", "#predictions-dev tr.openable"): row.click()
    assert opened.title == "r" and not opened.find_elements("css selector", "img[src=x]")


def test_reads_on_a_phone(opened, screen):
    "Only tables are wider than the screen, and scroll by themselves under captions that stay; reasons wrap."
    screen(390)
    page_length(opened, 100)
    open_all(opened)
    assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
    edges = opened.execute_script(
        "const parts = 'figcaption, .reason, .reason span, .dt-search, .question select'; "
        "return [...document.querySelectorAll(parts)].map(e => e.getBoundingClientRect().right)")
    assert len(edges) > 100 and max(edges) <= 390
    # more than a line
    assert opened.execute_script(
        "return [...document.querySelectorAll('.reason')]"
        ".some(e => e.querySelector('div').getClientRects()[0].height > 60)")
    assert opened.execute_script(
        "return [...document.querySelectorAll('figcaption')].every(c => !c.closest('.scroll'))")


@pytest.mark.parametrize("width", [LANDSCAPE, PORTRAIT])
def test_prints_all_columns(opened, screen, width):
    "No table is wider than the paper, and no cell wider than its table; what is for clicking is not printed."
    open_all(opened)
    screen(width, "print")
    opened.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    edges = opened.execute_script(
        "const right = e => e.getBoundingClientRect().right; "
        "return [...document.querySelectorAll('table')]"
        ".map(t => [right(t), ...[...t.rows].map(r => right(r.cells[r.cells.length - 1]))])")
    assert len(edges) > 8 and max(max(e) for e in edges) <= width + 0.5
    shown = opened.execute_script(
        "return [...document.querySelectorAll('nav, .hint, .question, .explorer select, .explorer input')]"
        ".filter(e => e.checkVisibility()).length")
    assert shown == 0


def test_last_columns_are_in_the_pdf(opened, tmp_path):
    if not shutil.which("pdftotext"): pytest.skip("needs pdftotext (Debian: apt-get install poppler-utils)")
    import base64
    pdf = opened.execute_cdp_cmd("Page.printToPDF", dict(preferCSSPageSize=True))["data"]
    (tmp_path/"report.pdf").write_bytes(base64.b64decode(pdf))
    text = subprocess.run(
        ["pdftotext", "-layout", tmp_path/"report.pdf", "-"], text=True, capture_output=True,
        check=True).stdout
    for words in ("ms, batch 256", "McNemar's p", "p (Spearman)", "sentences", "for example"):
        assert words in text, words
    assert len(re.findall(r"bilstm-hard:", text)) >= 3  # precision, recall; the last column of the predictions
