"""Promise: what we publish is whole. From sdist to wheel to a folder far from the source tree, it finds its own data."""
import os, shutil, subprocess, sys, zipfile
from pathlib import Path

import pytest

root = Path(__file__).resolve().parent.parent


def run(*cmd, **kw):
    r = subprocess.run([str(c) for c in cmd], text=True, capture_output=True, **kw)
    assert r.returncode == 0, f"{' '.join(map(str, cmd))}\n{r.stdout[-2000:]}\n{r.stderr[-4000:]}"
    return r.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    "The wheel, built from the sdist: so a file that MANIFEST.in forgets is missed here."
    tmp = tmp_path_factory.mktemp("build")
    tree = tmp/"tree"  # a copy, as setuptools leaves build/ and *.egg-info behind
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info", ".ipynb_checkpoints")
    shutil.copytree(root/"kd_nb", tree/"kd_nb", ignore=skip)
    for f in root.iterdir():
        if f.is_file(): shutil.copy(f, tree)
    sdist = "from setuptools import build_meta as b; print(b.build_sdist('dist'))"
    name = run(sys.executable, "-c", sdist, cwd=tree).split()[-1]
    # no isolation: the same setuptools as in .venv, and no network
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp, tree/"dist"/name, cwd=tmp)
    return next(tmp.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    "The wheel installed alone in a folder; what it depends on comes from .venv."
    tmp = tmp_path_factory.mktemp("site")
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", tmp, wheel)
    return tmp


@pytest.fixture
def far(site, tmp_path):
    "Runs a command in an empty folder that sees the installed wheel, neither the source tree nor the user's data."
    env = {k: v for k, v in os.environ.items() if k not in ("KD_NB_DATA", "IN_TEST")}
    return lambda *cmd: run(*cmd, cwd=tmp_path, env={**env, "PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"})


def test_wheel_holds_modules_corpora_and_entry_points(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    source = [f for f in (root/"kd_nb").rglob("*") if f.suffix in (".py", ".tsv", ".md", ".typed") and "__pycache__" not in f.parts]
    missing = {f.relative_to(root).as_posix() for f in source} - set(names)
    assert not missing
    assert "kd_nb/_modidx.py" in names and any(n.endswith(".tsv") for n in names)
    entry = next(n for n in names if n.endswith("entry_points.txt"))
    text = zipfile.ZipFile(wheel).read(entry).decode()
    assert "kd-nb = kd_nb.cli:main" in text and "kd_nb = kd_nb._modidx:d" in text
    assert not [n for n in names if n.split("/")[0] not in ("kd_nb", entry.split("/")[0])]  # nothing but ours


def test_installed_wheel_loads_its_own_corpora(site, far):
    out = far(sys.executable, "-c", "import kd_nb.data as d; d.load_task('mini-intents'); print(d.__file__)")
    assert Path(out.split("\n")[-2]).is_relative_to(site)


def test_installed_command_answers(site, far):
    assert "predict" in far(sys.executable, site/"bin"/"kd-nb", "--help")
