"""An epoch of fine-tuning a teacher: seconds by batch size, in float32 and in bfloat16.

    KD_NB_DATA=~/data python benchmarks/fine_tune.py --task cola

Both precisions do the same batches in turn. The share is that of a large product's rate: what the matrix products of
the sentences would take by themselves, as a share of the seconds. Products with padding do not count.
"""
import argparse, time

import numpy as np, torch, torch.nn.functional as F

from kd_nb.core import fast_bf16, pick_device
from kd_nb.run import load_data
from kd_nb.settings import Settings
from kd_nb.teacher import load_teacher
from kd_nb.training import Batches, inside_mask, only_rows

PRECISIONS = {"float32": False, "bfloat16": True}


def product_rate(device, bf16, size=2048):
    "Multiplications and additions a second in a large product."
    x, took = torch.randn(size, size, device=device), []
    if bf16: x = x.bfloat16()
    for _ in range(8):
        start = time.perf_counter()
        float((x @ x)[0, 0])
        took.append(time.perf_counter() - start)
    return 2 * size ** 3 / min(took)


def step(model, opt, ids, lengths, label, bf16):
    "Seconds of one."
    start, mask = time.perf_counter(), inside_mask(lengths, ids.shape[1]).long()
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=bf16):
        z = model(input_ids=ids, attention_mask=mask).logits
    F.cross_entropy(z.float(), label).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
    opt.step()
    opt.zero_grad()
    float(z.detach()[0, 0])  # an accelerator has finished
    return time.perf_counter() - start


def epoch(name, task, batch_size, steps):
    "Seconds of an epoch in each precision, from the median of some steps; multiplications and additions; padding."
    teacher, device = load_teacher(name, task.labels), pick_device()
    teacher.train()
    train = task.splits["train"]
    tokens = teacher.tokenise(train["sentence"][:])
    took, given, read = {p: [] for p in PRECISIONS}, 0, 0
    with only_rows([teacher.model.get_input_embeddings()], tokens) as (small,):
        teacher.model.config.pad_token_id = small.pad_id
        opt = torch.optim.AdamW(teacher.parameters(), lr=0., fused=True)
        torch.manual_seed(0)
        batches = Batches(small, torch.tensor(train["label"][:]), batch_size=batch_size)
        for i, (ids, lengths, (label,)) in enumerate(batches):
            given, read = given + ids.numel(), read + int(lengths.sum())
            if i >= steps: continue
            batch = ids.to(device), lengths.to(device), label.to(device)
            for p, bf16 in PRECISIONS.items():
                took[p].append(step(teacher.model, opt, *batch, bf16) / ids.numel())
    weights = sum(m.weight.numel() for m in teacher.modules() if isinstance(m, torch.nn.Linear))
    seconds = {p: given * np.median(t[1:]) for p, t in took.items()}
    return seconds, 6 * weights * read, 1 - read / given  # forward, and twice as much backward


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--task", default="mini-intents", help="as of kd-nb run; here mini-intents, if not given")
    p.add_argument("--teacher", default="minilm", help="as of kd-nb run; here minilm, if not given")
    p.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    p.add_argument("--steps", type=int, default=20, help="timed in each precision, after one to warm up")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    task, device = load_data(Settings(task=args.task)), pick_device()
    rate = {p: product_rate(device, bf16) for p, bf16 in PRECISIONS.items()}
    print(f"{args.teacher} on {args.task}, {args.threads} threads; a large product: "
          + ", ".join(f"{p} {r / 1e9:.0f} GFLOP/s" for p, r in rate.items())
          + f"; kd_nb trains in {'bfloat16' if fast_bf16(device) else 'float32'} here")
    first = None
    for batch_size in (36, 72, 144):
        seconds, work, padding = epoch(args.teacher, task, batch_size, args.steps + 1)
        for p, s in seconds.items():
            first = first or s
            print(f"batches of {batch_size:3}, {p:8}: {s:6.1f} s an epoch, {first / s:.2f} times as fast as the "
                  f"first; {100 * work / s / rate[p]:.0f} % of a large product's rate, {100 * padding:.0f} % padding")


if __name__ == "__main__": main()
