"""What a substitute for a layer is: another function of the same input and output shape.

It has to be trained. Its counts promise a saving; only measuring shows it. Its counts are sums over
the convolutions that it is made of, by formula. Knows no substitute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from cnnbench.conv.catalogue import MIXING
from cnnbench.conv.problem import ConvProblem
from cnnbench.facts import Algorithm
from cnnbench.implementations.backward import BackwardPass
from cnnbench.implementations.unit import Conv, ConvUnit, Layer

Stages = tuple[ConvProblem, ...]


@dataclass(frozen=True)
class Substitute:
    """One substitute for a convolution.

    Attributes:
        name: its name after the tilde: ``conv:k64-3x3-p1~NAME``.
        meaning: one line for people.
        source: paper and place.
        stages: layer -> the convolutions that it consists of, in the order of their calls.
        assemble: these convolutions as layers -> the module.
        refuses: layer -> why it does not apply, or an empty text.
        passes: how often the output is written and read once more beside the convolutions
            (shuffles, concatenations, sums).
        same_function: the same numbers come out if it is given the same weights.
        mixing: what an output sums over, of ``conv.catalogue.MIXING``.
        transposed: it stands for transposed convolutions.
        beside: layer -> bytes that it reads and writes beside all that.
    """

    name: str
    meaning: str
    source: str
    stages: Callable[[ConvProblem], Stages]
    assemble: Callable[[list[nn.Module], ConvProblem], nn.Module]
    refuses: Callable[[ConvProblem], str] = lambda _: ""
    passes: int = 0
    same_function: bool = False
    mixing: tuple[str, ...] = MIXING
    transposed: bool = False
    beside: Callable[[ConvProblem], int] = lambda _: 0

    def applies(self, problem: ConvProblem) -> str:
        """Why it cannot replace a layer; empty if it can."""
        if problem.direction:
            return f"{self.name} stands for forward passes, not for a backward pass by itself"
        if problem.transposed is not self.transposed:
            return (
                f"{self.name} stands for {'' if self.transposed else 'no '}transposed convolutions"
            )
        reason = self.refuses(problem)
        return f"{self.name} {reason}" if reason else ""

    def build(self, problem: ConvProblem) -> nn.Module:
        """The module with random weights: (N, C, H, W) -> (N, K, P, Q)."""
        return self.assemble([layer(stage) for stage in self.stages(problem)], problem)

    def params(self, problem: ConvProblem) -> int:
        """Weights and biases."""
        return sum(stage.params for stage in self.stages(problem))

    def macs(self, problem: ConvProblem) -> int:
        """Multiply-accumulates of the batch."""
        return sum(stage.macs for stage in self.stages(problem))

    def algorithm(self, problem: ConvProblem, passes: Callable[[ConvProblem], int]) -> Algorithm:
        """Its counts as a record keeps them; the memory of its library calls is unknown.

        What follows the convolution of a unit reads and writes its output once more ``passes``
        times, each stage's own.
        """
        moved = sum(
            stage.compulsory_bytes + 2 * passes(stage) * stage.output_bytes
            for stage in self.stages(problem)
        )
        return Algorithm(
            name=f"~{self.name}",
            executed_macs=self.macs(problem),
            moved_bytes=moved + 2 * self.passes * problem.output_bytes + self.beside(problem),
            workspace_bytes=None,
            prepared_bytes=0,
            source=self.source,
        )


def layer(problem: ConvProblem) -> Layer:
    """A problem as a module with random weights: the convolution, a whole unit, or its gradient."""
    conv: Conv
    usual = (problem.c, problem.k, (problem.r, problem.s), problem.stride, problem.padding)
    if problem.transposed:
        conv = nn.ConvTranspose2d(
            *usual, problem.output_padding, problem.groups, _biased(problem), problem.dilation
        )
    else:
        conv = nn.Conv2d(*usual, problem.dilation, problem.groups, _biased(problem))
    if problem.direction:
        return BackwardPass(conv, problem)
    return ConvUnit(conv, problem) if problem.post_ops else conv


def _biased(problem: ConvProblem) -> bool:
    return not (problem.normed or problem.direction)


def resized(problem: ConvProblem, kernel: tuple[int, int], dilation: int = 1) -> ConvProblem | None:
    """The layer with another dense kernel and the padding that keeps its output's shape.

    ``None`` where no symmetric padding does: the windows' centres must stay where they are.
    """
    paddings = []
    for size, padding, extent in zip(kernel, problem.padding, problem.extent, strict=True):
        missing = (size - 1) * dilation + 1 - extent
        if missing % 2 or padding + missing // 2 < 0:
            return None
        paddings.append(padding + missing // 2)
    return replace(
        problem,
        r=kernel[0],
        s=kernel[1],
        padding=(paddings[0], paddings[1]),
        dilation=(dilation, dilation),
        groups=1,
    )


def after(before: ConvProblem, channels: int, kernel: int = 1, groups: int = 1) -> ConvProblem:
    """A layer of stride 1 on another's output that keeps its height and width."""
    return ConvProblem(
        before.n, before.k, before.p, before.q, channels, kernel, kernel,
        padding=(kernel // 2, kernel // 2), groups=groups,
        dtype=before.dtype, memory_format=before.memory_format, post_ops=before.post_ops,
    )  # fmt: skip


def pointwise(problem: ConvProblem, channels: int) -> ConvProblem:
    """A 1x1 layer of stride 1 on a layer's input."""
    return replace(
        problem, k=channels, r=1, s=1, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1
    )


def chained(activation: Callable[[], nn.Module] | None = nn.ReLU) -> Callable[..., nn.Module]:
    """Assemble stages one after another with an activation between two of them.

    Units that end in an activation have it already.
    """

    def assemble(stages: list[nn.Module], problem: ConvProblem) -> nn.Module:
        parts: list[nn.Module] = []
        for stage in stages:
            if parts and activation is not None and not problem.activated:
                parts.append(activation())
            parts.append(stage)
        return parts[0] if len(parts) == 1 else nn.Sequential(*parts)

    return assemble
