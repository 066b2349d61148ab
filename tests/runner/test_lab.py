"""An order of the lab, worked out: which ways, in which memory format, and what is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cnnbench.conv.layers import ConvLayer
from cnnbench.errors import UnknownName, UsageError
from cnnbench.facts import Applicability
from cnnbench.runner import lab
from cnnbench.spec import Device, Spec
from cnnbench.suite import Grid

LAYER = ConvLayer("conv:k8-3x3-p1", (8, 16, 16))


GRID = Grid((), lab.MODES, (), device=Device(), threads=(1,))


def order(**more) -> lab.LabOrder:
    return lab.LabOrder(**({"layers": (LAYER,), "grid": GRID} | more))


def prepared(**more) -> lab.Lab:
    return lab.prepare(order(**more), who="fake")


def modes(found: lab.Lab) -> list[str]:
    return [spec.mode.text for spec in found.job.specs]


def test_library_ways_come_first_and_implementations_in_their_own_memory_format() -> None:
    found = prepared(implementations=("im2col", "im2col_nhwc", "prepacked"))

    assert modes(found) == [
        "eager", "channels_last", "amp=bf16", "impl=im2col", "impl=im2col_nhwc+channels_last",
        "impl=prepacked", "impl=prepacked+channels_last",
    ]  # fmt: skip


def test_every_dtype_has_its_plain_way_and_autocast_only_its_own() -> None:
    found = prepared(implementations=("none",), dtypes=("fp32", "bf16"))

    assert modes(found) == ["eager", "bf16", "channels_last", "amp=bf16", "channels_last+bf16"]


def test_substitutes_are_measured_in_the_plain_ways() -> None:
    found = prepared(implementations=("none",), substitutes=("ghost",))

    names = [spec.workload.architecture for spec in found.job.specs]
    assert names == [LAYER.architecture] * 3 + [f"{LAYER.architecture}~ghost"] * 2


def test_what_does_not_apply_is_known_before_anything_is_measured() -> None:
    layer = ConvLayer("conv:k8-1x1", (8, 16, 16))
    found = prepared(layers=(layer,), implementations=("winograd_f2",))

    assert found.job.impossible == {
        "conv:k8-1x1/inference-b1-8x16x16/impl=winograd_f2/cpu-t1": (
            "winograd_f2 is for 3x3 kernels"
        )
    }


def test_a_slow_way_is_left_out_unless_it_is_named() -> None:
    layer = ConvLayer("conv:k512-3x3-p1", (512, 14, 14))
    every = prepared(layers=(layer,)).job
    named = prepared(layers=(layer,), implementations=("direct",)).job

    (reason,) = (why for name, why in every.impossible.items() if "impl=direct" in name)
    assert reason.startswith("left out: would take about ")
    assert "--impl" in reason
    assert not named.impossible


def test_seconds_grow_with_what_is_executed_and_prepared() -> None:
    spec = Spec.parse("conv:k8-3x3-p1/inference-b1-8x16x16/impl=fft/cpu-t1")
    done = Applicability("", 10**9, 0)

    once = lab.rough_seconds(spec, 1, done)
    assert lab.rough_seconds(spec, 3, done) == pytest.approx(3 * once)
    assert lab.rough_seconds(spec, 1, replace(done, prepared_bytes=10**8)) > once


def test_a_model_is_measured_beside_its_layers() -> None:
    found = prepared(layers=(), implementations=("none",), grid=replace(GRID, models=("resnet18",)))

    names = {spec.workload.architecture for spec in found.job.specs}
    assert names == {"resnet18", "conv:k8-3x3-s2-p1", "conv:k8-3x3-p1"}
    assert [layer.count for layer in found.layers] == [1, 4]


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"implementations": ("winograd",)}, UnknownName),
        ({"substitutes": ("gost",)}, UnknownName),
        ({"dtypes": ("fp8",)}, UsageError),
        ({"layers": (), "grid": replace(GRID, models=("tag:quick",))}, UsageError),
        ({"layers": (), "grid": replace(GRID, models=("resnt18",))}, UsageError),
    ],
)
def test_unknown_words_are_refused_before_a_worker_starts(more, error) -> None:
    with pytest.raises(error):
        prepared(**more)
