"""One verdict on a run: what its numbers are good for, decided once from all of its rows.

Absolute times and gains are judged apart, because what disturbs both sides of a pair alike spoils
only the times.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cnnbench import flaws, metrics, units
from cnnbench.metrics import Awake

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.flaws import Flaw
    from cnnbench.report.entry import Entry
    from cnnbench.stats import Estimate

# The weightiest where as many times have one flaw as another: quiet first, then more rounds.
_FAULTS = (flaws.DISTURBED, flaws.NOISY, flaws.ONCE)
_CLEAN = "clean"

Use = Literal["usable", "usable for gains only", "not usable"]

# Rows that are not fit are marked one by one; with more than one in five, a reader who picks any
# row is misled too often.
_MOST = 0.8
# An interval over two rounds rests on one difference; it is correct, but luck can make it narrow.
_FEW_ROUNDS = 3


@dataclass(frozen=True)
class Usability:
    """What a run is good for.

    Attributes:
        use: the verdict.
        why: the counts behind it.
        remedy: what would make it better; empty where nothing has to be.
    """

    use: Use
    why: str
    remedy: str = ""

    @property
    def text(self) -> str:
        """All of it, after "the run is"."""
        return f"{self.use}: {self.why}" + (f"; {self.remedy}" if self.remedy else "")


def judge(found: Sequence[Entry]) -> Usability | None:
    """The verdict on all rows of a run; ``None`` if its numbers are made up."""
    if any(entry.environment.hard.get("fake") for entry in found):
        return None
    times = Counter(fault for entry in found if (fault := _fault(entry)) is not None)
    if not times:
        return Usability("not usable", "nothing was measured")
    gains = [entry for entry in found if _gain(entry) is not None]
    beside = Counter(entry.baseline.id for entry in gains if entry.baseline is not None)
    told = sum(_tells(entry, beside) for entry in gains)
    if times[_CLEAN] >= _MOST * times.total():
        return Usability("usable", _clean(times, found) + _wrong(found))
    main = max(_FAULTS, key=lambda one: times[one])
    count, remedy = times[main], main.remedy
    spoilt = f"{_so_many(count, times.total(), 'time')} {main.said}"
    if main is flaws.DISTURBED and all(map(_by_gpu, filter(_disturbed, found))):
        remedy = _GPU
    elif main is flaws.DISTURBED and any(map(_threads_hide, found)):
        remedy += "; with --threads 1 the waiting can be taken out"
    if not gains:
        return Usability("not usable", spoilt + _wrong(found), remedy)
    clear = f"{_so_many(told, len(gains), 'gain')} clear or within 10 %"
    if told >= _MOST * len(gains):
        why = f"{clear}, but {spoilt}{_wrong(found)}"
        return Usability("usable for gains only", why, f"for times, {remedy}")
    few = "only " if told else ""
    return Usability("not usable", f"{spoilt}, and {few}{clear}{_wrong(found)}", remedy)


# What else disturbs a GPU than what disturbs its host.
_GPU = "measure when the GPU is cool and nobody else uses it, as nvidia-smi shows"


def _disturbed(entry: Entry) -> bool:
    return (entry.quality or "").startswith("disturbed")


def _threads_hide(entry: Entry) -> bool:
    """Whether fewer threads would let the waiting be taken out of what is shown."""
    return metrics.threads_hide(entry.record) and not entry.by_clock


def _by_gpu(entry: Entry) -> bool:
    return "GPU" in (entry.quality or "")


def _wrong(found: Sequence[Entry]) -> str:
    """How many rows answer wrongly, whose times and gains are worth nothing."""
    count = sum(entry.record.status == "wrong" for entry in found)
    return f"; {units.number(count, 'row')} with a wrong output" if count else ""


def by_run(found: Sequence[Entry]) -> dict[str, Usability]:
    """The verdicts on the runs that some entries come from; nothing of what was made up."""
    verdicts = {entry.run: entry.usability for entry in found}
    return {run: verdict for run, verdict in verdicts.items() if verdict is not None}


def lines(found: Sequence[Entry]) -> list[str]:
    """The verdicts in sentences; the run is named where there are several."""
    verdicts = by_run(found)
    return [
        f"{f'run {run}' if len(verdicts) > 1 else 'the run'} is {verdict.text}"
        for run, verdict in verdicts.items()
    ]


def _fault(entry: Entry) -> Flaw | str | None:
    """``clean``, or why a row's time is not fit; ``None`` if it has no time."""
    if entry.latency is None:
        return None
    return flaws.of_time(entry.record, by_clock=entry.by_clock) or _CLEAN


def _gain(entry: Entry) -> Estimate | None:
    """The speed-up; ``None`` for the reference mode itself."""
    itself = entry.baseline is not None and entry.baseline.id == entry.record.id
    return None if itself else entry.speedup


def _tells(entry: Entry, beside: Mapping[str, int]) -> bool:
    """Whether a speed-up's interval is narrow, or clear of no change as its sign says it.

    Args:
        entry: with a speed-up.
        beside: reference mode -> how many are compared with it, which share the error.
    """
    gain, base = _gain(entry), entry.baseline
    if gain is None or base is None or gain.margin is None:
        return False
    shared = metrics.speedup(entry.record, base, beside[base.id])
    if shared is None or shared.low is None or shared.high is None:
        return False
    return gain.margin <= flaws.NARROW or shared.low > 1 or shared.high < 1


def _clean(times: Counter[Flaw | str], found: Sequence[Entry]) -> str:
    text = f"{_so_many(times[_CLEAN], times.total(), 'time')} clean"
    awake = sum(_fault(entry) == _CLEAN and isinstance(entry.latency, Awake) for entry in found)
    if awake:
        text += f" ({awake} once the waiting for a core is taken out)"
    fewest = min(
        time.rounds
        for entry in found
        if _fault(entry) == _CLEAN and (time := entry.latency) is not None
    )
    others = [f"{times[one]} {one.said}" for one in _FAULTS if times[one]]
    few = [f"from {fewest} rounds only"] if fewest < _FEW_ROUNDS else []
    return ", ".join([text, *others, *few])


def _so_many(count: int, total: int, noun: str) -> str:
    """``1 of 4 times is``."""
    verb = "is" if (count or total) == 1 else "are"
    return f"{count} of {units.number(total, noun)} {verb}"
