"""``cnnbench shape``: sizes, parameters and MACs of layers by formula; imports no torch."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cnnbench.cli import options
from cnnbench.cli.output import shown
from cnnbench.cli.parameters import Numbers, Shape
from cnnbench.conv import arithmetic
from cnnbench.errors import UsageError
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from cnnbench.conv.arithmetic import FormulaCost, ShapeComparison

_EPILOG = """\b
Examples:
  cnnbench shape conv --in 28 --kernel 5 --padding 2 --stride 1
  cnnbench shape conv --in 3x224x224 --out-channels 64 --kernel 7 --stride 2 --padding 3
  cnnbench shape pool --in 112 --kernel 3 --stride 2 --padding 1
  cnnbench shape linear --in 512 --out-features 10
  cnnbench shape bottleneck --in 480x14x14 --out-channels 48 --kernel 5 --through 16
  cnnbench shape stack --in 64x56x56 --kernel 7 --small 3
  cnnbench shape separable --in 32x112x112 --out-channels 64 --kernel 3
  cnnbench shape fc-conv --in 512x7x7 --out-channels 4096
  cnnbench shape head --in 512x7x7 --classes 1000 --hidden 4096,4096
"""


@click.group(epilog=_EPILOG)
@options.debug
def command() -> None:
    """Calculate output sizes, parameters and MACs of layers, and classic comparisons."""


_BIAS = click.option("--bias/--no-bias", default=True, show_default=True, help="Count biases.")
_MAP = click.option("--in", "given", type=Shape("480x14x14", (3, 4)), required=True,
                    help="Channels and size of the input feature map.")  # fmt: skip
_OUT = click.option("--out-channels", "out", type=click.IntRange(min=1), required=True,
                    help="Output channels.")  # fmt: skip
_KERNEL = click.option("--kernel", type=click.IntRange(min=1), required=True, help="Kernel size.")


@command.command("conv")
@click.option("--in", "given", type=Shape("28 or 3x28x28", (1, 2, 3, 4)), required=True,
              help="Size along one axis, or channels and spatial sizes.")  # fmt: skip
@_KERNEL
@click.option(
    "--stride",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Stride.",
)
@click.option(
    "--padding",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Padding on either side of an axis.",
)
@click.option(
    "--dilation",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Dilation.",
)
@click.option(
    "--groups",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Groups; must divide the numbers of input and output channels.",
)
@click.option("--out-channels", "out", type=click.IntRange(min=1),
              help="Output channels; needed for parameters and MACs.")  # fmt: skip
@_BIAS
@options.as_json
@options.wide
def _conv(
    given: tuple[int, ...],
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    out: int | None,
    bias: bool,
    as_json: bool,
) -> None:
    """Calculate the output size of a convolution; with --out-channels also parameters and MACs."""
    if len(given) < 3 and out is None:
        sizes = [
            arithmetic.conv_output(n, kernel, stride=stride, padding=padding, dilation=dilation)
            for n in given
        ]
        _size(sizes, as_json=as_json)
        return
    if len(given) < 3 or out is None:
        raise UsageError("a layer's cost needs both --in CxHxW and --out-channels N")
    layer = arithmetic.conv(given[0], given[1:], out, kernel, stride=stride, padding=padding,
                            dilation=dilation, groups=groups, bias=bias)  # fmt: skip
    _layers((layer,), as_json=as_json)


@command.command("pool")
@click.option("--in", "given", type=Shape("28", (1, 2)), required=True, help="Size of the input.")
@_KERNEL
@click.option("--stride", type=click.IntRange(min=1), help="Stride.  [default: the kernel size]")
@click.option(
    "--padding",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Padding on either side of an axis.",
)
@click.option("--ceil", is_flag=True, help="Round the output size up (ceil_mode).")
@options.as_json
def _pool(
    given: tuple[int, ...], kernel: int, stride: int | None, padding: int, ceil: bool, as_json: bool
) -> None:
    """Calculate the output size of pooling."""
    sizes = [
        arithmetic.pool_output(n, kernel, stride=stride, padding=padding, ceil=ceil) for n in given
    ]
    _size(sizes, as_json=as_json)


@command.command("linear")
@click.option("--in", "features", type=click.IntRange(min=1), required=True, help="Input features.")
@click.option("--out-features", "out", type=click.IntRange(min=1), required=True,
              help="Output features.")  # fmt: skip
@_BIAS
@options.as_json
@options.wide
def _linear(features: int, out: int, bias: bool, as_json: bool) -> None:
    """Calculate the parameters and MACs of a fully connected layer."""
    _layers((arithmetic.linear(features, out, bias=bias),), as_json=as_json)


@command.command("bottleneck")
@_MAP
@_OUT
@_KERNEL
@click.option(
    "--through",
    type=click.IntRange(min=1),
    required=True,
    help="Output channels of the 1x1 convolution.",
)
@_BIAS
@options.as_json
@options.wide
def _bottleneck(
    given: tuple[int, ...], out: int, kernel: int, through: int, bias: bool, as_json: bool
) -> None:
    """Compare a convolution with the same one after a 1x1 bottleneck (GoogLeNet)."""
    found = arithmetic.bottleneck(given[0], given[1:], out, kernel, through, bias=bias)
    _comparison(found, as_json=as_json)


@command.command("stack")
@_MAP
@_KERNEL
@click.option(
    "--small",
    type=click.IntRange(min=2),
    default=3,
    show_default=True,
    help="Kernel size of the small convolutions.",
)
@_BIAS
@options.as_json
@options.wide
def _stack(given: tuple[int, ...], kernel: int, small: int, bias: bool, as_json: bool) -> None:
    """Compare one large kernel with small ones of the same receptive field (VGG)."""
    found = arithmetic.stacked_small_kernels(
        given[0], given[1:], kernel=kernel, small=small, bias=bias
    )
    _comparison(found, as_json=as_json)


@command.command("separable")
@_MAP
@_OUT
@_KERNEL
@_BIAS
@options.as_json
@options.wide
def _separable(given: tuple[int, ...], out: int, kernel: int, bias: bool, as_json: bool) -> None:
    """Compare a convolution with depthwise plus 1x1 (MobileNet)."""
    found = arithmetic.separable(given[0], given[1:], out, kernel, bias=bias)
    _comparison(found, as_json=as_json)


@command.command("fc-conv")
@_MAP
@_OUT
@_BIAS
@options.as_json
@options.wide
def _fc_conv(given: tuple[int, ...], out: int, bias: bool, as_json: bool) -> None:
    """Compare a fully connected layer with a 1x1 convolution on the same map."""
    _comparison(arithmetic.fc_as_conv(given[0], given[1:], out, bias=bias), as_json=as_json)


@command.command("head")
@_MAP
@click.option("--classes", type=click.IntRange(min=1), required=True, help="Number of classes.")
@click.option("--hidden", type=Numbers(repeats=True), help="Widths of the hidden layers, in order.")
@_BIAS
@options.as_json
@options.wide
def _head(
    given: tuple[int, ...], classes: int, hidden: tuple[int, ...] | None, bias: bool, as_json: bool
) -> None:
    """Compare a fully connected head with global average pooling (Network in Network)."""
    found = arithmetic.fc_head_against_global_pooling(
        given[0], given[1:], classes, hidden or (), bias=bias
    )
    _comparison(found, as_json=as_json)


def _size(sizes: list[int], *, as_json: bool) -> None:
    click.echo(json.dumps(sizes) if as_json else "x".join(map(str, sizes)))


_COLUMNS = (
    Column("layer", "layer"),
    Column("output", "output"),
    Column("params", "params", "whole"),
    Column("macs", "MACs", "whole"),
    Column("mult_adds", "mult-adds", "whole"),
)


def _row(layer: FormulaCost) -> tuple[Any, ...]:
    output = "x".join(map(str, layer.output))
    return layer.name, output, layer.params, layer.macs, layer.mult_adds


def _facts(layer: FormulaCost) -> dict[str, Any]:
    return asdict(layer) | {"mult_adds": layer.mult_adds, "flops": layer.flops}


def _layers(layers: tuple[FormulaCost, ...], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_facts(layer) for layer in layers], indent=1))
        return
    click.echo(shown(Table(_COLUMNS, tuple(map(_row, layers)))), nl=False)


def _comparison(found: ShapeComparison, *, as_json: bool) -> None:
    if as_json:
        data = {
            "title": found.title,
            "left": [_facts(layer) for layer in found.left],
            "right": [_facts(layer) for layer in found.right],
            "macs_ratio": found.macs_ratio,
            "params_ratio": found.params_ratio,
        }
        click.echo(json.dumps(data, indent=1))
        return
    rows = [(side, *_row(layer)) for side, layers in (("a", found.left), ("b", found.right))
            for layer in layers]  # fmt: skip
    table = Table(
        (Column("way", "way"), *_COLUMNS),
        tuple(rows),
        captions=(found.title,),
        notes=(
            f"MACs: a {found.macs[0]}, b {found.macs[1]}: {found.macs_ratio:.3g} times",
            f"params: a {found.params[0]}, b {found.params[1]}: {found.params_ratio:.3g} times",
        ),
    )
    click.echo(shown(table), nl=False)
