"""Which networks fit a budget of time, memory and accuracy: the best, the front, what is left out.

Times that are disturbed or from one round are not recommended, but what they would change is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cnnbench import flaws, units
from cnnbench.report import answers
from cnnbench.report.entry import Entry
from cnnbench.report.table import Cell, Column

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from cnnbench.flaws import Flaw


@dataclass(frozen=True)
class Budget:
    """What a reader can afford; ``None`` is no limit.

    Attributes:
        seconds: per call, at most.
        memory: peak bytes, at most.
        top1: published accuracy in percent, at least.
    """

    seconds: float | None = None
    memory: float | None = None
    top1: float | None = None

    def __bool__(self) -> bool:
        return self != Budget()

    @property
    def text(self) -> str:
        """``under 20.0 ms, in 200 MB, with a top-1 of 75 % or more``."""
        parts = {
            "under {}": None if self.seconds is None else units.seconds(self.seconds),
            "in {}": None if self.memory is None else _typed(self.memory),
            "with a top-1 of {} % or more": None if self.top1 is None else f"{self.top1:g}",
        }
        return ", ".join(words.format(one) for words, one in parts.items() if one is not None)

    @property
    def words(self) -> dict[str, str]:
        """The limits as a reader would type them into the page, exactly: ``{"t": "20 ms"}``."""
        known = {
            "t": None if self.seconds is None else f"{_digits(self.seconds * 1e3)} ms",
            "m": None if self.memory is None else f"{_digits(self.memory / 1e6)} MB",
        }
        return {name: text for name, text in known.items() if text is not None}


def _typed(size: float) -> str:
    """A limit of memory in the unit that it is a short number of, as it was most likely typed."""
    ways = [f"{size / factor:g} {unit}" for unit, factor in _SIZES.items() if size >= factor]
    return min([units.size(size), *ways], key=len)


_SIZES = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "GB": 1e9, "MB": 1e6, "kB": 1e3}


def _digits(value: float) -> str:
    """A number without an exponent."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Fit:
    """What fits a budget, of entries whose latencies are comparable.

    Attributes:
        budget: what was asked.
        setting: what the entries agree on, in words.
        best: the most accurate that fits, or the fastest where no accuracy is known.
        front: of one entry per network, those that no other beats in both time and accuracy, the
            most accurate first.
        fitting: one entry per network, the mode to use where it fits.
        left_out: why an entry that seems to fit is not recommended -> those entries.
        nearest: the one that misses the budget by least, if none fits; of those whose time is in
            doubt, if nothing was measured without one.
    """

    budget: Budget
    setting: str
    best: Entry | None
    front: tuple[Entry, ...]
    fitting: tuple[Entry, ...]
    left_out: Mapping[str, tuple[Entry, ...]]
    nearest: Entry | None

    @property
    def rival(self) -> tuple[Entry, Flaw] | None:
        """What would be better but is left out because of how it was measured, and why it is."""
        some = [(one, flaw) for flaw in _DOUBTS for one in self.left_out.get(flaw.name, ())]
        found = min(some, key=lambda pair: _order(pair[0]), default=None)
        better = found and (self.best is None or _order(found[0]) < _order(self.best))
        return found if better else None

    @property
    def doubt(self) -> str:
        """``, too disturbed to be used`` and the like, where the nearest is not to be relied on."""
        flaw = None if self.nearest is None else self.nearest.flaw
        return f", {flaw.said}" if flaw in _DOUBTS and flaw is not None else ""


# Why an entry is not recommended: what another measurement may change, and what it will not.
_WITHHELD = [one for one in flaws.FLAWS if one.withheld]
_DOUBTS = [one for one in _WITHHELD if one in flaws.OF_TIMES]
_NO_TOP1, _NO_MEMORY = "no top-1 known", "memory not measured"
_REASONS = (
    *(one.name for one in _WITHHELD if one not in _DOUBTS), _NO_TOP1, _NO_MEMORY,
    *(one.name for one in _DOUBTS),
)  # fmt: skip


def doubt(entry: Entry, budget: Budget, *, accuracy: bool) -> str | None:
    """Why a measured entry cannot be recommended; ``None`` if it can.

    Args:
        entry: what was measured.
        budget: figures that it limits have to be known.
        accuracy: whether networks are compared by it.
    """
    flaw = entry.flaw if entry.flaw is not None and entry.flaw.withheld else None
    found = {
        None if flaw is None else flaw.name,
        _NO_TOP1 if (accuracy or budget.top1 is not None) and entry.top1 is None else None,
        _NO_MEMORY if budget.memory is not None and memory(entry) is None else None,
    }
    return next((why for why in _REASONS if why in found), None)


