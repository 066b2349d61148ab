"""What the sides of a comparison should answer, so that a fast wrong answer is no improvement.

Each side is compared with its own code's fp32 eager outputs. Two plain eager sides have nothing
else to be compared with, and cost no reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.asking import CALIBRATED
from cnnbench.errors import WorkerError
from cnnbench.facts import Reference
from cnnbench.gate.outcomes import ROLES
from cnnbench.requests import ComputeReference
from cnnbench.runner.reference import ask_reference, narrow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cnnbench.gate.outcomes import PairedComparison
    from cnnbench.plan import Plan
    from cnnbench.runner.executor import AnyPool
    from cnnbench.spec import Spec

_PLAIN = "plain fp32 eager is what outputs are compared with"


@dataclass(frozen=True)
class Expected:
    """What is known of the right answer of a side.

    Attributes:
        reference: what is known of it; ``None`` if there is none.
        reason: why there is none.
        path: file of its arrays.
        weights: file of calibrated weights, if there are any.
    """

    reference: Reference | None = None
    reason: str = _PLAIN
    path: str = ""
    weights: str | None = None


def of_sides(
    comparison: PairedComparison,
    pools: Mapping[str, AnyPool],
    plan: Plan,
    folder: Path,
    *,
    one_code: bool,
) -> dict[str, Expected]:
    """What each side should answer, by role.

    Args:
        comparison: whose sides.
        pools: by role.
        plan: of the pairs.
        folder: of this comparison alone; its files outlive the pools.
        one_code: both sides run the same code, so equal workloads share a reference.
    """
    specs = {role: comparison.spec(role) for role in ROLES}
    if all(spec == spec.plain for spec in specs.values()):
        return dict.fromkeys(ROLES, Expected())
    if one_code and comparison.base.workload == comparison.head.workload:
        both = _ask("both", list(specs.values()), pools["base"], plan, folder)
        return dict.fromkeys(ROLES, both)
    return {role: _ask(role, [specs[role]], pools[role], plan, folder) for role in ROLES}


def _ask(name: str, specs: Sequence[Spec], pool: AnyPool, plan: Plan, folder: Path) -> Expected:
    path, weights = (str(folder / f"{what}-{name}.npz") for what in ("reference", "weights"))
    request = ComputeReference.planned(
        specs[0].plain, plan, reference_path=path, float64=True,
        precisions=narrow(specs), calibrate=weights,
    )  # fmt: skip
    try:
        known = ask_reference(pool, request, plan.timeout)
    except WorkerError as error:
        return Expected(reason=f"no reference: {error}")
    return Expected(known, "", path, weights if known.weights == CALIBRATED else None)
