"""Promise: a transfer set is the same whether its run was killed or not, and whether one process made it or two."""
import os, signal, subprocess, sys, time

import psutil, pytest
from datasets import load_from_disk

from conftest import COMMAND

ARGS = ["label", "--task", "mini-intents", "--teacher", "minilm", "--max-train", "300", "--teacher-epochs", "1"]
RULES = [*ARGS, "--augment", "rules", "--n-augment", "5000"]
# accelerate starts several processes on a CPU with --multi_gpu only; with --cpu it starts one
LAUNCH = [
    sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines",
    "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"]
PIPELINE = ["-m", "kd_nb"]


def environment(tmp_path, name):
    "A cache of its own, so that labels are made, not found; one thread, since more may round differently."
    cache = str(tmp_path/"cache"/name)
    return {**os.environ, "HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": cache, "OMP_NUM_THREADS": "1"}


def label(tmp_path, name, args, launch=(COMMAND,)):
    r = subprocess.run(
        [*launch, *args, "--name", name], cwd=tmp_path, env=environment(tmp_path, name), text=True,
        capture_output=True, timeout=600)
    assert r.returncode == 0, r.stderr
    return r, rows(tmp_path, name)


def rows(tmp_path, name): return load_from_disk(tmp_path/"runs"/name/"transfer").to_pandas().to_dict("list")


def same(a, b):
    assert a.keys() == b.keys() and len(a["sentence"]) == len(b["sentence"])
    for column in ("sentence", "label", "origin"): assert a[column] == b[column]
    assert all((x == y).all() for x, y in zip(a["logits"], b["logits"]))


def killed_when(path, tmp_path, name, args):
    "Starts a run and kills it (SIGKILL: no chance to tidy up) as soon as `path`, a pattern, exists in its folder."
    with subprocess.Popen(
        [COMMAND, *args, "--name", name], cwd=tmp_path, env=environment(tmp_path, name),
        stdout=subprocess.DEVNULL) as p:
        while not list((tmp_path/"runs"/name).glob(path)):
            assert p.poll() is None, f"ended before {path} was there"
            time.sleep(0.02)
        p.send_signal(signal.SIGKILL)


@pytest.fixture
def tiny_lm(tmp_path):
    "A folder with a causal language model that is trained in seconds."
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from kd_nb.data import load_task
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(
        load_task("mini-intents").splits["train"]["sentence"][:],
        trainers.BpeTrainer(vocab_size=600, special_tokens=["<end>"], show_progress=False))
    PreTrainedTokenizerFast(tokenizer_object=t, eos_token="<end>").save_pretrained(tmp_path/"lm")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=600, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        eos_token_id=0, tie_word_embeddings=True)
    LlamaForCausalLM(config).save_pretrained(tmp_path/"lm")
    return ["--augment", "lm", "--lm", "lm", "--lm-epochs", "6", "--lm-lr", "0.005", "--n-augment", "3000"]


def test_killed_run_makes_the_same_set(tmp_path):
    _, whole = label(tmp_path, "whole", RULES)
    killed_when(".work/augment/chunks/00001.parquet", tmp_path, "killed", RULES)
    killed_when(".work/transfer/00000-of-*", tmp_path, "killed", RULES)
    first, = (tmp_path/"runs/killed/.work/transfer").glob("00000-of-*")
    stamp = first.stat().st_mtime_ns
    killed_when(".work/transfer/00001-of-*", tmp_path, "killed", RULES)
    assert first.stat().st_mtime_ns == stamp  # what was whole is not made again
    r, killed = label(tmp_path, "killed", RULES)
    assert "teacher: done before" in r.stdout
    same(whole, killed)
    assert len(whole["sentence"]) == 5000 + whole["origin"].count("train")
    assert not list((tmp_path/"runs/killed").rglob("*.part"))


def test_two_processes_make_the_set_of_one(tmp_path, tiny_lm):
    _, one = label(tmp_path, "one", [*ARGS, *tiny_lm])
    said, two = label(tmp_path, "two", [*ARGS, *tiny_lm], [*LAUNCH, *PIPELINE])
    assert "2 processes share the work" in said.stdout
    same(one, two)
    assert one["origin"].count("lm") == 3000
    assert said.stdout.count("The transfer set") == 1  # the second process is silent

    # killed on the way; what two began, one can end
    with subprocess.Popen(
        [*LAUNCH, *PIPELINE, *ARGS, *tiny_lm, "--name", "killed"], cwd=tmp_path,
        env=environment(tmp_path, "killed"), stdout=subprocess.DEVNULL) as p:
        while not (tmp_path/"runs/killed/.work/augment/chunks/00001.parquet").exists():
            assert p.poll() is None
            time.sleep(0.02)
        # all at once: each worker leads a session of its own, and would go on without the launcher
        everyone = [psutil.Process(p.pid), *psutil.Process(p.pid).children(recursive=True)]
        for process in everyone: process.kill()
        assert not psutil.wait_procs(everyone, timeout=60)[1]
    same(one, label(tmp_path, "killed", [*ARGS, *tiny_lm])[1])


