"""The arithmetic of a profile: sums, residual, rows; on made-up numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.codec import decode, encode
from cnnbench.profile import (
    LayerCost,
    LayerTimes,
    Primitive,
    Profile,
    ProfilerTrace,
    Scope,
    quieter,
)
from cnnbench.profile_rows import Layer, joined, layer_rows

TIMES = LayerTimes(
    scopes=(
        Scope("", "Net", False, 1, 5.0),
        Scope("a", "Sequential", False, 1, 10.0),
        Scope("a.0", "Conv2d", True, 1, 100.0, 150.0),
        Scope("a.1", "ReLU", True, 2, 20.0, 30.0),
        Scope("b", "Linear", True, 1, 40.0),
    ),
    outside={"before forward": 3.0, "loss": 12.0},
    plain_ns=(360,) * 4,
    timed_ns=(370,) * 4,
    doubled_ns=(378,) * 4,
)
REORDER = Primitive("a.0", "forward", "reorder", "jit:blk", 2, 25.0)
CONVOLUTION = Primitive("a.0", "forward", "convolution", "jit:avx", 1, 75.0)
PROFILE = Profile(
    "spec",
    "here",
    ProfilerTrace("t.gz", (10, 12, 11), (22, 24, 20), (), heaviest={"a.1": "aten::relu"}),
    TIMES,
    (REORDER, CONVOLUTION),
    (LayerCost("a.0", 1000, 2000, 64, 128, 3),),
)


def test_layers_clocks_and_residual_make_the_end_to_end_time() -> None:
    assert TIMES.sum_ns == 370
    assert TIMES.end_to_end_ns == 360
    assert TIMES.residual_ns == -2
    assert TIMES.sum_ns - TIMES.clocks_ns + TIMES.residual_ns == TIMES.end_to_end_ns
    assert TIMES.residual_share == pytest.approx(-2 / 360)
    assert TIMES.residual_half_share == 0


def test_the_residual_is_as_uncertain_as_its_rounds_differ() -> None:
    def of(*residuals: int) -> LayerTimes:
        ones = (1000,) * len(residuals)
        doubled = tuple(1010 + 10 + one for one in residuals)
        return LayerTimes((), {}, ones, (1010,) * len(ones), doubled)

    # The quieter half of four: mean 10, deviation 14.1, t(0.975, 1) = 12.71.
    noisy = of(0, 20, 9000, 9000)
    assert noisy.clocks_ns == 20
    assert noisy.residual_half_share == pytest.approx(12.706 * 10 / 1000, rel=1e-4)
    assert of(5).residual_half_share is None


@given(st.lists(st.tuples(*[st.integers(1, 10**9)] * 3), min_size=1))
def test_half_of_the_rounds_are_kept_and_none_that_was_left_out_is_quieter(pairs) -> None:
    kept = quieter(*zip(*pairs, strict=True))

    left_out = [sum(pair) for index, pair in enumerate(pairs) if index not in kept]
    assert len(kept) - len(left_out) in {0, 1}
    assert max(sum(pairs[index]) for index in kept) <= min(left_out, default=float("inf"))


@pytest.mark.parametrize("depth", [None, 1, 2])
def test_collapsing_loses_no_time_and_no_macs(depth: int | None) -> None:
    rows = layer_rows(PROFILE, depth)

    assert sum(row.ns for row in rows) == sum(scope.ns for scope in TIMES.scopes)
    assert sum(row.macs or 0 for row in rows) == 3000
    assert len(rows) == (3 if depth == 1 else 5)


def test_a_row_joins_what_the_passes_say_of_one_module() -> None:
    row = {row.name: row for row in layer_rows(PROFILE)}["a.0"]

    assert (row.macs, row.bytes, row.ns) == (3000, 192, 250.0)
    assert row.flops_per_s == 2 * 3000 / 250e-9
    assert row.reorder_share == 0.25
    assert row.kernels == "convolution jit:avx"


def test_a_module_without_a_primitive_names_its_heaviest_operator() -> None:
    rows = {row.name: row for row in layer_rows(PROFILE)}

    assert rows["a.1"].kernels == "aten::relu"
    assert rows["a.1"].reorder_share is None
    assert rows["b"].flops_per_s is None


def test_others_are_one_row_with_their_sum() -> None:
    row = joined(layer_rows(PROFILE), "(5 others)")

    assert (row.name, row.calls, row.ns, row.scopes) == ("(5 others)", 6, 355.0, 5)


def test_overhead_is_the_ratio_of_medians() -> None:
    assert PROFILE.trace is not None
    assert PROFILE.trace.overhead == 2.0


def test_a_profile_survives_the_process_border() -> None:
    assert decode(Profile, encode(PROFILE)) == PROFILE


def test_a_profile_without_layers_has_no_rows() -> None:
    assert layer_rows(Profile("spec", "here")) == ()


# What ran in a row.


def ran(ns: float, heaviest: str, *primitives: Primitive) -> str:
    return Layer("a", "Net", 1, ns, 0.0, primitives=primitives, heaviest=heaviest).kernels


def primitive(kind: str, ns: float) -> Primitive:
    return Primitive("a", "forward", kind, "jit", 1, ns)


def test_what_took_most_of_a_row_is_not_hidden_behind_a_primitive_that_took_little() -> None:
    small, large = primitive("convolution", 20.0), primitive("convolution", 80.0)
    reorder = primitive("reorder", 70.0)

    assert ran(100.0, "aten::upsample_bilinear2d", small) == (
        "aten::upsample_bilinear2d, convolution jit"
    )
    assert ran(100.0, "aten::upsample_bilinear2d", large) == "convolution jit"
    assert ran(100.0, "aten::mkldnn_convolution", small) == "convolution jit"
    assert ran(100.0, "aten::upsample_bilinear2d", small, reorder) == "convolution jit"
    assert ran(100.0, "aten::relu_") == "aten::relu_"
    assert ran(100.0, "", small) == "convolution jit"
