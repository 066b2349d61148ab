"""The parts of an image that the taps of a kernel read: padding, shifted views, sizes in bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from cnnbench.conv.problem import ConvProblem


def padded(x: Tensor, problem: ConvProblem) -> Tensor:
    """(N, C, H, W) with zeros around, in the memory format of ``x``; itself without padding."""
    high, wide = problem.padding
    return functional.pad(x, (wide, wide, high, high)) if high or wide else x


def padded_bytes(problem: ConvProblem) -> int:
    """Bytes that ``padded`` allocates."""
    if problem.padding == (0, 0):
        return 0
    high, wide = problem.padded
    return problem.itemsize * problem.n * problem.c * high * wide


def reordered_bytes(problem: ConvProblem) -> int:
    """Bytes of the copy of the weights with the taps first; zero with one tap."""
    return problem.weight_bytes if problem.r * problem.s > 1 else 0


def taps(problem: ConvProblem) -> Iterator[tuple[int, int]]:
    """Row and column of every tap of the kernel."""
    return ((r, s) for r in range(problem.r) for s in range(problem.s))


def seen(image: Tensor, problem: ConvProblem, r: int, s: int) -> Tensor:
    """The view (…, P, Q) of a padded image (…, H, W) that one tap reads."""
    top, left = r * problem.dilation[0], s * problem.dilation[1]
    down, right = problem.stride
    return image[
        ...,
        top : top + (problem.p - 1) * down + 1 : down,
        left : left + (problem.q - 1) * right + 1 : right,
    ]


def by_group(image: Tensor, groups: int) -> Tensor:
    """(N, C, H, W) as (N, g, C/g, H, W); a view in either memory format."""
    n, c, *size = image.shape
    return image.view(n, groups, c // groups, *size)


def as_rows(image: Tensor) -> Tensor:
    """(N, C, H, W) stored channels last as (N, H, W, C) stored in order; a view."""
    return image.permute(0, 2, 3, 1)


def as_image(rows: Tensor) -> Tensor:
    """(N, H, W, C) stored in order as (N, C, H, W) stored channels last; a view."""
    return rows.permute(0, 3, 1, 2)


def needs_one_group(problem: ConvProblem) -> str:
    """A reason unless the layer has one group."""
    return f"needs one group, not {problem.groups}" if problem.groups > 1 else ""


def needs_stride(problem: ConvProblem, axes: tuple[int, ...] = (0, 1)) -> str:
    """A reason unless the stride is 1 along some axes."""
    return _needs("stride", problem.stride, (1, 1), axes)


def needs_pointwise(problem: ConvProblem) -> str:
    """A reason unless the layer is a 1x1 convolution that sees every pixel once."""
    if (problem.r, problem.s) != (1, 1):
        return f"needs a 1x1 kernel, not {problem.r}x{problem.s}"
    without = _needs("padding", problem.padding, (0, 0), (0, 1))
    return needs_one_group(problem) or needs_stride(problem) or without


def needs_dilation(problem: ConvProblem) -> str:
    """A reason unless the dilation is 1."""
    return _needs("dilation", problem.dilation, (1, 1), (0, 1))


def _needs(
    what: str, given: tuple[int, int], wanted: tuple[int, int], axes: tuple[int, ...]
) -> str:
    where = "" if len(axes) == 2 else ("vertical ", "horizontal ")[axes[0]]
    bad = [given[axis] for axis in axes if given[axis] != wanted[axis]]
    return f"needs {where}{what} {wanted[axes[0]]}, not {bad[0]}" if bad else ""
