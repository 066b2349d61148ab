"""What is kept of paired comparisons beside their runs: every verdict, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench.codec import encode
from cnnbench.gate import unsure
from cnnbench.gate.outcomes import ROLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.environment import Environment
    from cnnbench.gate.outcomes import PairedOutcome
    from cnnbench.runner.ab.paired import PairedJob

FILE = "verdicts.json"
_SCHEMA = 1


def as_json(prepared: PairedJob, outcomes: Sequence[PairedOutcome]) -> dict[str, Any]:
    """Sides and verdicts as plain JSON."""
    return {
        "schema": _SCHEMA,
        "sides": {side.role: dict(side.source) for side in prepared.sides},
        "torch": {role: torch_of(prepared.environments[role]) for role in ROLES},
        "budget": prepared.budget,
        "verdicts": [verdict_json(outcome) for outcome in outcomes],
    }


def torch_of(environment: Environment) -> str | None:
    """The version of torch in an environment."""
    version = (environment.hard.get("torch") or {}).get("version")
    return None if version is None else str(version)


def verdict_json(outcome: PairedOutcome) -> dict[str, Any]:
    """One verdict as plain JSON: log-ratios of pairs are natural, changes relative."""
    data: dict[str, Any] = encode(outcome.decision)
    comparison, narrow = outcome.comparison, outcome.one_thread
    why = unsure.of(outcome)
    return data | {
        "verdict": outcome.verdict,
        "reason": outcome.decision.reason if why is None else why.reason,
        "base": outcome.measured_as.base.id,
        "head": outcome.measured_as.head.id,
        "asked": {role: comparison.spec(role).id for role in ROLES},
        "threads": {role: outcome.measured_as.spec(role).threads for role in ROLES},
        "waiting_of_threads_asked": None if narrow is None else narrow.waiting,
        "pairs_set_aside": 0 if narrow is None else narrow.set_aside,
        "pairs_measured_again": outcome.repeated,
        "pairs_disagreeing": outcome.disagreeing,
        "cause": None if why is None else why.cause,
        "helps": None if why is None or not why.helps else why.helps[0],
        "threshold": comparison.rule.threshold,
        "log_ratios": list(outcome.pairs),
        "log_ratios_confirmation": list(outcome.confirmation),
        "log_ratios_cpu": list(outcome.cpu_pairs),
        "seconds": outcome.seconds,
        "off_cpu": outcome.off_cpu,
        "pairs_without_waiting": outcome.waited,
        "output": {
            role: {"status": check.status, "reason": check.reason}
            for role in ROLES
            if (check := outcome.check(role)) is not None
        },
    }
