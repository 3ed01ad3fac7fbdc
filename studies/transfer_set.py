"""Time and peak memory of making, labelling and opening transfer sets of 10k, 100k and 800k sentences.

    OMP_NUM_THREADS=1 python studies/transfer_set.py --save nbs/saved/transfer-cost.json
    python studies/transfer_set.py --sizes 10000 100000

Sentences are random words of the built-in corpora. The teacher is a stand-in, a random bag of words with 57
classes. So what is measured is the making of the set and not the models.
Each size runs in a process of its own, and memory is its peak resident set.
Training is a pass over all batches of 32 without a model. The page on transfer sets reads the file.
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
            self.labels = [str(i) for i in range(57)]
            numbers = {"[UNK]": 0} | {w: i + 1 for i, w in enumerate(words)}
            self.tokenizer = Tokenizer(models.WordLevel(numbers, "[UNK]"))
            self.tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
            self.table = torch.nn.EmbeddingBag(len(words) + 1, 57, padding_idx=0, mode="sum")
        def forward(self, ids, lengths): return self.table(ids)
    torch.manual_seed(0)
    return StandIn()


def peak_memory():
    "Largest resident set of this process so far, in GB."
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def one(n, folder):
    "Make, label and open a set of n sentences. Print what it took, in seconds and GB."
    from datasets import disable_progress_bars, load_from_disk
    
    from kd_nb.data import load_task
    from kd_nb.training import Batches
    from kd_nb.transfer import SentenceFilter, generate, join_sentences, label_sentences, targets
    disable_progress_bars()
    train = load_task("mini-intents").splits["train"]
    words = sorted({w for s in train["sentence"] for w in s.split()})
    def write(chunk, size):
        rng = np.random.default_rng([0, chunk])
        def sentence(k): return " ".join(words[i] for i in rng.integers(len(words), size=k))
        return pd.DataFrame({"sentence": [sentence(k) for k in rng.integers(3, 18, size=size)]})
    teacher, times, start = stand_in(words), [], time.perf_counter()
    def lap():
        nonlocal start
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    before = peak_memory()
    augmented = generate(write, n, SentenceFilter({"train": train["sentence"]}), "lm", folder/"chunks")
    augmented.save_to_disk(folder/"augment")
    augmented = load_from_disk(folder/"augment")
    lap()
    labelled = label_sentences(teacher, join_sentences(train, augmented), folder/"shards")
    labelled.save_to_disk(folder/"transfer")
    lap()
    transfer = load_from_disk(folder/"transfer")
    assert len(transfer) == n + len(train)
    tokens = teacher.tokenise(transfer.select_columns("sentence")["sentence"])
    batches = Batches(tokens, *targets(transfer), batch_size=32)
    lap()
    rows = sum(len(ids) for ids, _, _ in batches)
    lap()
    assert rows == len(transfer)
    took = dict(zip(("make", "label", "open", "one pass"), times))
    print(json.dumps({"new sentences": n} | took | {"GB at start": before, "peak GB": peak_memory()}))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 800_000])
    p.add_argument("--save", type=Path, help="write the table to this JSON file too")
    p.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.one:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = folder
            return one(args.one, Path(folder))
    from stamp import save  # here, so that the measured processes do without it
    rows = []
    for n in args.sizes:
        command = [sys.executable, __file__, "--one", str(n)]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        rows.append(json.loads(out.splitlines()[-1]))
        print(f"{n:,} done", flush=True)
    print(pd.DataFrame(rows).round(2).to_string(index=False))
    if args.save: save(args.save, rows)


if __name__ == "__main__": main()
