"""Files of results, each with a stamp: the commit, day, command, processor and versions that made it.

A study writes its files with `save`. The stamps stand in `stamps.json`, in the folder of the files.
The commit is the one at which the study began. It ends in "+changes" if tracked files had been changed
(saved results and figures do not count).
"""
import os, platform, re, shlex, subprocess, sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from kd_nb.core import KdError, atomic, file_lock, read_json, write_json

ROOT = Path(__file__).resolve().parent.parent
CHANGES = ("status", "--porcelain", "--untracked-files=no", "--", ".", ":!nbs/saved", ":!nbs/images")
PACKAGES = ("kd_nb", "torch", "transformers", "datasets", "numpy", "scikit-learn", "onnxruntime")
VERSIONS = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}

def commit():
    "The commit of this checkout; 'unknown' where git is missing, empty outside a checkout."
    def git(*args):
        return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    try: return git("rev-parse", "HEAD").strip() + "+changes" * bool(git(*CHANGES))
    except FileNotFoundError: return "unknown"
    except subprocess.CalledProcessError: return ""

COMMIT = commit()  # asked now: a study may take hours, in which the checkout moves on

def relative(word):
    "A word of the command line, `FOLDER` or `NAME=FOLDER`, without the folders of this machine."
    name, equals, path = word.rpartition("=")
    if not os.path.isabs(path): return word
    inside = Path(path).is_relative_to(ROOT)
    return name + equals + (os.path.relpath(path, ROOT) if inside else Path(path).name)

def processor():
    "Its model and the number of cores, and the GPU where there is one."
    info = Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    model = re.search(r"^model name\s*: (.+)", info, re.M)
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{model[1] if model else platform.processor() or platform.machine()}, {os.cpu_count()} cores{gpu}"

def stamp(path, only="", **more):
    "Enter a file. `only` says what of it was made anew, and the old stamp stays in the new one, as `before`."
    if not COMMIT: raise KdError(f"{path} is written, but has no stamp: this is no git checkout")
    path, stamps = Path(path), Path(path).with_name("stamps.json")
    command, today = shlex.join(["python", *map(relative, sys.argv)]), str(date.today())
    made = dict(commit=COMMIT, date=today, command=command, processor=processor(), versions=VERSIONS)
    with file_lock(ROOT/"runs", "stamps"):
        known = read_json(stamps) if stamps.exists() else {}
        old = known.get(path.name, {})
        if only: more |= dict(only=only, before=old.get("before", old))
        write_json(stamps, dict(sorted((known | {path.name: made | more}).items())))

def save(path, data, **more):
    "Write a table to a CSV file, anything else to a JSON file, whole or not at all; and stamp it."
    if Path(path).suffix == ".csv":
        with atomic(path) as part: data.to_csv(part, index=False)
    else: write_json(path, data)
    stamp(path, **more)
