"""Promise: a model, a loss or a cache of labels that cannot be used is refused, and an error says what to do.
And a mix with gold labels, noise and attention heads of unlike numbers is what its formula says."""
import re

import pytest, torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch.testing import assert_close
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from kd_nb.augment import load_lm, load_mlm, sample
from kd_nb.core import KdError
from kd_nb.losses import attention_loss, make_loss, mse_loss, noisy_logits
from kd_nb.pretrained import packaged_folder
from kd_nb.teacher import load_teacher
from kd_nb.transfer import LabelCache


@pytest.fixture(autouse=True)
def offline(monkeypatch): monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def refused(word, do, *args, **kwargs):
    with pytest.raises(KdError, match=re.escape(word)): do(*args, **kwargs)


# models


@pytest.mark.parametrize("name, word", [
    ("no/such-model-anywhere", "teacher 'no/such-model-anywhere'"), (".", "cannot be loaded")])
def test_a_teacher_that_is_none(tmp_path, monkeypatch, name, word):
    monkeypatch.chdir(tmp_path)
    refused(word, load_teacher, name, ["a", "b"])


def save_lm(folder, **special):
    "A causal language model with random weights, whose tokens are single bytes."
    alphabet = ["<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    bpe = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=bpe, **special).save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(
        vocab_size=len(alphabet), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, eos_token_id=0)).save_pretrained(folder)
    return folder


def test_a_language_model_that_is_none(tmp_path):
    for bad in (tmp_path, "no/such-model"): refused(f"language model '{bad}' cannot be loaded", load_lm, bad)
    refused("without an end-of-sentence token", load_lm, save_lm(tmp_path/"endless"))


def test_a_teacher_that_guesses_no_masked_words():
    refused("--augment mlm needs a teacher", load_mlm, packaged_folder("minilm"))
    refused("has none: use --augment lm or rules", load_mlm, packaged_folder("minilm"))


def test_how_likely_a_language_model_finds_what_it_wrote(tmp_path, float32):
    "The mean log-likelihood that sampling gives is that of the whole sentence, read again."
    lm = load_lm(save_lm(tmp_path/"lm", eos_token="<end>"))
    device = next(lm.parameters()).device
    prefix = torch.arange(24) + 1
    rows, ended, mean = sample(lm, prefix, torch.rand(24, 200, generator=torch.Generator().manual_seed(0)))
    assert 0 < ended.sum() < 24  # both kinds occur
    with torch.inference_mode():
        for row, end, found in zip(rows, ended, mean):
            ids = torch.tensor([[lm.bos_id, *row] + [lm.eos_id] * int(end)], device=device)
            logp = lm(ids, torch.tensor([ids.shape[1]], device=device))[0, 1:]
            assert found == pytest.approx(logp.mean().item(), abs=0.1 if device.type == "cuda" else 1e-4)


# labels


def test_a_cache_that_is_no_database(tmp_path):
    (tmp_path/"broken").write_text("not a database, but long enough to be taken for one" * 20)
    refused("delete that file", LabelCache, tmp_path/"broken")


# losses


@pytest.fixture(scope="module")
def batch():
    "Logits of student and teacher for two sentences, and gold classes, of which one is known."
    z = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], dtype=torch.float64)
    t = torch.tensor([[4.0, 3.0, -5.0], [-1.0, 2.0, 0.0]], dtype=torch.float64)
    return z, t, torch.tensor([0, -1])


@pytest.mark.parametrize("settings", [dict(temperature=0), dict(alpha=1.5), dict(noise=-1)])
def test_a_loss_that_makes_no_sense(settings):
    with pytest.raises(ValueError, match="no such loss"): make_loss(**settings)


def test_an_unknown_loss(): refused("did you mean 'soft'?", make_loss, "sof")


def test_a_mix_where_no_sentence_has_a_gold_label(batch):
    z, t, _ = batch
    none = torch.tensor([-1, -1])
    assert_close(make_loss("mse", alpha=0.25)(z, (none, t)), 0.75 * ((z - t)**2).sum() / 6)


def test_noise_comes_anew_from_the_global_generator(batch):
    z, t, y = batch
    torch.manual_seed(0)
    found = make_loss("mse", noise=0.2)(z, (y, t))
    torch.manual_seed(0)
    assert torch.equal(found, mse_loss(z, noisy_logits(t, 0.2)))
    assert not torch.equal(found, make_loss("mse", noise=0.2)(z, (y, t)))


def test_attention_with_other_numbers_of_heads():
    torch.manual_seed(0)
    two, three, lengths = torch.randn(2, 2, 3, 3), torch.randn(2, 3, 3, 3), torch.tensor([3, 2])
    inside = [(i, j, k) for i, n in enumerate(lengths) for j in range(n) for k in range(n)]
    by_loop = [(two[i, :, j, k].mean() - three[i, :, j, k].mean())**2 for i, j, k in inside]
    assert_close(attention_loss(two, three, lengths), torch.stack(by_loop).mean())
