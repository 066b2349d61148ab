"""What the lab advises for a layer, in sentences: a line per class of change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import units
from cnnbench.conv import results
from cnnbench.report import cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.conv.results import Advice, LayerResults
    from cnnbench.stats import Estimate

NO_DIFFERENCE = "no clear difference"
ONE_ROUND = "one round cannot show a difference; use more --rounds or a larger --budget"


def title(bench: LayerResults) -> str:
    """A title for people: the layer, its input and where it ran."""
    work = bench.workload
    return (
        f"{work.architecture} on {work.batch}x{work.shape_text}{phase(bench)},"
        f" {bench.device.text}, {units.number(bench.threads, 'thread')}"
    )


def phase(bench: LayerResults) -> str:
    """What is done with the layer, where that is not inference."""
    what = bench.workload.phase
    return "" if what == "inference" else f", {what} step"


def line(one: Advice) -> str:
    """One class of advice in a sentence."""
    dtype = f" in {one.dtype}" if one.dtype else ""
    head = f"{one.kind} {results.CLASSES[one.kind]}{dtype}:"
    left = "".join(
        f"; {count} left out because the output is {what}"
        for count, what in ((one.wrong, "wrong"), (one.loose, "loose"))
        if count
    )
    if one.chosen is not None and one.chosen.status != "ok":
        left += "; its output could not be checked"
    if one.chosen is None or one.gain is None:
        if not one.tried:
            return f"{head} nothing with a correct output was measured{left}"
        if not one.rounds:
            return f"{head} no comparison, because what it would replace was not measured{left}"
        if one.rounds < 2:
            return f"{head} {ONE_ROUND} ({one.tried} tried){left}"
        return f"{head} {NO_DIFFERENCE}, or slower ({one.tried} tried){left}"
    gain = f"{units.ratio(one.gain.point)}{cells.interval(units.ratio, one.gain)}"
    mode = one.chosen.spec.mode.text.removeprefix("impl=")
    if one.kind == "C":
        name = one.chosen.spec.workload.architecture.partition("~")[2]
        kept = "" if one.promised is None else f", {units.ratio(one.promised)} promised by MACs"
        return f"{head} {name} ({mode}) {gain} against the layer in that mode{kept}{left}"
    if one.kind == "B":
        return f"{head} {mode} {gain} against the default; {_beside(one.beside)}{left}"
    return f"{head} {mode} {gain} against eager{left}"


def _beside(beside: Estimate | None) -> str:
    if beside is None:
        return "no library implementation with a correct output beside it"
    if beside.low is not None and beside.low == beside.high:
        return "it is the best library implementation"
    ratio = f"{units.ratio(beside.point)}{cells.interval(units.ratio, beside)}"
    text = f"{ratio} against the best library implementation"
    sees = beside.low is None or beside.high is None or beside.low <= 1 <= beside.high
    return f"{text}, {NO_DIFFERENCE}" if sees else text


def advice(found: Sequence[LayerResults]) -> list[str]:
    """Lines of advice: a layer, then its classes."""
    lines = []
    for bench in found:
        lines.append(title(bench))
        lines += [f"  {line(one)}" for one in results.advice(bench)]
    return lines
