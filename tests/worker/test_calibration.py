"""Calibrated weights: the same everywhere, and outputs that depend on the picture."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnnbench import architectures
from cnnbench.architectures.pictures import pictures
from cnnbench.worker import calibration, outputs
from cnnbench.worker.inputs import Given


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


class Block(nn.Module):
    """A residual branch that starts at nothing, with a layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.gamma = nn.Parameter(1e-6 * torch.ones(8, 1, 1))
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.gamma * torch.relu(self.norm(self.conv(x)))
        return out


def network() -> nn.Module:
    torch.manual_seed(0)
    last = nn.Linear(8, 5)
    nn.init.zeros_(last.weight)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), last
    )


GIVEN = Given.of(pictures(calibration.PICTURES, (3, 16, 16), seeded(1)))
OTHERS = pictures(6, (3, 16, 16), seeded(2))


def share(module: nn.Module) -> float | None:
    with torch.inference_mode():
        return outputs.picture_share([module.eval()(OTHERS).double()])


def test_the_answer_depends_on_the_picture_and_did_not_before() -> None:
    module = network()
    before = share(module)

    calibration.calibrate(module, GIVEN)

    assert before == 0  # the last layer started at zero
    assert share(module) > 0.5
    with torch.inference_mode():
        out = module(OTHERS)
    assert 0.1 < float(out.std()) < 10
    assert len(set(out.argmax(1).tolist())) > 1


def test_a_kept_calibration_does_the_same_to_another_copy_bit_for_bit(tmp_path: Path) -> None:
    module, copied = network(), network()
    arrays = calibration.calibrate(module, GIVEN)
    calibration.save(tmp_path / "weights.npz", arrays)

    calibration.load(copied, tmp_path / "weights.npz")

    for one, other in zip(module.state_dict().values(), copied.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    kept = (tmp_path / "weights.npz").stat().st_size
    weights = sum(t.numel() * 4 for t in module.parameters())
    assert sum(array.nbytes for array in arrays.values()) < weights
    assert kept > 0


def test_it_is_deterministic_and_leaves_mode_and_hooks_as_they_were() -> None:
    one, other = network().train(), network().train()

    first, second = calibration.calibrate(one, GIVEN), calibration.calibrate(other, GIVEN)

    assert first.keys() == second.keys()
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert one.training
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in one.modules())


def test_activations_have_unit_scale_through_a_deep_chain() -> None:
    torch.manual_seed(0)
    layers = [part for _ in range(30) for part in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())]
    module = nn.Sequential(nn.Conv2d(3, 8, 1), *layers)
    seen: list[float] = []

    calibration.calibrate(module, GIVEN)
    for part in module[1::2]:
        part.register_forward_hook(lambda _m, _i, out: seen.append(float(out.std())))
    with torch.inference_mode():
        module(OTHERS)

    assert all(0.2 < one < 5 for one in seen)


def test_branches_and_layer_scales_that_start_at_nothing_are_started() -> None:
    module = network()

    calibration.calibrate(module, GIVEN)

    with torch.no_grad():
        assert float(module[2].norm.weight.min()) == 1
        assert float(module[2].gamma.min()) == pytest.approx(0.3)
        assert float(module[5].weight.abs().max()) > 0


def test_only_normalisations_are_touched_where_heads_must_stay() -> None:
    module = network()
    before = copy.deepcopy(module[0].weight)

    arrays = calibration.calibrate(module, GIVEN, contractions=False)

    assert torch.equal(module[0].weight, before)
    assert {key.split(".")[-1] for key in arrays} <= {"running_mean", "running_var", "gamma",
                                                      "weight"}  # fmt: skip


def test_what_another_revision_does_not_have_is_passed_over() -> None:
    arrays = calibration.calibrate(network(), GIVEN)
    smaller = nn.Sequential(nn.Conv2d(3, 4, 3))

    calibration.apply(smaller, arrays)

    assert all(torch.isfinite(tensor).all() for tensor in smaller.parameters())


@pytest.mark.parametrize("name", ["lenet", "squeezenet1_1", "mobilenet_v3_small", "resnet18"])
def test_networks_of_the_catalogue_answer_differently_for_every_picture(name: str) -> None:
    architecture = architectures.resolve(name)
    torch.manual_seed(0)
    module = architectures.build(architecture).eval()
    given = pictures(calibration.PICTURES, architecture.input, seeded(1))

    calibration.calibrate(module, Given.of(given))

    with torch.inference_mode():
        out = module(pictures(4, architecture.input, seeded(2))).double()
    assert outputs.picture_share([out]) > 0.3


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize(
    "normalise",
    [nn.utils.parametrizations.spectral_norm, nn.utils.parametrizations.weight_norm,
     nn.utils.spectral_norm, nn.utils.weight_norm],
    ids=["spectral", "weight", "spectral by a hook", "weight by a hook"],
)  # fmt: skip
def test_weights_that_a_layer_computes_are_left_alone_and_copies_answer_alike(normalise) -> None:
    def made() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(normalise(nn.Conv2d(3, 8, 3)), nn.ReLU(), nn.Conv2d(8, 4, 3)).train()

    module, copied = made(), made()
    arrays = calibration.calibrate(module, GIVEN)

    calibration.apply(copied, arrays)  # in training mode, as a worker does

    assert not any(key.startswith("scale 0.") for key in arrays)
    with torch.inference_mode():
        one, other = module.eval()(OTHERS), copied.eval()(OTHERS)
    assert torch.equal(one, other)
    assert 0.5 < float(one.std()) < 2
