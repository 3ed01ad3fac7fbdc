"""What several tests share: the command as a user calls it, and real data where it is at hand."""
import io, json, os, shutil, subprocess, sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMMAND = str(Path(sys.executable).with_name("kd-nb"))
BROWSER = next((b for b in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if b), None)


@pytest.fixture
def kd_nb(tmp_path):
    "Calls `kd-nb` in an empty folder, as a process of its own; returns what `subprocess.run` does."
    def call(*args, stdin="", **env):
        return subprocess.run(
            [COMMAND, *map(str, args)], text=True, input=stdin, capture_output=True, cwd=tmp_path,
            env={**os.environ, "HF_HUB_OFFLINE": "1", **env}, timeout=600)
    return call


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """Calls `kd-nb` as `kd_nb` does, but within this process. A process of its own takes seconds to import what it
    needs, which is longer than most of these calls."""
    from kd_nb.cli import main
    def call(*args, stdin="", cwd=tmp_path, **env):
        capsys.readouterr()  # what was said before is nobody's answer
        with monkeypatch.context() as now:
            now.chdir(cwd)
            now.setattr(sys, "argv", ["kd-nb", *map(str, args)])
            now.setattr(sys, "stdin", io.StringIO(stdin))
            for name, value in env.items(): now.setenv(name, value)
            with pytest.raises(SystemExit) as end: main()
        said = capsys.readouterr()
        return SimpleNamespace(returncode=end.value.code or 0, stdout=said.out, stderr=said.err)
    return call


SEVERAL = """
import contextlib, io, json, sys
from kd_nb.cli import main
answers = []
for words in json.loads(sys.argv[1]):
    sys.argv, out, err, code = ["kd-nb", *words], io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try: main()
        except SystemExit as e: code = e.code or 0
    answers.append(dict(returncode=code, stdout=out.getvalue(), stderr=err.getvalue()))
with open("answers.json", "w") as f: json.dump(answers, f)
"""


def after(script, tmp_path, *commands):
    "Runs a script, then commands of `kd-nb` one after the other, all in one process; what each of them said."
    (tmp_path/"script.py").write_text(script + SEVERAL)
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    words = json.dumps([[str(word) for word in command] for command in commands])
    r = subprocess.run([sys.executable, "script.py", words], cwd=tmp_path, capture_output=True, text=True, env=env)
    assert r.returncode == 0, r.stdout + r.stderr
    return [SimpleNamespace(**answer) for answer in json.loads((tmp_path/"answers.json").read_text())]


@pytest.fixture
def real_data():
    "The folder of real data; the test is skipped where there is none."
    root = os.environ.get("KD_NB_DATA")
    if not root or not Path(root).is_dir(): pytest.skip("KD_NB_DATA names no folder of real data")
    return Path(root)


@pytest.fixture(scope="module")
def browser():
    "Headless Chromium that finds no host but this one."
    if not BROWSER or not shutil.which("chromedriver"):
        pytest.skip("needs Chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    from selenium import webdriver
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for a in (
        "headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "window-size=1200,1600"):
        options.add_argument(f"--{a}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def float32(monkeypatch):
    "All digits, on machines whose CPU computes in bfloat16 too."
    monkeypatch.setattr("kd_nb.core.fast_bf16", lambda device: False)
