"""``cnnbench shape`` of classic comparisons: two ways to a feature map, layer by layer."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from cnnbench.cli import options
from cnnbench.cli.bundle import bundle
from cnnbench.cli.output import shown
from cnnbench.cli.parameters import Numbers
from cnnbench.cli.shape_layers import (
    BIAS,
    COLUMNS,
    GROUPS,
    KERNEL,
    MAP,
    MAYBE_OUT,
    OUT,
    SIZE_OR_MAP,
    WINDOW,
    facts,
    number,
    row,
    size,
    wanted,
)
from cnnbench.conv import arithmetic, comparisons
from cnnbench.conv.comparisons import InceptionWidths
from cnnbench.errors import UsageError
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from cnnbench.conv.comparisons import ShapeComparison

_transposed_window = bundle(
    "window",
    {**WINDOW, "output_padding": number("output-padding", 0, "Added to one end of the output.")},
    dict,
)


@click.command("bottleneck")
@MAP
@OUT
@KERNEL
@click.option(
    "--through",
    type=click.IntRange(min=1),
    required=True,
    help="Output channels of the 1x1 convolution.",
)
@BIAS
@options.as_json
@options.wide
def bottleneck(
    given: tuple[int, ...], out: int, kernel: int, through: int, bias: bool, as_json: bool
) -> None:
    """Compare a convolution with the same one after a 1x1 bottleneck (GoogLeNet)."""
    found = comparisons.bottleneck(given[0], given[1:], out, kernel, through, bias=bias)
    _comparison(found, as_json=as_json)


@click.command("stack")
@MAP
@KERNEL
@click.option(
    "--small",
    type=click.IntRange(min=2),
    default=3,
    show_default=True,
    help="Kernel size of the small convolutions.",
)
@BIAS
@options.as_json
@options.wide
def stack(given: tuple[int, ...], kernel: int, small: int, bias: bool, as_json: bool) -> None:
    """Compare one large kernel with small ones of the same receptive field (VGG)."""
    found = comparisons.stacked_small_kernels(
        given[0], given[1:], kernel=kernel, small=small, bias=bias
    )
    _comparison(found, as_json=as_json)


@click.command("separable")
@MAP
@OUT
@KERNEL
@BIAS
@options.as_json
@options.wide
def separable(given: tuple[int, ...], out: int, kernel: int, bias: bool, as_json: bool) -> None:
    """Compare a convolution with depthwise plus 1x1 (MobileNet)."""
    found = comparisons.separable(given[0], given[1:], out, kernel, bias=bias)
    _comparison(found, as_json=as_json)


@click.command("fc-conv")
@MAP
@OUT
@BIAS
@options.as_json
@options.wide
def fc_conv(given: tuple[int, ...], out: int, bias: bool, as_json: bool) -> None:
    """Compare a fully connected layer with a 1x1 convolution on the same map."""
    _comparison(comparisons.fc_as_conv(given[0], given[1:], out, bias=bias), as_json=as_json)


@click.command("head")
@MAP
@click.option("--classes", type=click.IntRange(min=1), required=True, help="Number of classes.")
@click.option("--hidden", type=Numbers(repeats=True), help="Widths of the hidden layers, in order.")
@BIAS
@options.as_json
@options.wide
def head(
    given: tuple[int, ...], classes: int, hidden: tuple[int, ...] | None, bias: bool, as_json: bool
) -> None:
    """Compare a fully connected head with global average pooling (Network in Network)."""
    found = comparisons.fc_head_against_global_pooling(
        given[0], given[1:], classes, hidden or (), bias=bias
    )
    _comparison(found, as_json=as_json)


@click.command("transposed")
@SIZE_OR_MAP
@KERNEL
@_transposed_window
@GROUPS
@MAYBE_OUT
@BIAS
@options.as_json
@options.wide
def transposed(
    given: tuple[int, ...],
    kernel: int,
    window: dict[str, Any],
    groups: int,
    out: int | None,
    bias: bool,
    as_json: bool,
) -> None:
    """Calculate the output size of a transposed convolution; with --out-channels, compare it.

    It is compared with the convolution of the same result: on a map with zeros between.
    """
    if len(given) < 3 and out is None:
        size([arithmetic.transposed_output(n, kernel, **window) for n in given], as_json=as_json)
        return
    found = comparisons.zero_insertion(
        given[0], given[1:], wanted(given, out), kernel, **window, groups=groups, bias=bias
    )
    _comparison(found, as_json=as_json)


@click.command("inception")
@MAP
@click.option("--maps", type=Numbers(repeats=True), required=True,
              help="Output channels in the order of the paper's table 1: 1x1, 3x3 reduce, 3x3,"
                   " 5x5 reduce, 5x5, pool projection.")  # fmt: skip
@BIAS
@options.as_json
@options.wide
def inception(given: tuple[int, ...], maps: tuple[int, ...], bias: bool, as_json: bool) -> None:
    """Compare a naive inception block with one that reduces channels first (GoogLeNet)."""
    if len(maps) != len(fields(InceptionWidths)):
        raise UsageError(f"--maps takes six numbers such as 64,96,128,16,32,32, not {len(maps)}")
    found = comparisons.inception(given[0], given[1:], InceptionWidths(*maps), bias=bias)
    _comparison(found, as_json=as_json)


COMPARISONS = (bottleneck, stack, separable, fc_conv, head, transposed, inception)


def _comparison(found: ShapeComparison, *, as_json: bool) -> None:
    if as_json:
        data = {
            "title": found.title,
            "left": [facts(layer) for layer in found.left],
            "right": [facts(layer) for layer in found.right],
            "macs_ratio": found.macs_ratio,
            "params_ratio": found.params_ratio,
        }
        click.echo(json.dumps(data, indent=1))
        return
    rows = [(side, *row(layer)) for side, layers in (("a", found.left), ("b", found.right))
            for layer in layers]  # fmt: skip
    table = Table(
        (Column("way", "way"), *COLUMNS),
        tuple(rows),
        captions=(found.title,),
        notes=(
            f"MACs: a {found.macs[0]}, b {found.macs[1]}: {_times(found.macs_ratio)}",
            f"params: a {found.params[0]}, b {found.params[1]}: {_times(found.params_ratio)}",
        ),
    )
    click.echo(shown(table), nl=False)


def _times(ratio: float) -> str:
    return "equal" if ratio == 1 else f"{ratio:.3g} times"
