"""Promise: whatever its architecture, a teacher answers right, or is refused before any work.

A sentence has one answer, alone and beside longer ones, with the whole table and with a part of it, before and after
saving; what looks like a special token is text.
"""
import numpy as np, pytest, torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from kd_nb.core import KdError
from kd_nb.data import load_task
from kd_nb.metrics import score
from kd_nb.pretrained import packaged_folder
from kd_nb.teacher import compact, fine_tune, load_teacher

ENDS = dict(eos_token_id=102, decoder_start_token_id=101, forced_eos_token_id=None)
KINDS = dict.fromkeys(
    "albert arcee bert big_bird biogpt bloom camembert ctrl data2vec-text deberta deberta-v2 diffllama distilbert "
    "doge electra ernie eurobert exaone4 falcon flaubert gemma gemma2 gemma3_text glm glm4 gpt2 gpt_bigcode "
    "gpt_neox gpt_oss gte helium ibert jetmoe jina_embeddings_v3 layoutlm llama longformer markuplm megatron-bert "
    "minimax mistral mixtral mobilebert modernbert modernbert-decoder mpnet mpt nomic_bert olmo olmo2 openai-gpt "
    "opt persimmon phi phi3 qwen2 qwen2_moe qwen3 rembert roberta roberta-prelayernorm roformer smollm3 "
    "squeezebert stablelm starcoder2 xlm xlm-roberta xlm-roberta-xl".split(), {}) | dict(
    bart=ENDS, bigbird_pegasus=ENDS, mbart=ENDS, mvp=ENDS, plbart=ENDS, t5=ENDS, mt5=ENDS, umt5=ENDS,
    xlnet=dict(d_model=32, n_head=4, d_head=8, d_inner=48),
    reformer=dict(hidden_size=32, axial_pos_embds_dim=[16, 16], axial_pos_shape=[16, 16], attention_head_size=8),
    gpt_neo=dict(num_layers=2, attention_types=[[["global", "local"], 1]], hidden_size=32, num_heads=4),
    gptj=dict(rotary_dim=4), ministral=dict(head_dim=8), xmod=dict(default_language="en_XX"),
    esm=dict(vocab_size=30530, position_embedding_type="rotary", mask_token_id=103, emb_layer_norm_before=False))
SLOW = (
    "bert roberta deberta-v2 distilbert electra mpnet xlnet t5 bart mbart gpt2 llama modernbert camembert "
    "albert xlm flaubert qwen3 opt nomic_bert big_bird ernie mt5").split()
OTHERS = dict(  # they read padding as text, or have no word vectors
    fnet={}, convbert={}, nystromformer={}, yoso={}, canine={},
    funnel=dict(block_sizes=[2, 2], d_model=32, n_head=4, d_head=8, d_inner=48, num_hidden_layers=None))
TEXTS = ["a fine evening", "dull", "the seats were red and the soup was cold, but we stayed " * 3]
SIZES = {  # names that configurations have for a size -> a small one
    32: ["hidden_size", "d_model", "n_embd", "dim", "embedding_size", "emb_dim", "word_embed_proj_dim"],
    48: ["intermediate_size", "d_ff", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim", "hidden_dim", "d_inner",
         "n_inner", "ffn_hidden_size", "dff", "moe_intermediate_size", "shared_expert_intermediate_size"],
    30530: ["vocab_size"], 256: ["max_position_embeddings"], 8: ["head_dim", "d_kv"]}


def small_config(kind):
    "Its configuration with small sizes."
    small, given = {"pad_token_id": 0}, {name: size for size, names in SIZES.items() for name in names}
    for name, value in AutoConfig.for_model(kind).to_dict().items():
        if isinstance(value, bool) or not isinstance(value, int): continue
        if name in given: small[name] = given[name]
        elif "layer" in name and any(word in name for word in ("num", "n_", "encoder", "decoder")): small[name] = 2
        elif "head" in name and "dim" not in name or "experts" in name and "num" in name and "per" not in name:
            small[name] = 4
    small |= (KINDS | OTHERS)[kind]
    return AutoConfig.for_model(kind, **{name: value for name, value in small.items() if value is not None})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Makes a model with random weights and MiniLM's tokeniser, once a kind."
    def made(kind):
        where = tmp_path_factory.getbasetemp()/f"kind-{kind}"
        if not where.exists():
            torch.manual_seed(0)
            model = AutoModelForSequenceClassification.from_config(small_config(kind))
            model.save_pretrained(where)
            AutoTokenizer.from_pretrained(packaged_folder("minilm")).save_pretrained(where)
        return where
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_the_same_however_it_is_asked_for(folder, kind, float32):
    torch.manual_seed(0)
    teacher = load_teacher(folder(kind), ["a", "b", "c"])
    tokens = teacher.tokenise(TEXTS)
    alone, together = np.concatenate([teacher.logits([s]) for s in TEXTS]), teacher.logits(tokens)
    size = np.abs(alone).max()
    assert size > 1e-5 and np.abs(alone[0] - alone[1]).max() > 1e-3 * size  # it does read them
    np.testing.assert_allclose(together, alone, rtol=0, atol=2e-3 * size)
    with compact(teacher, [tokens]) as (small,):
        np.testing.assert_allclose(teacher.logits(small), together, rtol=0, atol=1e-3 * size)
    np.testing.assert_array_equal(teacher.logits(tokens), together)


