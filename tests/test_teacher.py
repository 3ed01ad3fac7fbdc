"A teacher reads sentences as it was trained to, starts from a fitted head, and is the same after it was saved."
import json, shutil

import numpy as np, pytest, torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from kd_nb.core import KdError, write_json
from kd_nb.data import load_task
from kd_nb.encodings import encode, untrained
from kd_nb.metrics import score
from kd_nb.pretrained import packaged_folder
from kd_nb.run import Run
from kd_nb.splits import stratified_split
from kd_nb.teacher import PooledClassifier, fine_tune, fit_head, load_teacher, pooling_of
from kd_nb.transfer import teacher_key
from test_run_folders import FAST

SENTENCES = ["a fine evening", "dull", "the seats were red and the soup was cold, but we stayed"]
SIZES = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=30522)
KINDS = {
    "bert": SIZES, "roberta": SIZES | dict(max_position_embeddings=140), "electra": SIZES | dict(embedding_size=24),
    "distilbert": dict(dim=24, n_layers=2, n_heads=2, hidden_dim=32), "mpnet": SIZES,
    "gpt2": dict(n_embd=24, n_layer=2, n_head=2, vocab_size=30522)}


def make(folder, kind, auto=AutoModel):
    "A model with random weights, and MiniLM's tokeniser."
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, pad_token_id=0, **KINDS[kind])
    auto.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(packaged_folder("minilm")).save_pretrained(folder)
    return folder


def pool_by(folder, **config):
    "The files of sentence-transformers."
    (folder/"1_Pooling").mkdir(exist_ok=True)
    write_json(folder/"modules.json", [
        dict(idx=0, name="0", path="", type="sentence_transformers.models.Transformer"),
        dict(idx=1, name="1", path="1_Pooling", type="sentence_transformers.models.Pooling")])
    write_json(folder/"1_Pooling/config.json", config)
    return folder


WAYS = [(dict(pooling_mode_mean_tokens=True, pooling_mode_cls_token=False), "mean"),
        (dict(pooling_mode_cls_token=True), "cls"), (dict(pooling_mode_lasttoken=True), "last"),
        (dict(pooling_mode="mean"), "mean"), (dict(pooling_mode="cls"), "cls"),
        (dict(pooling_mode="lasttoken"), "last")]


@pytest.mark.parametrize("config, wanted", WAYS)
def test_the_files_say_how_a_sentence_is_read(tmp_path, config, wanted):
    folder = pool_by(make(tmp_path/"m", "bert"), **config)
    teacher = load_teacher(folder, ["a", "b"])
    assert teacher.pooling == pooling_of(folder) == wanted
    plain, tokens = AutoModel.from_pretrained(folder), teacher.hf_tokenizer(SENTENCES[2], return_tensors="pt")
    with torch.no_grad(): states = plain(**tokens).last_hidden_state[0]
    by_hand = dict(mean=states.mean(0), cls=states[0], last=states[-1])[wanted]
    found = teacher.vectors(teacher.tokenise(SENTENCES))[2]
    assert found == pytest.approx(by_hand.numpy(), abs=2e-2)  # bfloat16 on some machines


def test_who_has_a_head_is_read_by_it(tmp_path):
    folder = pool_by(make(tmp_path/"m", "bert", AutoModelForSequenceClassification), pooling_mode_mean_tokens=True)
    assert pooling_of(folder) == "head" and pooling_of(make(tmp_path/"n", "bert")) == "head"
    assert pooling_of(folder, "mean") == "mean"


@pytest.mark.parametrize("config", [
    dict(pooling_mode_max_tokens=True), dict(pooling_mode_mean_tokens=True, pooling_mode_cls_token=True),
    dict(pooling_mode="weightedmean")])
def test_a_way_that_we_lack_is_named(here, tmp_path, config):
    folder = pool_by(make(tmp_path/"m", "bert"), **config)
    r = here("run", "--task", "mini-sentiment", "--teacher", str(folder), "--name", "x", cwd=tmp_path)
    assert r.returncode == 2 and "--teacher-pooling: mean, cls, last" in r.stderr and "Traceback" not in r.stderr
    with pytest.raises(KdError, match="pools its states by"): load_teacher(folder, ["a", "b"])
    assert load_teacher(folder, ["a", "b"], "mean").pooling == "mean"


@pytest.mark.parametrize("damage", ["{", "[]", '[{"type": 3}]', '[{"type": "x.Pooling"}]', '{"type": "x"}'])
def test_damaged_files_of_sentence_transformers(tmp_path, damage):
    folder = pool_by(make(tmp_path/"m", "bert"), pooling_mode_mean_tokens=True)
    (folder/"modules.json").write_text(damage)
    if damage == "[]": assert pooling_of(folder) == "head"
    else:
        with pytest.raises(KdError, match="cannot be read"): pooling_of(folder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "head"])
def test_a_saved_teacher_is_the_same(tmp_path, kind, pooling):
    teacher = load_teacher(make(tmp_path/"m", kind), ["a", "b", "c"], pooling)
    before = teacher.logits(SENTENCES)
    assert np.concatenate([teacher.logits([s]) for s in SENTENCES]) == pytest.approx(before, abs=2e-2)
    assert teacher.vectors(teacher.tokenise(SENTENCES)).shape == (3, 24)
    teacher.save(tmp_path/"saved")
    again = load_teacher(tmp_path/"saved")
    assert (again.pooling, again.labels) == (pooling, ["a", "b", "c"])
    assert (again.logits(SENTENCES) == before).all() and teacher_key(again) == teacher_key(teacher)
    assert load_teacher(tmp_path/"saved", ["x", "y"]).logits(["z"]).shape == (1, 2)
    assert not (untrained(teacher, 1).logits(SENTENCES) == before).any()
    assert len(encode(again, SENTENCES, tmp_path/"vectors")) == 3
    assert not [p for p in (tmp_path/"saved").rglob("*") if p.suffix in (".bin", ".pkl", ".pt")]


