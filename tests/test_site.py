"""Promise: the site is whole as far as it can be told without quarto: nbdev's part of the work is done in a
copy of the tree, and what it leaves in `_proc`, which quarto would render, has its links, anchors, images,
citations, captions and references in order."""
import json, os, re, subprocess, sys
from collections import Counter
from pathlib import Path

import nbformat, pytest, yaml
from filelock import FileLock

root = Path(__file__).resolve().parent.parent
nbs = root/"nbs"
pages = {p.name: nbformat.read(p, 4) for p in sorted(nbs.glob("*.ipynb"))}
quarto = yaml.safe_load((root/"_quarto.yml").read_text())

# What `nbdev_docs` does before quarto comes in (nbdev.quarto._pre_docs), but that it would install quarto.
# It stops at the first notebook that fails; here all are tried, and those that failed are named.
PROC = r'''
import json, sys, warnings
import nbdev.doclinks, nbdev.serve
from nbdev.quarto import nbdev_sidebar, refresh_quarto_yml
failed = {}
def one_by_one(do, items, **kwargs):
    for item in items:
        try: do(item)
        except BaseException as e: failed[item[0].name] = f"{e} {e.__cause__ or ''}"[:500]
warnings.simplefilter("ignore")
nbdev.serve.parallel = one_by_one
refresh_quarto_yml()
nbdev.doclinks._build_modidx()
nbdev_sidebar.__wrapped__()
nbdev.serve.proc_nbs()
with open(sys.argv[1], "w") as f: json.dump(failed, f)
'''


@pytest.fixture(scope="session")
def proc(tmp_path_factory):
    "`_proc` of a copy of the work tree, uncommitted work too; and the notebooks that failed: name -> why."
    base = tmp_path_factory.getbasetemp()
    tmp = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)/"site"  # one for all of xdist's workers
    with FileLock(f"{tmp}.lock"):
        if not (tmp/"failed.json").exists(): make_proc(tmp)
    return tmp/"tree"/"_proc", json.loads((tmp/"failed.json").read_text())


def make_proc(tmp):
    tree = tmp/"tree"
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True,
        text=True, check=True).stdout
    for f in filter(None, files.split("\0")):
        if not (root/f).exists(): continue
        (tree/f).parent.mkdir(parents=True, exist_ok=True)
        if (root/f).is_symlink(): (tree/f).symlink_to("../_quarto.yml")
        else: (tree/f).write_bytes((root/f).read_bytes())
    r = subprocess.run([sys.executable, "-c", PROC, tmp/"failed.json"], cwd=tree, capture_output=True, text=True)
    assert r.returncode == 0, r.stderr[-3000:]


@pytest.fixture(scope="module")
def made(proc):
    "What is in `_proc`: the page's name -> the notebook."
    found = sorted(proc[0].glob("*.ipynb"))
    # not validated, as nbdev adds a key of its own
    return {p.name: nbformat.v4.reads(p.read_text(encoding="utf-8")) for p in found}


def markdown(nb):
    "What a page says, without code blocks: its prose, and outputs in Markdown (nbdev's documentation, ...)."
    cells = [c.source for c in nb.cells if c.cell_type == "markdown"]
    cells += [
        o.data["text/markdown"] for c in nb.cells if c.cell_type == "code" for o in c.outputs
        if "text/markdown" in o.get("data", {})]
    return re.sub(r"^```.*?^```", "", "\n\n".join(cells), flags=re.M | re.S)


def no_code(text): return re.sub(r"(`+).+?\1|\$\$.+?\$\$|<!--.*?-->", "", text, flags=re.S)
def directives(cell): return dict(re.findall(r"^#\|\s*([\w-]+):?\s*(.*?)\s*$", cell.source, re.M))
def front_matter(nb):
    return yaml.safe_load(nb.cells[0].source.strip().strip("-")) if nb.cells[0].cell_type == "raw" else {}


