"""Promise: what cannot be probed is refused, with file and line where there is one.
Labels of probing tasks are those that a second reading finds, encodings those of their sentences."""
import re
from collections import Counter

import numpy as np, pandas as pd, pytest, spacy, torch
from nltk.tree import Tree
from spacy.language import Language

from kd_nb.core import KdError
from kd_nb.encodings import POOLINGS, encode, layer_states, layer_vectors, table_of, untrained, weights_digest
from kd_nb.grammar import ALL_NOUNS, ALL_VERBS, BINS, TASKS, make_task, odd, targets
from kd_nb.probe import GRID, _groups, chosen, probe
from kd_nb.probing import read_published
from kd_nb.students import STUDENTS, load_student, make_student
from kd_nb.suite import official
from kd_nb.teacher import Teacher, load_teacher
from kd_nb.treebank import READINGS, Word, even, parse_with_spacy, read_conllu, treebank_suite


def refused(text, do, *args, **kwargs):
    "Is it refused, in these words?"
    with pytest.raises(KdError, match=re.escape(text)): do(*args, **kwargs)


# ---- official files

def test_what_is_taken_for_official(tmp_path):
    "Files of 120,000 lines are SentEval's own."
    (tmp_path/"own").mkdir()
    (tmp_path/"own/tree_depth.txt").write_text("tr\t5\ta line\n" * 119_999 + "te\t5\ta line")
    (tmp_path/"past_present.txt").write_text("tr\tPAST\ta line\n" * 9)
    assert official("senteval", ["Depth"]) and official(str(tmp_path/"own"), ["Depth"])
    assert not official(str(tmp_path), ["Tense"]) and not official("made", ["Depth"])


# ---- the grammar's labels, found again by other means than those that made them

NOUN_OF = {form: (n, label) for n in ALL_NOUNS for label, form in (("NN", n.sg), ("NNS", n.pl))}
VERB_OF = {form: v for v in ALL_VERBS for form in (v.base, v.third, v.past, v.ing)}
TENSE_OF = {v.past: "PAST" for v in ALL_VERBS} | {f: "PRES" for v in ALL_VERBS for f in (v.base, v.third)}


def child(tree, label): return next(t for t in tree if t.label() == label)


def main_clause(tree):
    "The S that holds subject and verb of the sentence."
    return tree if any(t.label() == "VP" for t in tree) else tree[0]


def head(phrase):
    "Leftmost noun phrase down to its noun."
    while any(t.label() == "NP" for t in phrase): phrase = child(phrase, "NP")
    return phrase.leaves()[-1]


def subject(tree): return head([t for t in main_clause(tree) if t.label() == "NP"][-1])
def predicate(tree): return child(main_clause(tree), "VP")
def main_verb(tree): return predicate(tree).leaves()[0]
def main_object(tree): return head(child(predicate(tree), "NP"))


def depth(bracketed):
    "Deepest nesting of the text."
    return int(np.cumsum([(c == "(") - (c == ")") for c in bracketed]).max())


def top(bracketed):
    "Labels right below the root, without the tree's own methods."
    level, found = 0, []
    for token in re.findall(r"\([^\s()]+|\)", bracketed):
        level += 1 if token != ")" else -1
        if token != ")" and level == 2: found.append(token[1:])
    return "_".join(found)


def told(tree): return [w.lower() for w in tree.leaves()]


def shifted(words, tree):
    if words == told(tree): return "O"
    moved = sum(a != b for a, b in zip(words, told(tree)))
    return "I" if sorted(words) == sorted(told(tree)) and moved == 2 else "?"


def odd_one(words, tree):
    "The words that now stand where the tree has subject, verb and object: do they go together?"
    (old, new), = {(a, b) for a, b in zip(told(tree), words) if a != b} or {("", "")}
    s, v, o = (new if w == old else w for w in (subject(tree), main_verb(tree), main_object(tree)))
    kinds = NOUN_OF[s][0].kind, VERB_OF[v], NOUN_OF[o][0].kind
    if (kinds[0], kinds[2]) == (kinds[1].subject, kinds[1].object): return "O"
    return "C" if odd(*kinds) else "?"


