"""What rules and figures of the table are made of: readings of facts, and limits.

Where a limit is ours to choose, the comment says why it is what it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.device.check import Facts, Rule

# Of a median over tens of turns; the events themselves resolve half a microsecond.
CLOCK = 0.03
# fp32 sums of some thousand products err by some 1e-6, in Winograd's algorithm by some 1e-5; TF32
# rounds inputs to 11 bits, by 2**-11 at most, of which averaging leaves a part.
FP32, TF32 = 2e-5, (5e-5, 5e-3)


def all_ok(facts: Facts) -> bool:
    return bool(facts["rows"]) and all(one["status"] == "ok" for one in facts["rows"].values())


def of(facts: Facts, ending: str) -> list[dict[str, Any]]:
    """Rows by the end of their names."""
    return [one for name, one in facts["rows"].items() if name.endswith(ending)]


def named(facts: Facts, start: str) -> list[dict[str, Any]]:
    """Rows of one network."""
    return [one for name, one in facts["rows"].items() if name.split()[0] == start]


def statuses(facts: Facts) -> str:
    return ", ".join(
        f"{name}: {one['kind'] or one['status']}" for name, one in facts["rows"].items()
    )


def exits(code: int) -> Rule:
    return Rule(f"the command exits with {code}", lambda facts: facts["exit"] == code)


def remark(rows: Iterable[dict[str, Any]], text: str) -> bool:
    return any(text in note for one in rows for note in one["notes"])


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def low_high(one: dict[str, Any]) -> tuple[float, float]:
    return one["low"], one["high"]


def overlap(facts: Facts) -> bool:
    (low, high), (other_low, other_high) = map(low_high, facts["times"])
    return max(low, other_low) <= min(high, other_high)


def tf32_figure(facts: Facts) -> str:
    rows = facts["rows"][:2]
    return "; ".join(f"{one['word']} {one['matmul']:.0e}, {one['conv']:.0e}" for one in rows)


def readings_agree(facts: Facts) -> bool:
    return all(
        one["older"] == [one["word"] == "tf32"] * 2
        and {one["flags"]["cuda_matmul_fp32"], one["flags"]["cudnn_conv_fp32"]}
        == {"tf32" if one["word"] == "tf32" else "ieee"}
        for one in facts["rows"]
    )


def errors(facts: Facts, word: str) -> list[float]:
    return [
        one[name] for one in facts["rows"] if one["word"] == word for name in ("matmul", "conv")
    ]


def largest(by_batch: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The row of the largest batch."""
    return by_batch[max(by_batch, key=int)]


def over_predicted(one: dict[str, Any]) -> float:
    """The allocator's peak over the predicted one."""
    return float(one["allocated"] / one["predicted"])


def highest_share(facts: Facts) -> float:
    """Of a ceiling, over all rows."""
    return max(float(one["share"]) for one in facts["shares"].values())


def gain(facts: Facts, old: str, new: str) -> float:
    """How many times as fast one row is as another."""
    (before,), (after,) = of(facts, old), of(facts, new)
    return float(before["seconds"] / after["seconds"])
