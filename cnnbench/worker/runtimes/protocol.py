"""What a deployment runtime is to the rest: it makes an artefact of an export, and opens it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from cnnbench.profile import Primitive
from cnnbench.spec import Mode

if TYPE_CHECKING:
    from pathlib import Path

    from torch.export import ExportedProgram


@dataclass(frozen=True)
class Order:
    """What is to be deployed, and how.

    Attributes:
        mode: its words.
        threads: of one call.
        shapes: of the inputs, in order; fixed, as a benchmark has one.
        pictures: inputs to calibrate on, each a list of tensors in the same order.
    """

    mode: Mode
    threads: int
    shapes: Sequence[tuple[int, ...]]
    pictures: Callable[[], Iterable[Sequence[Tensor]]] = lambda: ()


@dataclass(frozen=True)
class Opened:
    """An artefact that is loaded.

    Attributes:
        run: inputs, in the order of the network's, to outputs; what it returns may lie where the
            next call writes again.
        precision: in which its layers compute, by what it says itself when asked.
        threads: that it uses, by what it says itself; ``None`` if it does not say.
        settings: further settings that it has, for the record.
        remarks: what it does not do of what the mode says.
    """

    run: Callable[[Sequence[Tensor]], Sequence[Tensor]]
    precision: str
    threads: int | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


# The precision of a mode -> the type that layers which multiply then compute in.
_WANTED = {"fp32": "float32", "amp=bf16": "bfloat16", "int8": "int8"}


def described(layers: Mapping[str, int]) -> str:
    """``float32``, or the types with the number of layers in each."""
    if len(layers) < 2:
        return next(iter(layers), "")
    most = sorted(layers.items(), key=lambda one: -one[1])
    return ", ".join(f"{name} in {count} layers" for name, count in most)


def remarks(title: str, precision: str, layers: Mapping[str, int]) -> tuple[str, ...]:
    """What layers do not do of what a precision says.

    Args:
        title: of the runtime.
        precision: of the mode.
        layers: type -> layers that multiply in it, by what the runtime says itself.
    """
    wanted = _WANTED[precision]
    if not layers or {*layers} == {wanted}:
        return ()
    if wanted not in layers:
        return (f"{precision} changed nothing: {title} computes in {described(layers)}",)
    return (f"{precision} is not all of it: {title} computes in {described(layers)}",)


_LAYERS = "layers.json"


def keep_layers(place: Path, layers: Mapping[str, int]) -> None:
    """Keep beside an artefact in which types its layers multiply, as was found in making it."""
    place.with_name(_LAYERS).write_text(json.dumps(layers), encoding="utf8")


def kept_layers(place: Path) -> dict[str, int]:
    """What ``keep_layers`` kept; empty if that is nothing."""
    kept = place.with_name(_LAYERS)
    found: dict[str, int] = json.loads(kept.read_text(encoding="utf8")) if kept.exists() else {}
    return found


# Calls before the one whose layers are timed.
WARM_CALLS = 3


@dataclass(frozen=True)
class Nodes:
    """What a runtime's own profiler says of one warm call.

    Attributes:
        call_ns: the whole call, by our clock, while it was profiled.
        layers: kind, implementation and nanoseconds of each layer that ran, in order.
    """

    call_ns: int
    layers: Sequence[tuple[str, str, float]]


def as_primitives(nodes: Nodes) -> tuple[Primitive, ...]:
    """Layers of one kind summed, and what of the call is in none of them; they add up to it."""
    table: dict[tuple[str, str], tuple[int, float]] = {}
    for kind, implementation, ns in nodes.layers:
        calls, before = table.get((kind, implementation), (0, 0.0))
        table[kind, implementation] = (calls + 1, before + ns)
    rest = nodes.call_ns - sum(ns for _, _, ns in nodes.layers)
    found = [(kind, how, calls, ns) for (kind, how), (calls, ns) in table.items()]
    return tuple(
        Primitive(None, "forward", kind, how, calls=calls, ns=ns)
        for kind, how, calls, ns in [*found, ("rest of the call", "in no layer", 1, rest)]
    )


class Runtime(Protocol):
    """One runtime.

    Attributes:
        file: name of its artefact in a folder that is the artefact's alone.
        autocasts: it runs what autocast chose while the network was exported; others have a
            precision of their own.
    """

    file: str
    autocasts: bool

    def version(self) -> str:
        """Import it, and say which version it is."""

    def alone(self) -> str:
        """What it would do on this machine unless told otherwise, in words; empty if no other."""

    def make(self, program: ExportedProgram, order: Order, place: Path) -> None:
        """Convert an export, and leave the artefact in a file.

        Raises:
            Unsupported: it cannot.
        """

    def open(self, place: Path, order: Order, names: Sequence[str]) -> Opened:
        """Load an artefact.

        Args:
            place: where ``make`` left it.
            order: the same.
            names: of the inputs in the export, in order.
        """

    def nodes(
        self, place: Path, order: Order, names: Sequence[str], inputs: Sequence[Tensor]
    ) -> Nodes:
        """Load an artefact with its profiler on, and time the layers of one warm call.

        Raises:
            Unsupported: it has no such profiler.
        """
