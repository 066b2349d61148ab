"""Every rule of advice on made-up records, where it must speak and where it must be silent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cnnbench import metrics
from cnnbench.advice import Evidence, Unkept, advise
from cnnbench.choice import NO_GAIN
from cnnbench.facts import Ceilings, Check, Reference
from cnnbench.profile import LayerCost, LayerTimes, Primitive, Profile, Scope
from cnnbench.record import Memory, Record
from cnnbench.stats import Estimate
from tests import made

COMPILE = f"{made.WORKLOAD}/compile/cpu-t2"
BOTH = f"{made.WORKLOAD}/compile+channels_last/cpu-t2"


def eager(milliseconds: float = 10, **more: Any) -> Record:
    return made.record(made.EAGER, [[milliseconds] * 3] * 3, **more)


def mode(name: str, milliseconds: float, **more: Any) -> Record:
    return made.record(name, [[milliseconds] * 3] * 3, **more)


def noisy(name: str, *milliseconds: float) -> Record:
    return made.record(name, [[one] * 3 for one in milliseconds])


def profile(
    *shares: float, operators: int = 10, reorder_ms: float = 0.0, moved: int = 0
) -> Profile:
    """Of a step of 10 ms, a layer per share; 1 µs for the shortest operator."""
    scopes = tuple(
        Scope(f"layer{i}", "Conv2d", True, 1, share * 1e7) for i, share in enumerate(shares)
    )
    return Profile(
        made.EAGER,
        "here",
        layers=LayerTimes(scopes, {}, *[(10_000_000,) * 4] * 3, 1000.0),
        primitives=(Primitive("layer0", "forward", "reorder", "jit", 2, reorder_ms * 1e6),),
        costs=(LayerCost("layer0", 1_000_000, 0, moved, 0, operators),),
    )


def texts(evidence: Evidence, name: str) -> list[str]:
    return [finding.text for finding in advise(evidence) if finding.name == name]


def best(*records: Record) -> str | None:
    found = Evidence(records).recommended
    return None if found is None else found.spec.mode.text


# Which mode.


def test_a_gain_that_can_be_seen_is_recommended_with_its_interval() -> None:
    records = (eager(), noisy(made.CHANNELS_LAST, 5, 5.1, 4.9))

    (text,) = texts(Evidence(records), "use")
    assert text.startswith("use channels_last: 2.00x as fast as eager [1.9")


def test_a_gain_whose_interval_includes_1_is_no_clear_difference() -> None:
    records = (eager(), noisy(made.CHANNELS_LAST, 2.5, 5, 20))

    assert best(*records) == "eager"
    assert texts(Evidence(records), "stay") == []
    (text,) = texts(Evidence(records), "unclear")
    assert text.startswith(
        f"cannot tell today: {NO_GAIN['unclear']}: channels_last is 1.59x as fast"
    )
    (text,) = texts(Evidence(records), "no_difference")
    assert text.endswith("no clear difference")


@pytest.mark.parametrize("status", ["wrong", "loose"])
def test_a_mode_with_a_bad_output_is_never_recommended(status: str) -> None:
    fast = mode(made.BF16, 1, check=Check(status, 0.5, 0.5, 0.25, "relative error 0.5"))

    assert best(eager(), fast) == "eager"
    assert best(eager(), fast, mode(made.CHANNELS_LAST, 5)) == "channels_last"
    (text,) = texts(Evidence((eager(), fast)), status)
    assert text.startswith("amp=bf16: ")


def test_a_mode_that_failed_says_where() -> None:
    (text,) = texts(Evidence((eager(), made.failed(made.BF16))), "failed")

    assert "first call: ValueError: made up" in text


def test_one_round_has_no_interval_and_recommends_nothing() -> None:
    records = (
        made.record(made.EAGER, [[10] * 3]), made.record(made.CHANNELS_LAST, [[5] * 3]),
    )  # fmt: skip

    assert best(*records) == "eager"
    (text,) = texts(Evidence(records), "once")
    assert text.startswith(f"cannot tell today: {NO_GAIN['once']}: channels_last is 2.00x")
    assert texts(Evidence(records), "not_repeated")


def test_what_seems_faster_as_one_of_many_may_be_so_by_chance() -> None:
    # Alone, [1.02x, 1.37x]; with the error shared among four, the interval holds one.
    lucky = noisy(made.CHANNELS_LAST, 8.0, 8.5, 9.0)
    words = ("compile", "amp=bf16", "compile+channels_last")
    same = [mode(f"{made.WORKLOAD}/{one}/cpu-t2", 20) for one in words]

    assert best(eager(), lucky) == "channels_last"
    assert best(eager(), lucky, *same) == "eager"
    (text,) = texts(Evidence((eager(), lucky, *same)), "no_difference")
    assert text.endswith("no clear difference, because one of 4 modes may look faster by chance")


def test_what_was_not_measured_beside_eager_is_not_recommended() -> None:
    elsewhere = mode(made.CHANNELS_LAST, 1, ensemble="other")

    assert best(eager(), elsewhere) == "eager"
    assert texts(Evidence((eager(), elsewhere)), "not_compared")


def test_of_modes_that_cannot_be_told_apart_the_simplest_is_recommended() -> None:
    compiled, last = noisy(COMPILE, 4.9, 5.0, 5.1), noisy(made.CHANNELS_LAST, 5.1, 5.0, 5.0)

    assert best(eager(), compiled, last) == "channels_last"
    (text,) = texts(Evidence((eager(), compiled, last)), "gain")
    assert text.endswith("no clear difference from channels_last")


def test_a_faster_compiled_mode_beats_a_simpler_one() -> None:
    assert best(eager(), mode(COMPILE, 2), mode(made.CHANNELS_LAST, 5)) == "compile"


def test_without_eager_there_is_no_advice() -> None:
    evidence = Evidence((made.failed(made.EAGER), mode(made.CHANNELS_LAST, 5)))

    assert evidence.recommended is None
    assert texts(evidence, "no_baseline")


def test_a_mode_that_could_not_be_checked_says_so() -> None:
    unchecked = mode(made.CHANNELS_LAST, 5, check=Check("unchecked", reason="draws random numbers"))

    (text,) = texts(Evidence((eager(), unchecked)), "use")
    assert "could not be checked" in text
    assert "draws random numbers" in texts(Evidence((eager(), unchecked)), "accuracy")[0]


def test_a_slower_mode_is_called_slower() -> None:
    assert texts(Evidence((eager(), mode(made.CHANNELS_LAST, 20))), "slower")


# What it costs.


def test_a_compiler_pays_after_what_its_first_call_takes_over_what_a_call_saves() -> None:
    # First calls of 90 and 10 ms, later ones of 5 and 10: (90 - 10) / 5 calls.
    plain = eager()
    plain = replace(plain, runs=tuple(replace(one, warmup_ns=(10**7,)) for one in plain.runs))
    compiled = mode(COMPILE, 5, compile_cache="cold")

    (text,) = texts(Evidence((plain, compiled)), "compile")
    assert "compiling takes 90.0 ms" in text
    assert "after 16 calls" in text
    assert metrics.break_even(compiled, plain).point == pytest.approx(16)


def test_a_compiled_mode_without_a_gain_never_pays_and_is_not_mentioned() -> None:
    assert texts(Evidence((eager(), mode(COMPILE, 10, compile_cache="cold"))), "compile") == []


def test_a_compiler_pays_for_sure_only_with_the_error_shared_among_all_modes_tried() -> None:
    lucky = [(8.0, 8.5, 9.0), (5.0, 5.1, 4.9)]
    words = ("channels_last", "amp=bf16", "compile+channels_last")
    others = [mode(f"{made.WORKLOAD}/{one}/cpu-t2", 20) for one in words]
    chance, sure = (
        made.record(COMPILE, [[one] * 3 for one in times], compile_cache="cold") for times in lucky
    )

    assert metrics.break_even(chance, eager()) is not None
    assert texts(Evidence((eager(), chance)), "compile")
    assert texts(Evidence((eager(), chance, *others)), "compile") == []
    assert texts(Evidence((eager(), sure, *others)), "compile")


@pytest.mark.parametrize(("peak", "word"), [(6 << 20, "more"), (1 << 20, "less")])
def test_memory_is_a_cost_when_it_changes(peak: int, word: str) -> None:
    other = mode(made.CHANNELS_LAST, 5, memory=Memory(cpu_peak_bytes=peak))

    (text,) = texts(Evidence((eager(), other)), "memory")
    assert f"needs {word} memory" in text
    assert texts(Evidence((eager(), mode(made.CHANNELS_LAST, 5))), "memory") == []


def test_memory_that_was_not_measured_says_so() -> None:
    (text,) = texts(Evidence((eager(), mode(made.CHANNELS_LAST, 5, memory=None))), "memory")

    assert "not measured" in text


def test_accuracy_is_said_of_the_recommended_mode_alone() -> None:
    (text,) = texts(Evidence((eager(), mode(made.CHANNELS_LAST, 5))), "accuracy")

    assert "top-1 agreement 100 %" in text
    assert texts(Evidence((eager(),)), "accuracy") == []


# What holds it back.


def limits(found: Profile | None, record: Record | None = None) -> set[str]:
    evidence = Evidence((record or eager(),), profile=found)
    return {finding.name for finding in advise(evidence) if finding.kind == "limit"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, set()),
        (profile(0.2, 0.2, 0.2), set()),
        # 3000 operators of at least 1 µs in 10 ms
        (profile(0.2, 0.2, 0.2, operators=3000), {"dispatch"}),
        (profile(0.2, 0.2, 0.2, operators=2000), set()),
        (profile(0.2, 0.5, 0.2), {"slow_layer"}),
        (profile(1.0), set()),  # a network of one layer
        (profile(0.2, 0.2, 0.2, reorder_ms=2.0), {"reorders"}),
        (profile(0.2, 0.2, 0.2, reorder_ms=0.9), set()),
    ],
)
def test_limits_are_named_from_their_threshold_on(found: Profile, expected: set[str]) -> None:
    assert limits(found) == expected


@pytest.mark.parametrize(
    ("moved", "name"), [(20_000_000, "memory_bound"), (1_000, "arithmetic_bound")]
)
def test_memory_or_arithmetic_by_the_ceilings(moved: int, name: str) -> None:
    ceilings = Ceilings({"float32 matmul": 4e8}, {"1000": 1e12, "100000000": 1e9}, 1000, 2)

    # 2e6 FLOPs take 5 of 10 ms; 20 MB at the memory's 1 GB/s take 20 ms.
    found = profile(0.2, 0.2, 0.2, moved=moved, operators=1)
    assert limits(found, eager(ceilings=(ceilings,))) == {name}


def test_many_small_tensors_move_at_the_bandwidth_of_their_size() -> None:
    ceilings = Ceilings({"float32 matmul": 4e8}, {"2000": 1e12, "100000000": 1e9}, 1000, 2)

    # 20 MB in 10,000 operators of 2 kB take 20 us, not 20 ms.
    found = profile(0.2, 0.2, 0.2, moved=20_000_000, operators=10_000)
    assert "arithmetic_bound" in limits(found, eager(ceilings=(ceilings,)))


def test_the_rate_is_that_of_the_precision_and_of_the_threads() -> None:
    ceilings = Ceilings({"float32 matmul": 4e8, "bfloat16 matmul": 1e15}, {"1000": 1e12}, 1000, 2)
    other = replace(ceilings, threads=4)
    found = profile(0.2, 0.2, 0.2, moved=1000)

    # 2e6 FLOPs take 5 ms of 10 in float32.
    (text,) = texts(Evidence((eager(ceilings=(ceilings,)),), profile=found), "arithmetic_bound")
    assert "50.0 % of the time" in text
    assert texts(Evidence((eager(ceilings=(other,)),), profile=found), "bound")


def test_a_ceiling_far_below_the_time_holds_nothing_back() -> None:
    ceilings = Ceilings({"float32 matmul": 1e10}, {"1000": 1e12}, 1000, 2)
    found = profile(0.2, 0.2, 0.2, moved=1000)

    (text,) = texts(Evidence((eager(ceilings=(ceilings,)),), profile=found), "unbound")
    assert text.startswith("neither memory nor arithmetic: ")
    assert "2.0 % of the time" in text


def test_a_bound_that_cannot_be_says_so() -> None:
    ceilings = Ceilings({"float32 matmul": 1e6}, {"1000": 1e12}, 1000, 2)
    found = profile(0.2, 0.2, 0.2, moved=1000)

    (text,) = texts(Evidence((eager(ceilings=(ceilings,)),), profile=found), "arithmetic_bound")
    assert "is impossible" in text


def test_without_ceilings_the_bound_is_not_measured() -> None:
    (text,) = texts(Evidence((eager(),), profile=profile(0.2, 0.2, 0.2)), "bound")

    assert "not measured" in text


@pytest.mark.parametrize(("share", "said"), [(0.3, True), (0.0, False), (None, False)])
def test_subnormal_numbers(share: float | None, said: bool) -> None:
    record = eager(reference=Reference(True, 1e-7, share, False))

    assert ("subnormals" in limits(None, record)) is said


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (Estimate(1.27, 1.2, 1.35, 3), True),
        (Estimate(1.04, 1.01, 1.07, 3), False),
        (Estimate(0.9, 0.8, 0.95, 3), False),
        (Estimate(1.5), False),
    ],
)
def test_what_malloc_costs_where_it_keeps_no_blocks(ratio: Estimate, said: bool) -> None:
    evidence = Evidence((eager(),), unkept=Unkept(made.EAGER, ratio, 2320.4))

    found = texts(evidence, "allocator")

    assert bool(found) is said
    for text in found:
        assert "1.27x as long [1.2" in text
        assert "with 2320 page faults per call" in text
        assert "MALLOC_MMAP_MAX_=0" in text


def test_a_disturbed_machine_is_a_limit_of_the_advice() -> None:
    record = made.record(made.EAGER, [[5] * 3, [10] * 3, [20] * 3])

    assert limits(None, record) == {"disturbed"}


# What was not tried.


def test_what_was_left_out_is_said_with_its_reason() -> None:
    found = replace(profile(0.2), notes=("layers not measured: it raised",))
    evidence = Evidence((eager(),), {"compile": "no C++ compiler found"}, found)

    untried = [finding.text for finding in advise(evidence) if finding.kind == "untried"]
    assert "compile: no C++ compiler found" in untried
    assert "layers not measured: it raised" in untried
    assert any("int8" in text for text in untried)
    assert any("pruning" in text for text in untried)


def test_no_rule_breaks_on_nothing() -> None:
    kinds = {finding.kind for finding in advise(Evidence(()))}

    assert kinds == {"use", "untried"}


# What readers asked for.


CHANNELS_LAST = f"{made.WORKLOAD}/channels_last/cpu-t2"
AMP = f"{made.WORKLOAD}/amp=bf16/cpu-t2"
CEILINGS = Ceilings({"float32 matmul": 4e11}, {"1000": 1e12, "100000000": 1e11}, 1000, 2)


def small(count: int, each_us: float) -> Profile:
    """Of a step of 10 ms, so many layers of one operator and next to no work."""
    found = profile(*[each_us / 1e4] * count)
    costs = tuple(LayerCost(f"layer{i}", 1000, 0, 100, 0, 1) for i in range(count))
    return replace(found, costs=costs)


@pytest.mark.parametrize(
    ("count", "each", "said"), [(300, 20, True), (300, 30, False), (4, 20, False), (100, 20, False)]
)
def test_many_layers_that_wait_to_be_called_are_named(count: int, each: float, said: bool) -> None:
    evidence = Evidence((eager(ceilings=(CEILINGS,)),), {}, small(count, each))

    found = texts(evidence, "small_layers")

    assert bool(found) == said
    if said:
        assert "300 of 300" in found[0]
        assert "60.0 % of the time" in found[0]


def test_large_layers_are_not_small_however_short() -> None:
    busy = replace(CEILINGS, flops_per_s={"float32 matmul": 4e8})

    assert texts(Evidence((eager(ceilings=(busy,)),), {}, small(300, 20)), "small_layers") == []


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ((), "; channels_last and compile may need fewer"),
        ((mode(CHANNELS_LAST, 20),), "; compile may need fewer"),
        ((mode(CHANNELS_LAST, 20), mode(COMPILE, 20)), "of the time"),
    ],
)
def test_no_remedy_is_named_that_was_measured_as_slower(others: Any, said: str) -> None:
    found = profile(0.2, 0.2, 0.2, reorder_ms=2.0)

    (text,) = texts(Evidence((eager(), *others), {}, found), "reorders")

    assert text.endswith(said)


def test_what_holds_back_says_which_mode_it_is_about() -> None:
    evidence = Evidence((eager(),), {}, profile(0.2, 0.5, 0.2))

    (found,) = [one for one in advise(evidence) if one.name == "slow_layer"]

    assert found.mode == "eager"


def test_to_stay_says_why() -> None:
    unchecked = mode(CHANNELS_LAST, 20, check=Check("unchecked", reason="no reference"))

    wrong = mode(CHANNELS_LAST, 5, check=Check("wrong", 0.5, 0.5, 0.25, "relative error 0.5"))

    (alone,) = texts(Evidence((eager(),)), "stay")
    (slower,) = texts(Evidence((eager(), mode(CHANNELS_LAST, 20))), "stay")
    (unknown,) = texts(Evidence((eager(), unchecked)), "stay")
    (unfit,) = texts(Evidence((eager(), wrong)), "stay")

    assert alone.endswith("no other mode was measured")
    assert slower.endswith("every other mode with a correct output is slower than plain eager")
    assert unknown == slower
    assert unfit.endswith("no other mode has a correct output")


def test_what_fewer_bits_gain_beyond_a_mode_that_keeps_them() -> None:
    records = (eager(20), mode(CHANNELS_LAST, 10), mode(AMP, 5))

    (text,) = texts(Evidence(records), "precision")

    assert "channels_last keeps fp32 and is 2.00x as fast as eager" in text
    assert "amp=bf16 is 2.00x as fast as that" in text
    assert texts(Evidence((eager(20), mode(AMP, 5))), "precision") == []
    assert texts(Evidence(records[:2]), "precision") == []


def test_top1_agreement_says_of_how_many() -> None:
    found = texts(Evidence((eager(20), mode(CHANNELS_LAST, 10))), "accuracy")

    assert found[0].endswith("top-1 agreement 100 % of 8 samples")


def test_modes_that_there_are_beside_are_named() -> None:
    (text,) = texts(Evidence((eager(), mode(CHANNELS_LAST, 20)), {"compile": "no g++"}), "words")

    named = text.partition(": ")[2].partition(" (")[0].split(", ")
    assert {"compile=max-autotune", "bf16", "amp=bf16", "fp16"} <= set(named)
    assert not {"eager", "channels_last", "compile", "tf32"} & set(named)
