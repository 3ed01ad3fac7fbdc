"Promise: weights that are no numbers are neither kept nor read."
import pytest, torch
from safetensors.torch import load_file, save_file

from kd_nb.core import KdError
from kd_nb.students import load_student, make_student
from kd_nb.teacher import load_teacher
from kd_nb.training import fit, is_finite


@pytest.mark.parametrize("at", [1, 2, 3, 6])  # of six steps in two epochs; the third and the last end an epoch
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_too_far_ends_the_training(tmp_path, at, value):
    model, steps = torch.nn.Linear(2, 2), []
    def batches():
        for _ in range(3): yield torch.ones(1, 2), torch.tensor([0])
    class Three:
        def __len__(self): return 3
        def __iter__(self): return batches()
    def loss(z, target):
        steps.append(0)
        return torch.nn.functional.cross_entropy(z, target)
    def score():
        return float(len(steps))
    hook = model.weight.register_hook(lambda grad: grad + value if len(steps) == at else grad)
    with pytest.raises(KdError, match="lower the learning rate"):
        fit(model, Three(), loss, score, tmp_path, epochs=2, lr=0.1, clip=1e9)
    hook.remove()


@pytest.mark.parametrize("kind", ["cut", "bag", "bilstm", "bert"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_damaged_model_is_not_read(tmp_path, kind, value):
    teacher = load_teacher("minilm", ["a", "b"])
    make_student(teacher, kind).save_pretrained(tmp_path/"s")
    assert is_finite(load_student(tmp_path/"s"))
    weights = load_file(tmp_path/"s/model.safetensors")
    name = sorted(name for name, w in weights.items() if w.is_floating_point())[0]
    weights[name].view(-1)[-1] = value
    save_file(weights, tmp_path/"s/model.safetensors")
    with pytest.raises(KdError, match="holds no student"): load_student(tmp_path/"s")
