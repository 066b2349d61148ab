"""What a deployment runtime is to the rest: it makes an artefact of an export, and opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

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
