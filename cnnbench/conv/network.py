"""A network and its convolutions, measured one by one: shares, changes, and their gains.

Class A changes a mode of the whole network, class B computes some of its layers by implementations
of ours. What a change should gain follows from the layers by Amdahl's law; what it gains is
measured on the changed network. Both are shown, because single layers in one worker pool see
other caches than the layers of a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnbench import flaws, metrics, stats
from cnnbench.choice import leaders
from cnnbench.conv.layers import ConvLayer, Extraction, Share, shares
from cnnbench.conv.results import LayerResults, is_configuration, seconds
from cnnbench.record import Record
from cnnbench.spec import LAYER_PREFIX, Mode
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
    benches: Mapping[ConvLayer, LayerResults]

    @property
    def eager(self) -> Record | None:
        """The record of the unchanged network in plain eager."""
        return self.whole.get(Mode())

    @property
    def shares(self) -> tuple[Share, ...]:
        """The share of every layer in the network's time, both in plain eager; largest first."""
        if self.eager is None or metrics.latency(self.eager) is None:
            found = shares(self.extraction.layers, self.times(Mode()))
        else:
            times = self.times(Mode())
            found = shares(self.extraction.layers, times, seconds(self.eager))
        return tuple(sorted(found, key=lambda one: -(one.seconds or 0.0)))

    def times(self, mode: Mode) -> dict[ConvLayer, float]:
        """Seconds of one call of every layer in a mode."""
        table = self.in_mode(mode)
        return {
            layer: seconds(record)
            for layer, record in table.items()
            if metrics.latency(record) is not None
        }

    def savings(self, ways: Mapping[ConvLayer, Record]) -> dict[ConvLayer, list[float]]:
        """Seconds that other modes save over all calls of a layer, one value per round.

        Against plain eager beside it: two times of different moments say less than one ratio.
        """
        before, found = self.in_mode(Mode()), {}
        for layer, record in ways.items():
            base = before.get(layer)
            saved = [] if base is None else metrics.savings(record, base)
            if saved:
                found[layer] = [layer.count * value for value in saved]
        return found

    def in_mode(self, mode: Mode) -> dict[ConvLayer, Record]:
        """The record of every layer in a mode."""
        return {
            layer: cell.record
            for layer, bench in self.benches.items()
            for cell in bench.cells
            if cell.record.spec.mode == mode
        }


@dataclass(frozen=True)
class Prediction:
    """The predicted time of a changed network; its intervals come from those of the layers.

    Attributes:
        time: seconds of a call.
        gain: how many times as fast it becomes.
    """

    time: Estimate
    gain: Estimate


@dataclass(frozen=True)
class NetworkChange:
    """A change of a network that needs no retraining.

    Attributes:
        kind: ``A`` or ``B``.
        mode: the network so changed.
        layers: how many different layers another implementation computes.
        predicted: by Amdahl's law; ``None`` without its basis.
    """

    kind: str
    mode: Mode
    layers: int
    predicted: Prediction | None


def networks(
    records: Iterable[Record], name: str, extraction: Extraction, benches: Sequence[LayerResults]
) -> tuple[Network, ...]:
    """One for every batch, number of threads and phase in which the network was measured."""
    table: dict[tuple[int, int, str, str], dict[Mode, Record]] = {}
    for record in records:
        spec = record.spec
        if spec.workload.architecture == name:
            work = spec.workload
            key = work.batch, spec.threads, spec.device.text, work.phase
            table.setdefault(key, {})[spec.mode] = record
    found = []
    for (batch, threads, device, phase), whole in table.items():
        here = {
            (one.workload.architecture, one.workload.input): one
            for one in benches
            if (one.workload.batch, one.threads, one.device.text, one.workload.phase)
            == (batch, threads, device, phase)
        }
        places = {layer: here.get((layer.architecture, layer.input)) for layer in extraction.layers}
        known = {layer: bench for layer, bench in places.items() if bench is not None}
        found.append(Network(extraction, whole, known))
    return tuple(found)


