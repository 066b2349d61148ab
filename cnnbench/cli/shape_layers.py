"""``cnnbench shape`` of single layers: sizes, parameters, MACs, and the product of matrices."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cnnbench.cli import options
from cnnbench.cli.bundle import bundle
from cnnbench.cli.output import shown
from cnnbench.cli.parameters import Shape
from cnnbench.conv import arithmetic, product
from cnnbench.errors import UsageError
from cnnbench.report.table import Column, Table

if TYPE_CHECKING:
    from cnnbench.cli.bundle import Decorator
    from cnnbench.conv.arithmetic import FormulaCost
    from cnnbench.conv.product import Matrix, MatrixProduct

BIAS = click.option("--bias/--no-bias", default=True, show_default=True, help="Count biases.")
MAP = click.option("--in", "given", type=Shape("480x14x14", (3, 4)), required=True,
                   help="Channels and size of the input feature map.")  # fmt: skip
OUT = click.option("--out-channels", "out", type=click.IntRange(min=1), required=True,
                   help="Output channels.")  # fmt: skip
KERNEL = click.option("--kernel", type=click.IntRange(min=1), required=True, help="Kernel size.")

SIZE_OR_MAP = click.option(
    "--in", "given", type=Shape("28 or 3x28x28", (1, 2, 3, 4)), required=True,
    help="Size along one or two axes, or channels and spatial sizes.")  # fmt: skip
MAYBE_OUT = click.option("--out-channels", "out", type=click.IntRange(min=1),
                          help="Output channels; needed for parameters and MACs.")  # fmt: skip


def number(name: str, usual: int, text: str) -> Decorator:
    """An option for a whole number, at least 1, or 0 where that is usual."""
    return click.option(f"--{name}", type=click.IntRange(min=min(usual, 1)), default=usual,
                        show_default=True, help=text)  # fmt: skip


_PADDING = number("padding", 0, "Padding on either side of an axis.")
WINDOW = {
    "stride": number("stride", 1, "Stride."),
    "padding": _PADDING,
    "dilation": number("dilation", 1, "Dilation."),
}
_window = bundle("window", WINDOW, dict)
GROUPS = number("groups", 1, "Groups; must divide the numbers of input and output channels.")


@click.command("conv")
@SIZE_OR_MAP
@KERNEL
@_window
@GROUPS
@MAYBE_OUT
@BIAS
@options.as_json
@options.wide
def convolution(
    given: tuple[int, ...],
    kernel: int,
    window: dict[str, Any],
    groups: int,
    out: int | None,
    bias: bool,
    as_json: bool,
) -> None:
    """Calculate the output size of a convolution; with --out-channels also parameters and MACs."""
    if len(given) < 3 and out is None:
        size([arithmetic.conv_output(n, kernel, **window) for n in given], as_json=as_json)
        return
    layer = arithmetic.conv(
        given[0], given[1:], wanted(given, out), kernel, **window, groups=groups, bias=bias
    )
    _layers((layer,), as_json=as_json)


def wanted(given: tuple[int, ...], out: int | None) -> int:
    """The output channels of a layer that is to be counted.

    Raises:
        UsageError: they are not given, or those of the input are not.
    """
    if len(given) < 3 or out is None:
        raise UsageError("a layer's cost needs both --in CxHxW and --out-channels N")
    return out


@click.command("pool")
@SIZE_OR_MAP
@KERNEL
@click.option("--stride", type=click.IntRange(min=1), help="Stride.  [default: the kernel size]")
@_PADDING
@click.option("--ceil", is_flag=True, help="Round the output size up (ceil_mode).")
@options.as_json
@options.wide
def pooling(
    given: tuple[int, ...], kernel: int, stride: int | None, padding: int, ceil: bool, as_json: bool
) -> None:
    """Calculate the output size of pooling, of a whole feature map too."""
    window: dict[str, Any] = {"stride": stride, "padding": padding, "ceil": ceil}
    if len(given) < 3:
        size([arithmetic.pool_output(n, kernel, **window) for n in given], as_json=as_json)
        return
    _layers((arithmetic.pool(given[0], given[1:], kernel, **window),), as_json=as_json)


@click.command("linear")
@click.option("--in", "features", type=click.IntRange(min=1), required=True, help="Input features.")
@click.option("--out-features", "out", type=click.IntRange(min=1), required=True,
              help="Output features.")  # fmt: skip
@BIAS
@options.as_json
@options.wide
def linear(features: int, out: int, bias: bool, as_json: bool) -> None:
    """Calculate the parameters and MACs of a fully connected layer."""
    _layers((arithmetic.linear(features, out, bias=bias),), as_json=as_json)


@click.command("im2col")
@MAP
@OUT
@KERNEL
@_window
@GROUPS
@options.as_json
@options.wide
def im2col(
    given: tuple[int, ...],
    out: int,
    kernel: int,
    window: dict[str, Any],
    groups: int,
    as_json: bool,
) -> None:
    """Calculate the matrices whose product is a convolution, and how much the copy expands."""
    found = product.as_product(given[0], given[1:], out, kernel, **window, groups=groups)
    if as_json:
        click.echo(json.dumps(_product_facts(found), indent=1))
        return
    rows = [(one.name, one.rows, one.columns, one.elements, one.bytes) for one in found.matrices]
    weights, patches = found.weights, found.patches
    each = f"{weights.rows} x {weights.columns} x {patches.columns}"
    table = Table(
        _MATRICES,
        tuple(rows),
        captions=(f"{found.layer}: output = weights x patches{_each_group(found)}",),
        notes=(
            f"MACs: {_groups_times(found)}{each} = {found.macs}, as of the convolution",
            f"patches: {found.expansion:.3g} times the {found.input_elements} elements of the"
            " input; bytes in float32",
        ),
    )
    click.echo(shown(table), nl=False)


_MATRICES = (
    Column("matrix", "matrix"),
    Column("rows", "rows", "whole"),
    Column("columns", "columns", "whole"),
    Column("elements", "elements", "whole"),
    Column("bytes", "bytes", "whole"),
)


def _each_group(found: MatrixProduct) -> str:
    return f", for each of {found.groups} groups" if found.groups > 1 else ""


def _groups_times(found: MatrixProduct) -> str:
    return f"{found.groups} x " if found.groups > 1 else ""


def _product_facts(found: MatrixProduct) -> dict[str, Any]:
    def facts(one: Matrix) -> dict[str, int]:
        return {"rows": one.rows, "columns": one.columns, "elements": one.elements,
                "bytes": one.bytes}  # fmt: skip

    return {
        "layer": found.layer,
        "groups": found.groups,
        "macs": found.macs,
        "input_elements": found.input_elements,
        "expansion": found.expansion,
        **{one.name: facts(one) for one in found.matrices},
    }


def size(sizes: list[int], *, as_json: bool) -> None:
    """Print the sizes of an output."""
    click.echo(json.dumps(sizes) if as_json else "x".join(map(str, sizes)))


COLUMNS = (
    Column("layer", "layer"),
    Column("output", "output"),
    Column("params", "params", "whole"),
    Column("macs", "MACs", "whole"),
    Column("mult_adds", "mult-adds", "whole"),
)


def row(layer: FormulaCost) -> tuple[Any, ...]:
    """What stands in ``COLUMNS`` of a layer."""
    output = "x".join(map(str, layer.output))
    return layer.name, output, layer.params, layer.macs, layer.mult_adds


def facts(layer: FormulaCost) -> dict[str, Any]:
    """A layer as plain JSON."""
    return asdict(layer) | {"mult_adds": layer.mult_adds, "flops": layer.flops}


def _layers(layers: tuple[FormulaCost, ...], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([facts(layer) for layer in layers], indent=1))
        return
    click.echo(shown(Table(COLUMNS, tuple(map(row, layers)))), nl=False)


LAYERS = (convolution, pooling, linear, im2col)
