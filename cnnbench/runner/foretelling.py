"""Contenders -> their predictions: what they need at least, what they are like, how long they take.

Networks are traced several in a process; an operator is timed once, however many call it.
"""

from __future__ import annotations

import math
import statistics
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench import catalogue, machine
from cnnbench.errors import Unsupported, WorkerError
from cnnbench.prediction import model
from cnnbench.prediction.contenders import UNBUILT
from cnnbench.prediction.operators import TracedNetwork
from cnnbench.requests import TraceEach
from cnnbench.runner.inquiry import ask, tell
from cnnbench.runner.predicting import MODES, NETWORKS, fitting
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cnnbench.prediction.contenders import Contender
    from cnnbench.prediction.model import Model
    from cnnbench.prediction.operators import OperatorTrace
    from cnnbench.prediction.table import OperatorTable, TimedOperator
    from cnnbench.runner.campaign import Job
    from cnnbench.runner.executor import AnyPool, AnyWorker
    from cnnbench.runner.predicting import OperatorProbe

# Shares of the time after which no further network is measured to fit a model on: where there are
# enough for a model, and where not.
_FITTED, _FEWEST_FITTED = 0.2, 0.6
# A prediction whose operators were guessed says that a network is too slow where its low end is
# beyond the limit by that factor; nearer ones have their operators timed.
_CLEARLY = 1.5
# Seconds that a process may take to import a package, and to trace a network: ten times of what the
# slowest of timm's takes.
_IMPORT_SECONDS, _TRACE_SECONDS = 60.0, 20.0
# Why there is no prediction where the time was over; asked again when a choice goes on.
NO_TIME = "there was no time to trace it"
# More processes that trace would not pay for their imports.
_MOST_TRACERS = 4


class Tracer:
    """Traces networks: several in a process, and in as many processes as there are cores.

    Nothing is timed meanwhile.

    Args:
        pool: of workers.
        seed: of builders.
        timeout: seconds of a process, at most.
        left: seconds for everything; what has no trace by then is said to have had no time.
    """

    def __init__(
        self, pool: AnyPool, seed: int, timeout: float, left: Callable[[], float] = lambda: math.inf
    ) -> None:
        self._pool, self._seed, self._timeout, self._left = pool, seed, timeout, left
        self.side_by_side = max(1, min(machine.default_threads(), _MOST_TRACERS))

    def __call__(self, specs: Sequence[str], most_macs: int | None = None) -> list[TracedNetwork]:
        """What came of each; one that a worker dies of, or hangs in, costs its own trace only.

        Args:
            specs: their ids.
            most_macs: networks of more need not be traced to their end.
        """
        parts = [
            part for at in range(self.side_by_side) if (part := specs[at :: self.side_by_side])
        ]
        # Whatever ends this ends the workers before the threads that wait for them.
        with ThreadPoolExecutor(max(1, len(parts))) as threads, ExitStack() as stack:
            workers = []
            # Started one after the other: a starter forks one worker at a time.
            for _ in parts:
                workers.append(self._pool.start())
                stack.callback(workers[-1].close)
            asked = [
                threads.submit(self._told, worker, part, most_macs)
                for worker, part in zip(workers, parts, strict=True)
            ]
            answers = [one.result() for one in asked]
        found: dict[str, TracedNetwork] = {}
        for part, answer in zip(parts, answers, strict=True):
            found |= zip(part, answer or self._by_halves(part, most_macs), strict=True)
        return [found[name] for name in specs]

    def _request(self, specs: Sequence[str], most_macs: int | None) -> TraceEach:
        return TraceEach(specs=tuple(specs), seed=self._seed, most_macs=most_macs)

    def _seconds(self, count: int) -> float:
        """For how long a process may trace a number of networks."""
        return max(1.0, min(self._timeout, _IMPORT_SECONDS + count * _TRACE_SECONDS, self._left()))

    def _told(
        self, worker: AnyWorker, specs: Sequence[str], most_macs: int | None
    ) -> Sequence[TracedNetwork]:
        """What a worker answers; nothing if it does not."""
        try:
            return tell(worker, self._request(specs, most_macs), self._seconds(len(specs)))
        except WorkerError:
            return ()

    def _by_halves(self, specs: Sequence[str], most_macs: int | None) -> list[TracedNetwork]:
        """The same where workers die of one, or hang in it: that one alone has no trace."""
        if len(specs) == 1:
            return [self._alone(specs[0], most_macs)]
        half = len(specs) // 2
        found: list[TracedNetwork] = []
        for part in (specs[:half], specs[half:]):
            told: Sequence[TracedNetwork] = ()
            if len(part) > 1 and self._left() > 0:
                told = self._asked(part, most_macs)
            found += told or self._by_halves(part, most_macs)
        return found

    def _asked(self, specs: Sequence[str], most_macs: int | None) -> Sequence[TracedNetwork]:
        """What a new worker answers; nothing if it does not."""
        try:
            return ask(self._pool, self._request(specs, most_macs), self._seconds(len(specs)))
        except WorkerError:
            return ()

    def _alone(self, spec: str, most_macs: int | None) -> TracedNetwork:
        if self._left() <= 0:
            return TracedNetwork(None, NO_TIME)
        try:
            (found,) = ask(self._pool, self._request([spec], most_macs), self._seconds(1))
        except WorkerError as error:
            return TracedNetwork(None, f"{error.phase}: {error}")
        return found


