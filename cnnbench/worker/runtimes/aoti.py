"""AOTInductor: the network compiled beforehand into a package, which a loader without Python runs.

The package is unpacked to be loaded, and the loader leaves the files there when the process ends;
once the library is mapped, they may go.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from cnnbench import machine
from cnnbench.errors import Unsupported
from cnnbench.worker.runtimes import pt2e
from cnnbench.worker.runtimes.protocol import (
    Nodes,
    Opened,
    described,
    keep_layers,
    kept_layers,
    remarks,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch.export import ExportedProgram

    from cnnbench.worker.runtimes.protocol import Order

_UNPACKED = "aotinductor_"


class AotInductor:
    """See ``protocol.Runtime``."""

    file = "model.pt2"
    autocasts = True

    def version(self) -> str:
        """Its version is torch's."""
        return str(torch.__version__)

    def alone(self) -> str:
        """What torch does."""
        return ""

    def make(self, program: ExportedProgram, order: Order, place: Path) -> None:
        """Compile to a package."""
        from torch._inductor import aoti_compile_and_package

        if machine.compiler() is None:
            raise Unsupported("aoti needs a C++ compiler, and none was found; install g++")
        frozen = order.mode.freezing == "on"
        if order.mode.precision == "int8":
            program = pt2e.quantised(program, order.pictures())
        with warnings.catch_warnings():
            # The compiler's own, of how it folds constants.
            warnings.simplefilter("ignore")
            aoti_compile_and_package(
                program, package_path=str(place), inductor_configs={"freezing": frozen}
            )
        if order.mode.precision == "int8":
            keep_layers(place, pt2e.layers(place))

    def open(self, place: Path, order: Order, names: Sequence[str]) -> Opened:
        """Load a package; it takes inputs by their order, and torch's threads."""
        del names
        from torch._inductor import aoti_load_package

        model = aoti_load_package(str(place))
        _tidy()

        def run(inputs: Sequence[Tensor]) -> Sequence[Tensor]:
            return model.loader.run(list(inputs))  # type: ignore[no-any-return]

        told, layers = model.loader.get_metadata(), kept_layers(place)
        quantised = order.mode.precision == "int8"
        return Opened(
            run,
            precision=described(layers),
            threads=torch.get_num_threads(),
            settings={name.lower(): value for name, value in told.items() if value},
            remarks=remarks("AOTInductor", "int8", layers) if quantised else (),
        )

    def nodes(
        self, place: Path, order: Order, names: Sequence[str], inputs: Sequence[Tensor]
    ) -> Nodes:
        """It has no profiler of its own."""
        del place, order, names, inputs
        raise Unsupported("compiled code of AOTInductor has no layers; the trace shows its calls")


def _tidy() -> None:
    """Remove what this process has unpacked; mapped libraries stay."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return
    paths = {Path(line.split(maxsplit=5)[-1]) for line in maps.read_text().splitlines()}
    for path in paths:
        for parent in path.parents:
            if parent.name.startswith(_UNPACKED):
                shutil.rmtree(parent, ignore_errors=True)
