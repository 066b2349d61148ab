from __future__ import annotations

import pytest

from cnnbench import gate
from cnnbench.errors import CnnbenchError, SomeFailed
from tests import made


def judgement(*verdicts: str, unlike: tuple[str, ...] = ()) -> gate.Judgement:
    rows = tuple(
        gate.Judged(gate.Row(made.EAGER), (), verdict)  # type: ignore[arg-type]
        for verdict in verdicts
    )
    comparison = gate.Comparison("a", "b", tuple(one.row for one in rows), unlike)
    return gate.Judgement(comparison, rows)


@pytest.mark.parametrize(
    ("verdicts", "strict", "code"),
    [
        (("unchanged", "improvement", "added"), True, 0),
        (("inconclusive", "incomparable"), False, 0),
        (("regression", "failed", "inconclusive"), True, 1),
        (("failed", "inconclusive"), True, 3),
        (("missing",), False, 3),
        (("inconclusive", "unchanged"), True, 4),
        (("incomparable",), True, 5),
    ],
)
def test_the_worst_verdict_decides_the_exit_code(
    verdicts: tuple[str, ...], strict: bool, code: int
) -> None:
    try:
        gate.conclude(judgement(*verdicts, unlike=("cpu: a -> b",)), strict=strict)
    except CnnbenchError as error:
        found = error.exit_code
    else:
        found = 0

    assert found == code


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (("failed", "unchanged"), "1 failed, of 2 specs; see the reasons"),
        (("missing", "missing"), "2 are missing, of 2 specs; see the reasons"),
        (("failed", "missing"), "1 failed and 1 are missing, of 2 specs; see the reasons"),
    ],
)
def test_what_has_no_number_is_counted(verdicts: tuple[str, ...], said: str) -> None:
    with pytest.raises(SomeFailed, match=f"^{said}$"):
        gate.conclude(judgement(*verdicts))
