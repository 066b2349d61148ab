"""Every row of the lectures' per-layer tables: shapes, parameters, mult-adds with bias."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch import nn

from cnnbench import architectures
from cnnbench.analysis import analyze
from cnnbench.architectures.meta import on_meta

CATALOGUE = architectures.catalogue()
TABLE = Path(__file__).with_name("lecture_layers.csv")


def expected(network: str) -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["network"] == network]
    return [{name: value for name, value in row.items() if name != "network"} for row in rows]


def text(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape)


def row(position: int, layer: nn.Module, given: torch.Tensor, out: torch.Tensor) -> dict[str, str]:
    params = sum(parameter.numel() for parameter in layer.parameters())
    # What lectures (and torchinfo) print: every parameter once per output pixel.
    pixels = out.shape[2:].numel()
    kernel = text(layer.kernel_size) if isinstance(layer, nn.Conv2d) else ""
    return {
        "position": str(position),
        "layer": type(layer).__name__,
        "kernel": kernel,
        "input": text(given.shape),
        "output": text(out.shape),
        "params": str(params),
        "mult_adds": str(params * pixels),
    }


def rows(name: str) -> list[dict[str, str]]:
    """Convolutions and linear layers in the order in which a training step runs them."""
    found: list[dict[str, str]] = []
    module = on_meta(CATALOGUE[name].build).train()

    def record(layer, given, out):
        found.append(row(len(found) + 1, layer, given[0], out))

    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(record)
    module(torch.empty(1, *CATALOGUE[name].input, device="meta"))
    return found


@pytest.mark.parametrize("name", ["vgg_cifar", "nin_cifar"])
def test_every_row_of_the_table(name):
    assert rows(name) == expected(name)


def test_every_row_of_googlenet_and_the_classifier_its_table_lacks():
    *table, classifier = rows("googlenet_cifar")

    assert table == expected("googlenet_cifar")
    assert (classifier["input"], classifier["output"]) == ("1x1024", "1x10")


def test_the_tables_add_up_to_the_networks():
    for name, missing in (("vgg_cifar", 0), ("nin_cifar", 0), ("googlenet_cifar", 10_250)):
        total = sum(parameter.numel() for parameter in on_meta(CATALOGUE[name].build).parameters())

        assert sum(int(line["params"]) for line in expected(name)) + missing == total


def test_a_training_step_counts_the_heads_that_only_it_runs():
    architecture = CATALOGUE["googlenet_cifar"]
    module = on_meta(architecture.build)
    totals = analyze(module, (torch.empty(1, 3, 32, 32, device="meta"),), phase="training")
    heads = [4 * 512 * 128, 512 * 1024, 1024 * 10, 4 * 528 * 128, 512 * 1024, 1024 * 10]

    assert totals.macs == 32_288_768
    assert totals.forward_macs == 32_288_768 + sum(heads) == 33_890_304
    assert totals.training_macs == 33_890_304 + 65_372_160
