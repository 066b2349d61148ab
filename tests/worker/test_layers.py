from __future__ import annotations

import pytest
import torch
from torch import nn

from cnnbench import analysis
from cnnbench.conv import layers
from cnnbench.errors import WorkerError
from cnnbench.requests import ExtractLayers
from cnnbench.runner import inquiry
from cnnbench.runner.process import Processes
from cnnbench.worker.layers import GENERATED, extract, suite_of


def taken_apart(module: nn.Module, *shape: int) -> layers.Extraction:
    return extract(analysis.analyze(module, (torch.empty(shape, device="meta"),)))


class Twice(nn.Module):
    """One layer that is called twice, one that is not called at all."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(4, 4, 3, padding=1)
        self.idle = nn.Conv2d(4, 9, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.body(x))


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_a_committed_suite_is_what_its_network_gives(name: str) -> None:
    assert suite_of(name) == layers.suite(name)


@pytest.mark.parametrize(
    ("layer", "shape", "name"),
    [
        (nn.Conv2d(6, 4, (1, 3), (2, 1), (0, 2), (1, 2), 2), (6, 9, 8),
         "conv:k4-1x3-s2x1-p0x2-d1x2-g2"),
        (nn.Conv2d(3, 5, 3, padding="same", dilation=2), (3, 8, 8), "conv:k5-3x3-p2-d2"),
        (nn.Conv2d(4, 8, 3, padding=1, groups=4), (4, 8, 8), "conv:k8-3x3-p1-g4"),
    ],
)  # fmt: skip
def test_geometry_is_exact(layer: nn.Conv2d, shape: tuple[int, ...], name: str) -> None:
    (found,) = taken_apart(layer, 1, *shape).layers

    assert (found.architecture, found.input) == (name, shape)
    assert tuple(found.problem().output_shape) == tuple(layer(torch.zeros(1, *shape)).shape)


def test_padding_of_another_kind_is_in_the_input_as_it_occurs() -> None:
    (found,) = taken_apart(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), 1, 3, 8, 8).layers

    assert (found.architecture, found.input) == ("conv:k4-3x3", (3, 10, 10))


def test_calls_are_counted_and_not_modules() -> None:
    found = taken_apart(Twice(), 1, 4, 8, 8)

    assert [(one.count, one.where) for one in found.layers] == [(2, ("body",))]
    assert found.macs == found.network_macs == 2 * 4 * 4 * 9 * 64


def test_an_input_without_a_batch_is_one_sample() -> None:
    (found,) = taken_apart(nn.Conv2d(3, 4, 3), 3, 8, 8).layers

    assert (found.architecture, found.input, found.count) == ("conv:k4-3x3", (3, 8, 8), 1)


def test_what_is_no_layer_of_the_lab_is_named() -> None:
    network = nn.Sequential(
        nn.ConvTranspose2d(3, 4, 3, 2, output_padding=1),
        nn.Conv2d(4, 4, 1),
        nn.Flatten(2),
        nn.Conv1d(4, 4, 5),
    )

    found = taken_apart(network, 1, 3, 8, 8)

    assert [layer.architecture for layer in found.layers] == ["conv:k4-3x3-s2-t1", "conv:k4-1x1"]
    assert found.left_out == {"1-dimensional 5": 1}
    assert found.macs < found.network_macs


def test_a_worker_takes_any_architecture_apart_at_any_size() -> None:
    with inquiry.asking(Processes()) as pool:
        whole = inquiry.ask(pool, ExtractLayers(name="resnet18"), 300)
        ten = ExtractLayers(name="resnet18", size=(64, 64), arguments={"num_classes": 10})
        small = inquiry.ask(pool, ten, 300)
        with pytest.raises(WorkerError, match="resnet81"):
            inquiry.ask(pool, ExtractLayers(name="resnet81"), 300)

    assert sum(layer.count for layer in whole.layers) == 20
    assert whole.macs == whole.network_macs - 512 * 1000
    assert whole.layers[0].input == (3, 224, 224)
    assert small.layers[0].input == (3, 64, 64)
    assert sum(layer.count for layer in small.layers) == 20
