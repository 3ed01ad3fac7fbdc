"""Time and peak memory of making, labelling and opening transfer sets of 10k, 100k and 800k sentences.

    python benchmarks/transfer_set.py
    python benchmarks/transfer_set.py --sizes 10000 100000

Sentences are random words of the built-in corpora and the teacher is a stand-in (a random bag of words with 57 classes), so that what is
measured is the making of the set and not the models. Each size runs in a process of its own; memory is its peak resident set. Training is a
pass over all batches of 32 without a model.
"""
import argparse, json, os, resource, subprocess, sys, tempfile, time
from pathlib import Path

import numpy as np, pandas as pd


def stand_in(words):
    "A teacher that costs nothing: random weights for each word and class."
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from kd_nb.training import SentenceClassifier

    class StandIn(SentenceClassifier):
        special = False
        def __init__(self):
            super().__init__()
            self.labels, self.tokenizer = (
                [str(i) for i in range(57)],
                Tokenizer(models.WordLevel({"[UNK]": 0} | {w: i + 1 for i, w in enumerate(words)}, "[UNK]")))
            self.tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
            self.table = torch.nn.EmbeddingBag(len(words) + 1, 57, padding_idx=0, mode="sum")
        def forward(self, ids, lengths): return self.table(ids)
    torch.manual_seed(0)
    return StandIn()


def one(n, folder):
    "Make, label and open a set of n sentences; print what it took, in seconds and GB."
    from datasets import disable_progress_bars, load_from_disk
    from kd_nb.augment import SentenceFilter, generate
    from kd_nb.data import load_task
    from kd_nb.training import Batches
    from kd_nb.transfer import join_sentences, label_sentences, targets
    disable_progress_bars()
    train = load_task("mini-intents").splits["train"]
    words = sorted({w for s in train["sentence"] for w in s.split()})
    def write(chunk, size):
        rng = np.random.default_rng([0, chunk])
        return pd.DataFrame(
            {
                "sentence": [
                    " ".join(words[i] for i in rng.integers(len(words), size=k))
                    for k in rng.integers(3, 18, size=size)]})
    teacher, times, start = stand_in(words), [], time.perf_counter()
    def lap():
        nonlocal start
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    augmented = generate(write, n, SentenceFilter({"train": train["sentence"]}), "lm", folder/"chunks")
    augmented.save_to_disk(folder / "augment")
    augmented = load_from_disk(folder / "augment")
    lap()
    label_sentences(teacher, join_sentences(train, augmented), folder / "shards").save_to_disk(folder / "transfer")
    lap()
    transfer = load_from_disk(folder/"transfer")
    assert len(transfer) == n + len(train)
    batches = Batches(
        teacher.tokenise(transfer.select_columns("sentence")["sentence"]), *targets(transfer), batch_size=32)
    lap()
    rows = sum(len(ids) for ids, _, _ in batches)
    lap()
    assert rows == len(transfer)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {"new sentences": n} | dict(zip(("make", "label", "open", "one pass"), times))
            | {"GB at start": before / 2**20, "peak GB": peak / 2**20}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 800_000])
    parser.add_argument("--save", type=Path, help="write the table to this JSON file too")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = folder
            return one(args.one, Path(folder))
    rows = []
    for n in args.sizes:
        out = subprocess.run(
            [sys.executable, __file__, "--one", str(n)], check=True, stdout=subprocess.PIPE, text=True).stdout
        rows.append(json.loads(out.splitlines()[-1]))
        print(f"{n:,} done", flush=True)
    print(pd.DataFrame(rows).round(2).to_string(index=False))
    if args.save: args.save.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__": main()
