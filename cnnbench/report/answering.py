"""Answers -> JSON: conclusions, where each mode pays, what fits a budget; specs by their ids."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cnnbench.codec import encode
from cnnbench.inert import in_json
from cnnbench.report import answers, budget
from cnnbench.report.conclusions import conclusions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.report.answers import ModeAnswer
    from cnnbench.report.budget import Budget
    from cnnbench.report.entry import Entry


def render(found: Sequence[Entry], within: Budget) -> str:
    """One object: the sentences of every report, and the values behind them."""
    whole = {
        "conclusions": encode(conclusions(found, within)),
        "modes": [_mode(one) for one in answers.by_mode(found)],
        "within": [budget.to_dict(fit) for fit in budget.fits(found, within)] if within else [],
    }
    return in_json(json.dumps(whole, indent=1, allow_nan=False)) + "\n"


def _mode(one: ModeAnswer) -> dict[str, Any]:
    ids: dict[str, list[str]] = {
        how: [entry.record.id for entry in some] for how, some in one.standings.items()
    }
    return {"mode": one.mode, **ids, "median_gain": one.gain, "largest_error": one.error}