def inverted(words, tree):
    first = child(tree, "S").leaves()
    return "O" if words[:len(first)] == [w.lower() for w in first] else "I"


AGAIN = {  # task -> its label from the row, its words in small letters, and its tree
    "Length": lambda row, words, tree: str(sum(len(words) > high for _, high in BINS)),
    "WordContent": lambda row, words, tree: " ".join(w for w in row.sentence.split() if w in WANTED),
    "Depth": lambda row, words, tree: str(depth(row.tree)),
    "TopConstituents": lambda row, words, tree: t if (t := top(row.tree)) in TASKS[row.task][0] else "OTHER",
    "BigramShift": lambda row, words, tree: shifted(words, tree),
    "Tense": lambda row, words, tree: TENSE_OF[main_verb(tree)],
    "SubjNumber": lambda row, words, tree: NOUN_OF[subject(tree)][1],
    "ObjNumber": lambda row, words, tree: NOUN_OF[main_object(tree)][1],
    "OddManOut": lambda row, words, tree: odd_one(words, tree),
    "CoordinationInversion": lambda row, words, tree: inverted(words, tree)}
WANTED = set(targets())


@pytest.fixture(scope="module")
def suite(): return {name: make_task(name, (200, 50, 50)) for name in TASKS}


@pytest.mark.parametrize("name", TASKS)
def test_labels_are_right(suite, name):
    for row in suite[name].assign(task=name).itertuples():
        assert AGAIN[name](row, row.sentence.lower().split(), Tree.fromstring(row.tree)) == row.label, row


@pytest.mark.parametrize("name", TASKS)
def test_labels_are_even_and_no_sentence_comes_twice(suite, name):
    counts = suite[name].groupby(["split", "label"]).size().unstack(0)
    assert (counts.max() - counts.min()).max() <= 1
    assert not suite[name].sentence.str.lower().duplicated().any()


@pytest.mark.parametrize("name, carrier", [
    ("Tense", lambda tree: VERB_OF[main_verb(tree)].base),
    ("SubjNumber", lambda tree: NOUN_OF[subject(tree)][0].sg),
    ("ObjNumber", lambda tree: NOUN_OF[main_object(tree)][0].sg)])
def test_parts_share_no_word_that_carries_the_label(suite, name, carrier):
    words = suite[name].tree.map(lambda tree: carrier(Tree.fromstring(tree)))
    assert suite[name].split.groupby(words).nunique().max() == 1


def test_a_seed_gives_its_sentences():
    first = make_task("Tense", (20, 5, 5))
    assert first.equals(make_task("Tense", (20, 5, 5)))
    assert not first.equals(make_task("Tense", (20, 5, 5), 1))


# ---- treebanks

TIRED = [
    "1\tAnn\tann\tPROPN\tNNP\t_\t3\tnsubj\t_\t_",
    "2\tis\tis\tAUX\tVBZ\tTense=Pres|VerbForm=Fin\t3\tcop\t_\t_",
    "3\ttired\ttired\tADJ\tJJ\t_\t0\troot\t_\t_", "4\t.\t.\tPUNCT\t.\t_\t3\tpunct\t_\t_"]


def changed(*pairs):
    "That sentence with a mistake."
    text = "\n".join(TIRED) + "\n\n"
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("content, texts", [
    ("1\tA\ta\n", ["line 1", "3 columns"]),
    (changed(("\t3\tcop", "\t9\tcop")), ["line 2", "'9' is not the number"]),
    (changed(("\t3\tcop", "\t0\troot")), ["line 1", "2 roots"]),
    (changed(("3\ttired", "5\ttired")), ["line 3", "word 5 where word 3"]),
    (changed(("\t3\tcop", "\t1\tcop"), ("\t3\tnsubj", "\t2\tnsubj")), ["line 1", "in a circle"]),
    ("# nothing\n", ["holds no sentences"])])
def test_treebanks(tmp_path, content, texts):
    (tmp_path/"bad.conllu").write_text(content)
    for text in texts: refused(text, read_conllu, tmp_path/"bad.conllu")


