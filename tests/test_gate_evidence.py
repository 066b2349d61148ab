"""The evidence's arithmetic: peers' rules, the log that survives a kill, the report."""

from __future__ import annotations

import argparse
import math
import random
from pathlib import Path
from typing import Any

import pytest

from bench import gate_default, gate_evidence, gate_rules
from bench.gate_evidence import Log, blocks
from bench.gate_rules import mann_whitney, welch_p
from cnnbench import machine


def timings(*data: float) -> dict[str, Any]:
    return {"data": data, "min": min(data), "mean": sum(data) / len(data), "asv": data[:10]}


def test_rank_test_against_counting_by_hand() -> None:
    # Of the 20 orders of three and three values, two are as extreme as full separation.
    assert mann_whitney([1, 2, 3], [4, 5, 6]) == pytest.approx(0.1)
    assert mann_whitney([1, 3, 5], [2, 4, 6]) == pytest.approx(0.7)
    assert mann_whitney(range(10), range(10, 20)) == pytest.approx(2 / math.comb(20, 10))


def test_rank_test_of_many_values_is_near_the_exact_one() -> None:
    chance = random.Random(3)
    one = [chance.gauss(0, 1) for _ in range(20)]
    other = [chance.gauss(0.8, 1) for _ in range(20)]

    exact = mann_whitney(one, other)
    near = mann_whitney([*one, one[0] - 1e-9], [*other, other[0] + 1e-9])
    assert near == pytest.approx(exact, rel=0.3)


def test_welch_against_a_published_example() -> None:
    # Welch's own form of the data of Wikipedia's third example: t = -2.46 .. of unequal variances.
    one = [19.8, 20.4, 19.6, 17.8, 18.5, 18.9, 18.3, 18.9, 19.5, 22.0]
    other = [28.2, 26.6, 20.1, 23.3, 25.2, 22.1, 17.7, 27.6, 20.6, 13.7, 23.2, 17.5, 20.6, 18.0,
             23.9, 21.6, 24.3, 20.4, 24.0, 13.2]  # fmt: skip

    assert welch_p(one, other) == pytest.approx(0.036, abs=0.002)
    assert welch_p(one, one) == pytest.approx(1.0)
    assert welch_p([1.0, 1.0], [1.0, 1.0]) == 1.0


def test_what_each_rule_says_of_the_same_timings() -> None:
    # Clearly slower by 4 %, with one lucky call and one stall in the head.
    chance = random.Random(1)
    base = [1 + chance.gauss(0, 0.002) for _ in range(200)]
    head = [1.04 + chance.gauss(0, 0.002) for _ in range(200)]
    head[50] = 4.0

    said = {name: rule(timings(*base), timings(*head)) for name, rule in gate_rules.RULES.items()}

    assert {name: flagged for name, (flagged, _) in said.items()} == {
        "pytest-benchmark min:5%": False,
        "pytest-benchmark mean:5%": True,
        "asv compare -f 1.05": False,
        "Welch p < 0.05": True,
        "Mann-Whitney p < 0.05": True,
    }
    faster = [rule(timings(*head), timings(*base))[0] for rule in gate_rules.RULES.values()]
    assert not any(faster)


def test_asv_needs_both_a_factor_and_significance() -> None:
    slow = timings(*[1.1 + 0.001 * i for i in range(10)])

    assert gate_rules.asv(timings(*[1 + 0.001 * i for i in range(10)]), slow)[0]
    assert not gate_rules.asv(timings(*[1.09 if i % 2 else 1.13 for i in range(10)]), slow)[0]


def test_specs_of_a_block() -> None:
    base, head = gate_rules.specs_of("lenet compiled", {"size": 64, "repeats": 2})

    assert base.id == "lenet/inference-b1-3x32x32/compile/cpu-t1"
    assert head.workload.architecture == "bench.gate_networks:slowed"
    assert head.workload.keywords == {"name": "lenet", "size": 64, "repeats": 2}
    assert gate_rules.specs_of("lenet", None)[1] == gate_rules.specs_of("lenet", None)[0]
    for name in gate_rules.WORKLOADS:
        assert gate_rules.workload_of(gate_rules.specs_of(name, None)[0]) == name


def test_the_most_telling_blocks_come_first() -> None:
    names = [(condition, effect) for _, condition, effect in blocks(2)]

    assert names[:6] == [(c, e) for e in (0.0, 0.05) for c in (0.0, 0.3, 0.6)]
    assert {effect for _, effect in names} == {0.0, 0.05, 0.1, 0.03}
    assert len({name for name, _, _ in blocks(4)}) == len(list(blocks(4)))


def line(verdict: str, take: int, effect: float = 0.0) -> dict[str, Any]:
    return {
        "block": "0/0/0", "condition": 0.0, "effect": effect, "take": take, "workload": "lenet",
        "verdict": verdict, "seconds": 8.0, "log_ratios": [0.0, 0.01, -0.01], "confirmation": [],
    }  # fmt: skip


