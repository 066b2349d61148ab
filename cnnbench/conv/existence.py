"""Which convolutions can exist: sizes, groups, padding and kernel that fit each other."""

from __future__ import annotations

from typing import Any, TypeAlias

from cnnbench.errors import UsageError

# A ``ConvProblem``, which is above this room.
_Problem: TypeAlias = Any


def check(problem: _Problem) -> None:
    """Refuse a layer that cannot exist.

    Raises:
        UsageError: it cannot; the message names the numbers.
    """
    _check_sizes(problem)
    _check_groups(problem)
    if problem.transposed:
        _check_output(problem)
    else:
        _check_kernel(problem)
    if problem.direction and problem.post_ops:
        raise UsageError(
            "convolution: a backward pass by itself is of a convolution alone, not of"
            f" {'+'.join(('conv', *problem.post_ops))}"
        )


def _check_sizes(problem: _Problem) -> None:
    sizes = {
        "batch": problem.n, "input channels": problem.c, "height": problem.h, "width": problem.w,
        "output channels": problem.k, "kernel height": problem.r, "kernel width": problem.s,
        "vertical stride": problem.stride[0], "horizontal stride": problem.stride[1],
        "vertical dilation": problem.dilation[0], "horizontal dilation": problem.dilation[1],
        "groups": problem.groups,
    }  # fmt: skip
    for name, value in sizes.items():
        if value < 1:
            raise UsageError(f"convolution: {name} {value} must be at least 1")
    if min(problem.padding) < 0:
        raise UsageError(f"convolution: padding {pair_text(problem.padding)} must not be negative")


def _check_groups(problem: _Problem) -> None:
    for name, value in (("input", problem.c), ("output", problem.k)):
        if value % problem.groups:
            raise UsageError(
                f"convolution: {problem.groups} groups do not divide {value} {name} channels"
            )


def _check_output(problem: _Problem) -> None:
    paddings = zip(problem.output_padding, problem.stride, problem.dilation, strict=True)
    for more, step, gap in paddings:
        if not 0 <= more < max(step, gap):
            raise UsageError(
                f"convolution: output padding {more} must be at least 0 and smaller than stride"
                f" {step} or dilation {gap}"
            )
    if min(problem.p, problem.q) < 1:
        raise UsageError(
            f"convolution: padding {pair_text(problem.padding)} leaves nothing of the transposed"
            f" convolution's output, which has {problem.p}x{problem.q}"
        )


def _check_kernel(problem: _Problem) -> None:
    if problem.output_padding != (0, 0):
        raise UsageError("convolution: only a transposed one has output padding")
    (high, wide), (height, width) = problem.extent, problem.padded
    if high > height or wide > width:
        spread = max(problem.dilation) > 1
        dilated = f" with dilation {pair_text(problem.dilation)}" if spread else ""
        raise UsageError(
            f"convolution: the {problem.r}x{problem.s} kernel{dilated} covers {high}x{wide}, more"
            f" than the padded input of {height}x{width}"
            f" ({problem.h}x{problem.w} with padding {pair_text(problem.padding)})"
        )


def pair_text(pair: tuple[int, int]) -> str:
    """A vertical and a horizontal value: ``2`` if they are equal, else ``2x1``."""
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"
