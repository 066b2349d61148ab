"""An analysed module is exactly what it was before: the promise every peer but one breaks."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torchvision import models

import cnnbench
from cnnbench.analysis import analyze, build_on_meta
from cnnbench.errors import Unsupported


def state_of(module):
    """Everything that could be left behind."""
    hooks = [
        (name, key, dict(value))
        for name, child in module.named_modules()
        for key, value in vars(child).items()
        if key.endswith("hooks") and value is not None
    ]
    return {
        "keys": {name: sorted(vars(child)) for name, child in module.named_modules()},
        "hooks": hooks,
        "modes": [child.training for child in module.modules()],
        "tensors": [
            (name, id(t), t.data_ptr(), t.device, t.requires_grad, t._version, t.grad)
            for name, t in [*module.named_parameters(), *module.named_buffers()]
        ],
        "state": list(module.state_dict()),
    }


def global_hooks():
    torch_module = torch.nn.modules.module
    assert not torch_module._has_any_global_hook()
    return len(torch_module._global_forward_hooks), len(torch_module._global_forward_pre_hooks)


@pytest.mark.parametrize("phase", ["inference", "training", "finetune"])
@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_a_real_module(phase, real, training):
    module = models.resnet18(weights=None).train(training)
    module.layer1.requires_grad_(requires_grad=False)
    module.fc.eval()
    values = copy.deepcopy(module.state_dict())
    before, image = state_of(module), torch.randn(2, 3, 64, 64)
    image_before, rng = image.clone(), torch.get_rng_state()

    analyze(module, (image,), phase=phase, real=real).to_json()

    assert state_of(module) == before
    assert all(torch.equal(values[key], value) for key, value in module.state_dict().items())
    assert torch.equal(image, image_before)
    assert image._version == 0
    assert torch.equal(torch.get_rng_state(), rng)
    assert global_hooks() == (0, 0)


@pytest.mark.parametrize("phase", ["inference", "training", "finetune"])
def test_a_meta_module(phase):
    module = build_on_meta(lambda: models.resnet18(weights=None))
    module.fc.eval()
    before = state_of(module)
    before["tensors"] = [fact[:5] for fact in before["tensors"]]

    analyze(module, (torch.empty(2, 3, 64, 64, device="meta"),), phase=phase)

    after = state_of(module)
    after["tensors"] = [fact[:5] for fact in after["tensors"]]
    assert after == before


def test_after_a_failure():
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(7, 2))
    before = state_of(module)
    sdpa = nn.functional.scaled_dot_product_attention

    with pytest.raises(Exception, match="Linear"):
        analyze(module, (torch.zeros(1, 3, 8, 8),))

    assert state_of(module) == before
    assert global_hooks() == (0, 0)
    assert nn.functional.scaled_dot_product_attention is sdpa


@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_hooks_that_are_functions_are_not_called_and_stay(real):
    module, seen = nn.Sequential(nn.Linear(4, 4)), []
    handles = [
        module[0].register_forward_hook(lambda m, a, out: seen.append(out)),
        module[0].register_forward_pre_hook(seen.append),
        module.register_full_backward_hook(lambda *a: seen.append(a)),
    ]

    analysis = analyze(module, (torch.zeros(1, 4),), phase="training", real=real)

    assert seen == []
    assert [*module[0]._forward_hooks, *module[0]._forward_pre_hooks] == [h.id for h in handles[:2]]
    assert any("3 hooks" in sentence for sentence in analysis.assumptions)


@pytest.mark.filterwarnings("ignore:.*spectral_norm:FutureWarning")
def test_hooks_that_are_part_of_the_network_run_on_the_twin():
    module = nn.utils.spectral_norm(nn.Linear(4, 4))
    weight = module.weight_orig

    analysis = analyze(module, (torch.zeros(1, 4),))

    assert analysis.inference.calls > 1
    assert module.weight_orig is weight
    assert not weight.is_meta
    assert analysis.assumptions == ()


def test_attributes_of_a_module_on_meta_stay():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.seen, self.last = nn.Linear(4, 4), [], None

        def forward(self, x):
            self.seen.append(x.shape)
            self.last = x
            return self.layer(x)

    module = build_on_meta(Counting)

    analyze(module, (torch.zeros(1, 4),))

    assert (module.seen, module.last) == ([], None)


@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_random_numbers_stay(real):
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            keep = random.random() < 2 and torch.rand(3, device="cpu").shape[0] == 3
            return nn.functional.dropout(self.layer(x), training=self.training) if keep else x

    module = Dropping()
    before = torch.get_rng_state(), random.getstate()

    analyze(module, (torch.zeros(1, 4),), phase="training", real=real)

    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_a_forward_that_closes_over_the_module(real):
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))

    def forward(x):
        module.calls = 1
        return module[1](module[0](x))

    module.forward = forward

    analysis = analyze(module, (torch.zeros(2, 4),), phase="training", real=real)

    assert [row.totals.macs for row in analysis.layers] == [32, 32, 0]
    assert not hasattr(module, "calls")
    assert module[1].num_batches_tracked == 0


@dataclass
class Sample:
    image: torch.Tensor
    name: str = ""


@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_tensors_in_dataclasses_are_seen_and_left_alone(real):
    class Erasing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, sample):
            return Sample(self.layer(sample.image.zero_()))

    sample = Sample(torch.ones(3, 4))

    analysis = analyze(Erasing(), (sample,), phase="training", real=real)

    assert (analysis.input, analysis.batch, analysis.macs) == (((3, 4),), 3, 24)
    assert analysis.backward.macs == 24
    assert sample.image.sum() == 12


def test_plain_tensor_attributes_work_and_stay():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.ones(4)
            self.nested = [torch.ones(4)]
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            return self.linear(x * self.scale + self.nested[0] + torch.arange(4))

    module = Net()

    analysis = analyze(module, (torch.zeros(2, 4),))

    assert analysis.macs == 32
    assert module.scale.device.type == module.nested[0].device.type == "cpu"


def test_tied_weights_count_once():
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    module = nn.Sequential(first, second)

    analysis = analyze(module, (torch.zeros(1, 4),))

    assert analysis.params == 16
    assert analysis.macs == 32
    assert [row.shared_params for row in analysis.layers] == [0, 0, 16]
    assert second.weight is first.weight


def test_modules_made_under_inference_mode():
    with torch.inference_mode():
        module = nn.Linear(4, 3)

    assert analyze(module, (torch.zeros(2, 4),)).macs == 24


class Features(nn.Module):
    """Reads what a hook that closes over it has kept."""

    def __init__(self):
        super().__init__()
        self.kept = []
        self.layer = nn.Conv2d(3, 4, 3)
        self.layer.register_forward_hook(lambda module, given, out: self.kept.append(out))

    def forward(self, x):
        self.kept.clear()
        self.layer(x)
        return self.kept[0].mean()


def test_hooks_that_reach_the_network_alone_are_called_on_a_real_twin():
    module, given = Features(), (torch.ones(1, 3, 5, 5),)

    with pytest.raises(Unsupported, match=r"1 hook of .* not called: pass real=True"):
        analyze(module, given)
    analysis = analyze(module, given, real=True)

    assert analysis.macs == 4 * 9 * 27
    assert not analysis.assumptions
    assert module.kept == []


def test_hooks_that_are_called_are_not_said_to_be_left_out():
    layer = nn.Conv2d(3, 4, 3)
    weight = layer.weight
    layer.register_forward_hook(lambda module, given, out: out + weight.sum())

    analysis = analyze(nn.Sequential(layer), (torch.ones(1, 3, 5, 5),), real=True)

    assert any("sum" in row.name for row in analysis.ops)
    assert not analysis.assumptions


def test_hooks_that_reach_more_than_the_network_are_named_as_the_cause():
    layer, kept = nn.Linear(4, 4), []
    layer.register_forward_hook(lambda module, given, out: kept.append(out))

    class Reading(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            self.layer(x)
            return kept[0]

    with pytest.raises(Unsupported, match=r"^1 hook of .*not called, .*IndexError") as refused:
        analyze(Reading(), (torch.ones(2, 4),), real=True)

    assert "does not take" not in str(refused.value)


SHARED = nn.Parameter(torch.ones(4))


class Criterion(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.weight = nn.BatchNorm1d(4), nn.Parameter(torch.ones(4))

    def forward(self, output):
        return (self.norm(output) * self.weight * SHARED).square().sum()


LOSSES = {
    "a module": lambda criterion: criterion,
    "a method": lambda criterion: criterion.forward,
    "a closure": lambda criterion: lambda output: criterion(output),
}


@pytest.mark.parametrize("case", LOSSES)
def test_a_loss_keeps_its_gradients_and_its_state(case):
    criterion, before = Criterion(), torch.full((4,), 7.0)
    SHARED.grad = before
    state = copy.deepcopy(criterion.state_dict())

    cnnbench.cost(
        nn.Linear(4, 4), torch.rand(3, 4), phase="training", loss=LOSSES[case](criterion), real=True
    )

    assert SHARED.grad is before
    assert before.tolist() == [7.0] * 4
    assert [one.grad for one in criterion.parameters()] == [None] * 3
    assert all(torch.equal(state[name], one) for name, one in criterion.state_dict().items())
