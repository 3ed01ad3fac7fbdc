"""Does bfloat16 pay on this CPU? Seconds of a training step of the MiniLM teacher, and their ratio.

    python benchmarks/bf16.py --threads 1
"""
import argparse, time

import numpy as np, torch

from kd_nb.teacher import load_teacher


def seconds(model, opt, ids, bf16, steps):
    "Median seconds of a step, after one to warm up."
    took = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16): z = model.model(input_ids=ids).logits
        z.float().pow(2).mean().backward()
        opt.step()
        opt.zero_grad()
        took.append(time.perf_counter() - start)
    return float(np.median(took[1:]))


def main():
    doc = __doc__.splitlines()[0]
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--threads", type=int, default=1, help="of torch")
    p.add_argument("--steps", type=int, default=20, help="timed steps of 32 sentences of 10 tokens")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    model = load_teacher("minilm", ["a", "b"]).to("cpu")
    opt = torch.optim.Adam(model.parameters(), lr=0., fused=True)
    ids = torch.randint(1000, 20000, (32, 10))
    off, on = (seconds(model, opt, ids, bf16, args.steps) for bf16 in (False, True))
    print(
        f"float32 {off:.3f} s a step, bfloat16 {on:.3f} s: {off / on:.2f} times as fast"
        f" ({args.threads} threads)")


if __name__ == "__main__": main()
