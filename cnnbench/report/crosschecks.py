"""What other counters say of the same networks, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench.costs import CostReport
from cnnbench.report.cost import notes
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from cnnbench.costs import CrossCheck
    from cnnbench.report.cost import Found

_CHECKS = (
    Column("name", "model"),
    Column("tool", "tool"),
    Column("operators", "operators"),
    Column("ours", "our MACs", "whole"),
    Column("theirs", "their MACs", "whole"),
    Column("reason", "because the tool"),
)


def crosschecks(found: Found) -> Table:
    """A row per tool that agrees, and per group of operators in which it does not."""
    checked = [one for one in found if isinstance(one, CostReport)]
    rows = [row for one in checked for check in one.crosschecks or () for row in _lines(one, check)]
    return Table(_CHECKS, tuple(rows), notes=notes(found))


def _lines(one: CostReport, check: CrossCheck) -> list[tuple[Any, ...]]:
    name, tool = one.name, check.tool
    if check.error:
        return [(name, tool, "", None, None, check.error)]
    differs = "differs" if check.explained else "differs, unexplained"
    verdict = differs if check.differences else "agrees"
    return [
        (name, tool, "all", check.ours, check.theirs, verdict),
        *((name, tool, d.operators, d.ours, d.theirs, d.reason) for d in check.differences),
    ]
