"""Promise: on a real terminal bars move, end, and leave one line behind; elsewhere the same line is printed.
And the README's example runs."""
import fcntl, os, pty, re, select, signal, struct, subprocess, sys, termios, time

import pytest

from conftest import COMMAND, ROOT

FAST = ["--task", "mini-intents", "--teacher", "minilm", "--max-train", "200",
        "--teacher-epochs", "1", "--epochs", "2", "--student", "bilstm", "--width", "1/16"]
BAR, HIDE, SHOW = "━", "\x1b[?25l", "\x1b[?25h"  # a piece of a bar; the cursor is hidden, is shown


def in_terminal(*command, cwd, columns=80, interrupt=None):
    """Runs a command in a terminal of its own: its exit code, and all that it wrote.
    Ctrl-C is pressed as soon as `interrupt` is to be read."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", "HF_HUB_OFFLINE": "1", "COLUMNS": str(columns)}
    # a shell's background jobs, of which pytest may be one, ignore Ctrl-C
    def heed(): signal.signal(signal.SIGINT, signal.SIG_DFL)
    streams = dict(stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=heed)
    out, end = b"", time.time() + 600
    with subprocess.Popen(list(map(str, command)), **streams, cwd=cwd, env=env, start_new_session=True) as p:
        os.close(theirs)
        while time.time() < end:
            if not select.select([ours], [], [], 1)[0]:
                if p.poll() is not None: break
                continue
            try: data = os.read(ours, 1 << 16)
            except OSError: break  # the terminal is closed: the program has ended
            if not data: break
            out += data
            if interrupt and interrupt in out.decode(errors="replace"):
                p.send_signal(signal.SIGINT)
                interrupt = None
        else: p.kill()
    os.close(ours)
    return p.returncode, out.decode(errors="replace")


def plain(text):
    "What was written, without the codes that move the cursor or set colours."
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)


def left_behind(text):
    "The lines that stay on the screen: of each, what was written last; a bar is wiped by going up and erasing."
    lines = [""]
    for part in re.split(r"(\r\n|\n|\r|\x1b\[1?A|\x1b\[2K|\x1b\[[0-9;?]*[A-Za-z])", text):
        if part in ("\n", "\r\n"): lines.append("")
        elif part in ("\x1b[A", "\x1b[1A"): lines.pop()
        elif part in ("\r", "\x1b[2K"): lines[-1] = ""
        elif not part.startswith("\x1b"): lines[-1] += part
    return lines


def cursor_is_back(text): return text.rfind(SHOW) > text.rfind(HIDE)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    "The main job, small, on a terminal: its folder, exit code and output."
    tmp = tmp_path_factory.mktemp("terminal")
    more = ["--augment", "rules", "--n-augment", "300", "--name", "demo"]
    return tmp, *in_terminal(COMMAND, "run", *FAST, *more, cwd=tmp)


def test_the_main_job(demo):
    _, code, out = demo
    assert code == 0 and "Traceback" not in out, plain(out)[-3000:]
    assert BAR in out and cursor_is_back(out)
    for label in ("teacher", "bilstm", "teacher labels"):
        seen = set(re.findall(rf"{label} [━╸╺ ]+ ?(\d+/\d+)", plain(out)))
        assert len(seen) >= 2, f"the bar of {label} does not move"
    stays = "\n".join(left_behind(out))
    assert not re.search("[━╸╺] *[0-9]+/", stays), "a bar stays"
    for line in (r"new sentences \(rules\): [\d,]+ written", "teacher labels: 460 sentences", "evaluation: 3 models"):
        assert len(re.findall(rf"^{line} in [\d.]+ s$", stays, re.M)) == 1, (line, stays)
    assert "Loading weights" not in out and "Saving the dataset" not in out, "a bar of another library"


def test_the_table_breaks_no_word(demo):
    "On 80 columns every cell of the main table is to be read, scores beside their intervals."
    import json
    from kd_nb.run import results_table
    table = results_table(json.loads((demo[0]/"runs/demo/metrics.json").read_text()))
    lines = left_behind(demo[2])
    text = "\n".join(lines)
    assert all(len(line) <= 80 for line in lines if "   " in line)  # those of the table
    for column in table:
        assert column in text
        for cell in table[column]: assert cell in text, cell


def test_ctrl_c_stops_the_main_job_and_it_goes_on_later(tmp_path):
    code, out = in_terminal(COMMAND, "run", *FAST, cwd=tmp_path, interrupt="bilstm: epoch 1/2")
    assert code == 130 and "Traceback" not in out, plain(out)[-3000:]
    assert "kd-nb: stopped; the same command continues where it was" in plain(out) and cursor_is_back(out)
    code, out = in_terminal(COMMAND, "run", *FAST, cwd=tmp_path)
    assert code == 0 and "teacher: done before" in out


DRAWING = """
import sys
from rich.progress import Progress
from kd_nb.terminal import progress
start = Progress.start
def interrupted(bar):
    start(bar)
    raise KeyboardInterrupt
Progress.start = interrupted
try:
    for _ in progress(range(5), "work"): pass
