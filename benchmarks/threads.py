"""Seconds of an epoch of small students with one thread and with all, on a quiet machine and beside another job.

    python benchmarks/threads.py

The other job multiplies matrices with as many threads as there are cores. Fits take turns; the least time counts.
"""
import argparse, subprocess, sys, tempfile
from contextlib import contextmanager

import numpy as np, pandas as pd, torch
from datasets import Dataset

from kd_nb.data import load_task
from kd_nb.distil import distil
from kd_nb.losses import make_loss
from kd_nb.students import STUDENTS, make_student
from kd_nb.teacher import load_teacher

BUSY = "import torch; x = torch.randn(1500, 1500)\nwhile True: x @ x"

@contextmanager
def beside(job):
    "Within the block another process computes, if asked."
    other = subprocess.Popen([sys.executable, "-c", BUSY]) if job else None
    try: yield
    finally:
        if other: other.kill()

def epoch(teacher, kind, one, rows, select):
    "Seconds of the faster of two epochs."
    STUDENTS[kind].one_thread = one
    size = 256 if kind == "bag" else 384  # whose vectors they are plays no part
    table = torch.randn(teacher.tokenizer.get_vocab_size(), size)
    student = make_student(teacher, kind, (teacher.tokenizer, table))
    with tempfile.TemporaryDirectory() as folder:
        log = distil(student, rows, select, "micro_f1", folder, make_loss("soft"), epochs=2, lr=1e-3)
    return log.seconds.min()

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--n", type=int, default=1_500, help="sentences of mini-intents")
    p.add_argument("--rounds", type=int, default=3)
    args = p.parse_args()
    task = load_task("mini-intents")
    teacher, train = load_teacher("minilm", task.labels).to("cpu"), task.splits["train"]
    train = train.select(range(min(args.n, len(train))))
    logits = np.random.default_rng(0).standard_normal((len(train), len(task.labels))).astype(np.float32)
    rows = Dataset.from_dict(dict(sentence=train["sentence"][:], label=train["label"][:], logits=logits.tolist()))
    made, select = [], train.select(range(50))
    for _ in range(args.rounds):
        for job in (False, True):
            with beside(job):
                made += [dict(student=kind, job=job, one=one, seconds=epoch(teacher, kind, one, rows, select))
                         for kind in ("bag", "bilstm") for one in (True, False)]
    table = pd.DataFrame(made).groupby(["student", "job", "one"]).seconds.min().unstack()
    print(f"seconds an epoch of {len(rows):,} sentences; all threads: {torch.get_num_threads()}")
    for (kind, job), row in table.iterrows():
        print(f"{kind:8}{'beside a job' if job else 'alone':14} one thread {row[True]:.2f}, all {row[False]:.2f}: "
              f"{row[False] / row[True]:.1f} times as long with all")

if __name__ == "__main__": main()
