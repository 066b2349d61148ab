"""From clocked pairs to named modules, with numbers that are known."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from cnnbench.clocked import Clocked, ClockedPart, ClockedTurn, ModuleFacts, StepFacts
from cnnbench.gate.explaining import ClockedPair, ClockedSide, explain, settled
from cnnbench.gate.explanation import Explanation, Span

MS = 1e6
NET = {"": 0.2, "a": 0.0, "a.conv": 4.0, "a.norm": 1.0, "b": 0.0, "b.conv": 3.0, "b.norm": 1.0}
TYPES = {"conv": "Conv2d", "norm": "BatchNorm2d", "a": "Block", "b": "Block", "": "Net"}


def type_of(name: str) -> str:
    return TYPES.get(name.rpartition(".")[2], "Extra")


def side(own: Mapping[str, float], chance: random.Random, noise: float, turns: int = 4):
    """A process: milliseconds by module, each with noise of the process and of the turn."""
    process = [value * MS * (1 + chance.gauss(0, noise)) for value in own.values()]
    taken = []
    for turn in range(turns):
        values = [one * (1 + chance.gauss(0, noise / 3)) for one in process]
        taken.append(ClockedTurn(turn, sum(values), 1.01 * sum(values), tuple(values), 6))
    parts = tuple(ClockedPart(name, type_of(name), 1) for name in own)
    return ClockedSide(Clocked(0.01, parts), tuple(taken))


def pairs(
    base: Mapping[str, float], head: Mapping[str, float], noise: float = 0.01, seed: int = 0,
    count: int = 6,
) -> list[ClockedPair]:  # fmt: skip
    chance = random.Random(seed)
    return [ClockedPair(side(base, chance, noise), side(head, chance, noise)) for _ in range(count)]


def facts(own: Mapping[str, float], **more: ModuleFacts) -> StepFacts:
    every = [more.get(name.replace(".", "_"), ModuleFacts(name, type_of(name))) for name in own]
    return StepFacts(tuple(every))


def explained(base, head, **more) -> Explanation:
    return explain("spec", pairs(base, head, **more), (facts(base), facts(head)))


def test_the_module_that_became_slower_is_named_with_its_time() -> None:
    found = explained(NET, NET | {"b.conv": 5.0})

    (one,) = found.named
    assert (one.name, one.kind, one.type, one.state) == ("b.conv", "module", "Conv2d", "both")
    assert one.change.low < 2 * MS < one.change.high
    assert one.change.ns == pytest.approx(2 * MS, rel=0.1)
    assert found.total.ns == pytest.approx(2 * MS, rel=0.15)
    assert abs(found.residual_ns) < 0.3 * MS


def test_identical_code_names_nothing_however_often_it_is_asked() -> None:
    named = [explained(NET, NET, seed=seed, noise=0.02).named for seed in range(60)]

    # The chance of one is at most 5 % each time, and a change must be worth naming beside.
    assert sum(map(bool, named)) <= 3


def test_a_module_that_differs_from_process_to_process_is_not_named() -> None:
    """Slices of a process agree; the processes do not."""
    found = explained(NET, NET | {"b.conv": 3.2}, noise=0.15)

    assert "b.conv" not in [one.name for one in found.named]


def test_a_new_module_and_one_that_is_gone_are_named_as_such() -> None:
    new = explained(NET, NET | {"extra": 1.0}).named[0]
    gone = explained(NET | {"extra": 1.0}, NET).named[0]

    assert (new.name, new.state, round(new.change.ns / MS)) == ("extra", "new", 1)
    assert (gone.name, gone.state, round(gone.change.ns / MS)) == ("extra", "gone", -1)


def test_a_change_in_many_modules_is_named_as_their_class() -> None:
    many = {"": 0.2} | {f"{n}.norm": 1.0 for n in range(12)} | {f"{n}.conv": 3.0 for n in range(12)}
    slower = {name: 1.06 * ms if name.endswith("norm") else ms for name, ms in many.items()}

    found = explained(many, slower, noise=0.012, count=8)

    assert [(one.name, one.kind) for one in found.named if one.members > 1] == [
        ("BatchNorm2d", "class")
    ]


def test_what_is_outside_of_the_network_can_be_named() -> None:
    base = pairs(NET | {"loss": 1.0}, NET | {"loss": 2.0})
    plain = [
        ClockedPair(*(replace(s, step=replace(s.step, parts=(
            *s.step.parts[:-1], ClockedPart("loss", "", 1)))) for s in (p.base, p.head)))
        for p in base
    ]  # fmt: skip

    (one,) = explain("spec", plain, (facts(NET), facts(NET))).named
    assert (one.name, one.kind) == ("loss", "outside")


def test_networks_that_have_little_in_common_are_compared_by_stage() -> None:
    base = {"": 0.1, "x": 4.0, "y": 2.0}
    head = {"": 0.1, "p": 4.0, "q": 4.0}
    sizes = {"x": 32, "y": 16, "p": 32, "q": 16}

    def known(own: Mapping[str, float], kind: str) -> StepFacts:
        return StepFacts(tuple(
            ModuleFacts(n, kind, output=f"float32[1,8,{sizes.get(n, 1)},{sizes.get(n, 1)}]")
            for n in own
        ))  # fmt: skip

    found = explain("spec", pairs(base, head), (known(base, "One"), known(head, "Other")))

    assert [(one.name, one.kind) for one in found.named] == [("16x16 pixels", "stage")]
    assert any("only one side has" in note for note in found.notes)


def test_a_reading_more_of_the_clock_is_no_time_of_the_network() -> None:
    """One side has twice the readings; its steps with clocks are longer by just those."""

    def clocked(readings: int) -> ClockedSide:
        own = (1000.0 + 10 * readings,)
        turns = tuple(ClockedTurn(n, 1000.0, own[0], own, 5) for n in range(4))
        return ClockedSide(Clocked(1e-6, (ClockedPart("a", "Conv2d", readings),)), turns)

    found = explain("spec", [ClockedPair(clocked(10), clocked(20))] * 5, (None, None))

    assert found.named == ()
    assert any("clocks disturb" in note for note in found.notes)


def test_differences_without_a_clear_time_are_kept_beside() -> None:
    changed = facts(NET, a_norm=ModuleFacts("a.norm", "BatchNorm2d", calls=2))

    found = explain("spec", pairs(NET, NET | {"b.conv": 5.0}), (facts(NET), changed))

    assert found.structure == ("a.norm (BatchNorm2d): calls 1 -> 2",)


def test_the_total_that_was_measured_without_clocks_counts() -> None:
    total = Span(3 * MS, 2.9 * MS, 3.1 * MS)
    both = (facts(NET), facts(NET))

    found = explain("spec", pairs(NET, NET | {"b.conv": 5.0}), both, total)

    assert found.total == total
    assert found.residual_ns == pytest.approx(1 * MS, abs=0.3 * MS)
    assert not settled(found)
    assert settled(replace(found, total=Span(found.named_ns)))


@pytest.mark.parametrize(
    ("low", "high", "counts"), [(1.6, 2.0, True), (0.1, 9.0, False), (None, None, False)]
)
def test_the_total_is_the_one_that_is_known_better(low, high, counts: bool) -> None:
    ends = () if low is None else (low * MS, high * MS)
    total = Span(1.8 * MS, *ends)

    found = explain("spec", pairs(NET, NET | {"b.conv": 5.0}), (facts(NET), facts(NET)), total)

    assert (found.total == total) is counts
    assert counts or found.total == found.clocked


def test_nothing_named_is_not_settled() -> None:
    assert not settled(explained(NET, NET))
