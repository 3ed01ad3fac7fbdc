"Promise: what is cut off a sentence is counted and said, and `--max-length` moves the end."
import numpy as np, pandas as pd, pytest, torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from kd_nb.core import read_json
from kd_nb.onnx_student import OnnxStudent
from kd_nb.pretrained import packaged_folder
from kd_nb.run import TEACHER, ModelRef, Run
from kd_nb.students import make_student
from kd_nb.teacher import load_teacher

FAST = ["--teacher", "minilm", "--teacher-epochs", "1", "--epochs", "1"]


def words(count, kind="fine"): return f"{kind} " + "and " * (count - 2) + kind


def table(path, longest):
    rows = [(f"{words(3 + i % 4, kind)} {i}", kind) for i in range(20) for kind in ("fine", "dull")]
    rows += [(words(longest, kind), kind) for kind in ("fine", "dull")] * 2
    pd.DataFrame(rows, columns=["sentence", "label"]).to_csv(path, index=False)


@pytest.mark.parametrize("length", [16, 128])
def test_sentences_of_just_as_many_tokens_are_whole(length):
    teacher = load_teacher("minilm", ["a", "b"], max_length=length)
    fits, longer = words(length - 2), words(length - 1)  # [CLS] and [SEP] stand around them
    assert teacher.cut_off([fits, "fine", longer, longer + " fine"]) == 2
    assert teacher.tokenise([longer]).lengths.tolist() == [length]
    np.testing.assert_array_equal(*map(teacher.logits, ([longer], [longer + " or dull"])))


@pytest.mark.parametrize("student", ["cut", "bag", "bilstm", "bert"])
def test_each_student_reads_as_far_as_its_teacher(student, here, tmp_path):
    table(tmp_path/"t.csv", 40)
    r = here("run", "--data", "t.csv", *FAST, "--student", student, "--max-length", "12", "--name", "x")
    assert r.returncode == 0, r.stderr
    assert "4 of 44 sentences have more than 12 tokens" in r.stdout
    run = Run(tmp_path/"runs/x")
    assert sum(run.metrics["cut"].values()) == 4 and run.metrics["max_length"] == 12
    assert "only the first 12 tokens" in (run/"report.html").read_text()
    for model in (run.load(TEACHER), run.load(ModelRef(student))):
        assert model.max_length == 12 and model.cut_off([words(40), "fine"]) == 1
    assert here("export", "runs/x").returncode == 0
    exported = OnnxStudent(tmp_path/f"runs/x/export/{student}-int8")
    assert len(exported.tokenise([words(40)])[0]) == 12
    for folder in ("runs/x", f"runs/x/export/{student}-int8"):
        r = here("predict", folder, stdin=f"{words(40)}\nfine\n")
        assert r.returncode == 0 and "only the beginning was read: 1 of 2" in r.stderr
        assert "sentences" not in here("predict", folder, stdin="fine\n").stderr


def test_more_than_128_tokens_can_be_read(tmp_path):
    torch.manual_seed(0)
    config = AutoConfig.for_model("bert", hidden_size=32, num_hidden_layers=4, num_attention_heads=2,
                                  intermediate_size=32, max_position_embeddings=200, vocab_size=30522)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path/"m")
    AutoTokenizer.from_pretrained(packaged_folder("minilm")).save_pretrained(tmp_path/"m")
    teacher = load_teacher(tmp_path/"m", ["a", "b"], max_length=200)
    teacher.save(tmp_path/"saved")
    for kind in ("cut", "bag", "bilstm", "bert"):
        student = make_student(load_teacher(tmp_path/"saved"), kind)
        near, far = words(190), words(190)[:-4] + "dull"
        assert student.cut_off([near]) == 0 and student.logits([near]).shape == (1, 2)
        assert np.abs(student.logits([near]) - student.logits([far])).max() > 0


@pytest.mark.parametrize("length, word", [
    (600, "cannot read sentences of 600 tokens"), (7, "--max-length must be at least 8"), (0, "--max-length")])
def test_what_a_teacher_cannot_read_is_said_before_any_work(here, tmp_path, length, word):
    table(tmp_path/"t.csv", 9)
    r = here("run", "--data", "t.csv", *FAST, "--augment", "rules", "--max-length", length, "--name", "x")
    assert r.returncode == 2 and word in r.stderr and r.stderr.count("\n") == 1
    assert not (tmp_path/"runs/x/augment").exists()
