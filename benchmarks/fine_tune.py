"""What makes an epoch of fine-tuning a teacher faster? Seconds of an epoch by batch size and frozen layers.

    KD_NB_DATA=~/data python benchmarks/fine_tune.py --task cola

The share is that of the machine's matrix rate: what the epoch's matrix products would take by themselves, at the
rate of a large product, as a share of its seconds. Padding counts as work that brings nothing.
"""
import argparse, time

import numpy as np, torch, torch.nn.functional as F

from kd_nb.core import autocast, pick_device
from kd_nb.run import load_data
from kd_nb.settings import Settings
from kd_nb.teacher import keep_lower, load_teacher
from kd_nb.training import Batches, only_rows


def matrix_rate(size=2048):
    "Multiplications and additions a second of a large product, in the precision of training."
    x, took = torch.randn(size, size, device=pick_device()), []
    with autocast(x.device):
        for _ in range(8):
            start = time.perf_counter()
            x @ x
            took.append(time.perf_counter() - start)
    return 2 * size ** 3 / min(took)


def epoch(task, name, batch_size, frozen, batches):
    "Seconds of an epoch (the median step, times their number), its share of the matrix rate, and of padding."
    teacher = load_teacher(name, task.labels)
    keep_lower(teacher, frozen)
    teacher.train()
    train, device = task.splits["train"], pick_device()
    tokens = teacher.tokenise(train["sentence"][:])
    linear = [m for m in teacher.modules() if isinstance(m, torch.nn.Linear)]
    forward = sum(m.weight.numel() for m in linear)
    trained = sum(m.weight.numel() for m in linear if m.weight.requires_grad)
    took, read, given = [], 0, 0
    with only_rows([teacher.model.get_input_embeddings()], tokens) as (small,):
        teacher.model.config.pad_token_id = small.pad_id
        opt = torch.optim.AdamW([p for p in teacher.parameters() if p.requires_grad], lr=1e-5, fused=True)
        torch.manual_seed(0)
        loader = Batches(small, torch.tensor(train["label"][:]), batch_size=batch_size)
        for i, (ids, lengths, (label,)) in enumerate(loader):
            start = time.perf_counter()
            loss = F.cross_entropy(teacher(ids.to(device), lengths.to(device)), label.to(device))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(teacher.parameters(), 1.)
            opt.step()
            opt.zero_grad()
            float(loss.detach())
            took.append((time.perf_counter() - start) / ids.numel())
            read, given = read + int(lengths.sum()), given + ids.numel()
            if i == batches: break
    seconds = np.median(took[1:]) * given * len(tokens.ids) / read
    # products of the forward pass, and two more of it for each layer that learns
    flops = 2 * (forward + 2 * trained) * len(tokens.ids)
    return seconds, flops / seconds, 1 - read / given


def main():
    doc = __doc__.splitlines()[0]
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--task", default="mini-intents", help="as of kd-nb run")
    p.add_argument("--teacher", default="minilm", help="as of kd-nb run")
    p.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    p.add_argument("--batches", type=int, default=20, help="timed steps")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    task, rate = load_data(Settings(task=args.task)), matrix_rate()
    print(f"{args.teacher}, {args.task}, {args.threads} threads; a large product: {rate / 1e9:.0f} GFLOP/s")
    first = None
    for batch_size, frozen in ((36, 0), (72, 0), (144, 0), (36, 2), (72, 2), (144, 2)):
        seconds, done, padding = epoch(task, args.teacher, batch_size, frozen, args.batches)
        first = first or seconds
        print(f"batches of {batch_size:3}, {frozen} layers frozen: {seconds:6.1f} s an epoch, "
              f"{first / seconds:.2f} times as fast as the first; {100 * done / rate:.0f} % of the matrix rate, "
              f"{100 * padding:.0f} % padding")


if __name__ == "__main__": main()