def test_a_treebank_of_two_sentences(tmp_path, capsys):
    (tmp_path/"two.conllu").write_text(changed() * 2)
    refused("too few for any probing task", treebank_suite, read_conllu(tmp_path/"two.conllu"))
    assert capsys.readouterr().out.count("left out") == 9  # a line a task


def test_labels_become_even():
    "Though one label has most of the sentences."
    rows = [(label, [label, str(i)], None) for label, n in (("A", 600), ("B", 200)) for i in range(n)]
    table = even(rows, (100, 20, 20), 6)
    assert Counter(table.label[table.split == "tr"]) == {"A": 50, "B": 50}


def test_bins_of_length():
    for n in range(1, 40):
        found = READINGS["Length"]([Word("x", "X", {}, -1, "root")] * n, None)
        by_hand = [str(k) for k, (low, high) in enumerate(BINS) if low <= n <= high]
        assert by_hand == ([found[0]] if found else [])


def test_spacy_pipelines(tmp_path):
    refused("no pipeline 'no_such_pipeline'", parse_with_spacy, ["fine"], "no_such_pipeline")
    @Language.component("the_first_word_is_the_root")
    def parse(doc):
        for i, token in enumerate(doc): token.head, token.dep_ = doc[0], "dep" if i else "ROOT"
        return doc
    nlp = spacy.blank("en")
    nlp.add_pipe("attribute_ruler")
    nlp.add_pipe("the_first_word_is_the_root", name="parser")
    nlp.to_disk(tmp_path/"pipeline")
    spaced = parse_with_spacy([" The guards  sang . "], str(tmp_path/"pipeline"))
    # more spaces, no more tokens
    assert [w.form for p in spaced for w in p] == ["The", "guards", "sang", "."]


# ---- encodings

@pytest.fixture(scope="module")
def models():
    teacher = load_teacher("minilm", ["no", "yes"]).to("cpu")
    torch.manual_seed(0)
    bilstm = make_student(teacher, "bilstm", hidden_size=20, fc_size=10, num_layers=2).to("cpu")
    bert = make_student(teacher, "bert", **STUDENTS["bert"].sizes("1/8")).to("cpu")
    for model in (teacher, bilstm, bert): model.eval()
    return {"teacher": teacher, "BiLSTM": bilstm, "BERT": bert, "table": table_of(teacher)}


@pytest.fixture(scope="module")
def teacher(models): return models["teacher"]


@pytest.fixture(scope="module")
def sentences(): return make_task("Length", (12, 6, 6)).sentence.tolist()


def test_models_without_layers(teacher, sentences):
    ids, lengths = teacher.tokenise(sentences).pad(torch.arange(8))
    refused("a Linear has no layers", layer_states, torch.nn.Linear(2, 2), ids, lengths)


