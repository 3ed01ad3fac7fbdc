"""Promise: notebooks run from top to bottom in JupyterLab, in a real browser: no cell errs, and figures are drawn."""
import os, secrets, shutil, socket, subprocess, sys, time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import nbformat, pytest

from conftest import ROOT

SETTING = '{"windowingMode": "none"}'  # else cells out of sight are not drawn


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address, to be completed by a notebook's name, of JupyterLab on a copy of the notebooks without
    their outputs, so that what is seen there was made there."""
    tmp, token = tmp_path_factory.mktemp("lab"), secrets.token_hex(16)
    shutil.copytree(ROOT/"nbs", tmp/"nbs", symlinks=False)
    real = Path(os.environ.get("KD_NB_DATA") or "nowhere").is_dir()
    def wanted(cell):
        exports = "nbdev.nbdev_export()" in cell.source  # the last cell; not for a copy
        return not exports and (real or "#| slow" not in cell.source)
    for path in (tmp/"nbs").glob("*.ipynb"):
        nb = nbformat.read(path, 4)
        nb.cells = [c for c in nb.cells if wanted(c)]
        for c in nb.cells:
            if c.cell_type == "code": c.outputs, c.execution_count = [], None
        nbformat.write(nb, path)
    settings = tmp/"settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(SETTING)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home()/".cache")
    env = {
        **os.environ, "HOME": str(tmp/"home"), "XDG_CACHE_HOME": str(cache),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp/"settings"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    (tmp/"home").mkdir()
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={tmp/'nbs'}",
        "--LabApp.expose_app_in_browser=True", "--allow-root"]
    with open(tmp/"lab.log", "w") as log:
        server = subprocess.Popen(command, env=env, cwd=tmp, stdout=log, stderr=log)
    try:
        for _ in range(120):
            try:
                urlopen(f"http://127.0.0.1:{port}/api?token={token}", timeout=5)
                break
            except (URLError, OSError):
                time.sleep(0.5)
                assert server.poll() is None, (tmp/"lab.log").read_text()
        else: pytest.fail((tmp/"lab.log").read_text())
        yield f"http://127.0.0.1:{port}/doc/tree/{{}}?token={token}&reset"
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.parametrize("name", ["04_data.ipynb", "13_losses.ipynb", "40_errors.ipynb"])
def test_runs_in_the_browser(lab, browser, name):
    from selenium.webdriver.support.ui import WebDriverWait
    widget = "jupyterapp.shell.currentWidget"
    ready = (
        f"return !!(window.jupyterapp && {widget} && {widget}.context && {widget}.context.isReady && "
        f"{widget}.sessionContext.session)")
    def idle(b): return b.execute_script(f"return {widget}.sessionContext.kernelDisplayStatus") == "idle"
    browser.set_script_timeout(400)
    browser.get(lab.format(name))
    WebDriverWait(browser, 90).until(lambda b: b.execute_script(ready))
    WebDriverWait(browser, 60).until(idle)
    said = browser.execute_async_script(
        "const done = arguments[0]; jupyterapp.commands.execute('notebook:run-all-cells')"
        ".then(() => done('ran'), e => done('failed: ' + e))")
    assert said == "ran"
    WebDriverWait(browser, 60).until(idle)
    cells = browser.execute_script(
        f"return {widget}.content.model.toJSON().cells.filter(c => c.cell_type == 'code')")
    errors = [o["evalue"] for c in cells for o in c["outputs"] if o["output_type"] == "error"]
    assert not errors and all(c["execution_count"] for c in cells if "".join(c["source"]).strip()), errors
    assert len({c["execution_count"] for c in cells}) == len(cells) > 10
    drawn = browser.execute_script(
        "return [...document.querySelectorAll('.jp-Notebook .jp-OutputArea-output img')]"
        ".filter(i => i.complete && i.naturalWidth > 100).length")
    stored = sum("image/png" in o.get("data", {}) for c in cells for o in c["outputs"])
    assert drawn >= 1 and drawn == stored
