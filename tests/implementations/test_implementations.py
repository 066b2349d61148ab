"""Every implementation computes the same function: against loops, float64 and itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnbench.conv import known_bad
from cnnbench.conv.problem import ConvProblem
from cnnbench.errors import UnknownName
from cnnbench.implementations import IMPLEMENTATIONS, Implementation, implementation
from cnnbench.implementations.implementation import FORMATS
from cnnbench.spec import Mode
from cnnbench.worker import modes
from tests.implementations.loops import by_torch, computed, data, error, seven_loops
from tests.layers import conv_problems

# Those of transposed convolutions and of units have tests of their own.
ON_CPU = [
    one
    for one in IMPLEMENTATIONS.values()
    if "cpu" in one.kinds and "conv" in one.computes and one.name != "folded"
]
# The library's default is judged like any other.
JUDGED = [implementation(""), *ON_CPU]

SEEDS = st.integers(0, 2**31)


@st.composite
def special(draw: st.DrawFn) -> ConvProblem:
    """Layers of the kinds that some implementations are made for; any layer as often."""
    problem = draw(conv_problems())
    kind = draw(st.sampled_from(("any", "any", "3x3", "1x1", "depthwise")))
    size = {"h": problem.h + 2, "w": problem.w + 2, "dilation": (1, 1)}
    if kind == "3x3":
        return replace(problem, **size, r=3, s=3, stride=(1, 1), groups=1)
    if kind == "1x1":
        size |= {"stride": (1, 1), "padding": (0, 0)}
        return replace(problem, **size, r=1, s=1, groups=1)
    if kind == "depthwise":
        return replace(problem, k=problem.c * draw(st.integers(1, 2)), groups=problem.c)
    return problem


@pytest.fixture(autouse=True)
def _one_thread():
    with modes.restored():
        modes.set_flags(Mode(), 1)
        yield


def fit(ways: list[Implementation], problem: ConvProblem) -> Iterator[Implementation]:
    """Those that apply to a layer, and are not known to be bad on it on some machine."""
    for how in ways:
        if not how.applies(problem, "cpu") and known_bad.known(problem, how.name) is None:
            yield how


def under_flags(how, given, problem: ConvProblem) -> torch.Tensor:
    """As a worker of that mode computes it."""
    set_its_flags(how)
    return computed(how, given, problem)


def set_its_flags(how) -> None:
    """Without them it would be the library's default, which is not what it says."""
    modes.set_flags(Mode(implementation=how.name if how.flags else ""), 1)


