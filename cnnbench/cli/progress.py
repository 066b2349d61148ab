"""The progress of a session, always on stderr.

A run has one moving line on a terminal, or one for each of several GPUs, and plain lines elsewhere;
pairs have plain lines.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TYPE_CHECKING

import click

from cnnbench import metrics, units
from cnnbench.cli.output import say
from cnnbench.inert import line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.gate.outcomes import PairedComparison, PairedOutcome
    from cnnbench.gate.rule import Decision
    from cnnbench.record import Record
    from cnnbench.stats import Estimate

_COLOURS = {
    "ok": "green",
    "loose": "yellow",
    "unchecked": "yellow",
    "wrong": "red",
    "failed": "red",
}


class LiveLines:
    """Lines at the end of a terminal that change in place; the cursor waits in the last of them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._drawn = 0

    def erased(self) -> str:
        """What erases the lines that are there."""
        up = max(0, self._drawn - 1)
        erase = "" if not self._drawn else "\r\x1b[2K" + "\x1b[1A\x1b[2K" * up
        self._drawn = 0
        return erase

    def drawn(self) -> str:
        """What writes the lines, as many and as much of each as the terminal has room for."""
        size = shutil.get_terminal_size()
        shown = [one[: size.columns - 1] for one in self.lines[: max(1, size.lines - 1)]]
        self._drawn = len(shown)
        return "\n".join(shown)


class Progress:
    """A watcher of a run that writes to stderr, unless it is told to be quiet."""

    def __init__(self, *, total: int, quiet: bool = False) -> None:
        self._total = total
        self._done = 0
        self._quiet = quiet
        self._moving = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = self._moving and not os.environ.get("NO_COLOR")
        self._began = time.monotonic()
        self._block = LiveLines()
        self._on: dict[str, str] = {}

    def working(self, what: str, done: int, total: int) -> None:
        """Show what is being done now, and how long it may still take."""
        if self._quiet:
            return
        left = self._left(done, total)
        if self._moving:
            self._line(f"{self._done}/{self._total} specs{left}  {line(what)}", end="")
        else:
            self._line(f"[{done}/{total}{left}] {line(what)}")

    def working_on(self, where: str, what: str, done: int, total: int) -> None:
        """Show what is being done on one of several GPUs; nothing more if ``what`` is empty."""
        if self._quiet:
            return
        self._on[where] = line(what)
        if not self._moving:
            if what:
                self.working(f"{where}: {what}", done, total)
            return
        head = f"{self._done}/{self._total} specs{self._left(done, total)}"
        self._block.lines = [head, *(f"{name}  {self._on[name]}" for name in sorted(self._on))]
        self._echo(self._block.erased() + self._block.drawn())

    def first(self, records: Sequence[Record]) -> None:
        """On a terminal, write a first answer in a line per workload; later rounds refine it."""
        if self._quiet or not self._moving:
            return
        times: dict[str, list[str]] = {}
        for record in records:
            time_of, work = _shown(record), record.spec.workload
            if time_of is not None:
                text = f"{record.spec.mode.text} {units.seconds(time_of.point)}"
                times.setdefault(f"{work.model}, batch {work.batch}", []).append(text)
        for name, some in times.items():
            self._line(f"{line(name)}: {line(', '.join(some))} (first round)")

    def finished(self, record: Record) -> None:
        """Write one line per record, which stays."""
        self._done += 1
        if self._quiet:
            return
        time_of = _shown(record)
        what = units.seconds(time_of.point) if time_of is not None else _why(record)
        status = "not applicable" if record.refused else record.status
        if self._colour and not record.refused:
            status = click.style(status, fg=_COLOURS[status])
        self._line(f"{line(record.id)}  {what}  {status}")

    def close(self) -> None:
        """Erase what moves."""
        if self._moving and not self._quiet:
            self._block.lines = []
            self._line("", end="")

    def _left(self, done: int, total: int) -> str:
        if not done:
            return ""
        passed = time.monotonic() - self._began
        return f", about {units.duration(passed / done * (total - done))} left"

    def _line(self, text: str, end: str = "\n") -> None:
        if self._moving:
            width = shutil.get_terminal_size().columns - 1
            # Only the moving line is cut to the terminal; lines that stay wrap instead of losing a
            # name.
            shown = text[:width] if not end else text
            self._echo(f"{self._block.erased()}\r\x1b[2K{shown}{end}{self._block.drawn()}")
        else:
            click.echo(text, err=True, color=False)

    def _echo(self, text: str) -> None:
        click.echo(text, err=True, nl=False, color=self._colour)


def _shown(record: Record) -> Estimate | None:
    """The latency as it will stand in the table: that of the lab is by the clock."""
    is_layer = record.spec.workload.is_layer
    return metrics.latency(record) if is_layer else metrics.shown(record)


def _why(record: Record) -> str:
    if record.failure is None:
        return "not measured"
    return line(f"{record.failure.phase}: {record.failure.message}")


class PairProgress:
    """A watcher of paired comparisons that writes to stderr, unless it is told to be quiet."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self.judged_so_far = 0
        self._open: dict[str, Decision] = {}

    def pair(self, number: int, undecided: int, total: int) -> None:
        """Write a line where a round of pairs begins."""
        self.say(f"pair {number + 1}: {undecided} of {units.number(total, 'benchmark')} undecided")

    def working(self, comparison: PairedComparison, number: int, *, confirming: bool) -> None:
        """Write a line if a regression has to be confirmed."""
        if confirming and number == 1:
            seen = _seen(self._open[comparison.name])
            self.say(f"{comparison.name}: seems slower, {seen}; measuring again to confirm")

    def crowded(self, comparison: PairedComparison, share: float) -> None:
        """Write a line where one thread is measured instead of several."""
        self._open.pop(comparison.name, None)
        self.say(
            f"{comparison.name}: its threads waited for cores for {units.share(share)} of the time;"
            " going on with one thread on one core"
        )

    def looked(self, comparison: PairedComparison, decision: Decision) -> None:
        """Remember what is known of a comparison until it has a verdict, its first look at best."""
        known = self._open.get(comparison.name)
        if known is None or known.verdict is None:
            self._open[comparison.name] = decision

    def interrupted(self) -> None:
        """Write a line, quiet or not, for each comparison that was measured and has no verdict."""
        for name, known in self._open.items():
            after = f"interrupted after {units.number(known.pairs, 'pair')}"
            # A first look at a regression decides nothing by itself.
            rest = "seems slower, not confirmed" if known.verdict else "no verdict"
            say(f"cnnbench: {name}: {after}: {_seen(known)}, {rest}")

    def judged(self, outcome: PairedOutcome) -> None:
        """Write a line per verdict."""
        self._open.pop(outcome.comparison.name, None)
        self.judged_so_far += 1
        found = outcome.decision
        self.say(f"{outcome.comparison.name}: {outcome.verdict} {_seen(found)}".rstrip())

    def say(self, text: str) -> None:
        """Write a line."""
        if not self._quiet:
            say(f"cnnbench: {text}")


def _seen(found: Decision) -> str:
    """The change with its interval, as far as there is one."""
    if found.estimate is None:
        return ""
    text = units.percent(found.estimate, sign=True)
    if found.low is None or found.high is None:
        return text
    point, low, high = (1 + one for one in (found.estimate, found.low, found.high))
    return f"{text} [{units.interval(_change, point, low, high, found.pairs, 'pairs')}]"


def _change(ratio: float) -> str:
    return units.percent(ratio - 1, sign=True)
