"""Names every line over 120 columns in code: notebooks' cells, the package, tests, benchmarks, studies and scripts.
Exit status 1 if there is one."""
import json, sys
from pathlib import Path

LIMIT = 120
root = Path(__file__).resolve().parent.parent


def lines_of(path):
    "Lines of code, each with its place; what quarto reads in one line (`#| fig-alt`, ...) may be longer."
    if path.suffix == ".py":
        inside_all = False  # nbdev breaks the lines of `__all__`
        for i, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            inside_all = line.startswith("__all__") or inside_all and line.startswith(" ")
            if not inside_all: yield f"line {i}", line
        return
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code": continue
        for line in "".join(cell["source"]).splitlines():
            if not line.startswith("#|"): yield f"cell {cell.get('id')}", line


files = sorted(root.glob("nbs/*.ipynb"))
files += [f for f in sorted((root/"kd_nb").glob("*.py")) if f.name != "_modidx.py"]
for folder in ("tests", "benchmarks", "studies", "scripts"): files += sorted((root/folder).glob("*.py"))
long = [(f, place, line) for f in files for place, line in lines_of(f) if len(line) > LIMIT]
for f, place, line in long:
    print(f"{f.relative_to(root)}, {place}: {len(line)} columns: {line.strip()[:60]} ...", file=sys.stderr)
sys.exit(bool(long))
