"""An analysed module is exactly what it was before: the promise every peer but one breaks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torchvision import models

from cnnbench.analysis import analyze, build_on_meta


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


def test_hooks_of_the_user_run_on_the_twin_and_stay():
    module = nn.Sequential(nn.Linear(4, 4))
    seen = []
    handle = module[0].register_forward_hook(lambda m, a, out: seen.append(out.device.type))

    analyze(module, (torch.zeros(1, 4),))

    assert seen == ["meta"]
    assert list(module[0]._forward_hooks) == [handle.id]


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
