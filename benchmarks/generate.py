"""Kept tokens a second with SmolLM2 on this machine: our sampling against transformers' `generate`.

    python benchmarks/generate.py                # fine-tunes SmolLM2 first: two minutes on two cores
    python benchmarks/generate.py --lm folder    # a language model that is fine-tuned already

A kept token is one up to and including the end of its sentence (or the 128th). All ways have the same
prefixes and draw from the model's whole distribution (temperature 1, no top-k, no top-p).
The slow ways write fewer sentences, the first of the same prefixes, or the benchmark would take an hour.
"""
import argparse, tempfile, time

import numpy as np, torch

from kd_nb.augment import fine_tune_lm, lm_recipe, load_lm, sample
from kd_nb.data import load_task
from kd_nb.splits import stratified_split

LENGTH = 128


def ours(lm, prefix):
    rows, ended, _ = sample(lm, prefix, torch.rand(len(prefix), LENGTH))
    return sum(map(len, rows)) + int(ended.sum())


def generate(lm, prefix, batch_size):
    kept = 0
    for rows in prefix.split(batch_size):
        ids = torch.stack([torch.full_like(rows, lm.bos_id), rows], 1)
        out = lm.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
            max_new_tokens=LENGTH - 1, eos_token_id=lm.eos_id, pad_token_id=lm.eos_id)[:, 2:]
        ends = out == lm.eos_id
        kept += int(torch.where(ends.any(1), ends.int().argmax(1) + 1, out.shape[1]).sum()) + len(rows)
    return kept


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--lm", help="folder of a fine-tuned language model")
    p.add_argument("--task", default="mini-intents", help="whose sentences are prefixes, and tune the model")
    args = p.parse_args()
    train, select = stratified_split(load_task(args.task).splits["train"], 0.1)
    lm = load_lm(args.lm or "smollm2")
    if not args.lm:
        recipe = {k[3:]: v for k, v in lm_recipe("smollm2").items()}
        fine_tune_lm(lm, train["sentence"][:], select["sentence"][:], tempfile.mkdtemp(), **recipe)
    tokens = lm.tokenise(train["sentence"][:])
    first = tokens.ids[tokens.starts[:-1] + 1].long()
    prefix = first[torch.from_numpy(np.random.default_rng(0).integers(len(first), size=2048))]
    def sampled(x): return sum(ours(lm, part) for part in x.split(1024))
    ways = [
        ("kd_nb.augment.sample, 1,024 rows at a time", 2048, sampled),
        ("generate, sentence by sentence", 64, lambda x: generate(lm, x, 1)),
        ("generate, batches of 256, ended rows stay", 512, lambda x: generate(lm, x, 256))]
    ours(lm, prefix[:16])
    generate(lm, prefix[:4], 4)  # warm-up
    model = "the language model given" if args.lm else "fine-tuned SmolLM2"
    print(f"{torch.get_num_threads()} threads, {args.task}, {model}")
    best = None
    for name, n, write in ways:
        torch.manual_seed(0)
        start = time.perf_counter()
        kept = write(prefix[:n])
        rate = kept / (time.perf_counter() - start)
        best = best or rate
        print(
            f"{name:45} {n:5} sentences  {kept / n:5.1f} tokens each"
            f"  {rate:7.1f} kept tokens/s  {best / rate:5.1f}x",
            flush=True)


if __name__ == "__main__": main()
