"A teacher reads sentences as it was trained to, starts from a fitted head, and is the same after it was saved."
import json, shutil

import numpy as np, pytest, torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from kd_nb.core import KdError, write_json
from kd_nb.data import load_task
from kd_nb.encodings import encode, untrained
from kd_nb.metrics import score
from kd_nb.pretrained import packaged_folder
from kd_nb.run import Run
from kd_nb.splits import stratified_split
from kd_nb.student import vectors_of_teacher
from kd_nb.teacher import POOLINGS, PooledClassifier, fine_tune, fit_head, load_teacher, pooling_of, teacher_recipe
from kd_nb.training import only_rows
from kd_nb.transfer import teacher_key
from test_run_folders import FAST

SENTENCES = ["a fine evening", "dull", "the seats were red and the soup was cold, but we stayed"]
SIZES = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=30522)
KINDS = {
    "bert": SIZES, "roberta": SIZES | dict(max_position_embeddings=140), "electra": SIZES | dict(embedding_size=24),
    "distilbert": dict(dim=24, n_layers=2, n_heads=2, hidden_dim=32), "mpnet": SIZES,
    "gpt2": dict(n_embd=24, n_layer=2, n_head=2, vocab_size=30522)}
OTHERS = {  # read otherwise, or not at all
    "camembert": SIZES | dict(max_position_embeddings=140),
    "t5": dict(d_model=24, d_kv=8, d_ff=32, num_layers=1, num_heads=2, vocab_size=30522, eos_token_id=102,
               decoder_start_token_id=0),
    "bart": dict(d_model=24, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
                 encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=30522, max_position_embeddings=140,
                 eos_token_id=102, decoder_start_token_id=101, forced_eos_token_id=None),
    "fnet": dict(hidden_size=24, num_hidden_layers=1, intermediate_size=32, vocab_size=30522)}


def make(folder, kind, auto=AutoModel, **more):
    "A model with random weights, and MiniLM's tokeniser."
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **dict(pad_token_id=0) | (KINDS | OTHERS)[kind] | more)
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
    size = ["--task", "mini-sentiment", "--max-train", "40", *FAST]
    r = here("run", *size, "--teacher", str(folder), "--teacher-pooling", "mean", "--name", "x", cwd=tmp_path)
    assert r.returncode == 0, r.stderr


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


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_an_encoder_with_a_decoder_is_read_by_its_head(here, sentiment, tmp_path, kind):
    folder = make(tmp_path/"m", kind)
    with pytest.raises(KdError, match="only --teacher-pooling head can read it"):
        load_teacher(folder, ["a", "b"], "mean")
    asked = ["--teacher", str(folder), "--teacher-pooling", "mean", "--augment", "rules", "--name", "x"]
    r = here("run", "--task", "mini-sentiment", *asked, cwd=tmp_path)
    assert r.returncode == 2 and "only --teacher-pooling head" in r.stderr and not (tmp_path/"runs/x/augment").exists()
    task, train, select = sentiment
    torch.manual_seed(0)
    teacher = load_teacher(folder, task.labels, "head")
    log = fine_tune(teacher, train.select(range(60)), select, task.metric, tmp_path/"a", epochs=1)
    pred = teacher.logits(select["sentence"][:]).argmax(1)
    assert score(task.metric, np.array(select["label"]), pred) == log.score.max()
    words = vectors_of_teacher(teacher, teacher.tokenise(["film", "a dull minute"]))  # read by its encoder
    assert words.shape == (2, teacher.model.config.hidden_size) and torch.isfinite(words).all()


@pytest.mark.parametrize("kind, more", [("camembert", dict(pad_token_id=1)), ("mpnet", {}), ("roberta", {})])
@pytest.mark.parametrize("pooling", ["mean", "head"])
def test_the_small_table_keeps_what_positions_are_counted_from(tmp_path, kind, more, pooling):
    teacher = load_teacher(make(tmp_path/"m", kind, **more), ["a", "b"], pooling)
    tokens = teacher.tokenise(SENTENCES)
    before = teacher.logits(tokens)
    with only_rows([teacher.model.get_input_embeddings()], tokens) as (small,):
        teacher.model.config.pad_token_id = small.pad_id
        assert teacher.logits(small) == pytest.approx(before, abs=1e-6)


