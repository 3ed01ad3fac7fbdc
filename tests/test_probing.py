"""Promise: `kd-nb probe` says what the layers of a run's models know, goes on where it was stopped,
and names file and line of a bad file."""
import os, signal, subprocess, sys, time
from types import SimpleNamespace

import numpy as np, pandas as pd, pytest

FAST = [
    "--teacher", "minilm", "--teacher-epochs", "1", "--max-train", "100", "--epochs", "1", "--student",
    "bilstm,bert", "--width", "1/8"]
FEW = ["--n-train", "120", "--n-eval", "60", "--tasks", "Tense,WordContent"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    "A finished run with both students, and a way to call the command beside it."
    from conftest import COMMAND
    tmp = tmp_path_factory.mktemp("probe")
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "KD_NB_DATA": "", "XDG_CACHE_HOME": str(tmp/"cache")}
    def call(*args):
        return subprocess.run(
            [COMMAND, *map(str, args)], text=True, capture_output=True, cwd=tmp, env=env, timeout=600)
    r = call("run", "--task", "mini-sentiment", "--name", "r", *FAST)
    assert r.returncode == 0, r.stderr
    return tmp/"runs/r", call, env


@pytest.fixture
def here(run, monkeypatch, capsys):
    "Calls the command beside that run without a process of its own, which would take longer to start."
    from kd_nb.cli import main
    monkeypatch.chdir(run[0].parents[1])
    for key, value in run[2].items():
        if os.environ.get(key) != value: monkeypatch.setenv(key, value)
    def call(*args):
        monkeypatch.setattr(sys, "argv", ["kd-nb", *map(str, args)])
        with pytest.raises(SystemExit) as e: main()
        said = capsys.readouterr()
        return SimpleNamespace(returncode=e.value.code or 0, stdout=said.out, stderr=said.err)
    return call


def test_every_layer_of_every_model_with_controls(run, here):
    folder, call, _ = run
    r = call("probe", "runs/r", *FEW, "--models", "teacher,bilstm,bert", "--controls")
    assert r.returncode == 0, r.stderr
    scores = pd.read_csv(folder/"probing/made-mean/scores.csv")
    layers = scores.groupby("model").layer.nunique().to_dict()
    assert layers == {
        "teacher": 7, "teacher-untrained": 7, "teacher-vectors": 1, "bilstm": 2, "bilstm-untrained": 2,
        "bilstm-vectors": 1, "bert": 6, "bert-untrained": 6, "bert-vectors": 1}
    of_one = scores[(scores.model == "bilstm") & (scores.layer == 1)]
    assert of_one.groupby(["task", "control"]).size().to_dict() == {
        (t, c): 1 if t == "WordContent" else 10 for t in ("Tense", "WordContent") for c in (False, True)}
    assert scores.acc.between(0, 100).all() and (scores.ndev == 60).all() and (scores.ntest == 60).all()
    assert (folder/"figures/probing-made-mean.png").stat().st_size > 10_000
    assert '<img alt="probing made mean"' in (folder/"report.html").read_text()
    for word in ("synthetic", "majority", "rule of -s and -d", "teacher-untrained", "random"): assert word in r.stdout
    assert not list((folder/"probing").rglob("*.npy"))  # encodings go when their task is done
    again = here("probe", "runs/r", *FEW, "--models", "teacher")
    assert again.returncode == 0 and " at layer " not in again.stdout  # nothing was done again
    assert pd.read_csv(folder/"probing/made-mean/scores.csv").equals(scores)


def test_other_settings_need_another_name(here):
    args = ["probe", "runs/r", "--tasks", "Tense", "--n-eval", "20", "--models", "bilstm", "--name", "x"]
    assert here(*args, "--n-train", "40").returncode == 0
    r = here(*args, "--n-train", "50")
    assert r.returncode == 2 and "n_train: 40 -> 50" in r.stderr and "--name" in r.stderr