def memory(entry: Entry) -> float | None:
    """Peak bytes on the device that computes."""
    cuda = entry.record.spec.device.kind == "cuda"
    found = entry.estimates["cuda_memory" if cuda else "peak_memory"]
    return None if found is None else found.point


# Under one name wherever it is shown, asked for, or filtered by.
MEMORY: Cell = (Column("memory", "memory", "bytes"), memory)


def excess(entry: Entry, budget: Budget) -> float:
    """By which factor the worst of the known figures misses the budget; at most 1 if it fits."""
    time, top1, peak = entry.latency, entry.top1, memory(entry)
    found = [0.0]
    if budget.seconds is not None and time is not None:
        found.append(time.point / budget.seconds)
    if budget.memory is not None and peak is not None:
        found.append(peak / budget.memory)
    if budget.top1 is not None and top1 is not None:
        found.append(budget.top1 / max(top1, 1e-9))
    return max(found)


def fits(found: Iterable[Entry], budget: Budget) -> list[Fit]:
    """An answer for every setting whose latencies are comparable with each other."""
    measured = [entry for entry in found if entry.latency is not None]
    return [
        _fit(some, budget, setting)
        for setting, some in answers.by(measured, lambda entry: entry.setting).items()
    ]


def _fit(found: Sequence[Entry], budget: Budget, setting: str) -> Fit:
    networks = {entry.record.spec.workload.model for entry in found}
    accuracy = len(networks) > 1 and any(one.top1 is not None for one in found)
    sure: list[Entry] = []
    doubtful: list[Entry] = []
    left_out: dict[str, list[Entry]] = {}
    for entry in found:
        why = doubt(entry, budget, accuracy=accuracy)
        if why is None:
            sure.append(entry)
        elif excess(entry, budget) <= 1:
            left_out.setdefault(why, []).append(entry)
        elif entry.flaw in _DOUBTS:
            doubtful.append(entry)
    best = {one.entry.record.id for one in answers.best_modes(found)}
    within = [one for one in sure if excess(one, budget) <= 1]
    fitting = sorted(_in_best_mode(within, best, budget.seconds), key=_order)
    points = [(_seconds(one), one.top1 or 0.0) for one in fitting]
    front = answers.pareto(points)
    # What is left out although it seems to fit is named as the rival.
    missing = sure or ([] if left_out else doubtful)
    nearest = min(missing, key=lambda one: excess(one, budget), default=None)
    return Fit(
        budget,
        setting,
        next(iter(fitting), None),
        tuple(one for index, one in enumerate(fitting) if index in front),
        tuple(fitting),
        {why: tuple(left_out[why]) for why in _REASONS if why in left_out},
        None if fitting else nearest,
    )


def _in_best_mode(
    found: Iterable[Entry], best: Collection[str], limit: float | None
) -> list[Entry]:
    """One entry per workload: in the mode to use, or in its fastest if that one does not fit.

    What stays within a limit of time with all of its interval goes before what may be beyond it.
    """

    def order(one: Entry) -> tuple[bool, bool, float]:
        return _beyond(one, limit), one.record.id not in best, _seconds(one)

    groups = answers.by(found, lambda entry: (entry.run, entry.record.spec.plain.id))
    return [min(some, key=order) for some in groups.values()]


def _beyond(entry: Entry, limit: float | None) -> bool:
    high = None if entry.latency is None else entry.latency.high
    return limit is not None and (high is None or high > limit)


def _seconds(entry: Entry) -> float:
    return float("inf") if entry.latency is None else entry.latency.point


def _order(entry: Entry) -> tuple[float, float]:
    """The most accurate first, then the fastest."""
    return -(entry.top1 or 0.0), _seconds(entry)


def to_dict(fit: Fit) -> dict[str, Any]:
    """An answer for JSON: ids of specs."""
    return {
        "budget": asdict(fit.budget),
        "setting": fit.setting,
        "best": None if fit.best is None else fit.best.record.id,
        "front": [one.record.id for one in fit.front],
        "fitting": [one.record.id for one in fit.fitting],
        "left_out": {why: [one.record.id for one in some] for why, some in fit.left_out.items()},
    }