def test_who_reads_padding_as_text_cannot_teach(tmp_path):
    folder = make(tmp_path/"m", "fnet")
    for pooling in POOLINGS:
        with pytest.raises(KdError, match="reads padding"): load_teacher(folder, ["a", "b"], pooling)


def test_a_model_of_few_positions_cannot_teach(here, tmp_path):
    folder = make(tmp_path/"m", "bert", max_position_embeddings=64)
    with pytest.raises(KdError, match="cannot read sentences of 128 tokens"): load_teacher(folder, ["a", "b"])
    r = here("run", "--task", "mini-sentiment", "--teacher", str(folder), "--name", "x", cwd=tmp_path)
    assert r.returncode != 0 and "128 tokens" in r.stderr and "Traceback" not in r.stderr


def test_weights_that_are_no_numbers(tmp_path):
    folder = make(tmp_path/"m", "bert")
    weights = load_file(folder/"model.safetensors")
    save_file(weights | {"embeddings.LayerNorm.weight": torch.full((24,), float("nan"))}, folder/"model.safetensors",
              metadata=dict(format="pt"))
    with pytest.raises(KdError, match="not finite"): load_teacher(folder, ["a", "b"], "mean")
    with pytest.raises(KdError, match="all zero"): fit_head(np.zeros((4, 3)), np.arange(4) % 2, 2, 1.)


@pytest.mark.parametrize("damage", [
    lambda folder: (folder/"2_Dense/model.safetensors").unlink(),
    lambda folder: (folder/"2_Dense/model.safetensors").write_bytes(b"short"),
    lambda folder: shutil.rmtree(folder/"1_Pooling"),
    lambda folder: (folder/"config.json").write_text("{"),
    lambda folder: (folder/"config.json").write_text("[]")])
def test_a_saved_teacher_that_lost_a_file_says_so(tmp_path, damage):
    load_teacher(make(tmp_path/"m", "bert"), ["a", "b"], "mean").save(tmp_path/"saved")
    damage(tmp_path/"saved")
    with pytest.raises(KdError): load_teacher(tmp_path/"saved")


def test_a_new_head_forgets_a_trained_one(tmp_path):
    folder = make(tmp_path/"m", "bert", AutoModelForSequenceClassification)  # for two labels
    kept, new = load_teacher(folder).output_layer.weight, load_teacher(folder, ["a", "b"]).output_layer.weight
    assert kept.shape == new.shape and not torch.equal(kept, new)


@pytest.mark.parametrize("kind", ["distilbert", "gpt2", "bert"])
def test_the_width_of_every_kind_is_known(tmp_path, kind):
    assert teacher_recipe(str(make(tmp_path/"m", kind)), 2000) == teacher_recipe("minilm", 2000)


def test_a_decoder_s_head_is_fitted_to_what_it_reads(float32, tmp_path):
    "Also where a sentence ends in the token that pads."
    teacher = load_teacher(make(tmp_path/"m", "gpt2", pad_token_id=102), ["a", "b"], "head")
    teacher.pad_id = teacher.model.config.pad_token_id = 102  # [SEP], with which MiniLM's tokeniser ends sentences
    vectors = torch.from_numpy(teacher.vectors(teacher.tokenise(SENTENCES)))
    with torch.no_grad(): by_head = teacher.output_layer(vectors)
    assert by_head.numpy() == pytest.approx(teacher.logits(SENTENCES), abs=1e-5)


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
    shutil.copytree(packaged_folder("minilm"), tmp_path/"mine")
    assert teacher_recipe(str(tmp_path/"mine"), 2000) == teacher_recipe("minilm", 2000)
    assert isinstance(load_teacher(tmp_path/"mine", ["a", "b"]).model, PooledClassifier)