def test_two_ways_of_reading_are_two_teachers(tmp_path):
    folder = make(tmp_path/"m", "bert")
    def key(pooling):
        torch.manual_seed(0)  # the same head
        return teacher_key(load_teacher(folder, ["a", "b"], pooling))
    assert len({key(pooling) for pooling in ("mean", "cls", "last")}) == 3 and key("mean") == key("mean")


def test_an_encoder_with_a_decoder_is_read_by_its_head(tmp_path):
    torch.manual_seed(0)
    config = AutoConfig.for_model("t5", d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=30522)
    AutoModel.from_config(config).save_pretrained(tmp_path/"m")
    AutoTokenizer.from_pretrained(packaged_folder("minilm")).save_pretrained(tmp_path/"m")
    with pytest.raises(KdError, match="only --teacher-pooling head can read it"):
        load_teacher(tmp_path/"m", ["a", "b"], "mean")


def test_a_class_without_rows_is_never_answered():
    x = np.random.default_rng(0).normal(size=(40, 6))
    weight, bias = fit_head(x, np.where(x[:, 0] > 0, 2, 0), 4, 10.)
    assert set((x @ weight.T + bias).argmax(1)) == {0, 2} and weight.shape == (4, 6)


@pytest.fixture(scope="module")
def sentiment():
    task = load_task("mini-sentiment")
    return (task, *stratified_split(task.splits["train"], 0.1))


def test_what_is_saved_has_the_best_score_of_the_log(sentiment, tmp_path, capsys):
    task, train, select = sentiment
    torch.manual_seed(0)
    teacher = load_teacher("minilm", task.labels)
    log = fine_tune(teacher, train.select(range(100)), select, task.metric, tmp_path/"a", epochs=2)
    teacher.save(tmp_path/"t")
    pred = load_teacher(tmp_path/"t").logits(select["sentence"][:]).argmax(1)
    assert score(task.metric, np.array(select["label"]), pred) == log.score.max()
    assert log.epoch.tolist() == [0, 1, 2] and "before training  selection" in capsys.readouterr().out


def test_a_start_that_is_not_beaten_is_kept(sentiment, tmp_path, capsys):
    task, train, select = sentiment
    teacher = load_teacher("minilm", task.labels)
    frozen = teacher.model.encoder.state_dict()["encoder.layer.0.attention.self.query.weight"].clone()
    log = fine_tune(teacher, train.select(range(60)), select, task.metric, tmp_path/"a", epochs=9, lr=1e-9)
    assert len(log) == 6 and log.score.argmax() == 0  # five epochs without gain
    assert "fine-tuning did not beat the frozen vectors: they are kept" in capsys.readouterr().out
    kept = teacher.model.encoder.state_dict()["encoder.layer.0.attention.self.query.weight"]
    assert torch.equal(kept, frozen)


@pytest.mark.parametrize("more, pooling, epochs, start", [
    ([], "mean", 1, True), (["--teacher-pooling", "cls"], "cls", 1, True), (["--recipe", "study"], "head", 1, False),
    (["--recipe", "study", "--teacher-pooling", "mean"], "mean", 1, False)])
def test_the_command_says_and_keeps_how(here, tmp_path, more, pooling, epochs, start):
    r = here("run", "--task", "mini-sentiment", "--max-train", "80", *FAST, *more, "--name", "x", cwd=tmp_path)
    assert r.returncode == 0, r.stderr
    run = Run(tmp_path/"runs/x")
    assert run.config["teacher_pooling"] == pooling == run.load(run.models[0]).pooling
    assert ("fitting its head" in r.stdout) == start
    assert run.config["recipe"] == ("study" if "--recipe" in more else None)
    size = ["--tasks", "Tense", "--n-train", "60", "--n-eval", "30"]
    r = here("probe", "runs/x", "--models", "teacher,pretrained", *size, cwd=tmp_path)
    assert r.returncode == 0, r.stderr


def test_the_study_s_recipe(here, tmp_path):
    size = ["--max-train", "80", "--epochs", "1", "--width", "1/16", "--teacher", "minilm", "--teacher-epochs", "2"]
    r = here("run", "--task", "mini-sentiment", *size, "--recipe", "study", "--name", "x", cwd=tmp_path)
    config = json.loads((tmp_path/"runs/x/config.json").read_text())
    assert r.returncode == 0 and (config["teacher_lr"], config["teacher_batch_size"]) == (5e-5, 36)
    r = here("run", "--task", "mini-sentiment", "--recipe", "thesis", "--name", "y", cwd=tmp_path)
    assert r.returncode == 2 and "recipe" in r.stderr and "study" in r.stderr


def test_a_copy_of_minilm_is_treated_as_minilm(tmp_path):
    from kd_nb.teacher import teacher_recipe
    shutil.copytree(packaged_folder("minilm"), tmp_path/"mine")
    assert teacher_recipe(str(tmp_path/"mine"), 2000) == teacher_recipe("minilm", 2000)
    assert isinstance(load_teacher(tmp_path/"mine", ["a", "b"]).model, PooledClassifier)