def test_killed_probing_goes_on(run, here):
    folder, _, env = run
    from conftest import COMMAND
    args = [
        "probe", "runs/r", "--models", "teacher", "--tasks", "Tense,Length,Depth", "--n-train", "200",
        "--n-eval", "50", "--name", "killed"]
    p = subprocess.Popen(
        [COMMAND, *args], cwd=folder.parents[1], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = folder/"probing/killed/teacher/Tense.csv"
    until = time.monotonic() + 300
    while time.monotonic() < until and not first.exists() and p.poll() is None: time.sleep(0.05)
    p.send_signal(signal.SIGKILL)
    p.wait()
    assert first.exists() and not (folder/"probing/killed/scores.csv").exists()
    stamp = first.stat().st_mtime_ns
    assert here(*args).returncode == 0
    assert first.stat().st_mtime_ns == stamp
    assert here(*args[:-1], "whole").returncode == 0
    killed, whole = (pd.read_csv(folder/"probing"/n/"scores.csv") for n in ("killed", "whole"))
    pd.testing.assert_frame_equal(killed, whole)


def test_files_in_the_official_format_and_treebanks(run, here, tmp_path):
    folder, _, _ = run
    from kd_nb.grammar import make_task
    table = make_task("Tense", (60, 20, 20))
    (tmp_path/"past_present.txt").write_text(
        "".join(f"{r.split}\t{r.label}\t{r.sentence}\n" for r in table.itertuples()))
    r = here("probe", "runs/r", "--suite", tmp_path, "--models", "bilstm", "--name", "files", "--pooling", "single")
    assert r.returncode == 0, r.stderr
    assert set(pd.read_csv(folder/"probing/files/scores.csv").task) == {"Tense"} and "published scores" not in r.stdout
    lines = [
        f"{split}\t{label}\tit {verb} {i} .\n"
        for split, n in (("tr", 50_000), ("va", 5_000), ("te", 5_000)) for i in range(n)
        for label, verb in (("PAST", "sat"), ("PRES", "sits"))]
    (tmp_path/"past_present.txt").write_text("".join(lines))
    r = here(
        "probe", "runs/r", "--suite", tmp_path, "--models", "bilstm", "--name", "official", "--n-train", "60",
        "--n-eval", "20")
    assert r.returncode == 0 and "published scores" in r.stdout, r.stderr
    rows = []
    for i in range(120):
        noun, verb = ["cat", "dog", "fox", "cow"][i % 4], ["sat", "ran", "hid", "ate"][i // 4 % 4]
        tense, tag = [("Past", "VBD"), ("Pres", "VBZ")][i % 2]
        rows.append(
            "1\tthe\tthe\tDET\tDT\t_\t2\tdet\t_\t_\n"
            f"2\t{noun}{i}\t{noun}\tNOUN\tNN\tNumber=Sing\t3\tnsubj\t_\t_\n"
            f"3\t{verb}{i}\t{verb}\tVERB\t{tag}\tTense={tense}|VerbForm=Fin\t0\troot\t_\t_\n"
            "4\t.\t.\tPUNCT\t.\t_\t3\tpunct\t_\t_\n\n")
    (tmp_path/"bank.conllu").write_text("".join(rows))
    r = here(
        "probe", "runs/r", "--suite", tmp_path/"bank.conllu", "--tasks", "Tense,BigramShift", "--models",
        "bilstm")
    assert r.returncode == 0, r.stderr
    assert set(pd.read_csv(folder/"probing/bank-mean/scores.csv").task) == {"Tense", "BigramShift"}


def test_own_sentences_through_a_spacy_pipeline(run, here, tmp_path):
    import spacy
    from spacy.language import Language
    @Language.component("the_third_word_is_the_verb")
    def parse(doc):
        tense = "Past" if doc[2].text.endswith("ed") else "Pres"
        read = [
            (1, "det", "DET", ""), (2, "nsubj", "NOUN", "Number=Sing"),
            (2, "ROOT", "VERB", f"Tense={tense}|VerbForm=Fin"), (2, "punct", "PUNCT", "")]
        for token, (head, token.dep_, token.pos_, morph) in zip(doc, read):
            token.head = doc[head]
            token.set_morph(morph)
        return doc
    nlp = spacy.blank("en")
    nlp.add_pipe("attribute_ruler")
    nlp.add_pipe("the_third_word_is_the_verb", name="parser")
    nlp.to_disk(tmp_path/"pipeline")
    sentences = [
        f"The {noun} {chr(97 + i)}alk{ending} ." for i in range(26) for noun in ("cat", "dog", "fox")
        for ending in ("ed", "s")]
    (tmp_path/"mine.txt").write_text("\n".join(sentences))
    args = "probe", "runs/r", "--suite", tmp_path/"mine.txt", "--models", "bilstm"
    r = here(*args)
    assert r.returncode == 2 and "--spacy en_core_web_sm" in r.stderr
    r = here(*args, "--spacy", tmp_path/"pipeline", "--tasks", "Tense")
    assert r.returncode == 0, r.stderr
    assert set(pd.read_csv(run[0]/"probing/mine-mean/scores.csv").task) == {"Tense"}
    from kd_nb.probing import load_suite
    read = load_suite(str(tmp_path/"mine.txt"), ["Tense"], pipeline=str(tmp_path/"pipeline"))["Tense"]
    verb = read.sentence.str.split().str[2]
    assert (verb.str.endswith("ed") == (read.label == "PAST")).all() and set(read.label) == {"PAST", "PRES"}
    assert read.groupby(verb).split.nunique().max() == 1  # every verb in one part only


LINES = [
    f"{split}\t{label}\tthe cat {split} {i}" for split, n in (("tr", 20), ("va", 4), ("te", 4))
    for i in range(n) for label in ("PAST", "PRES")]

@pytest.mark.parametrize("bad, words", [
    ("tr\tPAST", ["line 11", "2 columns"]), ("dev\tPAST\tthe cat", ["line 11", "'dev'", "tr, va, te"]),
    ("te\tFUTURE\tthe cat", ["line 11", "'FUTURE'", "'tr'"]), ("te\tPAST\t", ["line 11", "sentence is empty"]),
])
def test_bad_file(bad, words, here, tmp_path):
    (tmp_path/"past_present.txt").write_text("\n".join([*LINES[:10], bad, *LINES[10:]]))
    r = here("probe", "runs/r", "--suite", tmp_path)
    assert r.returncode == 2 and len(r.stderr.strip().splitlines()) == 1, r.stderr
    for word in ["past_present.txt", *words]: assert word in r.stderr


@pytest.mark.parametrize("args, words", [
    (["nowhere"], ["no run in 'nowhere'"]),
    (["runs/r", "--models", "techer"], ["unknown model of this run 'techer'", "did you mean 'teacher'?"]),
    (["runs/r", "--tasks", "Lenght"], ["unknown probing task 'Lenght'", "did you mean 'Length'?"]),
    (["runs/r", "--pooling", "men"], ["unknown pooling 'men'"]),
    (["runs/r", "--suite", "mede"], ["unknown suite 'mede'", "did you mean 'made'?"]),
    (["runs/r", "--suite", "no.conllu"], ["no such file: no.conllu"]),
    (["runs/r", "--spacy", "en_core_web_sm"], ["--spacy goes with a file of sentences"]),
    (["runs/r", "--n-train", "0"], ["--n-train"]),
])
def test_bad_option(args, words, here):
    r = here("probe", *args)
    assert r.returncode == 2 and len(r.stderr.strip().splitlines()) == 1, r.stderr
    for word in words: assert word in r.stderr


def test_order_of_rows_and_size_of_batches_do_not_matter(run, tmp_path):
    """On the models of a real run: encodings in another order are the same encodings, and a property of a
    layer is found in them."""
    from kd_nb.encodings import POOLINGS, encode
    from kd_nb.grammar import make_task
    from kd_nb.probe import chosen, probe
    from kd_nb.students import load_student
    from kd_nb.teacher import load_teacher
    folder, _, _ = run
    sentences = make_task("Length", (160, 20, 80)).sentence.tolist()
    order = np.random.default_rng(1).permutation(len(sentences))
    mixed = [sentences[i] for i in order]
    models = {"teacher": load_teacher(folder/"teacher")}
    models |= {s: load_student(folder/"students"/s) for s in ("bilstm", "bert")}
    for name, model in models.items():
        for pooling in POOLINGS:
            here = encode(model, sentences, tmp_path/f"{name}-{pooling}", pooling, batch_size=32)
            there = encode(model, mixed, tmp_path/f"{name}-{pooling}-2", pooling, batch_size=5)
            for a, b in zip(here, there):
                # alike to a step of half precision
                assert np.allclose(a[order].astype(float), b, rtol=2e-3, atol=2e-3)
        # the layers of students that have hardly learnt are nearly the same for all sentences
        if name != "teacher": continue
        x = here[-1].astype(float)
        # its main direction: a property that a layer surely has, probed where the rows came in another order
        along = x @ np.linalg.svd(x - x.mean(0))[2][0]
        split = np.repeat(["tr", "va", "te"], [160, 20, 80])
        table = pd.DataFrame({"split": split, "label": (along > np.median(along))[order]})
        best = chosen(probe(there[-1:], table))
        assert max(best.acc[0], best.logreg[0]) > 70  # rows out of step: 50


def test_published_scores_say_what_the_study_says(real_data):
    """The study's files, read and chosen by our functions: where tasks peak, what SST-2 costs, and that LSTM
    rows are at chance on word content."""
    from kd_nb.probe import chosen
    from kd_nb.probing import peaks, read_published
    if not (real_data/"thesis-probing").is_dir(): pytest.skip("KD_NB_DATA has no folder thesis-probing")
    columns = ["kind", "tuned", "model", "pooling", "layer", "task"]
    scores = chosen(read_published(real_data/"thesis-probing"), columns)
    assert len(scores) == 115 * 10
    pre = scores.query("kind == 'teacher' and tuned == 'pretrained' and pooling == 'avg'")
    assert peaks(pre)["best layer"].to_dict() == {
        "Length": 0, "WordContent": 0, "Depth": 12, "TopConstituents": 12, "BigramShift": 18, "Tense": 18,
        "SubjNumber": 12, "ObjNumber": 12, "OddManOut": 18, "CoordinationInversion": 18}
    last = scores.query("kind == 'teacher' and layer == 24 and pooling == 'avg'")
    last = last.pivot(index="task", columns="tuned", values="acc")
    lost = last["pretrained"] - last["SST-2"]
    assert lost.idxmax() == "TopConstituents" and (lost > 15).all() and round(lost["WordContent"], 1) == 55.7
    lstm = scores[scores.model.str.startswith("LSTM") & (scores.task == "WordContent")]
    assert len(lstm) == 9 and (lstm.acc < 0.3).all()
