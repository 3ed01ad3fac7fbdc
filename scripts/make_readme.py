"""Writes README.md from nbs/index.ipynb without quarto: the same notebook always gives the same bytes.

`nbdev_readme` needs quarto, which a package index does not have; so this honours the directives that the index
uses (`hide`, `include: false`, `echo: false`, `output: false`) and leaves the layout to nbconvert."""
import posixpath, re, sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

root = Path(__file__).resolve().parent.parent
nbs = root/"nbs"
ansi = re.compile(r"\x1b\[[0-9;]*m")
directive = re.compile(r"^#\s*\|\s*([\w-]+)\s*:?\s*(.*?)\s*$")


def split_directives(source):
    "The `#| key: value` lines at the top of a cell as a dict, and the rest of the cell."
    lines, found = source.split("\n"), {}
    while lines and (m := directive.match(lines[0])):
        found[m[1]] = m[2].lower()
        lines.pop(0)
    return found, "\n".join(lines).strip("\n")


def best_output(out):
    "The output reduced to the one form that reads best on a forge's page, or None."
    if out.output_type == "stream":
        return nbformat.from_dict({**out, "text": ansi.sub("", out.text)}) if out.name == "stdout" else None
    data = out.get("data", {})
    if any(k.startswith("image/") for k in data):
        sys.exit(
            "index.ipynb: a figure among the outputs; save it under nbs/images and link it, README.md needs a file")
    html = data.get("text/html", "").strip()
    # rich's HTML is a styled <pre>; forges strip the style, and the plain text is the same
    if html and not html.startswith("<pre"):
        html = re.sub(r"<style.*?</style>", "", html, flags=re.S)
        html = "\n".join(l.strip() for l in html.split("\n") if l.strip())  # blank or indented lines end an HTML block
        data = {"text/markdown": html, **{k: v for k, v in data.items() if k == "text/markdown"}}
    for kind in ("text/markdown", "text/plain"):
        if kind in data:
            return nbformat.v4.new_output("display_data", {kind: ansi.sub("", data[kind])})


def readme_cells(cells):
    "The cells as README.md shows them."
    for cell in cells:
        if cell.cell_type == "raw": continue  # the front matter is for quarto
        if cell.cell_type == "code":
            found, cell.source = split_directives(cell.source)
            if "hide" in found or found.get("include") == "false": continue
            shown = [] if found.get("output") == "false" else map(best_output, cell.outputs)
            cell.outputs = [o for o in shown if o]
            if found.get("echo") == "false":
                cell.metadata["transient"] = {"remove_source": True}  # as nbconvert's own tag filter does
        yield cell


def relink(md):
    "Links that are relative to nbs/ made relative to the top folder, where README.md lies."
    def new(m):
        path, sep, anchor = m[2].partition("#")
        if not path or not (nbs/path).exists(): return m[0]
        return m[1] + posixpath.normpath("nbs/" + path) + sep + anchor
    return re.sub(r"""(\]\(|\b(?:src|href)=["'])(?![a-z]+:|/)([^)\s"']+)""", new, md)


def main():
    nb = nbformat.read(nbs/"index.ipynb", as_version=4)
    nb.cells = list(readme_cells(nb.cells))
    nb.metadata = {"language_info": {"name": "python"}}  # nbdev_clean drops it, and the fences need it
    md, _ = MarkdownExporter().from_notebook_node(nb)
    # no runs of blank lines (nbconvert leaves some), but code stays as it is; odd parts are code
    parts = re.split(r"(^```.*?^```$)", md, flags=re.M | re.S)
    parts[::2] = [
        relink(re.sub(r"\n\s*\n(?:[ \t]*\n)+", "\n\n", re.sub(r"[ \t]+$", "", p, flags=re.M))) for p in parts[::2]]
    (root/"README.md").write_text("".join(parts).strip() + "\n", encoding="utf-8")


if __name__ == "__main__": main()
