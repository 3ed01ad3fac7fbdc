"""Promise: every notebook runs from top to bottom, and its checks hold."""
from pathlib import Path

import nbdev.test, pytest
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.test import test_nb as run_nb  # renamed, or pytest would take it for a test

root = Path(__file__).resolve().parent.parent
notebooks = sorted(f.absolute() for f in nbglob(root/"nbs", as_path=True))


def test_there_are_notebooks(): assert notebooks  # else the cases below would vanish without a word


@pytest.fixture
def forgotten(monkeypatch):
    """What a notebook leaves in memory goes with its test. IPython keeps a shell with all its variables as long as the
    process lives: models and tables of all notebooks together are more than ten gigabytes."""
    shells, make = [], nbdev.test.CaptureShell
    def kept(*args, **more):
        shells.append(make(*args, **more))
        return shells[-1]
    monkeypatch.setattr(nbdev.test, "CaptureShell", kept)
    yield
    for shell in shells: shell.reset()


@pytest.mark.parametrize("nb", notebooks, ids=lambda f: f.name)
def test_notebook(nb, monkeypatch, forgotten):
    monkeypatch.setenv("IN_TEST", "1")  # run_nb sets it and leaves it behind; this puts it back
    passed, _ = run_nb(nb, skip_flags=get_config().tst_flags.split(), basepath=root)
    assert passed, f"{nb.name} failed; its traceback is in the captured stderr"


def test_site_lists_every_notebook():
    sidebar = (root/"_quarto.yml").read_text()  # written by hand (custom_sidebar), so one is easily forgotten
    assert not [nb.name for nb in notebooks if f"- {nb.name}" not in sidebar]