def changes(network: Network) -> tuple[NetworkChange, ...]:
    """Every mode of class A that was measured, and of class B the best of all layers together.

    Class B is put together once for either memory format, in fp32, of implementations that are
    clearly faster than the library in that format; it is left out if there are none.
    """
    config = [mode for mode in network.whole if mode != Mode() and is_configuration(mode)]
    found = [
        NetworkChange("A", mode, 0, _predicted(network, network.in_mode(mode))) for mode in config
    ]
    for memory_format in dict.fromkeys(mode.memory_format for mode in network.whole):
        base = Mode(memory_format=memory_format)
        chosen = _best(network, base)
        if chosen:
            ways = network.in_mode(base) | chosen
            mode = replace(base, implementation=_text(chosen))
            found.append(NetworkChange("B", mode, len(chosen), _predicted(network, ways)))
    return tuple(found)


def _predicted(network: Network, ways: Mapping[ConvLayer, Record]) -> Prediction | None:
    """Amdahl's law over the layers that change."""
    others = {layer: way for layer, way in ways.items() if way.spec.mode != Mode()}
    saved = list(network.savings(others).values())
    if network.eager is None or metrics.latency(network.eager) is None or not saved:
        return None
    times = network.eager.round_seconds
    time = stats.total([times, *([-value for value in values] for values in saved)])
    # Layers alone can take longer than within the network; then nothing can be said.
    if time.point <= 0:
        return None
    if time.low is not None:
        time = replace(time, low=max(0.0, time.low))
    return Prediction(time, _gain(times, saved))


def _gain(times: Sequence[float], saved: Sequence[Sequence[float]]) -> Estimate:
    """The speed-up of a network that saves some seconds.

    One over what is left of its time. The share that is spared spreads like a sum, to first order:
    of the savings, and of the network's time by which they are divided.
    """
    before = stats.total([times]).point
    share = stats.total(saved).point / before
    spread = stats.total(
        [*([value / before for value in values] for values in saved),
         [-share * value / before for value in times]]
    )  # fmt: skip
    gain = Estimate(1 / (1 - share), rounds=spread.rounds)
    half = None if spread.high is None else spread.high - spread.point
    if half is None or share + half >= 1:
        return gain
    return replace(gain, low=1 / (1 - share + half), high=1 / (1 - share - half))


def _best(network: Network, base: Mode) -> dict[ConvLayer, Record]:
    """The implementation to choose for every layer where one clearly gains."""
    found = {}
    for layer, bench in network.benches.items():
        table = {cell.record.spec.mode: cell.record for cell in bench.cells}
        ways = [
            record
            for mode, record in table.items()
            if not is_configuration(mode) and replace(mode, implementation="") == base
            and flaws.fit(record)
        ]  # fmt: skip
        best = leaders([(one, table.get(base)) for one in ways])
        if best:
            found[layer] = best[0]
    return found


def _text(chosen: Mapping[ConvLayer, Record]) -> str:
    parts = []
    for layer, record in chosen.items():
        shape = "x".join(map(str, layer.input))
        name = layer.architecture.removeprefix(LAYER_PREFIX)
        parts.append(f"{record.spec.mode.implementation}@{shape}-{name}")
    return ";".join(parts)


def specs(network: Network, found: Iterable[NetworkChange]) -> tuple[Spec, ...]:
    """The unchanged and the changed networks, to be measured side by side."""
    eager = network.eager
    if eager is None:
        return ()
    return (eager.spec, *(replace(eager.spec, mode=one.mode) for one in found))


@dataclass(frozen=True)
class NetworkOutcome:
    """A change and its measured effect.

    Attributes:
        change: with its prediction.
        after: of the changed network; ``None`` if it was not measured.
        gain: over the network as it is, side by side.
    """

    change: NetworkChange
    after: Record | None
    gain: Estimate | None


def outcomes(
    network: Network, found: Iterable[NetworkChange], applied: Iterable[Record]
) -> tuple[NetworkOutcome, ...]:
    """Predictions beside measurements of the same changes."""
    if network.eager is None:
        return ()
    eager = network.eager.spec
    table = {record.id: record for record in applied}
    rows = []
    for one in found:
        after = table.get(replace(eager, mode=one.mode).id)
        gain = None if after is None else metrics.speedup(after, table.get(eager.id))
        rows.append(NetworkOutcome(one, after, gain))
    return tuple(rows)
