from __future__ import annotations

from dataclasses import replace

import pytest

from cnnbench import gate
from cnnbench.facts import Structure
from cnnbench.gate import Judgement, Side, Threshold
from cnnbench.gate.thresholds import defaults
from cnnbench.report import comparison, render
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