@pytest.mark.parametrize("kind", SLOW)
def test_the_best_score_of_the_log_is_the_saved_teacher_s(folder, kind, tmp_path, capsys):
    task = load_task("mini-sentiment")
    torch.manual_seed(0)
    teacher = load_teacher(folder(kind), task.labels)
    train, select = task.splits["train"].select(range(0, 900, 15)), task.splits["dev"].select(range(0, 200, 5))
    log = fine_tune(teacher, train, select, task.metric, tmp_path/"work", epochs=2, lr=1e-3, batch_size=20)
    teacher.save(tmp_path/"teacher")
    saved, gold = load_teacher(tmp_path/"teacher"), np.array(select["label"])
    found = saved.logits(select["sentence"][:])
    np.testing.assert_allclose(found, teacher.logits(select["sentence"][:]), rtol=0, atol=1e-5)
    assert score(task.metric, gold, found.argmax(1)) == pytest.approx(log.score.max())


SPECIAL = ["[SEP]", "[CLS]", "[PAD]", "[UNK]", "</s>", "<s>", "<pad>", "<|endoftext|>"]

@pytest.mark.parametrize("kind", ["bert", "xlnet", "bart", "t5", "gpt2"])
@pytest.mark.parametrize("token", SPECIAL)
def test_what_looks_like_a_special_token_is_text(folder, kind, token):
    teacher = load_teacher(folder(kind), ["a", "b"])
    ids = teacher.tokenise([f"see {token} there", f"{token}", "[MASK]"])
    framed = {101, 102}
    for i in range(2):
        inside = set(ids.ids[ids.starts[i]:ids.starts[i + 1]].tolist()[1:-1])
        assert inside and not inside & (framed | {0, 100, 103})
    assert ids.ids[ids.starts[2]:].tolist() == [101, 103, 102]
    assert np.isfinite(teacher.logits([token, f"{token} {token}", "fine"])).all()


def test_a_folder_without_a_tokeniser_is_refused(folder, tmp_path):
    for kind in ("bert", "roberta", "gpt2", "t5", "distilbert"):
        where = tmp_path/kind
        AutoModelForSequenceClassification.from_pretrained(folder(kind)).save_pretrained(where)
        with pytest.raises(KdError, match=f"teacher '{where}'"): load_teacher(where, ["a", "b"])


@pytest.mark.parametrize("rows", [1000, 30521])
def test_a_tokeniser_larger_than_the_table_is_refused(tmp_path, rows):
    config = small_config("bert")
    config.vocab_size = rows
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(packaged_folder("minilm")).save_pretrained(tmp_path)
    with pytest.raises(KdError, match=f"a piece of number 30521, but its word vectors end at {rows - 1}"):
        load_teacher(tmp_path, ["a", "b"])


@pytest.mark.parametrize("kind", ["bert", "distilbert", "mpnet", "roberta", "electra", "opt", "gpt2"])
def test_too_few_positions_are_refused(tmp_path, kind):
    config = small_config(kind)
    setattr(config, "n_positions" if kind == "gpt2" else "max_position_embeddings", 100)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(packaged_folder("minilm")).save_pretrained(tmp_path)
    with pytest.raises(KdError, match="cannot read sentences of 128 tokens"): load_teacher(tmp_path, ["a", "b"])


@pytest.mark.parametrize("kind", OTHERS)
def test_who_cannot_teach_is_refused(folder, kind):
    with pytest.raises(KdError, match="reads padding as if|no table of word vectors"):
        load_teacher(folder(kind), ["a", "b"])
