"""Faults too small for the outputs, seen in the layers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from cnnbench.architectures.pictures import pictures
from cnnbench.facts import Reference
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, calibration, checking, inner
from cnnbench.worker import reference as references
from cnnbench.worker.inputs import Given

WORKLOAD = Workload("object:Many", 2, (3, 12, 12))
CHANNELS = 96
GIVEN = torch.randn(2, 30, 8, generator=torch.Generator().manual_seed(3))


def spec(mode: str = "eager") -> Spec:
    return Spec(WORKLOAD, Mode.parse(mode, "cpu"), Device(), 1)


class Many(nn.Module):
    """Layers of many channels, of which one more or less hardly shows in the output."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        widths = (3, *(CHANNELS,) * 4)
        self.body = nn.Sequential(
            *(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))
        )
        self.head = nn.Linear(CHANNELS, 10)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.body:
            x = torch.relu(layer(x) + 0.5)
        return self.head(x.mean((2, 3)))


def shown(number: int, batch: int = WORKLOAD.batch) -> Given:
    return Given.of(pictures(batch, WORKLOAD.input, torch.Generator().manual_seed(number)))


def step(of: Spec, fault: Callable[[nn.Module], object] = lambda module: None) -> build.Step:
    module = Many().eval()
    calibration.calibrate(module, shown(-1, calibration.PICTURES))
    fault(module)
    made = build.inference(of, module, shown(0))
    made.others = lambda: map(shown, (1, 2, 3))
    return made


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reference]:
    path = tmp_path_factory.mktemp("reference") / "reference.npz"
    return path, references.compute(spec(), step, 0, path, precisions=("bf16", "amp=bf16", "fp16"))


def changed(change: Callable[[Tensor], Tensor]) -> Callable[[nn.Module], object]:
    """A fault in the answers of the second layer."""
    return lambda module: module.body[1].register_forward_hook(lambda m, i, out: change(out))


