"""Commands that would make doubtful numbers better, to be copied."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench import doctor, units
from cnnbench.report import answers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.report.table import Entry

# More networks than this are a run of their own, which is planned with care.
_MOST = 40
# With fewer rounds, an interval is wide by the small number alone.
_ROUNDS = 5


@dataclass(frozen=True)
class Remedy:
    """A command and what it is for."""

    why: str
    command: str


def remedies(found: Sequence[Entry]) -> list[Remedy]:
    """What to do about doubts; nothing if there is nothing to doubt, or all is made up."""
    if any(entry.environment.hard.get("fake") for entry in found):
        return []
    return [*_machine(found), *_again(found)]


def _machine(found: Sequence[Entry]) -> Iterator[Remedy]:
    known = {one.environment.fingerprint: one.environment for one in found}
    spoilt = any((one.quality or "").startswith("disturbed") for one in found)
    if spoilt or any(doctor.findings(one) for one in known.values()):
        yield Remedy("See what disturbs this machine now", "cnnbench doctor")


def _again(found: Sequence[Entry]) -> Iterator[Remedy]:
    """Measure anew what is, or may be, among the best, where its time is doubtful."""
    for some in answers.candidates(found).values():
        front = answers.pareto([(one.seconds.point, one.top1) for one in some])
        doubtful = [some[n].entry for n in sorted(front) if some[n].entry.quality != "clean"]
        if doubtful and len(doubtful) <= _MOST:
            count = units.number(len(doubtful), "network")
            why = f"When it is quiet, measure again what seems best but is uncertain ({count})"
            yield Remedy(why, _command(doubtful))


def _command(some: Sequence[Entry]) -> str:
    specs = [one.record.spec for one in some]
    models = ",".join(dict.fromkeys(units.readable(spec.workload.model) for spec in specs))
    modes = ",".join(dict.fromkeys(("eager", *(spec.mode.text for spec in specs))))
    one = specs[0]
    words = ["cnnbench", "run", "--models", models, "--modes", modes,
             "--batch", str(one.workload.batch), "--device", one.device.text,
             "--threads", str(one.threads), "--rounds", str(_ROUNDS), "--wait", "10m"]  # fmt: skip
    return shlex.join(words)
