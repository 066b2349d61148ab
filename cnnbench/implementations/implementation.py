"""What an implementation of a convolution is, and how its layout is matched with the layer's.

Every implementation works in one layout (or in any). If it gets the other layout, its input and
output are converted within the call, and the formulas include that cost. Knows no implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cnnbench.conv.problem import ConvProblem
from cnnbench.facts import Algorithm

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
DTYPES = {
    "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64,
}  # fmt: skip


@dataclass(frozen=True)
class ConvWork:
    """The work of one call, by formula; ``None`` where a library does not report it.

    Attributes:
        macs: multiply-accumulates that are executed.
        workspace: peak bytes beyond input, prepared weights and output.
        prepared: bytes of the prepared weights, bias aside; 0 if they are the weights themselves.
        traffic: bytes written and read again beyond the compulsory ones.
    """

    macs: int | None
    workspace: int | None
    prepared: int | None = 0
    traffic: int = 0


@dataclass(frozen=True)
class Prepared:
    """The weights of a layer as an implementation prepared them before the first call.

    Attributes:
        weights: in the form that the implementation uses.
        bias: (K,).
    """

    weights: tuple[Tensor, ...]
    bias: Tensor


@dataclass(frozen=True)
class Implementation:
    """One way to compute a convolution.

    Attributes:
        name: its name after ``impl=``.
        meaning: one line for people.
        source: paper or library.
        work: problem in the implementation's layout -> formulas.
        prepare: weight of ``problem.weight_shape``, bias (K,), problem -> prepared weights for
            ``run``.
        run: input (N, C, H, W), prepared weights, problem -> output (N, K, P, Q); both in the
            implementation's layout. It changes neither.
        tolerance: problem -> largest relative Frobenius error against float64 on the same input.
        refuses: problem -> why it does not apply, or an empty text.
        layout: the memory format it works in; empty for either.
        kinds: device kinds it exists on.
        dtypes: data types that it accepts.
        exact: dtypes in which sums of small integers come out bit-exact.
        flags: global flags that define it; ``worker.modes`` sets them.
        passes: problem -> how often the output is read and written once more for what follows the
            convolution. If never, ``run`` applies the activation itself.
        computes: of ``conv`` and ``transposed``.
    """

    name: str
    meaning: str
    source: str
    work: Callable[[ConvProblem], ConvWork]
    prepare: Callable[[Tensor, Tensor, ConvProblem], Prepared]
    run: Callable[[Tensor, Prepared, ConvProblem], Tensor]
    tolerance: Callable[[ConvProblem], float]
    refuses: Callable[[ConvProblem], str] = lambda _: ""
    layout: str = ""
    kinds: tuple[str, ...] = ("cpu", "cuda")
    dtypes: tuple[str, ...] = ("fp32", "bf16", "fp16", "fp64")
    exact: tuple[str, ...] = ("fp32", "bf16", "fp16", "fp64")
    flags: Mapping[str, object] = field(default_factory=dict)
    passes: Callable[[ConvProblem], int] = lambda problem: int(problem.activated)
    computes: tuple[str, ...] = ("conv",)

    def applies(self, problem: ConvProblem, kind: str) -> str:
        """Why the implementation cannot compute a layer on a kind of device; empty if it can."""
        if kind not in self.kinds:
            return f"{self.name} exists on {', '.join(self.kinds)} only"
        if problem.dtype not in self.dtypes:
            return f"{self.name} takes {', '.join(self.dtypes)}, not {problem.dtype}"
        if ("transposed" if problem.transposed else "conv") not in self.computes:
            no = "transposed ones" if problem.transposed else "other ones"
            own = "convolutions" if problem.transposed else "transposed convolutions"
            return f"{self.name} computes {own}, not {no}"
        reason = self.refuses(self._native(problem))
        return f"{self.name} {reason}" if reason else ""

    def convolve(self, x: Tensor, prepared: Prepared, problem: ConvProblem) -> Tensor:
        """The output (N, K, P, Q) in the problem's memory format, activated if the problem is.

        A norm is part of the weights by now.

        Args:
            x: (N, C, H, W) in the problem's dtype and memory format.
            prepared: from ``prepare``.
            problem: one that the implementation applies to.
        """
        native = self._native(problem)
        # No copy if the layout is right; otherwise the formulas count one.
        given = x.contiguous(memory_format=FORMATS[native.memory_format])
        y = self.run(given, prepared, native)
        if problem.activated and self.passes(native):
            y = y.relu_()
        return y.contiguous(memory_format=FORMATS[problem.memory_format])

    def algorithm(self, problem: ConvProblem) -> Algorithm:
        """The formulas of one call on a layer, conversions of layout included."""
        work = self.work(self._native(problem))
        workspace = work.workspace
        traffic = work.traffic + 2 * problem.output_bytes * self.passes(problem)
        if self._native(problem) != problem:
            given, taken = _conversions(problem)
            traffic += 2 * (given + taken)
            # The converted input lives to the end; the native output meets the converted one.
            workspace = None if workspace is None else given + max(workspace, taken)
        return Algorithm(
            name=self.name,
            executed_macs=work.macs,
            moved_bytes=problem.compulsory_bytes + traffic,
            workspace_bytes=workspace,
            prepared_bytes=work.prepared,
            source=self.source,
        )

    def _native(self, problem: ConvProblem) -> ConvProblem:
        return replace(problem, memory_format=self.layout) if self.layout else problem


def _conversions(problem: ConvProblem) -> tuple[int, int]:
    """Bytes of input and output that a change of layout copies.

    With one channel or one pixel, both layouts have the same bytes and torch copies nothing.
    """
    given = problem.input_bytes if problem.c > 1 and problem.h * problem.w > 1 else 0
    taken = problem.output_bytes if problem.k > 1 and problem.p * problem.q > 1 else 0
    return given, taken
