"""``cnnbench selftest``: cnnbench tested on quantities that are known beforehand."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from cnnbench import machine, units
from cnnbench.cli import options
from cnnbench.cli.output import paragraph, say, shown
from cnnbench.errors import SomeFailed
from cnnbench.report.table import FAKE, Column, Table
from cnnbench.runner import selftest
from cnnbench.runner.executor import executor

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.plan import Plan
    from cnnbench.runner.selftest import Report, SelfTest

_WRITERS: dict[str, Callable[[float], str]] = {
    "seconds": units.seconds,
    "bytes": units.size,
    "ratio": lambda value: f"{value:.3f}x",
    "fraction": units.percent,
}

_COLUMNS = (Column("what", "what"), Column("figure", "figure"), Column("bound", "bound"),
            Column("verdict", "verdict"))  # fmt: skip

_EPILOG = """\b
Examples:
  cnnbench selftest
  cnnbench selftest --quick
  cnnbench selftest --rounds 10 --threads 1 --json

Exit code 3 means that a figure is out of bounds: do not trust this machine today.
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--quick", is_flag=True, help="Three short rounds: half the time, half the resolution."
)
@options.plan_option("rounds", type=click.IntRange(min=2))
@options.plan("seed", "timeout")
@options.threads
@options.as_json
@options.executor
@options.wide
@options.debug
def command(
    quick: bool, rounds: int | None, plan: Plan, threads: int | None, as_json: bool, who: str
) -> None:
    """Test cnnbench itself on this machine, in less than two minutes.

    It measures the clock, the sampling loop, the same network twice, a known slow-down, a known
    sleep, memory that is held briefly, and a planted wrong output. The last line is the smallest
    difference that can be detected here today.
    """
    few = replace(plan, rounds=rounds or 3, slices=4)
    plan = few if quick else replace(plan, rounds=rounds or plan.rounds)
    report = selftest.check(
        executor(who),
        plan,
        threads or machine.default_threads(),
        say,
    )
    click.echo(_json(report) if as_json else _text(report), nl=False)
    if report.bad:
        names = ", ".join(finding.name for finding in report.bad)
        figures = units.number(len(report.bad), "figure")
        raise SomeFailed(f"{figures} out of bounds: {names}; see 'cnnbench doctor'")


def _text(report: Report) -> str:
    rows = tuple(
        (one.what, _figure(one, report.rounds), _bound(one), "ok" if one.ok else "bad")
        for one in report.findings
    )
    captions = (FAKE,) if report.fake else ()
    return f"{shown(Table(_COLUMNS, rows, captions))}\n{paragraph(_sentence(report))}\n"


def _sentence(report: Report) -> str:
    return (
        f"smallest detectable change here today: {units.percent(report.resolution)}, with"
        f" {units.number(report.rounds, 'round')} on {units.number(report.threads, 'thread')}"
    )


def _figure(finding: SelfTest, rounds: int) -> str:
    if isinstance(finding.value, str):
        return finding.value
    write = _WRITERS[finding.kind]
    if finding.low is None or finding.high is None:
        return write(finding.value)
    ends = units.interval(write, finding.value, finding.low, finding.high, rounds)
    return f"{write(finding.value)} [{ends}]"


def _bound(finding: SelfTest) -> str:
    if finding.expected:
        return finding.expected
    write = _WRITERS[finding.kind]
    least, most = (None if b is None else write(b) for b in (finding.least, finding.most))
    if least and most:
        return f"{least} to {most}"
    return f"at most {most}" if most else f"at least {least}"


def _json(report: Report) -> str:
    data = {
        "ok": not report.bad,
        "fake": report.fake,
        "resolution": report.resolution,
        "rounds": report.rounds,
        "threads": report.threads,
        "sentence": _sentence(report),
        "findings": [_plain(asdict(one) | {"ok": one.ok}) for one in report.findings],
    }
    return json.dumps(data, indent=1) + "\n"


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """The data without unset fields and without numbers that JSON cannot hold."""
    found = {key: value for key, value in data.items() if value not in {None, ""}}
    lost = {key for key, value in found.items() if isinstance(value, float) and math.isnan(value)}
    return {key: None if key in lost else value for key, value in found.items()}
