"""Prove or refute on this machine's GPU what cnnbench says of CUDA, and pack the evidence.

    python -m bench.device evidence                      on a GPU, in 8 minutes at most
    python -m bench.device evidence --pretend            a dry run, without a GPU
    python -m bench.device --list                        the checks and what they claim

Exit codes: 0 nothing is refuted and no check broke, 1 something is or did, 2 bad input.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

from bench.device import evidence
from bench.device.check import REFUTED, Check, Verdict
from bench.device.session import Session, sees_a_device
from bench.device.table import CHECKS

# Kept for packing and for ending what is still at work.
_RESERVE_SECONDS = 10.0


def chosen(names: str, checks: Sequence[Check] = CHECKS) -> list[Check]:
    """The checks of these names, with those that they need, in the table's order.

    Raises:
        ValueError: unknown name.
    """
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    known = {check.name: check for check in checks}
    if unknown := sorted(wanted - set(known)):
        raise ValueError(f"no check '{unknown[0]}'; there are {', '.join(known)}")
    wanted |= {known[name].needs for name in wanted} - {""}
    return [check for check in checks if check.name in wanted or not names]


def listed(checks: Sequence[Check]) -> str:
    """Names, seconds and claims, in 80 columns."""
    lines = []
    for check in checks:
        needs = f", reads {check.needs}" if check.needs else ""
        lines.append(f"{check.name} (at most {check.seconds:g} s{needs})")
        lines += textwrap.wrap(check.claim, 76, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def said(one: Verdict) -> str:
    """A line of progress."""
    told = one.figure or one.why
    return f"{one.word:9}  {one.check:16}  {one.seconds:5.1f} s  {' '.join(told.split())}"


def run(folder: Path, minutes: float, checks: Sequence[Check], *, pretended: bool) -> int:
    """Run checks and keep what they leave; the exit code."""
    told: list[tuple[Check, Verdict]] = []
    with tempfile.TemporaryDirectory(prefix="cnnbench-device-") as work:
        session = Session(Path(work), 60 * minutes - _RESERVE_SECONDS, pretended)
        try:
            for check, one in session.verdicts(checks):
                told.append((check, one))
                print(said(one), flush=True)
                evidence.write(folder, Path(work), told, pretended=pretended)
        except KeyboardInterrupt:
            evidence.write(folder, Path(work), told, pretended=pretended)
            raise
    print(f"kept in {folder}: {evidence.REPORT}, {evidence.VERDICTS}, {evidence.ARCHIVE}")
    return int(any(one.word == REFUTED or one.broken for _, one in told))


def _refused(folder: Path) -> str:
    """Why nothing can be written to a folder, which is made; empty if it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{folder} cannot be made: {error.strerror}; name another DIR"
    if (folder / evidence.VERDICTS).exists():
        return f"{folder} holds the evidence of another session; name another DIR"
    return ""


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    found = argparse.ArgumentParser(
        prog="python -m bench.device",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = Path("device-evidence")
    found.add_argument("dir", nargs="?", type=Path, default=where, metavar="DIR",
                        help="for report and archive (default: device-evidence)")  # fmt: skip
    found.add_argument("--minutes", type=float, default=8.0, help="for everything (default: 8)")
    found.add_argument("--only", default="", metavar="NAMES", help="these checks, with commas")
    found.add_argument("--list", action="store_true", help="list the checks and end")
    found.add_argument("--pretend", action="store_true", help="on a device that is not there")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    words = parser()
    given = words.parse_args(arguments)
    try:
        checks = chosen(given.only)
    except ValueError as error:
        words.error(str(error))
    if given.list:
        print(listed(checks))
        return 0
    if not 60 * given.minutes > _RESERVE_SECONDS:
        words.error(f"--minutes {given.minutes:g} leaves no time for a check; give at least 1")
    if not given.pretend and not sees_a_device():
        words.error("torch sees no CUDA device here; --pretend is a dry run without one")
    if refused := _refused(given.dir):
        words.error(refused)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return run(given.dir, given.minutes, checks, pretended=given.pretend)
    except KeyboardInterrupt:
        print(f"interrupted; kept in {given.dir}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