def zeroed(out: Tensor) -> Tensor:
    out = out.clone()
    out[:, CHANNELS // 2] = 0
    return out


def faded(out: Tensor) -> Tensor:
    out = out.clone()
    out[:, CHANNELS // 2] *= 0.75
    return out


@pytest.mark.parametrize("mode", ["channels_last", "bf16", "amp=bf16", "fp16"])
def test_a_faultless_mode_is_ok(known: tuple[Path, Reference], mode: str) -> None:
    path, reference = known
    assert checking.check(spec(mode), step(spec(mode)), 0, path, reference).status == "ok"


@pytest.mark.parametrize(
    "change", [zeroed, lambda out: out.roll(1, 1), lambda out: out.roll(1, -1)]
)
def test_a_fault_in_one_layer_is_found_there(
    known: tuple[Path, Reference], change: Callable[[Tensor], Tensor]
) -> None:
    path, reference = known

    check = checking.check(spec("bf16"), step(spec("bf16"), changed(change)), 0, path, reference)

    assert check.status == "wrong"


def test_a_fault_in_one_channel_passes_the_outputs_and_not_the_layers(
    known: tuple[Path, Reference],
) -> None:
    path, reference = known
    faulty = step(spec("bf16"), changed(faded))

    answers = references.observed(spec("bf16"), faulty, 0).answers
    by_outputs = checking.compare(spec("bf16"), answers, path, reference)
    check = checking.check(spec("bf16"), faulty, 0, path, reference)

    assert by_outputs.status in {"ok", "loose"}
    assert check.status == "wrong"
    assert check.reason.startswith("layer body.1: a channel is off by")


def test_nothing_listens_any_more_afterwards(known: tuple[Path, Reference]) -> None:
    path, reference = known
    made = step(spec("bf16"))

    checking.check(spec("bf16"), made, 0, path, reference)

    assert not any(part._forward_hooks for part in made.module.modules())


def test_layers_are_judged_only_where_they_are_called_one_by_one() -> None:
    assert inner.audible(spec("bf16"))
    assert not inner.audible(spec("compile+bf16"))
    assert not inner.audible(spec("impl=im2col"))
    training = replace(spec(), workload=replace(WORKLOAD, phase="training"))
    assert not inner.audible(training)


def test_attention_keeps_its_fast_path() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.TransformerEncoderLayer(8, 2))
    with inner.LayerListener(module):
        assert module[0]._forward_hooks
        assert not any(part._forward_hooks for part in module[1].modules())


def test_calls_that_do_not_count_leave_nothing_and_others_a_number_per_channel() -> None:
    module = nn.Conv2d(3, 5, 1)
    heard = inner.LayerListener(module)
    with heard:
        module(torch.ones(4, 3, 2, 2))
        assert not heard.signatures()
        heard.listening = True
        module(torch.ones(4, 3, 2, 2))
        module(torch.ones(4, 3, 2, 2))

    (found,) = heard.signatures().values()

    assert found.shape == (4, 5)  # two calls of which two samples each are looked at


def test_a_signature_keeps_the_scale_of_the_layer() -> None:
    values = torch.randn(2, 4000, 8, 8, generator=torch.Generator().manual_seed(0)) * 3

    found = inner._signature(values)

    assert float(found.square().mean().sqrt()) == pytest.approx(3, rel=0.05)


def test_without_a_file_nothing_is_judged(tmp_path: Path) -> None:
    found = inner.worst({"a": torch.ones(1, 1)}, tmp_path / "no.npz", "bf16", 1e-3, 0.25)

    assert found.times == 0
    assert not found.every


@pytest.mark.parametrize(("fault", "status"), [(None, "ok"), (faded, "unchecked")])
def test_exchanged_detections_are_judged_by_the_layers_they_were_chosen_from(
    known: tuple[Path, Reference], fault: Callable[[Tensor], Tensor] | None, status: str
) -> None:
    path, reference = known
    made = step(spec("bf16"), changed(fault) if fault else lambda module: None)
    made.selects = True
    observe, made.observe = made.observe, lambda out: [one.flip(1) for one in observe(out)]

    assert checking.check(spec("bf16"), made, 0, path, reference).status == status


def test_a_layer_that_rounding_blurs_is_not_judged(known: tuple[Path, Reference]) -> None:
    path, _ = known
    heard = references.observed(spec("bf16"), step(spec("bf16"), changed(zeroed)), 0).layers

    assert inner.worst(heard, path, "bf16", 1e-3, 0.25).layer == "body.1"
    assert inner.worst(heard, path, "bf16", 1e-3, 1e-6) == inner.Worst()


class Regions(nn.Module):
    """The likeliest of many regions in order of their scores, and a layer for all of them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.score, self.layer = nn.Linear(8, 1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        regions = x.reshape(-1, 8)
        return self.layer(regions[self.score(regions)[:, 0].argsort(descending=True)])


def test_layers_of_regions_are_judged_whatever_the_order(tmp_path: Path) -> None:
    of, path = Spec(Workload("object:Regions", 2, (30, 8)), Mode(), Device(), 1), tmp_path / "r.npz"

    def heard(change: Callable[[Tensor], Tensor] = lambda out: out) -> inner.Signatures:
        module = Regions()
        module.score.register_forward_hook(lambda m, i, out: change(out))
        made = build.inference(of, module, Given.of(GIVEN.sin()))
        made.others = lambda: [Given.of(GIVEN)]
        made.selects = True
        return references.observed(of, made, 0).layers

    usual = heard()
    assert list(usual) == [f"{name}{inner.REGIONS}" for name in ("score", "layer")]
    inner.keep(path, usual, {"fp32": dict.fromkeys(usual, 0.0)})

    turned = inner.worst(heard(lambda out: out.flip(0)), path, "fp32", 1e-7, 0.25)
    assert turned.times < 1

    lost = {name: one * 0 for name, one in usual.items()}
    assert inner.worst(lost, path, "fp32", 1e-7, 0.25).times > 6


@pytest.mark.parametrize("count", [0, 1, 7, 31, 5000, (1 << 16) + 5])
def test_a_sketch_has_the_scale_of_the_values_and_sees_signs_and_places(count: int) -> None:
    values = torch.randn(count, generator=torch.Generator().manual_seed(1)).double()

    found = inner.sketch(values)

    assert found.shape == (32,)
    assert float(found.norm()) == pytest.approx(float(values.norm()), rel=0.4)
    assert inner.sketch(-values).tolist() == (-found).tolist()
    if count > 1:
        assert not inner.sketch(values.flip(0)).allclose(found)
