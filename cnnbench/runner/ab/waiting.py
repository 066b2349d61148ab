"""What to do where threads wait for cores: go on with one thread on one core.

A call in several threads takes as long as the unluckiest of them, so one neighbour on one core
makes times too long and their ratios useless, and no counter says what they would have been. For a
single thread the kernel knows for how long it waited, and that is taken out (``PairedRun.awake``):
a neighbour then costs time instead of the answer. The answer is about one thread, which is said.

Decided from what the threads of a pair really waited, both sides together and neither alone: the
load average says nothing about these processes, and what depended on one side only could favour it.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnnbench.gate.outcomes import PairedComparison
    from cnnbench.runner.ab.pair import PairedRun
    from cnnbench.slices import Slice

# Of the time for which threads are ready to run; those that have the machine to themselves wait
# for some thousandths of it.
CROWDED = 0.05
# A process alone on its core waits for it some thousandths of the time.
_WAITED = 0.01
# How many times its budget a comparison takes at most where others use its core.
_LONGEST = 4


def crowded(comparison: PairedComparison, pair_run: PairedRun) -> float | None:
    """The share of time that threads waited, where it spoils the pair; ``None`` where not.

    The median over slices, so that something short, which the ratio's own median withstands,
    changes nothing.
    """
    found = share(pair_run) if _several(comparison) else None
    return found if found is not None and found > CROWDED else None


def share(pair_run: PairedRun) -> float | None:
    """The share of time that threads waited: the median over slices; ``None`` if not known."""
    slices = (*pair_run.base.slices, *pair_run.head.slices)
    known = [found for one in slices if (found := waiting(one)) is not None]
    return statistics.median(known) if known else None


def waiting(one: Slice) -> float | None:
    """The share of a slice for which its threads were ready to run and had no core.

    Of all threads together; of the main thread where only that is known, as of older code.
    """
    delay, busy = one.threads_delay_ns, one.cpu_ns
    if delay is None or busy is None:
        delay, busy = one.run_delay_ns, sum(one.ns) - (one.run_delay_ns or 0)
    if delay is None:
        return None
    return delay / max(1, delay + max(0, busy))


def turns(comparison: PairedComparison, pair_run: PairedRun) -> list[float]:
    """Log-ratios by turn; without the waiting for a core if it was long and is known."""
    return pair_run.turns(awake=waited(comparison, pair_run))


def waited(comparison: PairedComparison, pair_run: PairedRun) -> bool:
    """Whether a pair waited for so long that it is taken out."""
    return of_one_thread(comparison) and (pair_run.off_cpu or 0.0) > _WAITED


def had_core(comparison: PairedComparison, pair_run: PairedRun) -> float:
    """The share of a pair's time that counts for the budget: without waiting for a core.

    Where the waiting is taken out of the answer, it takes time instead, and a budget that counted
    it would end before the answer is there. At most ``_LONGEST`` times the budget is spent.
    """
    if not of_one_thread(comparison):
        return 1.0
    return max(1 / _LONGEST, 1 - (pair_run.off_cpu or 0.0))


def on_one_thread(comparison: PairedComparison) -> PairedComparison:
    """The same comparison with one thread on either side."""
    return replace(
        comparison,
        base=replace(comparison.base, threads=1),
        head=replace(comparison.head, threads=1),
    )


def of_one_thread(comparison: PairedComparison) -> bool:
    """Whether CPU time corresponds to latency: not with several threads, nor on a GPU."""
    both = (comparison.base, comparison.head)
    return all(one.threads == 1 and one.device.kind == "cpu" for one in both)


def _several(comparison: PairedComparison) -> bool:
    both = (comparison.base, comparison.head)
    return all(one.device.kind == "cpu" for one in both) and any(one.threads > 1 for one in both)
