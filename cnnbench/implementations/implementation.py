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
        computes: of ``conv`` and ``transposed``; the gradient of a convolution's input is a
            transposed one, and the other way round.
        weights: input (N, C, H, W), gradient of the output (N, K, P, Q), problem -> gradient of the
            weights, in its shape; ``None`` if it does not compute that.
        library: its backward passes, if it has any, are the library's operator.
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
    weights: Callable[[Tensor, Tensor, ConvProblem], Tensor] | None = None
    library: bool = False

    def applies(self, problem: ConvProblem, kind: str) -> str:
        """Why the implementation cannot compute a layer on a kind of device; empty if it can."""
        if kind not in self.kinds:
            return f"{self.name} exists on {', '.join(self.kinds)} only"
        if problem.dtype not in self.dtypes:
            return f"{self.name} takes {', '.join(self.dtypes)}, not {problem.dtype}"
        if reason := self._other_work(problem):
            return f"{self.name} {reason}"
        reason = self.refuses(self._native(problem))
        return f"{self.name} {reason}" if reason else ""

    def _other_work(self, problem: ConvProblem) -> str:
        """Why it is not for a problem of this kind, whatever its sizes."""
        if problem.direction == "bwd_w" and not self.library:
            # A transposed convolution's windows are those of its output's gradient.
            if self.weights is None or problem.transposed:
                of = "transposed convolutions' weights" if problem.transposed else "weights"
                return f"computes no gradient of {of}"
            return ""
        asked = self.solved(problem)
        if ("transposed" if asked.transposed else "conv") not in self.computes:
            no = "transposed ones" if asked.transposed else "other ones"
            own = "convolutions" if asked.transposed else "transposed convolutions"
            if problem.direction:
                one = "a transposed one" if asked.transposed else "a convolution"
                return f"computes {own}; this gradient of an input is {one}"
            return f"computes {own}, not {no}"
        if asked is not problem and asked.output_shape != problem.input_shape:
            return "needs output padding below the stride for the gradient of an input"
        return ""

    def solved(self, problem: ConvProblem) -> ConvProblem:
        """The problem that ``run`` solves; of our own, a gradient of the input is a layer."""
        return problem.adjoint if problem.direction == "bwd_d" and not self.library else problem

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
        # The gradient of an input is the output of the adjoint layer.
        given = x.contiguous(memory_format=FORMATS[native.memory_format])
        y = self.run(given, prepared, native)
        if problem.activated and self.passes(native):
            y = y.relu_()
        return y.contiguous(memory_format=FORMATS[problem.memory_format])

    def differentiate(
        self, x: Tensor, gradient: Tensor, prepared: Prepared, problem: ConvProblem
    ) -> Tensor:
        """The gradient of a backward pass, in the problem's memory format.

        Args:
            x: input (N, C, H, W) of the layer.
            gradient: of its output, (N, K, P, Q).
            prepared: from ``prepare`` of what is ``solved``; none for the gradient of the weights.
            problem: one with a direction that the implementation applies to.
        """
        if problem.direction == "bwd_d":
            return self.convolve(gradient, prepared, problem)
        assert self.weights is not None  # noqa: S101 - it applies
        native = self._native(problem)
        layout = FORMATS[native.memory_format]
        found = self.weights(
            x.contiguous(memory_format=layout), gradient.contiguous(memory_format=layout), native
        )
        return found.contiguous(memory_format=FORMATS[problem.memory_format])

    def algorithm(self, problem: ConvProblem) -> Algorithm:
        """The formulas of one call on a layer, conversions of layout included."""
        native = self._native(problem)
        work = self.work(native)
        workspace = work.workspace
        traffic = work.traffic + 2 * problem.output_bytes * self.passes(problem)
        if native.memory_format != problem.memory_format:
            given, taken = _conversions(native)
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
        solved = self.solved(problem)
        return replace(solved, memory_format=self.layout) if self.layout else solved


def _conversions(problem: ConvProblem) -> tuple[int, int]:
    """Bytes of what is read and what is written that a change of layout copies.

    With one channel or one pixel, both layouts have the same bytes and torch copies nothing.
    """
    given = problem.input_bytes if problem.c > 1 and problem.h * problem.w > 1 else 0
    taken = problem.output_bytes if problem.k > 1 and problem.p * problem.q > 1 else 0
    if problem.direction == "bwd_w":
        one = problem.weight_shape[1] == 1 or problem.r * problem.s == 1
        return given + taken, 0 if one else problem.weight_bytes
    return given, taken