def test_a_thousand_random_layers_agree_with_float64_within_the_stated_tolerances() -> None:
    seen: Counter[tuple[str, str]] = Counter()
    worst: dict[tuple[str, str], float] = {}

    # The same thousand every time: a tolerance is statistical, and its test shall not be.
    @settings(max_examples=1000, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(special(), SEEDS)
    def compare(problem: ConvProblem, seed: int) -> None:
        tensors = data(problem, seed)
        for how in fit(JUDGED, problem):
            got = under_flags(how, tensors, problem)
            share = error(got, tensors, problem) / how.tolerance(problem)
            assert share <= 1, (how.name, share)
            assert got.dtype == tensors[0].dtype
            assert got.is_contiguous(memory_format=FORMATS[problem.memory_format])
            key = (how.name, problem.dtype)
            seen[key] += 1
            worst[key] = max(worst.get(key, 0.0), share)

    compare()

    assert {how.name for how in JUDGED} == {name for name, _ in seen}
    assert min(seen.values()) >= 30, seen
    # A tolerance that nothing comes near is none. Small layers show little of the growth.
    assert {key: share for key, share in worst.items() if share < 1 / 60} == {}


@settings(max_examples=60)
@given(conv_problems(most=3, formats=("contiguous",), dtypes=("fp64",)), SEEDS)
def test_float64_of_the_library_is_the_definition(problem: ConvProblem, seed: int) -> None:
    tensors = data(problem, seed)

    gap = (by_torch(tensors, problem) - seven_loops(*tensors, problem)).abs().max()

    assert gap <= 1e-13 * problem.taps


@settings(max_examples=200)
@given(special(), SEEDS)
def test_small_integers_are_bit_exact_where_the_algorithm_is(
    problem: ConvProblem, seed: int
) -> None:
    # In bf16 whole numbers are exact up to 256.
    tensors = data(problem, seed, integers=1 if problem.dtype == "bf16" else 3)
    exact = by_torch(tensors, problem)
    for how in fit(JUDGED, problem):
        if problem.dtype in how.exact:
            assert torch.equal(under_flags(how, tensors, problem).double(), exact), how.name


@settings(max_examples=40)
@given(conv_problems(most=3, dtypes=("fp32",)), SEEDS)
def test_small_integers_are_what_seven_loops_sum(problem: ConvProblem, seed: int) -> None:
    tensors = data(problem, seed, integers=3)
    exact = seven_loops(*tensors, problem)
    for how in fit(JUDGED, problem):
        if "fp32" in how.exact:
            assert torch.equal(under_flags(how, tensors, problem).double(), exact), how.name


@settings(max_examples=60)
@given(special(), SEEDS)
def test_nothing_given_is_changed_and_the_answer_repeats(problem: ConvProblem, seed: int) -> None:
    tensors = data(problem, seed)
    before = [tensor.clone() for tensor in tensors]
    for how in fit(ON_CPU, problem):
        set_its_flags(how)
        x, weight, bias = tensors
        with torch.inference_mode():
            prepared = how.prepare(weight, bias, problem)
            first, second = (how.convolve(x, prepared, problem) for _ in range(2))
        assert torch.equal(first, second), how.name
        assert all(map(torch.equal, tensors, before)), how.name


@settings(max_examples=60)
@given(special(), SEEDS)
def test_input_that_is_a_slice_of_another_tensor_is_taken(problem: ConvProblem, seed: int) -> None:
    x, weight, bias = data(problem, seed)
    wider = torch.zeros(*problem.input_shape[:3], problem.w + 3, dtype=x.dtype)
    wider[..., 1:-2] = x
    tensors = (wider[..., 1:-2], weight, bias)
    for how in fit(ON_CPU, problem):
        share = error(under_flags(how, tensors, problem), tensors, problem)
        assert share <= how.tolerance(problem), how.name


@pytest.mark.parametrize("how", ON_CPU, ids=lambda how: how.name)
def test_tolerances_grow_with_the_sum_and_with_the_rounding(how) -> None:
    small, large = (ConvProblem(1, c, 14, 14, 16, 3, 3) for c in (16, 1024))
    half = replace(small, dtype="bf16")

    assert how.tolerance(small) < how.tolerance(large) < 1e-3
    assert 100 * how.tolerance(small) < how.tolerance(half) < 1


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("winograd_f2", "n1c8h9w9-k8-5x5", "needs a 3x3 kernel, not 5x5"),
        ("winograd_f4", "n1c8h9w9-k8-3x3-s2", "needs stride 1, not 2"),
        ("winograd_f6", "n1c8h9w9-k8-3x3-d2", "needs dilation 1, not 2"),
        ("kn2row", "n1c8h9w9-k8-3x3-g4", "needs one group, not 4"),
        ("mec", "n1c8h9w9-k8-3x3-s2x1", "needs vertical stride 1, not 2"),
        ("matmul_1x1", "n1c8h9w9-k8-3x3", "needs a 1x1 kernel, not 3x3"),
        ("linear_1x1", "n1c8h9w9-k8-1x1-p1", "needs padding 0, not 1"),
        ("depthwise_taps", "n1c8h9w9-k8-3x3-g4", "4 groups for 8 channels"),
        ("fft", "n1c8h9w9-k8-3x3-bf16", "takes fp32, fp64, not bf16"),
        ("toeplitz_dense", "n1c64h56w56-k64-3x3-p1", "up to 100000000 entries, not 40282095616"),
        ("direct", "n64c512h56w56-k512-3x3-p1", "MACs"),
        ("cudnn_benchmark", "n1c8h9w9-k8-3x3", "exists on cuda only"),
    ],
)
def test_what_does_not_apply_says_why(name: str, text: str, words: str) -> None:
    reason = IMPLEMENTATIONS[name].applies(ConvProblem.parse(text), "cpu")

    assert reason.startswith(name)
    assert words in reason


def test_cudnns_depthwise_kernels_are_for_depthwise_layers() -> None:
    how = IMPLEMENTATIONS["depthwise_cudnn"]

    assert "depthwise" in how.applies(ConvProblem.parse("n1c8h9w9-k8-3x3"), "cuda")


@pytest.mark.parametrize("how", ON_CPU, ids=lambda how: how.name)
@pytest.mark.parametrize(
    "text", ["n2c4h9w9-k6-3x3-p1", "n2c4h9w9-k6-1x1-channels_last", "n2c4h9w9-k4-3x3-p1-g4"]
)
def test_a_compiler_can_take_it_apart(how, text: str) -> None:
    problem = ConvProblem.parse(text)
    if how.flags or (reason := how.applies(problem, "cpu")):
        pytest.skip(reason if not how.flags else "flags are the library's own")
    x, weight, bias = data(problem, 0)
    with torch.inference_mode():
        prepared = how.prepare(weight, bias, problem)
        plain = how.convolve(x, prepared, problem)
        # What inductor does before it generates code, without the minute that takes.
        traced = torch.compile(how.convolve, backend="aot_eager", dynamic=False)
        found = traced(x, prepared, problem)

    assert found.stride() == plain.stride()
    assert torch.allclose(found, plain, atol=1e-5)


def test_an_unknown_name_offers_the_closest() -> None:
    with pytest.raises(UnknownName, match="winograd_f4"):
        implementation("winograd_4")