except KeyboardInterrupt: print("stopped", file=sys.stderr)
"""


def test_ctrl_c_while_a_bar_draws_itself(tmp_path):
    code, out = in_terminal(sys.executable, "-c", DRAWING, cwd=tmp_path)
    assert code == 0 and BAR not in out.split("stopped")[1] and cursor_is_back(out), plain(out)


COMMANDS = [
    (["predict", "runs/demo", "in.txt", "--out", "out.csv"], "labelling: 3,000 sentences in"),
    (["label", *FAST, "--augment", "rules", "--n-augment", "100", "--name", "more"], "teacher labels:"),
    (["export", "runs/demo"], "A folder is all"),
    (["errors", "runs/demo"], "words behind the answers:"),
    (["probe", "runs/demo", "--models", "bilstm", "--tasks", "Tense", "--n-train", "200", "--n-eval", "100"],
     "Tense: making: 400 sentences in"),
    (["tune", "runs/demo", "--steps", "optimizer", "--epochs", "1"], "optimizer:"),
    (["speed", "runs/demo"], "simple models: 2 fitted in"),
    (["report", "runs/demo"], "Open runs/demo/report.html"),
    (["info", "runs/demo"], "metrics.json"),
]


@pytest.mark.parametrize("command, said", COMMANDS, ids=[c[0][0] for c in COMMANDS])
def test_other_commands(command, said, demo):
    (demo[0]/"in.txt").write_text("where is my [bold]parcel[/]?\n" * 3_000)  # what looks like markup is text
    code, out = in_terminal(COMMAND, *command, cwd=demo[0])
    assert code == 0 and "Traceback" not in out, plain(out)[-3000:]
    assert any(line.startswith(said) for line in left_behind(out)), plain(out)[-3000:]
    if command[0] == "export":
        for word in ("bilstm", "onnx", "int8", "difference", "trimmed"): assert word in "\n".join(left_behind(out))
    assert cursor_is_back(out) or HIDE not in out
    assert "%|" not in out, "a bar of another library"


def test_without_a_terminal_the_line_is_the_same(kd_nb):
    r = kd_nb("label", *FAST)
    assert r.returncode == 0, r.stderr
    assert re.search(r"^teacher labels: 160 sentences in [\d.]+ s$", r.stdout, re.M)
    assert "\r" not in r.stdout + r.stderr


@pytest.mark.parametrize("where", ["file", "dumb"])
def test_lines_where_no_bar_can_move(where, tmp_path):
    "In a file, and on a terminal that only writes on: a line now and then, and at the end one that says what was done."
    code = "from kd_nb.terminal import progress\nfor i in progress(range(4), 'work', 'things', every=0): pass"
    if where == "file": out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    else: out = in_terminal("env", "TERM=dumb", sys.executable, "-c", code, cwd=tmp_path)[1]
    lines = out.replace("\r", "").splitlines()
    assert [line.split(",")[0] for line in lines[:3]] == [f"work: {i} of 4" for i in (1, 2, 3)]
    assert all(" left" in line for line in lines[:3])
    assert len(lines) == 4 and re.fullmatch(r"work: 4 things in [\d.e-]+ s", lines[3])


def test_titles_are_no_markup(demo):
    "A folder may be called as one likes."
    odd = demo[0]/"runs"/"v2[bold] a[/]"
    odd.mkdir(parents=True)
    (odd/"config.json").write_text((demo[0]/"runs/demo/config.json").read_text())
    code, out = in_terminal(COMMAND, "info", odd, cwd=demo[0], columns=120)
    assert code == 0 and "v2[bold] a[/]" in plain(out).replace("\n", "")


def test_the_example_of_the_readme(demo):
    readme = (ROOT/"README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n((?:.*\n)*?)```\n\n((?:    .*\n)*)", readme, re.M)
    (code, shown), = [b for b in blocks if "load_student(" in b[0]]
    there = code.replace("students/cut", "students/bilstm")  # what the small run has
    r = subprocess.run([sys.executable, "-c", there], capture_output=True, text=True, cwd=demo[0],
                       env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert r.returncode == 0, r.stderr
    said, real = r.stdout.splitlines(), shown.splitlines()
    assert said[0].split() == real[0].split() == ["sentence", "pred", "confidence"]
    assert len(said) == len(real) >= 3
    from kd_nb.data import load_task
    labels = load_task("mini-intents").labels
    for row, shown_row in zip(said[1:], real[1:]):
        sentence = re.match(r" *\d +(.*?)  ", shown_row)[1]
        assert sentence in row and sentence in code  # the same questions; this small student's answers may be others
        assert row.split()[-2] in labels and shown_row.split()[-2] in labels


PROGRESS = '''
import sys, time
from kd_nb.terminal import progress
what = sys.argv[1]
items = range(dict(one=1, few=3, none=0, many=2000, dies=9, slow=60, markup=3)[what])
label = "[/] [bold]work" if what == "markup" else "work"
for i in progress(items, label, "things", size=100, total=max(len(items) * 100 - 7, 0)):
    if what == "dies" and i == 4: raise RuntimeError("in the middle")
    time.sleep(0.3 if what == "slow" else 0.001)
print("after")
'''


@pytest.mark.parametrize("what", ["one", "few", "none", "many", "markup", "dies", "slow"])
@pytest.mark.parametrize("columns", [80, 20])
def test_a_bar(what, columns, tmp_path):
    "Before the first item there is no speed yet; a name may look like markup; what dies leaves a whole terminal."
    interrupt = "200/" if what == "slow" else None
    code, out = in_terminal(sys.executable, "-c", PROGRESS, what, cwd=tmp_path, columns=columns, interrupt=interrupt)
    lines = left_behind(out)
    assert cursor_is_back(out) or what == "none"
    assert not any(BAR in line for line in lines)
    if what in ("dies", "slow"):
        assert code and ("in the middle" if what == "dies" else "KeyboardInterrupt") in out
        return
    assert code == 0 and "after" in lines, plain(out)
    assert BAR in out or what == "none" or columns == 20
    n = dict(one=93, few=293, none=0, many=199_993, markup=293)[what]
    done = [line for line in lines if line.startswith(("work:", "[/] [bold]work:"))]
    assert len(done) == (n > 0) and all(f": {n:,} things in" in line for line in done), lines


def test_the_version(kd_nb):
    from kd_nb import __version__
    assert kd_nb("--version").stdout == f"kd_nb {__version__}\n"
