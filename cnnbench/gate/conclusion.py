"""A judgement -> the exit code of the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.errors import Incomparable, Inconclusive, Regressed, SomeFailed

if TYPE_CHECKING:
    from cnnbench.gate.judging import Judgement


def conclude(judgement: Judgement, *, strict: bool = False) -> None:
    """Raise the error that corresponds to a judgement, if any.

    Raises:
        Regressed: something got worse than its threshold allows.
        SomeFailed: specs have no number, or are missing.
        Inconclusive: with ``strict``, a verdict is inconclusive.
        Incomparable: with ``strict``, timing was not judged because the environments differ.
    """
    total = len(judgement.rows)
    worse, failed = judgement.count("regression"), judgement.count("failed")
    missing, unsure = judgement.count("missing"), judgement.count("inconclusive")
    if worse:
        raise Regressed(f"{worse} of {units.number(total, 'spec')} regressed")
    if failed or missing:
        parts = [f"{failed} failed"] * bool(failed) + [f"{missing} are missing"] * bool(missing)
        raise SomeFailed(f"{' and '.join(parts)}, of {total} specs; see the reasons")
    if strict and unsure:
        raise Inconclusive(f"{unsure} of {total} specs are inconclusive")
    if strict and judgement.count("incomparable"):
        why = "; ".join(judgement.comparison.unlike)
        raise Incomparable(f"timing was not judged: {why}; judge it in any case with --force")
