"""``cnnbench shape``: sizes, parameters and MACs of layers by formula; imports no torch."""

from __future__ import annotations

import click

from cnnbench.cli import options
from cnnbench.cli.shape_comparisons import COMPARISONS
from cnnbench.cli.shape_layers import LAYERS

_EPILOG = """\b
Examples:
  cnnbench shape conv --in 28 --kernel 5 --padding 2 --stride 1
  cnnbench shape conv --in 3x224x224 --out-channels 64 --kernel 7 --stride 2 --padding 3
  cnnbench shape pool --in 112 --kernel 3 --stride 2 --padding 1
  cnnbench shape pool --in 64x112x112 --kernel 3 --stride 2 --padding 1
  cnnbench shape transposed --in 14 --kernel 4 --stride 2 --padding 1
  cnnbench shape transposed --in 512x14x14 --out-channels 256 --kernel 4 --stride 2 --padding 1
  cnnbench shape im2col --in 64x56x56 --out-channels 64 --kernel 3 --padding 1
  cnnbench shape linear --in 512 --out-features 10
  cnnbench shape bottleneck --in 480x14x14 --out-channels 48 --kernel 5 --through 16
  cnnbench shape inception --in 192x28x28 --maps 64,96,128,16,32,32
  cnnbench shape stack --in 64x56x56 --kernel 7 --small 3
  cnnbench shape separable --in 32x112x112 --out-channels 64 --kernel 3
  cnnbench shape fc-conv --in 512x7x7 --out-channels 4096
  cnnbench shape head --in 512x7x7 --classes 1000 --hidden 4096,4096
"""


@click.group(epilog=_EPILOG)
@options.debug
def command() -> None:
    """Calculate output sizes, parameters and MACs of layers, and classic comparisons."""


for _one in (*LAYERS, *COMPARISONS):
    command.add_command(_one)
