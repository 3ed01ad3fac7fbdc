"""Sentences a second that a teacher labels: `Teacher.logits` against an unsorted loop padded to 128 tokens.

    python benchmarks/label_sentences.py
    KD_NB_DATA=~/data python benchmarks/label_sentences.py --task sara --n 2000

Both have the same model and the same batch size. The task is Sara where KD_NB_DATA is set.
"""
import os
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = "1"  # read when torch is imported
import argparse, time
import numpy as np, torch
from kd_nb.core import autocast
from kd_nb.data import load_task
from kd_nb.teacher import load_teacher

torch.set_num_threads(1)

def padded(teacher, sentences, batch_size, max_length=128):
    "Logits in the order of the sentences, each padded to `max_length` tokens. Tokenising counts, as in ours."
    out = []
    for i in range(0, len(sentences), batch_size):
        batch = teacher.hf_tokenizer(
            sentences[i : i + batch_size], padding="max_length", truncation=True, max_length=max_length,
            return_tensors="pt")
        with torch.no_grad(): out.append(teacher(batch["input_ids"], batch["attention_mask"].sum(1)))
    return torch.cat(out).numpy()

def timed(label, sentences):
    "Logits, and sentences a second."
    start = time.perf_counter()
    logits = label(sentences)
    return logits, len(sentences) / (time.perf_counter() - start)

def tolerance():
    "Sums of float32 numbers differ by their order; on CPUs where kd_nb computes in bfloat16, by far more."
    with autocast(torch.device("cpu")): return 0.1 if torch.is_autocast_enabled("cpu") else 1e-3

def main():
    doc = __doc__.splitlines()[0]
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    usual = "sara" if os.environ.get("KD_NB_DATA") else "mini-intents"
    p.add_argument("--task", default=usual, help="name of a task")
    p.add_argument("--n", type=int, default=512, help="sentences, drawn at random from the training split")
    p.add_argument("--batch-size", type=int, default=256, help="sentences a batch, in both loops")
    p.add_argument("--repeats", type=int, default=1, help="both are timed so often, in turn; the best counts")
    args = p.parse_args()
    task = load_task(args.task)
    # Drawn, not the first: a file may be in an order that is no fair sample of its lengths.
    rows = np.random.default_rng(0).permutation(len(task.splits["train"]))[:args.n]
    sentences = task.splits["train"].select(rows)["sentence"][:]
    torch.manual_seed(0)
    teacher = load_teacher("minilm", task.labels).to("cpu")  # the head is random: time does not depend on it
    loops = {
        "kd_nb": lambda s: teacher.logits(s, args.batch_size),
        "padded to 128": lambda s: padded(teacher, s, args.batch_size)}
    best, logits = dict.fromkeys(loops, 0.), {}
    for loop in loops.values(): loop(sentences[:16])  # warm up
    for _ in range(args.repeats):
        for name, loop in loops.items():
            logits[name], rate = timed(loop, sentences)
            best[name] = max(best[name], rate)
    apart = np.abs(np.subtract(*logits.values())).max()
    assert apart < tolerance(), f"the loops' logits differ by up to {apart}"
    words = teacher.tokenise(sentences).lengths.float().mean()
    print(
        f"{task.name}: {len(sentences)} sentences of {words:.1f} tokens on average, MiniLM,"
        f" batch {args.batch_size}, one thread")
    print(f"{'loop':16}{'sentences a second':>20}{'ratio to padded':>17}")
    for name, rate in best.items(): print(f"{name:16}{rate:20.1f}{rate / best['padded to 128']:17.2f}")
    spread = logits["kd_nb"].std(0).mean()
    print(f"logits differ by at most {apart:.1e}; those of a class spread by {spread:.1e}")

if __name__ == "__main__": main()
