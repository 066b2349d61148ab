from __future__ import annotations

import json

import pytest

from cnnbench import plan as planning
from cnnbench.codec import decode, encode
from cnnbench.errors import UsageError
from cnnbench.mode import Mode
from cnnbench.plan import Plan


def test_a_plan_survives_its_manifest() -> None:
    plan = Plan(rounds=5, seed=7, memory_limit=1 << 30, timeout=90.0)

    assert decode(Plan, json.loads(json.dumps(encode(plan)))) == plan


@pytest.mark.parametrize("name", ["rounds", "slices", "slice_seconds", "timeout"])
@pytest.mark.parametrize("value", [0, -1])
def test_what_must_be_positive_is_refused_by_its_option(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"^--{name.replace('_', '-')} must be positive"):
        Plan(**{name: value})


@pytest.mark.parametrize(
    ("seconds", "turns"),
    [(0.0, 8), (0.001, 8), (1.0, 8), (2.0, 4), (2.6, 3), (8.0, 3), (1000.0, 3)],
)
def test_slow_networks_get_fewer_turns_but_at_least_three(seconds: float, turns: int) -> None:
    assert Plan(slices=8).turns(seconds) == turns


def test_fewer_slices_than_three_are_kept() -> None:
    assert Plan(slices=1).turns(1000.0) == 1
    assert Plan(slices=2).turns(0.0) == 2


def test_rough_times_grow_with_work_rounds_and_compiling() -> None:
    base = planning.rough_seconds(Plan(), 1e9, Mode())

    assert planning.rough_seconds(Plan(), 1e12, Mode()) > base
    assert planning.rough_seconds(Plan(rounds=9), 1e9, Mode()) > base
    assert planning.rough_seconds(Plan(), 1e9, Mode("default")) > base
    assert planning.rough_starts(Plan(rounds=6)) == 2 * planning.rough_starts(Plan(rounds=3))


def test_a_budget_leaves_quick_networks_alone_and_shortens_slow_ones() -> None:
    generous = Plan(budget=36_000.0).within_budget(10)
    tight = Plan(budget=60.0).within_budget(100)

    assert generous.turns(0.01) == Plan().turns(0.01)
    assert (generous.turn_budget, generous.warm_up_limit) == (8.0, 6.0)
    assert tight.turns(0.01) == Plan().turns(0.01)
    assert tight.turns(5.0) == 2
    assert tight.float64_macs < generous.float64_macs


def test_what_is_computed_in_float64_depends_on_the_device() -> None:
    cpu, cuda = (Plan(budget=60.0).within_budget(10, kind) for kind in ("cpu", "cuda"))

    assert cpu == Plan(budget=60.0).within_budget(10)
    # Faster than a CPU, but far from what a GPU does in float32.
    assert cpu.float64_macs < cuda.float64_macs < 20 * cpu.float64_macs


def test_without_a_budget_a_plan_stays_as_it_is() -> None:
    assert Plan().within_budget(7) == Plan()


def test_a_gpu_computes_faster_and_takes_longer_to_begin_and_to_tune() -> None:
    def rough(macs: float, compiler: str = "eager") -> tuple[float, float]:
        cpu, cuda = (
            planning.rough_seconds(Plan(), macs, Mode(compiler), kind) for kind in ("cpu", "cuda")
        )
        return cpu, cuda

    assert rough(1e6)[0] < rough(1e6)[1]
    assert rough(1e12)[0] > rough(1e12)[1]
    assert rough(1e9, "max-autotune")[1] > rough(1e9, "reduce-overhead")[1] > rough(1e9)[1]


def test_an_export_is_quicker_than_a_compiler_and_quantising_comes_on_top() -> None:
    def making(mode: str) -> float:
        return planning.rough_making(Mode.parse(mode, "cpu"))

    assert making("eager") == making("channels_last+amp=bf16") == 0
    assert 0 < making("openvino") < making("onnxruntime") < making("compile") == making("aoti")
    assert making("openvino+int8") > making("openvino")
    assert making("aoti+freezing+int8") > making("aoti+freezing")