def test_a_block_without_an_end_is_not_reported_and_a_torn_line_is_no_harm(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.add(kind="ab", **line("regression", 1))
    log.add(kind="ab", **line("unchanged", 2))
    log.add(kind="peer", block="0/0/0", condition=0.0, effect=0.0, take=2, workload="lenet",
            rule="Welch p < 0.05", flagged=True, change=0.01, seconds=5.0)  # fmt: skip
    log.add(kind="end", block="0/0/0", condition=0.0, effect=0.0, take=2, seconds=30.0)
    with (tmp_path / "verdicts.jsonl").open("a") as file:
        file.write('{"kind": "ab", "ver')

    again = Log(tmp_path)
    text = gate_evidence.report(again, verdicts=5)

    assert again.finished == {"0/0/0"}
    assert "| **cnnbench ab** | quiet | 0/1 = 0.0 % [0.0, 79.3] |" in text
    assert "| Welch p < 0.05 | quiet | 1/1 = 100.0 % [20.7, 100.0] |" in text
    assert "| lenet | 0.0 % | 0 / 0 / 1 / 0 | 1.0 % | 3.0 | 8.0 |" in text
    assert "noise per pair" in text
    assert "How restless the core was by itself was not measured." in text


def test_blocks_may_be_chosen() -> None:
    names = [name for name, _, _ in gate_evidence.blocks(2, (0.3,), (0.1, 0.03))]

    assert names == ["0/0.3/0.1", "0/0.3/0.03", "1/0.3/0.1", "1/0.3/0.03"]
    assert len(list(gate_evidence.blocks(2))) == 6 + 12


def test_finished_blocks_are_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    monkeypatch.setattr(gate_evidence, "measure_pairs", lambda log, facts, *rest: measured.append(
        facts["block"]))  # fmt: skip
    monkeypatch.setattr(gate_evidence, "unrest", lambda: 0.05)
    monkeypatch.setattr(gate_evidence, "truths", lambda log, effects, seconds: {effects[0]: {}})
    given = argparse.Namespace(minutes=1.0, slices=4, budget=1.0, rounds=1, copies=1,
                               no_peers=True, truth_seconds=1.0, conditions=(0.0,),
                               effects=())  # fmt: skip

    gate_evidence.measure(Log(tmp_path), given)
    gate_evidence.measure(Log(tmp_path), given)
    assert measured == ["0/0/0", "0/0/0.05"]
    assert "5.0 % to 5.0 %, median 5.0 %" in gate_evidence.report(Log(tmp_path), verdicts=2)

    given.rounds, given.minutes = 2, 0.0
    for one in Log(tmp_path).of("end"):
        assert one["seconds"] >= 0
    log = Log(tmp_path)
    log.add(kind="end", block="x", condition=0.0, effect=0.0, take=1, seconds=1e6)
    log.add(kind="end", block="y", condition=0.0, effect=0.0, take=1, seconds=1e6)
    gate_evidence.measure(log, given)
    assert measured == ["0/0/0", "0/0/0.05"]


def default_line(verdict: str, take: int, condition: str, effect: float = 0.0) -> dict[str, Any]:
    return {
        "block": f"0/{condition}/{effect:g}", "condition": condition, "effect": effect,
        "take": take, "nice": 0, "workload": "lenet", "verdict": verdict, "seconds": 20.0,
        "log_ratios": [0.0, 0.01, -0.01], "confirmation": [], "repeated": 1,
        "waiting": 0.4 if condition != "quiet" else None,
        "cause": "noise" if verdict == "inconclusive" else None,
    }  # fmt: skip


def test_the_gate_with_default_options_is_reported_by_condition(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for take, (verdict, condition) in enumerate(
        [("unchanged", "quiet"), ("inconclusive", "neighbours 60 %"), ("regression", "quiet")]
    ):
        facts = default_line(verdict, take, condition)
        log.add(kind="ab", **facts)
        if verdict != "regression":
            block = {name: facts[name] for name in ("block", "condition", "effect", "take", "nice")}
            log.add(kind="others", **block, taken=[0.5, 0.6] if facts["waiting"] else [])
            log.add(kind="end", **block, seconds=20.0)

    text = gate_default.report(Log(tmp_path))

    assert "| quiet | 0/1 = 0.0 % [0.0, 79.3] | 0/1" in text
    assert "| neighbours 60 % | 0/1 = 0.0 % [0.0, 79.3] | 1/1" in text
    assert "| lenet | neighbours 60 % | 0 / 1 / 0 / 0 / 0 | 1.0 % | 3.0 | 1 |" in text
    assert "* noise: 1" in text
    assert "neighbours 60 %: the others got 1.10 cores in the mean." in text


def test_a_block_with_default_options_that_is_finished_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    monkeypatch.setattr(gate_default, "truths", lambda log, given: {})
    monkeypatch.setattr(gate_default.gate_evidence, "unrest", lambda: 0.05)
    monkeypatch.setattr(gate_default, "measure_block", lambda log, facts, *rest: measured.append(
        facts["block"]))  # fmt: skip
    given = argparse.Namespace(minutes=1.0, rounds=2, conditions=("quiet",), effects=(0.0, 0.05))

    for _ in range(2):
        gate_default.measure(Log(tmp_path), given)

    assert measured == ["0/quiet/0", "0/quiet/0.05", "1/quiet/0", "1/quiet/0.05"]


def test_the_gate_with_default_options_uses_all_cores() -> None:
    found = gate_default.comparison("lenet", {"size": 64, "repeats": 2})

    assert found.base.threads == found.head.threads == machine.usable_cores()
    assert found.head.workload.architecture == "bench.gate_networks:slowed"
