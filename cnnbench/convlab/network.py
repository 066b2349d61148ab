"""A network and its convolutions, measured one by one beside it: shares, changes, what they gain.

Class A changes a mode of the whole network, class B computes some of its layers by implementations
of ours. What a change should gain follows from the layers by Amdahl's law; what it gains is
measured on the changed network. Both are shown, for layers side by side in one process crew see
other caches than layers of a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnbench import metrics
from cnnbench.convlab import Bench, is_configuration, right, seconds, sure_gain
from cnnbench.layers import Extraction, Layer, Share, predicted, shares
from cnnbench.record import Record
from cnnbench.spec import Mode
from cnnbench.stats import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cnnbench.spec import Spec


@dataclass(frozen=True)
class Network:
    """A network at a batch and a number of threads.

    Attributes:
        extraction: its convolutions.
        whole: mode -> record of the network.
        benches: layer -> its ways.
    """

    extraction: Extraction
    whole: Mapping[Mode, Record]
    benches: Mapping[Layer, Bench]

    @property
    def eager(self) -> Record | None:
        """The network as it is."""
        return self.whole.get(Mode())

    @property
    def shares(self) -> tuple[Share, ...]:
        """What every layer takes of the network's time, both in plain eager; largest first."""
        if self.eager is None or metrics.latency(self.eager) is None:
            found = shares(self.extraction.layers, self.times(Mode()))
        else:
            times = self.times(Mode())
            found = shares(self.extraction.layers, times, seconds(self.eager))
        return tuple(sorted(found, key=lambda one: -(one.seconds or 0.0)))

    def times(self, mode: Mode) -> dict[Layer, float]:
        """Seconds of one call of every layer in a mode."""
        table = self.in_mode(mode)
        return {
            layer: seconds(record)
            for layer, record in table.items()
            if metrics.latency(record) is not None
        }

    def becomes(self, ways: Mapping[Layer, Record]) -> dict[Layer, float]:
        """Seconds of one call of layers when they are computed in other ways.

        Plain eager's time over the speed-up that was measured beside it: two times of different
        moments say less than the ratio of one.
        """
        before, found = self.in_mode(Mode()), {}
        for layer, record in ways.items():
            gain = metrics.speedup(record, before.get(layer))
            if gain is not None:
                found[layer] = seconds(before[layer]) / gain.point
        return found

    def in_mode(self, mode: Mode) -> dict[Layer, Record]:
        """The record of every layer in a mode."""
        return {
            layer: cell.record
            for layer, bench in self.benches.items()
            for cell in bench.cells
            if cell.record.spec.mode == mode
        }


@dataclass(frozen=True)
class Change:
    """Something that can be done to a network without training it anew.

    Attributes:
        kind: ``A`` or ``B``.
        mode: the network so changed.
        layers: how many different layers another implementation computes.
        predicted: seconds of the changed network by Amdahl's law; ``None`` without its basis.
    """

    kind: str
    mode: Mode
    layers: int
    predicted: float | None


def networks(
    records: Iterable[Record], name: str, extraction: Extraction, benches: Sequence[Bench]
) -> tuple[Network, ...]:
    """One for every batch and number of threads in which the network was measured."""
    table: dict[tuple[int, int, str], dict[Mode, Record]] = {}
    for record in records:
        spec = record.spec
        if spec.workload.architecture == name:
            key = spec.workload.batch, spec.threads, spec.device.text
            table.setdefault(key, {})[spec.mode] = record
    found = []
    for (batch, threads, device), whole in table.items():
        here = {
            (one.workload.architecture, one.workload.input): one
            for one in benches
            if (one.workload.batch, one.threads, one.device.text) == (batch, threads, device)
        }
        places = {layer: here.get((layer.architecture, layer.input)) for layer in extraction.layers}
        known = {layer: bench for layer, bench in places.items() if bench is not None}
        found.append(Network(extraction, whole, known))
    return tuple(found)


def changes(network: Network) -> tuple[Change, ...]:
    """Every mode of class A that was measured, and of class B the best of all layers together.

    Class B is put together once for either memory format, in fp32, of implementations that gain for
    sure over the library in that format; it is left out where nothing does.
    """
    config = [mode for mode in network.whole if mode != Mode() and is_configuration(mode)]
    found = [Change("A", mode, 0, _predicted(network, network.in_mode(mode))) for mode in config]
    for memory_format in dict.fromkeys(mode.memory_format for mode in network.whole):
        base = Mode(memory_format=memory_format)
        chosen = _best(network, base)
        if chosen:
            ways = network.in_mode(base) | chosen
            mode = replace(base, implementation=_text(chosen))
            found.append(Change("B", mode, len(chosen), _predicted(network, ways)))
    return tuple(found)


def _predicted(network: Network, ways: Mapping[Layer, Record]) -> float | None:
    after = network.becomes({layer: one for layer, one in ways.items() if one.spec.mode != Mode()})
    if network.eager is None or metrics.latency(network.eager) is None or not after:
        return None
    layers, before = network.extraction.layers, network.times(Mode())
    time = predicted(seconds(network.eager), layers, before, after)
    # Layers alone can take longer than within the network; then nothing can be said.
    return time if time > 0 else None


def _best(network: Network, base: Mode) -> dict[Layer, Record]:
    """The fastest right implementation of every layer that has one that gains for sure."""
    found = {}
    for layer, bench in network.benches.items():
        table = {cell.record.spec.mode: cell.record for cell in bench.cells}
        ways = [
            record
            for mode, record in table.items()
            if not is_configuration(mode) and replace(mode, implementation="") == base
            and right(record)
        ]  # fmt: skip
        sure = [one for one in ways if sure_gain(one, table.get(base), len(ways))]
        if sure:
            found[layer] = min(sure, key=seconds)
    return found


def _text(chosen: Mapping[Layer, Record]) -> str:
    parts = []
    for layer, record in chosen.items():
        shape = "x".join(map(str, layer.input))
        name = layer.architecture.removeprefix("conv:")
        parts.append(f"{record.spec.mode.implementation}@{shape}-{name}")
    return ";".join(parts)


def specs(network: Network, found: Iterable[Change]) -> tuple[Spec, ...]:
    """The network as it is and changed, to be measured side by side."""
    eager = network.eager
    if eager is None:
        return ()
    return (eager.spec, *(replace(eager.spec, mode=one.mode) for one in found))


@dataclass(frozen=True)
class Outcome:
    """A change and what it did.

    Attributes:
        change: with its prediction.
        before: of the network as it was when the prediction was made.
        after: of the changed network; ``None`` if it was not measured.
        gain: over the network as it is, side by side.
    """

    change: Change
    before: Record
    after: Record | None
    gain: Estimate | None

    @property
    def predicted_gain(self) -> float | None:
        """How many times as fast the network should become."""
        time = self.change.predicted
        return None if time is None else seconds(self.before) / time


def outcomes(
    network: Network, found: Iterable[Change], applied: Iterable[Record]
) -> tuple[Outcome, ...]:
    """Predictions beside measurements of the same changes."""
    if network.eager is None:
        return ()
    eager = network.eager.spec
    table = {record.id: record for record in applied}
    rows = []
    for one in found:
        after = table.get(replace(eager, mode=one.mode).id)
        gain = None if after is None else metrics.speedup(after, table.get(eager.id))
        rows.append(Outcome(one, network.eager, after, gain))
    return tuple(rows)
