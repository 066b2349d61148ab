"""What other tools would say of two sets of timings: their rules, and the workloads they judge.

Each rule takes what one pytest-benchmark run left of base and head: ``min``, ``mean``, every timing
(``data``) and the samples for asv (``asv``). It returns whether it would fail the job, and the
relative change it saw. No torch here.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from cnnbench.spec import Device, Mode, Spec, Workload, arguments_of
from cnnbench.stats import t_probability

# name -> architecture, shape of a sample, mode.
WORKLOADS = {
    "lenet": ("lenet", (3, 32, 32), "eager"),
    "squeezenet1_1": ("squeezenet1_1", (3, 224, 224), "eager"),
    "mobilenet_v3_small": ("mobilenet_v3_small", (3, 224, 224), "eager"),
    "resnet18": ("resnet18", (3, 224, 224), "eager"),
    "lenet compiled": ("lenet", (3, 32, 32), "compile"),
}
FACTORY = "bench.gate_networks:slowed"
THRESHOLD = 0.05
Timings = dict[str, Any]


def specs_of(workload: str, layer: dict[str, int] | None) -> tuple[Spec, Spec]:
    """The network as it is, and with a layer more; ``None`` for the same network."""
    name, shape, mode = WORKLOADS[workload]
    base = Spec(Workload(name, 1, shape), Mode.parse(mode, "cpu"), Device("cpu"), 1)
    if layer is None:
        return base, base
    given = arguments_of({"name": name, **layer}.items())
    return base, replace(
        base, workload=replace(base.workload, architecture=FACTORY, arguments=given)
    )


def workload_of(base: Spec) -> str:
    """The name of a base."""
    found = {specs_of(name, None)[0].id: name for name in WORKLOADS}
    return found[base.id]


def pytest_min(base: Timings, head: Timings) -> tuple[bool, float]:
    """``--benchmark-compare-fail=min:5%`` of pytest-benchmark 5: one number against one number."""
    return _percentage(base["min"], head["min"])


def pytest_mean(base: Timings, head: Timings) -> tuple[bool, float]:
    """``--benchmark-compare-fail=mean:5%``."""
    return _percentage(base["mean"], head["mean"])


def _percentage(base: float, head: float) -> tuple[bool, float]:
    return head / base * 100 - 100 > 100 * THRESHOLD, head / base - 1


def asv(base: Timings, head: Timings) -> tuple[bool, float]:
    """``asv compare -f 1.05``: Mann-Whitney p < 0.002 and medians that differ by the factor."""
    one, other = base["asv"], head["asv"]
    change = statistics.median(other) / statistics.median(one) - 1
    return change > THRESHOLD and mann_whitney(one, other) < 0.002, change


def welch(base: Timings, head: Timings) -> tuple[bool, float]:
    """Welch's t-test of all timings, two-sided p < 0.05, and slower."""
    one, other = base["data"], head["data"]
    change = statistics.fmean(other) / statistics.fmean(one) - 1
    return change > 0 and welch_p(one, other) < 0.05, change


def ranks(base: Timings, head: Timings) -> tuple[bool, float]:
    """Mann-Whitney's test of all timings, two-sided p < 0.05, and slower."""
    one, other = base["data"], head["data"]
    change = statistics.median(other) / statistics.median(one) - 1
    return change > 0 and mann_whitney(one, other) < 0.05, change


RULES = {
    "pytest-benchmark min:5%": pytest_min,
    "pytest-benchmark mean:5%": pytest_mean,
    "asv compare -f 1.05": asv,
    "Welch p < 0.05": welch,
    "Mann-Whitney p < 0.05": ranks,
}


def welch_p(one: Sequence[float], other: Sequence[float]) -> float:
    """Two-sided p-value of equal means (Welch 1947)."""
    parts = [statistics.variance(values) / len(values) for values in (one, other)]
    error = math.sqrt(sum(parts))
    if error == 0:
        return 1.0
    below = sum(part**2 / (len(v) - 1) for part, v in zip(parts, (one, other), strict=True))
    freedom = max(1, math.floor(sum(parts) ** 2 / below))
    distance = abs(statistics.fmean(other) - statistics.fmean(one)) / error
    return 2 * (1 - t_probability(distance, freedom))


def mann_whitney(one: Sequence[float], other: Sequence[float]) -> float:
    """Two-sided p-value of equal distributions (Mann and Whitney 1947).

    Exact up to 20 values on each side, else by the normal distribution without correction for ties.
    """
    m, n = len(one), len(other)
    u = _u(one, other)
    low = min(u, m * n - u)
    if max(m, n) <= 20:
        total = math.comb(m + n, m)
        return min(1.0, 2 * sum(_ways(m, n, k) for k in range(math.floor(low) + 1)) / total)
    error = math.sqrt(m * n * (m + n + 1) / 12)
    return 2 * statistics.NormalDist().cdf((low - m * n / 2) / error)


def _u(one: Sequence[float], other: Sequence[float]) -> float:
    """How many pairs have the larger value in ``other``; ties count half."""
    values = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    rank_sum, index = 0.0, 0
    while index < len(values):
        end = index
        while end < len(values) and values[end][0] == values[index][0]:
            end += 1
        middle = (index + end + 1) / 2
        rank_sum += middle * sum(side for _, side in values[index:end])
        index = end
    return rank_sum - len(other) * (len(other) + 1) / 2


@cache
def _ways(m: int, n: int, u: int) -> int:
    """Orders of m and n values whose statistic is ``u``."""
    if u < 0:
        return 0
    if m == 0 or n == 0:
        return int(u == 0)
    return _ways(m - 1, n, u - n) + _ways(m, n - 1, u)