def test_a_decoder_s_last_position(teacher, sentences):
    "It is the last word's, whatever the padding."
    from transformers import GPT2Config, GPT2ForSequenceClassification, PreTrainedTokenizerFast
    tiny = GPT2Config(
        vocab_size=30522, n_embd=16, n_layer=2, n_head=2, pad_token_id=0, bos_token_id=None,
        eos_token_id=None, num_labels=2)
    words = PreTrainedTokenizerFast(tokenizer_object=teacher.tokenizer, pad_token="[PAD]")
    decoder = Teacher(GPT2ForSequenceClassification(tiny), words, ["no", "yes"]).eval()
    ids, lengths = decoder.tokenise(sentences).pad(torch.arange(8))
    with torch.inference_mode():
        states, single = layer_states(decoder, ids, lengths)[-1]
        for i, n in enumerate(lengths):
            assert torch.allclose(single[i], states[i, n - 1], atol=1e-5)
            alone = layer_states(decoder, ids[i:i + 1, :n], lengths[i:i + 1])[-1][1][0]
            assert torch.allclose(alone, single[i], atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("name", ["teacher", "BiLSTM", "BERT", "table"])
def test_order_and_batches_do_not_matter(models, sentences, tmp_path, name, pooling):
    "Before rounding vectors agree to 1e-5, afterwards to one step of half precision."
    model, order = models[name], np.random.default_rng(0).permutation(len(sentences))
    here = encode(model, sentences, tmp_path/"here", pooling)
    there = encode(model, [sentences[i] for i in order], tmp_path/"there", pooling, batch_size=7)
    tokens = model.tokenise(sentences)
    together = layer_vectors(model, tokens, torch.arange(len(sentences)), pooling)
    one_each = zip(*(layer_vectors(model, tokens, torch.tensor([i]), pooling) for i in range(len(sentences))))
    for a, b, c, d in zip(here, there, together, one_each):
        assert torch.allclose(c, torch.cat(d), rtol=0, atol=1e-5)
        step = np.spacing(np.abs(a)).astype(float) + 1e-5
        assert (np.abs(a[order].astype(float) - b) <= step[order]).all()
        assert (np.abs(a.astype(float) - c.numpy()) <= step).all()


def test_folders_of_encodings(teacher, sentences, tmp_path):
    encode(teacher, sentences, tmp_path/"teacher")
    refused("another model or pooling", encode, teacher, sentences, tmp_path/"teacher", "max")
    refused("unknown pooling 'min'", encode, teacher, sentences, tmp_path/"x", "min")
    (tmp_path/"teacher/layer-03.npy").unlink()
    refused("or not all of them", encode, teacher, sentences, tmp_path/"teacher")


def test_digests(teacher, models, tmp_path):
    "Another random head, the same encodings; a student that was loaded has the same twin."
    assert weights_digest(load_teacher("minilm", ["a", "b", "c"])) == weights_digest(teacher)
    bilstm = models["BiLSTM"]
    bilstm.save_pretrained(tmp_path/"saved")
    loaded = load_student(tmp_path/"saved").cpu()
    assert weights_digest(untrained(loaded)) == weights_digest(untrained(bilstm))


# ---- probes

@pytest.fixture(scope="module")
def made():
    "Noise, a class on a line, and one in corners, which no linear rule finds; and a probing task."
    rng = np.random.default_rng(0)
    sign, layers = rng.choice((-1., 1.), (3000, 2)), [rng.normal(size=(3000, 16)) for _ in range(3)]
    layers[1][:, 0] += 2 * sign.prod(1)
    layers[2][:, :2] = 2 * sign + 0.5 * layers[2][:, :2]
    label = np.where(sign.prod(1) > 0, "same", "different")
    return layers, pd.DataFrame({"split": np.repeat(["tr", "va", "te"], [2000, 500, 500]), "label": label})


@pytest.fixture(scope="module")
def scores(made): return probe(*made)


def test_tasks_without_a_part(made):
    layers, task = made
    refused("split 'va'", probe, layers[1:2], task.assign(split="tr"))


def test_all_settings_are_tried(scores):
    assert len(scores) == 3 * 10
    assert (scores.passes % 4 == 0).all() and (scores.passes >= 24).all()  # six looks at least


def test_logistic_regression_alone(made):
    layers, task = made
    found = chosen(probe([layers[1][::5]], task[::5], grid=GRID[:1]))
    assert found.acc[0] == found.logreg[0]


def test_a_seed_gives_its_scores(made):
    layers, task = made
    few = [layers[1][::5]], task[::5]
    first, again = (probe(*few, seed=1)[["devacc", "acc"]] for _ in range(2))
    assert first.equals(again)


def test_scores_of_a_layer_are_its_own(made, scores):
    "But for chance: who is left decides what is drawn."
    layers, task = made
    columns = ["devacc", "acc"]
    alone, beside = probe(layers[2:], task)[columns], scores[scores.layer == 2][columns]
    assert np.abs(alone.to_numpy() - beside.to_numpy()).max() < 0.81


def test_groups_of_layers(made):
    half = [v.astype(np.float16) for v in made[0]]
    assert _groups(half, 4 * 2 * half[0].size) == [[0, 1], [2]]
    assert _groups([half[0], half[0][:, :5]], 1e9) == [[0], [1]]
    assert [len(g) for g in _groups([half[0]] * 25, 1e9)] == [7, 6, 6, 6]


# ---- published scores

def test_files_of_published_scores(tmp_path):
    (tmp_path/"teacher_CoLA_avg.csv").write_text("")
    refused("teacher_CoLA_avg.csv", read_published, tmp_path)
