"Promise: hostile names and old locales cost a line, not a run."
import subprocess, sys

import matplotlib.pyplot as plt, pytest

from kd_nb.core import KdError, check_folder_name, save_figure

NAMES = ["$$", r"$\frac{1}{$", "a_b^c", "<b>bold</b>", "$x", r"\alpha", "%s {0}", "耳机坏了", "إلغاء", "🙂", "a\nb", "&amp;"]


@pytest.mark.parametrize("name", NAMES)
def test_a_class_of_any_name_can_be_drawn(tmp_path, name):
    import seaborn as sns
    save_figure(tmp_path/"f.png", lambda: sns.barplot(x=[name, "b"], y=[1, 2]).set_title(name).axes)
    assert (tmp_path/"f.png").read_bytes()[:4] == b"\x89PNG"
    assert not plt.get_fignums()


@pytest.mark.parametrize("error", [ValueError("no"), KeyError("x"), KdError("damaged"), ZeroDivisionError()])
def test_a_figure_that_fails_is_a_line(tmp_path, capsys, error):
    def draw(): raise error
    (tmp_path/"f.png").write_bytes(b"of another run")
    save_figure(tmp_path/"f.png", draw)
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "the figure f.png could not be drawn" in said
    assert not (tmp_path/"f.png").exists() and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "/x", "a\\b", "x" * 201, "é" * 101, "a\0b", "x/"])
def test_a_name_stays_within_its_folder(here, tmp_path, name):
    with pytest.raises(KdError, match="--name"): check_folder_name(name)
    r = here("run", "--task", "mini-sentiment", "--name", name, "--runs-dir", "runs")
    assert r.returncode == 2 and "--name" in r.stderr and r.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "utf-16"])
def test_answers_are_utf8_whatever_the_locale(tmp_path, encoding):
    env = dict(PYTHONIOENCODING=encoding, PATH="/usr/bin:/bin", HOME=str(tmp_path), LC_ALL="C", PYTHONUTF8="0")
    def call(*args, stdin=b""): return subprocess.run([sys.executable, *args], cwd=tmp_path, env=env, input=stdin,
                                                      capture_output=True)
    r = call("-c", "from kd_nb.cli import main; main()", "predict", "猫")
    assert r.returncode == 2 and b"Traceback" not in r.stderr and r.stderr.startswith(b"kd-nb: ")
    script = "from kd_nb import cli, core; cli.app = lambda **_: print(core.read_lines(None)); cli.main()"
    r = call("-c", script, stdin="耳机坏了 café\n\n \n".encode())
    assert r.stdout.decode("utf-8").strip() == repr(["耳机坏了 café"]), r.stderr
