"""What several tests share: the command as a user calls it, and real data where it is at hand."""
import os, subprocess, sys
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).with_name("kd-nb"))


@pytest.fixture
def kd_nb(tmp_path):
    "Calls `kd-nb` in an empty folder, as a process of its own; returns what `subprocess.run` does."
    def call(*args, stdin="", **env):
        return subprocess.run([COMMAND, *map(str, args)], text=True, input=stdin,
                              capture_output=True, cwd=tmp_path, env={**os.environ, "HF_HUB_OFFLINE": "1", **env}, timeout=600)
    return call


@pytest.fixture
def real_data():
    "The folder of real data; the test is skipped where there is none."
    root = os.environ.get("KD_NB_DATA")
    if not root or not Path(root).is_dir(): pytest.skip("KD_NB_DATA names no folder of real data")
    return Path(root)