class Rates:
    """How much work a machine does in a second: at most, and usually; from what was timed there."""

    # No operator of a network is so much faster than the fastest that was timed.
    _MARGIN = 1.5
    # Operators of less say more of calls than of work.
    _LEAST_MACS, _LEAST_BYTES = 10_000_000, 16 << 20

    def __init__(self, known: OperatorTable, threads: int) -> None:
        # As they were timed: the fastest moment says most of what is possible.
        timed = [
            one
            for one in known.operators.values()
            if one.threads == threads and one.macs >= self._LEAST_MACS
        ]
        self._most = self._MARGIN * max((one.macs / one.seconds for one in timed if one.seconds),
                                        default=0.0)  # fmt: skip
        rows = [
            (catalogue.known(Spec.parse(one.spec).workload.architecture), one.seconds)
            for one in known.networks.values()
        ]
        entries = [(row, seconds) for row, seconds in rows if row is not None]
        self._macs = _median([row.macs / seconds for row, seconds in entries if row.macs])
        self._params = _median([row.params / seconds for row, seconds in entries if row.params])

    def told(self, some: Sequence[Contender], rough: Mapping[str, int]) -> list[Contender]:
        """Contenders with their least times, and roughly their times.

        Args:
            some: of one number of threads.
            rough: multiply-accumulates by spec, also where they are only guessed.
        """
        return [self._told(one, rough.get(one.spec, 0)) for one in some]

    def least(self, macs: int) -> float:
        """Seconds that so much work takes at least."""
        return macs / self._most if self._most else 0.0

    def within(self, seconds: float) -> int | None:
        """Multiply-accumulates that are possible in a time; ``None`` if that is not known."""
        return int(self._most * seconds) if self._most else None

    def _told(self, one: Contender, macs: int) -> Contender:
        floor = self.least(one.macs or 0)
        rough = macs / self._macs if macs and self._macs else 0.0
        if not one.macs and one.params and self._params:
            rough = one.params / self._params
        # By what is timed now: a faster operator may come.
        return replace(one, floor=floor, rough=one.rough or rough or None)


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


class Foreteller:
    """Predicts contenders from a table of operators, which may grow.

    Args:
        traced: traces networks.
        known: gives the table.
        probe: times what is missing; ``None`` where nothing can be timed.
    """

    def __init__(
        self, traced: Tracer, known: Callable[[], OperatorTable], threads: int,
        probe: OperatorProbe | None = None,
    ) -> None:  # fmt: skip
        self._traced, self._known, self._threads, self._probe = traced, known, threads, probe
        self._models: dict[str, Model] = {}
        self._unfitted: dict[str, str] = {}

    @property
    def side_by_side(self) -> int:
        """Processes that trace at the same time."""
        return self._traced.side_by_side

    def fit(self, job: Job) -> None:
        """Fit a model per mode, on networks that are measured for it where there is a probe."""
        for mode in dict.fromkeys(spec.mode.text for spec in job.specs):
            if mode not in MODES:
                continue
            first = next(spec for spec in job.specs if spec.mode.text == mode)
            if self._probe is not None:
                self._measure(self._probe, first)
            try:
                self._models[mode] = model.fit(self._known().measured(mode, self._threads))
            except Unsupported as error:
                self._unfitted[mode] = str(error)

    def _measure(self, probe: OperatorProbe, like: Spec) -> None:
        specs, few = [fitting(name, like) for name in NETWORKS], model.FEWEST_FAMILIES
        for some, share in ((specs[:few], _FEWEST_FITTED), (specs[few:], _FITTED)):
            missing = [spec.id for spec in some if spec.id not in probe.known.networks]
            if missing and not probe.is_over(share):
                found = zip(missing, self._traced(missing), strict=True)
                probe.traced |= {name: one.trace for name, one in found if one.trace is not None}
                probe.measure_networks(some, share)

    def told(
        self, some: Sequence[Contender], seconds: float, share: float = 1.0
    ) -> Iterator[Contender]:
        """Contenders with their predictions, or with why there is none, as they become known.

        Args:
            some: to be predicted.
            seconds: the limit; what is clearly beyond it has none of its operators timed.
            share: of the time of the probe, after which no operator is timed.
        """
        ready = [one for one in some if one.mode in self._models]
        for one in some:
            if one.mode not in self._models:
                why = self._unfitted.get(one.mode) or f"mode {one.mode} is not predicted"
                yield replace(one, why=why)
        rates = Rates(self._known(), self._threads)
        answers = self._traced([one.spec for one in ready], rates.within(seconds))
        for one, answer in zip(ready, answers, strict=True):
            trace = answer.trace
            if trace is None:
                out = "" if answer.built else UNBUILT
                yield replace(one, why=answer.why or "not traced", out=out)
            elif not trace.whole:
                macs = max(one.macs or 0, trace.macs)
                yield replace(one, macs=macs, floor=rates.least(macs))
            else:
                yield self._predicted(replace(one, macs=trace.macs), trace, seconds, share)

    def _predicted(
        self, one: Contender, trace: OperatorTrace, seconds: float, share: float
    ) -> Contender:
        """By operators that are guessed; where that is near the limit, they are timed before."""
        told = self._by_table(one, trace)
        near = told.low is None or told.low <= _CLEARLY * seconds
        if not near or self._probe is None or trace.foreign:
            return told
        self._probe.time_operators(trace, self._threads, share)
        return self._by_table(one, trace)

    def _by_table(self, one: Contender, trace: OperatorTrace) -> Contender:
        try:
            terms = model.terms(trace, self._timed())
            found = model.predict(self._models[one.mode], terms)
        except Unsupported as error:
            return replace(one, why=str(error))
        return replace(one, seconds=found.seconds, low=found.low, high=found.high, why="")

    def _timed(self) -> Mapping[str, TimedOperator]:
        return self._known().timed(self._threads)
