"""Promise: the site is whole as far as it can be told without quarto: pages, links, images, citations, captions; nothing in it says that it is unfinished."""
import re
from pathlib import Path

import nbformat, pytest, yaml

root = Path(__file__).resolve().parent.parent
nbs = root/"nbs"
pages = {p.name: nbformat.read(p, 4) for p in sorted(nbs.glob("*.ipynb"))}
quarto = yaml.safe_load((root/"_quarto.yml").read_text())


def prose(nb): return "\n\n".join(re.sub(r"```.*?```", "", c.source, flags=re.S) for c in nb.cells if c.cell_type == "markdown")
def rendered(nb): return [str(o.data["text/markdown"]) for c in nb.cells if c.cell_type == "code" for o in c.outputs if "text/markdown" in o.get("data", {})]


def in_sidebar(contents):
    for item in contents: yield from in_sidebar(item["contents"]) if isinstance(item, dict) else [item]


def test_every_page_is_in_the_sidebar_once():
    assert sorted(in_sidebar(quarto["website"]["sidebar"]["contents"])) == sorted(pages)
    assert quarto["website"]["navbar"]["search"]


@pytest.mark.parametrize("name", pages)
def test_page(name):
    nb = pages[name]
    assert re.match(r"# .+\n\n> .+", nb.cells[0].source), "a title, and a sentence of what it is for"
    text = prose(nb) + "\n".join(rendered(nb))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if re.match("[a-z]+:", target): continue
        assert not path or (nbs/path).exists(), f"{name}: {target} leads nowhere"
        if anchor and path in pages: assert anchor in anchors(path), f"{name}: {path} has no {anchor}"
    known = set(re.findall(r"^@\w+\{(\w+),", (nbs/"references.bib").read_text(), re.M))
    cited = set(re.findall(r"(?<![\w.])@([a-z]+\d{4}[a-z]*)", re.sub(r"`[^`]*`", "", text)))
    assert cited <= known, cited - known
    for word in ("TODO", "TO-DO", "FIXME", "lorem ipsum"): assert word not in "\n".join(c.source for c in nb.cells)
    errors = [o for c in nb.cells if c.cell_type == "code" for o in c.outputs if o.output_type == "error"]
    assert not errors


def anchors(name):
    "The names that nbdev's documentation of a notebook's exported functions and classes, and its headings, can be linked by."
    exported = "\n".join(c.source for c in pages[name].cells if c.cell_type == "code" and re.match(r"#\|\s*export", c.source))
    headings = re.findall(r"^#+ (.+)$", prose(pages[name]), re.M)
    return {n.lower() for n in re.findall(r"^(?:def|class) (\w+)", exported, re.M)} | {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


def test_every_reference_is_cited():
    known = set(re.findall(r"^@\w+\{(\w+),", (nbs/"references.bib").read_text(), re.M))
    assert not known - {c for nb in pages.values() for c in re.findall(r"@([a-z]+\d{4}[a-z]*)", "\n".join(c.source for c in nb.cells))}


def test_numbers_on_the_results_page_come_from_files_of_named_commands():
    page = pages["results.ipynb"]
    read = set(re.findall(r"saved/[\w{}-]+\.\w+", "\n".join(c.source for c in page.cells if c.cell_type == "code")))
    assert len(read) >= 7
    for command in re.findall(r"benchmarks/\w+\.py", prose(page)): assert (root/command).exists(), command
    for table in [c.source for c in page.cells if c.cell_type == "code" and "show(" in c.source and "hide" not in c.source]: assert "#| tbl-cap:" in table and "#| label: tbl-" in table