def test_each_process_makes_its_share(tmp_path):
    (tmp_path/"share.py").write_text("""
import os, pandas as pd
from pathlib import Path
from kd_nb.transfer import SentenceFilter, generate
def write(chunk, size):
    Path(f"chunk-{chunk}-by-{os.environ['RANK']}").touch()
    return pd.DataFrame({"sentence": [f"{chunk} {i}" for i in range(size)]})
made = generate(write, 400, SentenceFilter({}), "rules", "chunks", chunk_size=50)
Path(f"made-by-{os.environ['RANK']}").write_text("\\n".join(made["sentence"]))
""")
    r = subprocess.run(
        [*LAUNCH, "share.py"], cwd=tmp_path, env=environment(tmp_path, "share"), text=True, capture_output=True,
        timeout=300)
    assert r.returncode == 0, r.stderr
    by = {int(p.name.split("-")[1]): p.name.split("-")[3] for p in tmp_path.glob("chunk-*-by-*")}
    assert len(by) >= 8 and all(rank == str(chunk % 2) for chunk, rank in by.items())
    assert (tmp_path/"made-by-0").read_text() == (tmp_path/"made-by-1").read_text()
    assert len((tmp_path/"made-by-0").read_text().splitlines()) == 400


def test_run_with_augmentation(here, tmp_path):
    (tmp_path/"own.txt").write_text("where is my invoice\n\nhow do i pay\n")
    args = [
        "--task", "mini-intents", "--teacher", "minilm", "--max-train", "200", "--teacher-epochs", "1",
        "--epochs", "1", "--student", "bilstm",
        "--width", "1/16", "--augment", "rules", "--n-augment", "300", "--unlabelled",
        "own.txt", "--name", "r"]
    made = here("augment", *args)
    assert made.returncode == 0 and "stands in train" in made.stdout and "kept" in made.stdout, made.stderr
    r = here("run", *args)
    assert r.returncode == 0 and "augment: done before" in r.stdout, r.stderr
    origins = rows(tmp_path, "r")["origin"]
    assert {o: origins.count(o) for o in set(origins)} == {
        "train": origins.count("train"), "rules": 300, "unlabelled": 2}
    page = (tmp_path/"runs/r/report.html").read_text()
    for word in ("New sentences", "stands in train", '<img alt="sentences"', '<img alt="labels"'): assert word in page
    assert (tmp_path/"runs/r/figures/labels.png").exists() and not (tmp_path/"runs/r/.work").exists()
    (tmp_path/"own.txt").write_text("something else\n")
    changed = here("run", *args)
    assert changed.returncode == 2 and "unlabelled_digest" in changed.stderr


def test_masked_language_model_of_the_teacher(here, tmp_path):
    "A teacher with a head for masked words (tiny, random weights) replaces words, and labels what is made."
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast
    from kd_nb.pretrained import packaged_folder
    tokenizer = BertTokenizerFast.from_pretrained(packaged_folder("minilm"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    BertForMaskedLM(config).save_pretrained(tmp_path/"bert")
    tokenizer.save_pretrained(tmp_path/"bert")
    r = here(
        "label", "--task", "mini-intents", "--max-train", "200", "--teacher", "bert", "--teacher-epochs", "1",
        "--augment", "mlm", "--n-augment", "150", "--name", "m")
    assert r.returncode == 0, r.stderr
    assert rows(tmp_path, "m")["origin"].count("mlm") == 150


def test_own_sentences_that_are_all_known(here, tmp_path):
    from kd_nb.data import load_task
    (tmp_path/"own.txt").write_text("\n".join(load_task("mini-intents").splits["dev"]["sentence"][:5]) + "\n")
    r = here("run", "--task", "mini-intents", "--teacher", "minilm", "--unlabelled", "own.txt", "--name", "o")
    assert r.returncode == 2 and "stands in dev" in r.stderr and "epoch" not in r.stdout
    (tmp_path/"own.txt").write_text("a sentence that nobody has written yet\n")
    r = here(
        "augment", "--task", "mini-intents", "--teacher", "minilm", "--unlabelled", "own.txt", "--name", "o")
    assert r.returncode == 0


def test_nothing_of_dev_enters_on_real_data(here, tmp_path, real_data):
    from kd_nb.data import load_task
    from kd_nb.splits import same_key
    r = here("augment", "--task", "sara", "--augment", "rules", "--n-augment", "3000", "--name", "s")
    assert r.returncode == 0, r.stderr
    made = {same_key(s) for s in load_from_disk(tmp_path/"runs/s/augment")["sentence"]}
    task = load_task("sara")
    known = {same_key(s) for split in task.splits.values() for s in split["sentence"]}
    assert len(made) == 3000 and not made & known


def test_crossover_exchanges_ends_of_training_sentences(here, tmp_path):
    few = ["--task", "mini-intents", "--max-train", "200", "--teacher", "minilm", "--teacher-epochs", "1"]
    r = here("label", *few, "--augment", "crossover", "--n-augment", "150", "--name", "c")
    assert r.returncode == 0, r.stderr
    made = rows(tmp_path, "c")
    pairs = list(zip(made["sentence"], made["origin"]))
    train, new = ({s for s, o in pairs if o == origin} for origin in ("train", "crossover"))
    assert len(new) == 150 and not new & train
    ends = {(side, " ".join(part)) for s in train for ws in [s.split()] for i in range(1, len(ws) + 1)
            for side, part in ((0, ws[:i]), (1, ws[-i:]))}
    for words in map(str.split, new):
        assert any((0, " ".join(words[:i])) in ends and (1, " ".join(words[i:])) in ends for i in range(1, len(words)))
