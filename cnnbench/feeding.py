"""What an input pipeline gives against what a network needs, and how long an epoch takes.

Both are samples per second with intervals over rounds; they were measured one after the other, so
the interval of their ratio is that of two separate measurements. Nothing here adds what was not
measured: a loader with workers has the rate that it was measured with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cnnbench import metrics, recipes, stats
from cnnbench.record import Record
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cnnbench.record import Run

# The interval of a ratio lies above one, below one, or holds it (or there is none).
Verdict = Literal["enough", "short", "unclear"]
_ALPHA = 0.025


def is_pipeline(record: Record) -> bool:
    """Whether it is of an input pipeline."""
    return recipes.is_pipeline(record.spec.workload.architecture)


def whole(record: Record) -> bool:
    """Whether it is of a pipeline whose batches are what a network is given."""
    return is_pipeline(record) and recipes.of_workload(record.spec.workload).whole


@dataclass(frozen=True)
class Feeding:
    """A pipeline before a network.

    Attributes:
        network, pipeline: their records.
        needs, gives: samples per second.
        ratio: ``gives`` over ``needs``.
    """

    network: Record
    pipeline: Record
    needs: Estimate
    gives: Estimate
    ratio: Estimate

    @property
    def workers(self) -> int:
        """Processes that make batches; 0: the one that takes them."""
        return recipes.workers(self.pipeline.spec.workload)

    @property
    def verdict(self) -> Verdict:
        """Whether the pipeline keeps up, as far as the interval tells."""
        if self.ratio.low is None or self.ratio.high is None:
            return "unclear"
        if self.ratio.low > 1:
            return "enough"
        return "short" if self.ratio.high < 1 else "unclear"

    @property
    def processes(self) -> tuple[int, int] | None:
        """The least and the most processes of such a rate that keep up; ``None`` if not known.

        What each of several workers does is that much only while each has a core of its own.
        """
        if self.ratio.low is None or self.ratio.high is None:
            return None
        return math.ceil(1 / self.ratio.high), math.ceil(1 / self.ratio.low)


def feedings(records: Iterable[Record]) -> list[Feeding]:
    """Every network with every pipeline that makes what it takes."""
    some = [one for one in records if metrics.latency(one) is not None]
    networks = [one for one in some if not is_pipeline(one) and not one.spec.workload.is_layer]
    return [
        feeding(network, pipeline)
        for network in networks
        for pipeline in some
        if whole(pipeline) and fits(network, pipeline)
    ]


def fits(network: Record, pipeline: Record) -> bool:
    """Whether a pipeline makes samples of the shape that a network takes."""
    return network.spec.workload.input == pipeline.spec.workload.input


def feeding(network: Record, pipeline: Record) -> Feeding:
    """A pipeline before a network, both of which were measured."""
    pair = (network, pipeline)
    rates = metrics.alike("throughput", pair) or tuple(map(_rate, pair))
    needs, gives = rates
    return Feeding(network, pipeline, needs, gives, ratio(needs, gives))


def _rate(record: Record) -> Estimate:
    found = metrics.throughput(record)
    if found is None:
        raise ValueError(f"{record.id} was not measured")
    return found


def ratio(needs: Estimate, gives: Estimate) -> Estimate:
    """``gives`` over ``needs`` with its 95 % interval, of two separate measurements.

    >>> ratio(Estimate(50.0), Estimate(100.0))
    Estimate(point=2.0, low=None, high=None, rounds=1)
    """
    shift = stats.shift(needs, gives)
    half, point = shift.half(_ALPHA), gives.point / needs.point
    if half is None:
        return Estimate(point, rounds=shift.rounds)
    ends = (stats.ratio_of(shift.centre - half), stats.ratio_of(shift.centre + half))
    return Estimate(point, *ends, shift.rounds)


@dataclass(frozen=True)
class Epoch:
    """How long one pass over a data set takes.

    Attributes:
        steps: batches, the last of which may be smaller and counts as a whole one.
        seconds: what they take by the clock; ``None`` where it does not follow.
        limit: what decides: the step, the input, the sum of both; or the lack of cores, for which
            nothing follows.
    """

    steps: int
    seconds: Estimate | None
    limit: str


STEP, INPUT, IN_TURN, CROWDED = "step", "input", "sum", "cores"


def epoch(network: Record, pipeline: Record | None, pictures: int, cores: int | None) -> Epoch:
    """An epoch of a network behind a pipeline.

    Without workers, every batch is made and then used, so that times add up (at most, on a CUDA
    device, beside which a loop may run ahead). With workers, batches are made while the step runs
    and the slower of the two decides, as long as there are cores for both.

    Args:
        network: a record of its step.
        pipeline: makes its batches; ``None``: they are there.
        pictures: in the data set.
        cores: that the processes may use; ``None`` if unknown.
    """
    batch = network.spec.workload.batch
    steps = recipes.batches(pictures, batch)
    step = [steps * seconds for seconds in network.round_seconds]
    if pipeline is None:
        return Epoch(steps, stats.geometric(step), STEP)
    share = batch / pipeline.spec.workload.batch
    made = [steps * share * seconds for seconds in pipeline.round_seconds]
    workers = recipes.workers(pipeline.spec.workload)
    if not workers:
        return Epoch(steps, _positive(stats.total([step, made])), IN_TURN)
    busy = network.spec.threads + workers
    if network.spec.device.kind == "cpu" and cores is not None and busy > cores:
        return Epoch(steps, None, CROWDED)
    return _slower(steps, stats.geometric(step), stats.geometric(made))


def _positive(one: Estimate) -> Estimate:
    """A time: what a wide interval of a sum promises below zero is cut off."""
    low = None if one.low is None else max(one.low, 0.0)
    return Estimate(one.point, low, one.high, one.rounds)


def _slower(steps: int, step: Estimate, made: Estimate) -> Epoch:
    """The larger of two times; its ends are the larger ends, since both only ever delay it."""
    slower, limit = (step, STEP) if step.point >= made.point else (made, INPUT)
    ends = [(step.low, made.low), (step.high, made.high)]
    low, high = (None if a is None or b is None else max(a, b) for a, b in ends)
    return Epoch(steps, Estimate(slower.point, low, high, slower.rounds), limit)


def shares(record: Record) -> dict[str, float]:
    """Step of a recipe -> its share of the time, the rest among them; they add up to one.

    In batches that are timed after the slices, a clock is read around every step of every picture.
    Empty for a pipeline with workers, and for networks.
    """
    if not is_pipeline(record) or record.failure is not None:
        return {}
    rounds = [_of_run(run) for run in record.runs if run.parts]
    if not rounds:
        return {}
    return {
        name: math.fsum(one.get(name, 0.0) for one in rounds) / len(rounds) for name in rounds[0]
    }


def _of_run(run: Run) -> dict[str, float]:
    """Shares of medians, so that a batch that waited for a core does not count."""
    taken = {part.name: stats.median(part.ns) for part in run.parts if part.ns}
    total = math.fsum(taken.values())
    return {name: ns / total for name, ns in taken.items()} if total > 0 else {}