def anchors(nb):
    "The ids that pandoc gives to the headings, and those written by hand."
    def identifier(heading):
        text = re.sub(r"\{.*?\}|[`*]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading))
        return re.sub(r"^[^a-z]+", "", re.sub(r"\s+", "-", re.sub(r"[^\w\s.-]", "", text.lower()).strip()))
    text = markdown(nb)
    return {identifier(h) for h in re.findall(r"^#+ (.+)$", text, re.M)} | set(re.findall(r"\{#([\w-]+)", text))


def labels(nb):
    "What `@fig-...` and `@tbl-...` can refer to on this page."
    found = re.findall(r"\{#((?:fig|tbl)-[\w-]+)", markdown(nb))
    told = [directives(c).get("label", "") for c in nb.cells if c.cell_type == "code"]
    return found + [label for label in told if label[:4] in ("fig-", "tbl-")]


def in_sidebar(contents):
    for item in contents: yield from in_sidebar(item["contents"]) if isinstance(item, dict) else [item]


def test_every_page_is_in_the_sidebar_once():
    assert sorted(in_sidebar(quarto["website"]["sidebar"]["contents"])) == sorted(pages)
    assert quarto["website"]["navbar"]["search"]


def test_nbdev_makes_every_page(proc):
    assert not proc[1]
    assert {p.name for p in proc[0].glob("*.ipynb")} == set(pages)
    files = ("_quarto.yml", "nbdev.yml", quarto["bibliography"], quarto["format"]["html"]["css"])
    assert all((proc[0]/f).exists() for f in files)


@pytest.mark.parametrize("name", pages)
def test_page(name, proc, made):
    assert re.match(r"# .+\n\n> .+", pages[name].cells[0].source), "a title, and a sentence of what it is for"
    assert name in made, f"{name} was not made: {proc[1].get(name)}"
    nb, head = made[name], front_matter(made[name])
    assert "`" not in head["title"] + head["description"], "both stand where there is no Markdown, as in cards"
    assert head.get("title") and head.get("description") and head.get("output-file", "").endswith(".html")
    for word in ("TODO", "TO-DO", "FIXME", "lorem ipsum"): assert word not in "\n".join(c.source for c in nb.cells)
    outputs = [o for c in nb.cells if c.cell_type == "code" for o in c.outputs]
    bad = [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert not bad, "an error, or a warning on stderr"


@pytest.mark.parametrize("name", pages)
def test_links_and_images(name, proc, made):
    if name not in made: pytest.skip("not made, see test_nbdev_makes_every_page")
    text, bad = no_code(markdown(made[name])), []
    assert "[[" not in text, "a link in a link: nbdev links every name of ours between backticks"
    home = yaml.safe_load((proc[0]/"nbdev.yml").read_text())["website"]["site-url"].rstrip("/") + "/"
    at = {front_matter(nb).get("output-file"): page for page, nb in made.items()}  # core.html -> 01_core.ipynb
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?:src|href)=[\"']([^\"']+)", text):
        path, _, anchor = target.partition("#")
        if path.startswith(home): path = at.get(path.removeprefix(home), path)
        if re.match(r"(https?|mailto|data):", path): continue
        page = path or name
        if not (proc[0]/page).exists(): bad.append(f"{target} leads nowhere")
        elif anchor and page not in made: bad.append(f"{page}, which {target} leads to, was not made")
        elif anchor and anchor not in anchors(made[page]): bad.append(f"{target}: no such place")
    described = r'(?!\{[^}]*fig-alt="[^"]{20,}"[^}]*\})'
    bad += [f"an image without a text: {image}" for image in re.findall(rf"!\[.*?\]\(\S+?\){described}", text)]
    assert not bad


@pytest.mark.parametrize("name", pages)
def test_citations_figures_and_references(name, made):
    if name not in made: pytest.skip("not made, see test_nbdev_makes_every_page")
    text = no_code(markdown(made[name]))
    cited = {c.rstrip("-") for c in re.findall(r"(?<![\w.])@([\w-]+)", text)}
    refs = {c for c in cited if c[:4] in ("fig-", "tbl-", "sec-", "eq-")}
    assert cited - refs <= known(), f"cited, but not in references.bib: {cited - refs - known()}"
    assert refs <= set(labels(made[name])), f"referred to, but not on this page: {refs - set(labels(made[name]))}"
    for cell in (c for c in made[name].cells if c.cell_type == "code"):
        found = directives(cell)
        if found.get("include") == "false" or found.get("output") == "false": continue
        if any(k.startswith("image/") for o in cell.outputs for k in o.get("data", {})):
            labelled = found.get("label", "").startswith("fig-") and len(found.get("fig-cap", "")) > 20
            assert labelled, f"a figure without label or caption:\n{cell.source[:300]}"
            assert len(found.get("fig-alt", "")) > 40 and found["fig-alt"] != found["fig-cap"], cell.source[:300]
        if "tbl-cap" in found: assert found.get("label", "").startswith("tbl-"), cell.source[:300]


def test_labels_are_unique(made):
    assert not [label for label, n in Counter(l for nb in made.values() for l in labels(nb)).items() if n > 1]


def test_what_quarto_is_told():
    """The site builds (without `keep-md` Quarto deletes the Markdown form of a page whose notebook is named like it),
    100 characters of code fit into its column, and a page leads to the ones beside it, its notebook and the package."""
    html, site = quarto["format"]["html"], quarto["website"]
    assert html["keep-md"] is True and "commonmark" in quarto["format"]
    css = re.sub(r"/\*.*?\*/", "", (nbs/html["css"]).read_text(), flags=re.S)
    rem = 17  # pixels, in Quarto's themes
    em = rem * float(re.search(r"^pre, pre code[^{]*\{ font-size: ([\d.]+)rem", css, re.M)[1])
    gutters, padding, border = 2 * 1.5 * rem, 2 * 0.4 * em, 3
    column = int(html["grid"]["body-width"].removesuffix("px")) - gutters - padding - border
    assert column / (0.602 * em) >= 100, "characters of a monospaced font"
    assert html["code-copy"] == "hover" and html["code-overflow"] == "wrap"
    assert re.search(r"mjx-container\S* \{[^}]*overflow-x: auto", css)
    assert re.search(r"code \{ overflow-wrap: anywhere", css)
    assert {"source", "issue"} <= set(site["repo-actions"]) and site["repo-subdir"] == "nbs"
    assert site["page-navigation"] and site["page-footer"]
    pictures = [site["favicon"], site["open-graph"]["image"], site["twitter-card"]["image"]]
    assert all((nbs/f).is_file() for f in pictures) and set(pictures) <= set(quarto["project"]["resources"])
    assert all(f.endswith(".png") for f in pictures[1:])
    links = [item["href"] for item in site["navbar"]["right"]]
    assert any("github.com" in link for link in links) and any("pypi.org" in link for link in links)
    assert min(map(float, re.findall(r'font-size="([\d.]+)"', (nbs/"images/pipeline.svg").read_text()))) >= 20


@pytest.mark.parametrize("name", pages)
def test_a_page_opens_in_colab(name, made):
    if name not in made: pytest.skip("not made, see test_nbdev_makes_every_page")
    links = front_matter(made[name])["code-links"]
    home = "https://colab.research.google.com/github/kd-nb/kd_nb/blob/main/nbs/"
    assert [link["href"] for link in links] == [home + name]
    code = [c.source for c in pages[name].cells if c.cell_type == "code"]
    installs = any(s.startswith("#| hide\n#| eval: false\n# On Colab") for s in code[:2])
    assert installs or not code, "there it has to install kd_nb first"


def test_checks_are_folded(made):
    cells = [(name, c) for name, nb in made.items() for c in nb.cells if c.cell_type == "code"]
    folded = [c for _, c in cells if directives(c).get("code-fold") == "true"]
    assert len(folded) > 100 and all(directives(c)["code-summary"] == '"Checks"' for c in folded)
    silent = [(name, c.source[:200]) for name, c in cells if not c.outputs]
    assert not [(name, s) for name, s in silent if re.match(r"(test_\w+\(|assert )", s)], "checks that are not folded"


def documentation(nb):
    "What nbdev says of functions and classes, and Typer of commands."
    shown = [o for c in nb.cells if "show_doc(" in c.source and c.cell_type == "code" for o in c.outputs]
    return ["".join(o.data["text/markdown"]) for o in shown if "text/markdown" in o.get("data", {})]


@pytest.mark.parametrize("name", pages)
def test_documentation_is_for_readers(name, made):
    "No links in code, no module `__main__`, no links from plain words to functions of that name."
    if name not in made: pytest.skip("not made, see test_nbdev_makes_every_page")
    for text in documentation(made[name]):
        assert "__main__" not in text and "Annotated" not in text and "Call self as a function" not in text
        for block in re.findall(r"^```.*?^```", text, re.M | re.S):
            assert "](http" not in block and "`" not in block.strip("`"), block
    linked = re.findall(r"\[`([^`]+)`\]\(http", markdown(made[name]))
    assert not [word for word in linked if re.fullmatch("[a-z]+", word)]


def test_the_page_of_the_command_shows_its_help(made):
    from kd_nb.cli import COMMANDS, load
    texts = [text for text in documentation(made["51_cli.ipynb"]) if "### kd-nb" in text]
    shown = {re.search(r"^### kd-nb (\w+) {#", text, re.M)[1]: text for text in texts}
    commands = {name: load(name) for name in COMMANDS}
    assert shown.keys() == commands.keys()
    for name, command in commands.items():
        assert f"kd-nb {name} [OPTIONS]" in shown[name]
        options = {o for p in command.params for o in p.opts if o.startswith("--")}
        assert not [o for o in options if f"`{o}" not in shown[name]]
        prose = re.sub(r"```.*?```|`[^`]+`", "", shown[name], flags=re.S)
        assert not re.search(r"--[a-z]", prose), "two hyphens would become a dash"
    outputs = [o for c in made["51_cli.ipynb"].cells if c.cell_type == "code" for o in c.outputs]
    assert any("--version" in "".join(o.text) for o in outputs if o.get("name") == "stdout")


def test_scores_are_not_parted_from_their_intervals():
    for name, nb in pages.items():
        prose = [no_code(c.source) for c in nb.cells if c.cell_type == "markdown"]
        parted = [m for text in prose for m in re.findall(r"\[-?\d+\.\d+, -?\d+\.\d+\]", text)]
        assert not parted, name
        for o in (o for c in nb.cells if c.cell_type == "code" for o in c.outputs if "text/html" in o.get("data", {})):
            assert not re.search(r"\d \[[-\d.]+, [-\d.]+\]", "".join(o.data["text/html"])), name


def test_the_reference_can_be_unfolded():
    text = markdown(pages["reference.ipynb"])
    modules = len(re.findall("^## kd_nb\\.", text, re.M))
    code = "".join(re.findall("<code>(.*?)</code>", text))
    assert not re.search("[\"'|*-]", code), "code that Markdown would change"
    assert text.count('<details class="module">') == text.count("| name | what it is for |") == modules >= 25


def known(): return set(re.findall(r"^@\w+\{([\w-]+),", (nbs/"references.bib").read_text(encoding="utf-8"), re.M))


def test_every_paper_is_cited():
    cited = {c for nb in pages.values() for c in re.findall(r"@([\w-]+)", "\n".join(c.source for c in nb.cells))}
    assert not known() - cited


def test_the_reference_lists_every_public_name():
    from kd_nb._modidx import d
    names = {
        link for syms in d["syms"].values() for name, (link, _) in syms.items()
        if name.count(".") == 2 and not name.rpartition(".")[2].startswith("_")}
    listed = markdown(pages["reference.ipynb"])
    assert not [n for n in names if f"#{n.partition('#')[2]})" not in listed], "run nbs/reference.ipynb again"


def commands(page):
    "The lines of a page's shell blocks, continued lines joined, comments off."
    prose = "\n\n".join(c.source + "\n" for c in page.cells if c.cell_type == "markdown")
    blocks = re.findall(r"^```sh\n(.*?)^```", prose, flags=re.M | re.S)
    lines = [line for b in blocks for line in b.replace("\\\n", " ").splitlines() if line.strip()]
    return [re.sub(r"\s#.*", "", line).strip() for line in lines]


def test_results_come_from_files_of_named_commands():
    code = [c.source for c in pages["results.ipynb"].cells if c.cell_type == "code"]
    patterns = re.findall(r"saved/[\w{}-]+\.\w+", "\n".join(code))
    tasks, kinds = ("sara", "sst2", "cola"), ("bilstm", "bert")
    read = {p.replace("{t}", t).replace("{s}", s) for p in patterns for t in tasks for s in kinds}
    assert len(read) >= 12 and all((nbs/f).exists() for f in read)
    written = "\n".join(commands(pages["results.ipynb"]))
    for f in read:
        known_command = f"nbs/{f}" in written or "tuning-" in f and "studies/tuning.py save" in written
        assert known_command, f"no command on the page writes {f}"
    stamps = json.loads((nbs/"saved/stamps.json").read_text())
    whole = {"commit", "date", "processor", "command", "versions"}
    for f in (p.name for p in (nbs/"saved").iterdir() if p.name != "stamps.json"):
        assert set(stamps.get(f, {})) >= whole, f"{f} has no whole stamp"
    for table in [s for s in code if "show(" in s and "#| hide" not in s]:
        assert "#| tbl-cap:" in table and "#| label: tbl-" in table


# All in one process, since each of them takes seconds to import torch and the rest.
HELP = r'''
import contextlib, io, json, runpy, sys, traceback
sys.path[:0] = ["benchmarks", "studies"]
found = {}
def ask(name, do):
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out): do()
    except SystemExit as e: found[name] = [e.code or 0, out.getvalue()]
    except BaseException: found[name] = [1, traceback.format_exc()[-2000:]]
for name in sys.argv[2:]:
    argv, sys.argv = sys.argv, [*name.split(), "--help"]
    if name.startswith("kd-nb"):
        from kd_nb.cli import main
        ask(name, main)
    else: ask(name, lambda: runpy.run_path(name, run_name="__main__"))
    sys.argv = argv
with open(sys.argv[1], "w") as f: json.dump(found, f)
'''


def test_scripts_and_commands_of_the_results_page_are_understood(tmp_path):
    "Benchmarks and studies explain themselves; what the page calls is there, and knows the options quoted."
    called = {}  # script, or kd-nb's command -> options
    for words in map(str.split, commands(pages["results.ipynb"])):
        if words[0] not in ("python", "kd-nb"): continue
        name = words[1] if words[0] == "python" else " ".join(words[:2])
        called.setdefault(name, set()).update(w for w in words if w.startswith("--"))
    assert len(called) >= 8
    scripts = {f"{p.parent.name}/{p.name}" for kind in ("benchmarks", "studies") for p in (root/kind).glob("*.py")}
    names = sorted(set(called) | scripts - {"studies/stamp.py"})
    r = subprocess.run(
        [sys.executable, "-c", HELP, tmp_path/"help.json", *names], cwd=root, capture_output=True, text=True,
        env={**os.environ, "COLUMNS": "200"})
    assert r.returncode == 0, r.stderr[-2000:]
    helps = json.loads((tmp_path/"help.json").read_text())
    assert not {name: text for name, (rc, text) in helps.items() if rc}
    for name, options in called.items():
        assert not {o for o in options if o not in helps[name][1]}, f"{name} has no such option"
