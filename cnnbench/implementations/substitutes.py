"""The one table of substitutes: NAME of ``LAYER~NAME`` -> substitute, in list order.

Between two convolutions is the activation that the source uses; batch norm is folded. In place of a
unit every convolution is a unit as well, with the unit's norm and activation.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import nn

from cnnbench.errors import UnknownName
from cnnbench.implementations.blocks import FullyConnected, Ghost, Octave, ResidualConv
from cnnbench.implementations.substitute import Substitute, after, chained, pointwise, resized
from cnnbench.implementations.unit import after as following

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cnnbench.conv.problem import ConvProblem
    from cnnbench.implementations.substitute import Stages

ONE_BY_ONE = "has a 1x1 kernel already"
_IN_GROUPS = ("group", "neighbors")


def _size(problem: ConvProblem) -> str:
    return f"{problem.r}x{problem.s}"


def _fitting(problem: ConvProblem, kernel: tuple[int, int], dilation: int = 1) -> ConvProblem:
    found = resized(problem, kernel, dilation)
    if found is None:
        raise ValueError(f"{problem.text} takes no {kernel[0]}x{kernel[1]} kernel")
    return found


def _refuses_kernel(problem: ConvProblem, kernel: tuple[int, int], dilation: int = 1) -> str:
    if resized(problem, kernel, dilation) is None:
        padding = "x".join(map(str, problem.padding))
        return (
            f"cannot keep the output of a {_size(problem)} kernel with padding {padding}"
            f" with a {kernel[0]}x{kernel[1]} kernel"
        )
    return ""


def _dense(size: int) -> Substitute:
    """Another kernel."""

    def refuses(problem: ConvProblem) -> str:
        plain = problem.groups == 1 and problem.dilation == (1, 1)
        if plain and (problem.r, problem.s) == (size, size):
            return "is the layer itself"
        return _refuses_kernel(problem, (size, size))

    return Substitute(
        f"dense_{size}x{size}", f"a dense {size}x{size} convolution",
        "Simonyan and Zisserman 2014, arXiv:1409.1556",
        lambda problem: (_fitting(problem, (size, size)),), chained(), refuses,
    )  # fmt: skip


def _refuses_depthwise(problem: ConvProblem) -> str:
    if problem.groups == problem.c:
        return "has a group per channel already"
    if problem.k % problem.c:
        return f"needs output channels that {problem.c} input channels divide, not {problem.k}"
    return ""


def _separable(problem: ConvProblem) -> Stages:
    depthwise = replace(problem, k=problem.c, groups=problem.c)
    return depthwise, after(depthwise, problem.k)


def _refuses_separable(problem: ConvProblem) -> str:
    if problem.r == problem.s == 1:
        return ONE_BY_ONE
    return "has a group per channel already" if problem.groups == problem.c else ""


def _refuses_groups(groups: int) -> Callable[[ConvProblem], str]:
    def refuses(problem: ConvProblem) -> str:
        if problem.groups >= groups:
            return f"has {problem.groups} groups already"
        for what, channels in (("input", problem.c), ("output", problem.k)):
            if channels % groups:
                return f"needs {what} channels that {groups} divides, not {channels}"
        return ""

    return refuses


def _grouped(groups: int) -> Substitute:
    return Substitute(
        f"grouped_{groups}", f"the same kernel in {groups} groups",
        "Xie et al. 2016, arXiv:1611.05431, figure 3c",
        lambda problem: (replace(problem, groups=groups),), chained(), _refuses_groups(groups),
        mixing=_IN_GROUPS,
    )  # fmt: skip


def _shuffled(stages: list[nn.Module], problem: ConvProblem) -> nn.Module:
    del problem
    return nn.Sequential(*stages, nn.ChannelShuffle(4))


def _dilated(problem: ConvProblem) -> Stages:
    return (replace(_fitting(problem, (problem.r, problem.s), 2), groups=problem.groups),)


def _refuses_dilated(problem: ConvProblem) -> str:
    if problem.r == problem.s == 1:
        return ONE_BY_ONE
    if problem.dilation != (1, 1):
        return "is dilated already"
    reason = _refuses_kernel(problem, (problem.r, problem.s), 2)
    return reason and f"{reason} and dilation 2"


def _bottleneck(problem: ConvProblem) -> Stages:
    width = problem.k // 4
    first = pointwise(problem, width)
    middle = replace(problem, c=width, k=width, groups=1)
    return first, middle, after(middle, problem.k)


def _refuses_bottleneck(problem: ConvProblem) -> str:
    if problem.r == problem.s == 1:
        return ONE_BY_ONE
    return "" if problem.k >= 4 else f"needs 4 output channels or more, not {problem.k}"


def _reduce(problem: ConvProblem) -> Stages:
    # A third of the maps: 16 before 48, 32 before 96, as in the first Inception modules.
    width = problem.k // 3
    return pointwise(problem, width), replace(problem, c=width, groups=1)


def _refuses_reduce(problem: ConvProblem) -> str:
    if problem.r == problem.s == 1:
        return ONE_BY_ONE
    return "" if problem.k >= 3 else f"needs 3 output channels or more, not {problem.k}"


def _stacked(problem: ConvProblem) -> Stages:
    first = replace(problem, r=3, s=3, padding=(1, 1), groups=1)
    return first, *(after(first, problem.k, 3),) * ((problem.r - 3) // 2)


def _refuses_stacked(problem: ConvProblem) -> str:
    if problem.r != problem.s or problem.r < 5 or problem.r % 2 == 0:
        return f"needs a square odd kernel from 5x5, not {_size(problem)}"
    if problem.stride != (1, 1) or problem.dilation != (1, 1):
        return "needs stride and dilation 1"
    half = problem.r // 2
    return "" if problem.padding == (half, half) else f"needs padding {half}"


def _asymmetric(problem: ConvProblem) -> Stages:
    (down, right), (above, beside) = problem.stride, problem.padding
    first = replace(
        problem, r=1, stride=(1, right), padding=(0, beside), dilation=(1, problem.dilation[1]),
        groups=1,
    )  # fmt: skip
    second = replace(
        problem, c=problem.k, w=first.q, s=1, stride=(down, 1), padding=(above, 0),
        dilation=(problem.dilation[0], 1), groups=1,
    )  # fmt: skip
    return first, second


def _refuses_asymmetric(problem: ConvProblem) -> str:
    if min(problem.r, problem.s) == 1:
        return f"needs a kernel of two axes, not {_size(problem)}"
    return ""


def _inverted(problem: ConvProblem) -> Stages:
    width = 6 * problem.c
    first = pointwise(problem, width)
    middle = replace(problem, c=width, k=width, groups=width)
    # Linear where it gets narrow again (section 3.2 of the source).
    linear = tuple(one for one in problem.post_ops if one != "relu")
    return first, middle, replace(after(middle, problem.k), post_ops=linear)


def _assemble_inverted(stages: list[nn.Module], problem: ConvProblem) -> nn.Module:
    body = chained(nn.ReLU6)(stages, problem)
    return ResidualConv(body) if problem.input_shape == problem.output_shape else body


def _refuses_inverted(problem: ConvProblem) -> str:
    return ONE_BY_ONE if problem.r == problem.s == 1 else ""


def _ghost(problem: ConvProblem) -> Stages:
    primary = replace(problem, k=problem.k // 2, groups=1)
    return primary, after(primary, problem.k // 2, 3, problem.k // 2)


def _refuses_ghost(problem: ConvProblem) -> str:
    return f"needs an even number of output channels, not {problem.k}" if problem.k % 2 else ""


def _octave(problem: ConvProblem) -> Stages:
    fast = replace(problem, c=problem.c // 2, k=problem.k // 2, groups=1)
    slow = replace(fast, h=problem.h // 2, w=problem.w // 2)
    return fast, slow, slow, slow


def _assemble_octave(stages: list[nn.Module], problem: ConvProblem) -> nn.Module:
    del problem
    fast, fast_to_slow, slow_to_fast, slow = stages
    return Octave(fast, fast_to_slow, slow_to_fast, slow)


def _refuses_octave(problem: ConvProblem) -> str:
    if problem.post_ops:
        return "adds up convolutions before what follows them, so it is not made of units"
    if (problem.p, problem.q) != (problem.h, problem.w):
        return "needs an output as high and wide as the input"
    sizes = {"rows": problem.h, "columns": problem.w,
             "input channels": problem.c, "output channels": problem.k}  # fmt: skip
    for what, number in sizes.items():
        if number % 2:
            return f"needs an even number of {what}, not {number}"
    if problem.stride != (1, 1):
        return "needs stride 1"
    (high, wide), (above, beside) = problem.extent, problem.padding
    fits = high <= problem.h // 2 + 2 * above and wide <= problem.w // 2 + 2 * beside
    return "" if fits else f"needs a kernel that fits into half the map, not {_size(problem)}"


def _refuses_head(problem: ConvProblem) -> str:
    if (problem.r, problem.s) != (problem.h, problem.w) or problem.padding != (0, 0):
        return (
            f"needs a kernel as large as the input, not {_size(problem)} on {problem.h}x{problem.w}"
        )
    return "has groups" if problem.groups > 1 else ""


def _refuses_pooled_head(problem: ConvProblem) -> str:
    if problem.h == problem.w == 1:
        return "needs a map of more than one pixel"
    return _refuses_head(problem)


def _fully_connected(stages: list[nn.Module], problem: ConvProblem) -> nn.Module:
    del stages
    linear = FullyConnected(problem.c * problem.h * problem.w, problem.k)
    return (
        nn.Sequential(linear, *(one for _, one in following(problem)))
        if (problem.post_ops)
        else linear
    )


def _pooled(stages: list[nn.Module], problem: ConvProblem) -> nn.Module:
    del problem
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), *stages)


def _pooled_stages(problem: ConvProblem) -> Stages:
    return (pointwise(replace(problem, h=1, w=1, r=1, s=1), problem.k),)


def _resized(problem: ConvProblem) -> Stages:
    plain = replace(problem, transposed=False, output_padding=(0, 0), h=problem.p, w=problem.q,
                    r=3, s=3, stride=(1, 1), padding=(1, 1), dilation=(1, 1))  # fmt: skip
    return (plain,)


def _assemble_resized(stages: list[nn.Module], problem: ConvProblem) -> nn.Module:
    return nn.Sequential(nn.Upsample(size=(problem.p, problem.q), mode="nearest"), *stages)


def _upsampled_bytes(problem: ConvProblem) -> int:
    (stage,) = _resized(problem)
    return problem.input_bytes + stage.input_bytes


def _refuses_resized(problem: ConvProblem) -> str:
    return "" if max(problem.stride) > 1 else "needs a stride above 1, which enlarges the map"


def tabled(substitutes: Iterable[Substitute]) -> Mapping[str, Substitute]:
    """By name.

    Raises:
        ValueError: a name is taken twice.
    """
    table: dict[str, Substitute] = {}
    for one in substitutes:
        if table.setdefault(one.name, one) is not one:
            raise ValueError(f"substitute '{one.name}' is registered twice")
    return MappingProxyType(table)


SUBSTITUTES = tabled((
    _dense(3), _dense(5), _dense(7),
    Substitute("pointwise", "a 1x1 convolution", "Lin, Chen, Yan 2013, arXiv:1312.4400",
               lambda problem: (_fitting(problem, (1, 1)),), chained(),
               lambda problem: ONE_BY_ONE if problem.r == problem.s == 1
               else _refuses_kernel(problem, (1, 1)), mixing=("group", "channels")),
    Substitute("depthwise", "one filter per channel, channels not mixed",
               "Howard et al. 2017, arXiv:1704.04861, section 3.1",
               lambda problem: (replace(problem, groups=problem.c),), chained(),
               _refuses_depthwise, mixing=("neighbors",)),
    Substitute("depthwise_separable", "depthwise, then 1x1",
               "Howard et al. 2017, arXiv:1704.04861, section 3.1",
               _separable, chained(), _refuses_separable),
    _grouped(4), _grouped(32),
    Substitute("grouped_shuffle", "four groups, then a channel shuffle",
               "Zhang et al. 2017, arXiv:1707.01083, figure 1",
               lambda problem: (replace(problem, groups=4),), _shuffled, _refuses_groups(4),
               passes=1, mixing=_IN_GROUPS),
    Substitute("dilated", "the same kernel with gaps of one",
               "Yu and Koltun 2015, arXiv:1511.07122", _dilated, chained(), _refuses_dilated),
    Substitute("bottleneck", "1x1 to a quarter of the maps, the kernel, 1x1 back",
               "He et al. 2015, arXiv:1512.03385, figure 5", _bottleneck, chained(),
               _refuses_bottleneck),
    Substitute("reduce", "1x1 to a third of the maps, then the kernel",
               "Szegedy et al. 2014, arXiv:1409.4842, figure 2b", _reduce, chained(),
               _refuses_reduce),
    Substitute("stacked_3x3", "3x3 convolutions of the same field",
               "Simonyan and Zisserman 2014, arXiv:1409.1556, section 2.3", _stacked, chained(),
               _refuses_stacked),
    Substitute("asymmetric", "a row, then a column",
               "Szegedy et al. 2015, arXiv:1512.00567, figure 6", _asymmetric, chained(),
               _refuses_asymmetric),
    Substitute("inverted_residual", "1x1 to six times the maps, depthwise, 1x1 back",
               "Sandler et al. 2018, arXiv:1801.04381, table 1", _inverted, _assemble_inverted,
               _refuses_inverted, passes=1),
    Substitute("ghost", "half of the maps, the rest from those by a depthwise 3x3",
               "Han et al. 2019, arXiv:1911.11907, figure 1b", _ghost,
               lambda stages, _: Ghost(*stages), _refuses_ghost, passes=1),
    Substitute("octave", "half of the channels at half of the resolution",
               "Chen et al. 2019, arXiv:1904.05049, section 3.2", _octave, _assemble_octave,
               _refuses_octave, passes=2),
    Substitute("fully_connected", "a linear layer on the flattened map: the same function",
               "Long, Shelhamer, Darrell 2014, arXiv:1411.4038, section 3.1",
               lambda problem: (problem,), _fully_connected, _refuses_head, same_function=True),
    Substitute("global_average_pooling", "the mean of every map, then 1x1",
               "Lin, Chen, Yan 2013, arXiv:1312.4400, section 3.2", _pooled_stages, _pooled,
               _refuses_pooled_head),
    Substitute("resize_conv", "nearest-neighbor resizing, then 3x3",
               "Odena, Dumoulin, Olah 2016, doi:10.23915/distill.00003",
               _resized, _assemble_resized, _refuses_resized, transposed=True,
               beside=_upsampled_bytes),
))  # fmt: skip


def substitute(name: str) -> Substitute:
    """The substitute of that name.

    Raises:
        UnknownName: unknown; the message offers the closest names.
    """
    if name not in SUBSTITUTES:
        raise UnknownName("substitute", name, SUBSTITUTES)
    return SUBSTITUTES[name]
