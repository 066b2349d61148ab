"""What networks are called with: every kind, counted, calibrated, judged, trained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from cnnbench.architectures import pictures, sources
from cnnbench.errors import UsageError
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, checking, inputs
from cnnbench.worker import reference as references

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.architectures.registry import Architecture

HERE = "tests.worker.own_inputs"
TWO = "int64<1000:6,3x9x9,mask=bool:6"


def workload(name: str, *, phase: str = "inference", **settings: str) -> Workload:
    kept = tuple(sorted(settings.items()))
    return Workload(f"{HERE}:{name}", 3, (8,), phase, settings=kept)


CASES = {
    "typed": workload("Two", inputs=TWO),
    "factory": workload("Two", input_factory=f"{HERE}:two"),
    "nested": workload("Nested", input_factory=f"{HERE}:nested"),
    "keywords": workload("Keywords", input_factory=f"{HERE}:keywords"),
    "named": workload("Keywords", inputs="x=8,t=float32:scalar"),
    "single": workload("Decides", input_factory=f"{HERE}:single"),
}


def made(of: Workload, number: int = 0, **more: torch.dtype) -> inputs.Given:
    return inputs.made(sources.from_factory(of.architecture), of, 0, number, **more)


def test_typed_inputs_have_their_types_shapes_and_ranges() -> None:
    wanted = "float16:3x8x8,int64:50,int32<7:50,uint8:3x8x8,uint8<3:50,mask=bool:50,5,t=8x9x9x9"
    given = made(workload("Two", inputs=wanted), dtype=torch.bfloat16)

    half, index, below, image, small, free = given.args
    assert [one.dtype for one in given.args] == [
        torch.float16, torch.int64, torch.int32, torch.uint8, torch.uint8, torch.bfloat16,
    ]  # fmt: skip
    assert given.kwargs["mask"].dtype is torch.bool
    assert given.kwargs["t"].shape == (3, 8, 9, 9, 9)
    assert (half.shape, free.shape) == ((3, 3, 8, 8), (3, 5))
    assert (set(index.unique().tolist()), int(below.max()), int(small.max())) == ({0, 1}, 6, 2)
    assert int(image.max()) > 100


@pytest.mark.parametrize("name", ["rcnn_vgg16", "fast_rcnn_vgg16"])
def test_networks_for_regions_get_as_many_as_are_asked_for(name: str) -> None:
    usual = Workload(name, 2, (3, 32, 48))
    asked = replace(usual, settings=(("regions", "5"),))

    boxes = [inputs.made(build.resolve(of), of, 0).args[1] for of in (usual, asked)]

    assert [one.shape for one in boxes] == [(2, 16, 4), (2, 5, 4)]
    assert bool((boxes[1] <= torch.tensor([48, 32, 48, 32])).all())


@pytest.mark.parametrize("name", ["lenet", "fasterrcnn_resnet50_fpn"])
def test_other_networks_refuse_regions_and_the_message_names_those_that_take_them(name) -> None:
    asked = Workload(name, 1, (3, 64, 64), settings=(("regions", "5"),))

    with pytest.raises(UsageError, match=rf"'{name}' takes no regions.* fast_rcnn_vgg16, rcnn_vgg"):
        inputs.made(build.resolve(asked), asked, 0)


def test_an_r_cnn_costs_as_much_more_as_it_has_more_regions() -> None:
    asked = [Workload("rcnn_vgg16", 1, (3, 64, 64), settings=(("regions", n),)) for n in ("1", "3")]
    one, three = (build.counted(of, 0).cost().macs for of in asked)

    assert three == 3 * one > 15_000_000_000


EACH = (
    ("resnet18", "inference"), ("resnet18", "training"), ("fasterrcnn_mobilenet_v3_large_320_fpn",
    "training"), ("keypointrcnn_resnet50_fpn", "training"), ("raft_small", "training"),
    ("r3d_18", "inference"), ("fcn_resnet50", "training"), ("fast_rcnn_vgg16", "training"),
    ("quantized_resnet18", "inference"), ("maskrcnn_resnet50_fpn", "training"),
)  # fmt: skip


def same(architecture: Architecture, of: Workload, dtype: torch.dtype) -> list[torch.Tensor]:
    """The tensors without values, which are like those with them."""
    real, shapes = (
        inputs.made(architecture, of, 0, dtype=dtype, values=values).tensors
        for values in (True, False)
    )
    assert [(one.shape, one.dtype, one.stride()) for one in shapes] == [
        (one.shape, one.dtype, one.stride()) for one in real
    ]
    assert not any(one.is_meta for one in real)
    return shapes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "phase"), EACH)
def test_without_values_shapes_types_and_strides_are_the_same(name, phase, dtype) -> None:
    architecture = build.resolve(Workload(name, 2, (1,)))

    shapes = same(architecture, Workload(name, 2, architecture.input, phase), dtype)

    assert all(one.is_meta for one in shapes if one.numel() > 10_000)


def test_typed_pictures_without_values_are_the_same() -> None:
    of = workload("Two", inputs="float16:3x8x8,complex64:3x8x8,uint8:3x8x8,int64:50,5")

    shapes = same(sources.from_factory(of.architecture), of, torch.bfloat16)

    assert [one.is_meta for one in shapes] == [True, True, True, False, True]


def test_a_count_draws_no_picture(monkeypatch) -> None:
    monkeypatch.setattr(pictures, "_squares", None)

    # A terabyte of pixels.
    architecture = build.resolve(Workload("resnet18", 1, (1,)))
    usual, large = (
        build.counted(Workload("resnet18", batch, architecture.input), 0) for batch in (1, 1 << 21)
    )

    assert large.macs == usual.macs << 21


def test_scalars_are_one_number_per_sample() -> None:
    assert made(workload("Two", inputs="int64<1000:scalar")).args[0].shape == (3,)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_make_the_same_and_other_pictures_differ(name: str) -> None:
    first, again, other = (made(CASES[name], number) for number in (0, 0, 1))

    assert all(map(torch.equal, first.tensors, again.tensors))
    assert not all(map(torch.equal, first.tensors, other.tensors))


def test_a_function_leaves_the_generators_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)

    made(CASES["nested"])

    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("function", "said"), [("nothing", "returned no tensor"), ("missing", "has no 'missing'")]
)
def test_a_function_that_makes_no_inputs_is_refused(function: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        made(workload("Two", input_factory=f"{HERE}:{function}"))


def test_a_function_that_makes_another_batch_is_refused() -> None:
    for batch in (2, 4):
        asked = replace(workload("Two", input_factory=f"{HERE}:four"), batch=batch)
        if batch == 4:
            assert made(asked).tensors[0].shape == (4, 8)
            continue
        with pytest.raises(UsageError, match=r"asked for a batch of 2 and returned \(4, 8\)"):
            made(asked)


@pytest.mark.parametrize("function", ["pictures", "graph"])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_batch_need_not_be_an_axis(function: str, batch: int) -> None:
    asked = replace(workload("Two", input_factory=f"{HERE}:{function}"), batch=batch)

    assert made(asked).tensors


def test_inputs_keep_no_graph_that_made_them() -> None:
    (found,) = made(workload("Two", input_factory=f"{HERE}:with_a_graph")).tensors

    assert found.is_leaf
    assert found.requires_grad


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("mode", ["eager", "channels_last"])
def test_every_kind_is_calibrated_run_and_judged(name: str, mode: str, tmp_path: Path) -> None:
    spec = Spec(CASES[name], Mode.parse(mode, "cpu"), Device(), 1)
    weights, path = str(tmp_path / "weights.npz"), tmp_path / "reference.npz"
    architecture, module = build.construct(spec.workload, 0)
    build.calibrate(spec.workload, architecture, module, 0, weights)
    known = references.compute(spec.plain, lambda of: build.built(of, 0, weights), 0, path)

    check = checking.check(spec, build.built(spec, 0, weights), 0, path, known)

    assert (check.status, check.reason) == ("ok", "")


@pytest.mark.parametrize("name", CASES)
def test_every_kind_is_counted(name: str) -> None:
    found = build.counted(CASES[name], 0)

    assert found.macs > 0
    assert found.real is (name == "single")  # values decide there


@pytest.mark.parametrize("name", ["typed", "factory", "named"])
def test_training_steps_take_them(name: str) -> None:
    of = CASES[name]
    training = Workload(of.architecture, 3, of.input, "training", settings=of.settings)

    step = build.built(Spec(training, Mode(), Device(), 1), 0)

    assert torch.isfinite(step.call())
