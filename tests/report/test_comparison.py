from __future__ import annotations

from dataclasses import replace

import pytest

from cnnbench import gate
from cnnbench.environment import Environment
from cnnbench.facts import Structure
from cnnbench.gate import Judgement, Side, Threshold
from cnnbench.gate.thresholds import defaults
from cnnbench.report import comparison, reasons, render
from tests import made

OTHER = "resnet18/inference-b1-3x224x224/eager/cpu-t2"


@pytest.fixture
def judgement() -> Judgement:
    """A row of every kind."""
    before = Structure(kernels={"jit:avx512_core": 20}, outputs=("float32[8,10]",))
    after = replace(before, kernels={"brg_conv_fwd": 20})
    old = [
        replace(made.record(made.EAGER, [[10, 10]] * 3), structure=before),
        made.record(made.CHANNELS_LAST, [[10, 10]] * 3, ensemble="x"),
        made.record(made.BF16, [[10, 10]] * 3),
        made.record(OTHER, [[5]]),
    ]
    new = [
        replace(made.record(made.EAGER, [[11, 11], [11.1, 11.1], [10.9, 10.9]]), structure=after),
        replace(
            made.record(made.CHANNELS_LAST, [[10, 10]] * 3, ensemble="y"),
            cost=replace(made.COST, macs=3_500_000),
        ),
        made.failed(made.BF16),
        made.record("vgg16/inference-b1-3x224x224/eager/cpu-t2", [[5]]),
    ]
    sides = (Side(n, made.ENVIRONMENT, {r.id: r for r in rs}) for n, rs in (("a", old), ("b", new)))
    return gate.judge(gate.compare(*sides), [*defaults(), Threshold("kernels", 0)])


@pytest.mark.parametrize(("kind", "end"), [("table", "txt"), ("markdown", "md")])
def test_people_see(judgement, golden, kind: str, end: str) -> None:
    golden(f"comparison.{end}", render(comparison.summary([judgement]), kind))


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_machines_see(judgement, golden, kind: str) -> None:
    golden(f"comparison.{kind}", render(comparison.tidy([judgement]), kind))


def test_several_comparisons_name_their_run(judgement) -> None:
    table = comparison.summary([judgement, judgement])

    assert table.columns[0].name == "new_run"
    assert len(table.rows) == 2 * len(judgement.rows)


def test_different_environments_are_said(judgement) -> None:
    unlike = replace(judgement.comparison, unlike=("cpu: A -> B",))

    lines = reasons.captions(replace(judgement, comparison=unlike))
    forced = reasons.captions(replace(judgement, comparison=unlike, forced=True))

    assert "different environments, timing is advisory: cpu: A -> B" in lines
    assert any("judged all the same" in line for line in forced)


def test_a_long_structure_is_cut_and_says_so() -> None:
    old, new = (
        replace(made.record(made.EAGER, [[10]]), structure=Structure(operators=operators))
        for operators in ({}, {f"aten::op{n}": n + 1 for n in range(40)})
    )
    sides = (Side(n, made.ENVIRONMENT, {made.EAGER: one}) for n, one in (("a", old), ("b", new)))

    lines = reasons.notes(gate.judge(gate.compare(*sides), []))

    assert sum("structure changed" in line for line in lines) == 13
    assert any(line.endswith("structure changed: and 28 more") for line in lines)
    assert sum(made.EAGER in line for line in lines) == 1


def test_rows_that_are_unsure_for_one_reason_share_a_line(eager, same) -> None:
    sides = (
        Side("a", made.ENVIRONMENT, {one.id: one for one in (eager, same)}),
        Side("b", Environment(hard={"cpu": "B"}),
             {n: made.record(n, [[10]] * 3, ensemble="z") for n in (eager.id, same.id)}),
    )  # fmt: skip

    found = reasons.notes(gate.judge(gate.compare(*sides), defaults()))

    assert "2 specs: latency: incomparable: measured in different environments" in found
