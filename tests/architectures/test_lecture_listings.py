"""The lectures' networks against modules written here as the lectures say."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnbench import architectures
from cnnbench.architectures.export import count
from tests.architectures.test_twins import empty, randomise

CATALOGUE = architectures.catalogue()


class BlockAndClassifier(nn.Module):
    """A residual block of n maps and one linear layer on all of its pixels."""

    def __init__(self, maps: int = 64) -> None:
        super().__init__()
        self.point = nn.Conv2d(maps, maps, kernel_size=1)
        self.window = nn.Conv2d(maps, maps, kernel_size=3, padding=1)
        self.classify = nn.Linear(maps * 24 * 24, 751)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.window(functional.relu(self.point(x)))) + x
        return self.classify(y.flatten(1))


class MnistNet(nn.Module):
    """Batch norm and dropout behind the ReLU of every hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, kernel_size=3, padding=1)
        self.norm1, self.drop1 = nn.BatchNorm2d(32), nn.Dropout2d(0.25)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3, padding=1)
        self.norm2, self.drop2 = nn.BatchNorm2d(64), nn.Dropout2d(0.5)
        self.fc1 = nn.Linear(64 * 14 * 14, 128)
        self.norm3, self.drop3 = nn.BatchNorm1d(128), nn.Dropout(0.25)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop1(self.norm1(functional.relu(self.conv1(x))))
        x = self.drop2(self.norm2(functional.relu(self.conv2(x))))
        x = functional.max_pool2d(x, 2).flatten(1)
        return self.fc2(self.drop3(self.norm3(functional.relu(self.fc1(x)))))


class CifarNet(nn.Module):
    """Three pairs of convolutions, then three linear layers."""

    def __init__(self) -> None:
        super().__init__()
        widths = [(3, 32, 64), (64, 128, 128), (128, 256, 256)]
        self.pairs = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(a, b, 3, 1, 1), nn.BatchNorm2d(b), nn.Conv2d(b, c, 3, 1, 1)])
            for a, b, c in widths
        )
        self.fc = nn.ModuleList([nn.Linear(4096, 1024), nn.Linear(1024, 512), nn.Linear(512, 10)])

    def forward(self, x: Tensor) -> Tensor:
        for place, (first, norm, second) in enumerate(self.pairs):
            x = functional.relu(second(functional.relu(norm(first(x)))))
            x = functional.max_pool2d(x, 2, 2)
            x = functional.dropout2d(x, 0.05, self.training) if place == 1 else x
        x = functional.dropout(x.flatten(1), 0.1, self.training)
        x = functional.relu(self.fc[1](functional.relu(self.fc[0](x))))
        return self.fc[2](functional.dropout(x, 0.1, self.training))


class LazyResidual(nn.Module):
    """A basic block of torch's default layers; its shortcut is a bare 1x1 convolution."""

    def __init__(self, channels: int, stride: int | None) -> None:
        super().__init__()
        self.conv1 = nn.LazyConv2d(channels, 3, stride=stride or 1, padding=1)
        self.bn1 = nn.LazyBatchNorm2d()
        self.conv2 = nn.LazyConv2d(channels, 3, padding=1)
        self.bn2 = nn.LazyBatchNorm2d()
        self.conv3 = None if stride is None else nn.LazyConv2d(channels, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + (x if self.conv3 is None else self.conv3(x)))


def lazy_resnet18() -> nn.Module:
    blocks = [LazyResidual(64, None), LazyResidual(64, None)]
    for channels in (128, 256, 512):
        blocks += [LazyResidual(channels, 2), LazyResidual(channels, None)]
    network = nn.Sequential(
        nn.LazyConv2d(64, 7, stride=2, padding=3), nn.LazyBatchNorm2d(), nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1), *blocks,
        nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.LazyLinear(10),
    )  # fmt: skip
    network(torch.zeros(2, 3, 32, 32))
    return network


class Mixed(nn.Module):
    """An inception block by its row in table 1 of the paper."""

    def __init__(self, taken: int, row: tuple[int, ...]) -> None:
        super().__init__()
        one, three_in, three, five_in, five, pool = row
        self.one = nn.Conv2d(taken, one, 1)
        self.three_in, self.three = nn.Conv2d(taken, three_in, 1), nn.Conv2d(three_in, three, 3)
        self.five_in, self.five = nn.Conv2d(taken, five_in, 1), nn.Conv2d(five_in, five, 5)
        self.three.padding, self.five.padding = (1, 1), (2, 2)
        self.pool = nn.Conv2d(taken, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        branches = (
            self.one(x),
            self.three(functional.relu(self.three_in(x))),
            self.five(functional.relu(self.five_in(x))),
            self.pool(functional.max_pool2d(x, 3, stride=1, padding=1)),
        )
        return torch.cat([functional.relu(branch) for branch in branches], 1)


INCEPTION = {
    "3a": (192, (64, 96, 128, 16, 32, 32)),
    "3b": (256, (128, 128, 192, 32, 96, 64)),
    "4a": (480, (192, 96, 208, 16, 48, 64)),
    "4b": (512, (160, 112, 224, 24, 64, 64)),
    "4c": (512, (128, 128, 256, 24, 64, 64)),
    "4d": (512, (112, 144, 288, 32, 64, 64)),
    "4e": (528, (256, 160, 320, 32, 128, 128)),
    "5a": (832, (256, 160, 320, 32, 128, 128)),
    "5b": (832, (384, 192, 384, 48, 128, 128)),
}


class GoogLeNetByTable(nn.Module):
    """Layers by table 1; ``published`` or as the lecture writes it for 32x32."""

    def __init__(self, classes: int, *, published: bool) -> None:
        super().__init__()
        self.published = published
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3)
        self.conv2_in, self.conv2 = nn.Conv2d(64, 64, 1), nn.Conv2d(64, 192, 3, padding=1)
        head = 2048 if published else 512
        for name, (taken, row) in INCEPTION.items():
            setattr(self, f"mixed{name}", Mixed(taken, row))
            if name in ("4a", "4d"):
                given = sum(row[place] for place in (0, 2, 4, 5))
                layers = [nn.Conv2d(given, 128, 1), nn.Linear(head, 1024), nn.Linear(1024, classes)]
                setattr(self, f"head{name}", nn.ModuleList(layers))
        self.fc = nn.Linear(1024, classes)

    def pool(self, x: Tensor) -> Tensor:
        if self.published:
            return functional.max_pool2d(x, 3, 2, ceil_mode=True)
        return functional.max_pool2d(x, 3, 2, padding=1)

    def norm(self, x: Tensor) -> Tensor:
        return functional.local_response_norm(x, 5) if self.published else x

    def auxiliary(self, x: Tensor, layers: nn.ModuleList) -> Tensor:
        reduce, first, last = layers
        x = reduce(functional.avg_pool2d(x, 5, 3) if self.published else x)
        x = functional.relu(x) if self.published else x
        x = functional.relu(first(x.flatten(1)))
        return last(functional.dropout(x, 0.7 if self.published else 0.5, self.training))

    def forward(self, x: Tensor) -> tuple[Tensor, ...] | Tensor:
        x = self.norm(self.pool(functional.relu(self.conv1(x))))
        x = functional.relu(self.conv2(functional.relu(self.conv2_in(x))))
        x = self.pool(self.norm(x))
        heads = []
        for name in INCEPTION:
            if name in ("4a", "5a"):
                x = self.pool(x)
            x = getattr(self, f"mixed{name}")(x)
            if self.training and name in ("4a", "4d"):
                heads.append(self.auxiliary(x, getattr(self, f"head{name}")))
        x = functional.dropout(x.mean((2, 3)), 0.4, self.training)
        return (self.fc(x), *heads) if self.training else self.fc(x)


class VggC(nn.Module):
    """Column C of table 1: three of its thirteen convolutions are 1x1."""

    def __init__(self) -> None:
        super().__init__()
        column = ["64", "64", "128", "128"]
        column += ["256", "256", "1x256", "512", "512", "1x512", "512", "512", "1x512"]
        self.convs, taken = nn.ModuleList(), 3
        for entry in column:
            small, width = entry.startswith("1x"), int(entry.removeprefix("1x"))
            self.convs.append(nn.Conv2d(taken, width, 1 if small else 3, padding=int(not small)))
            taken = width
        sizes = (25088, 4096, 4096, 1000)
        self.fcs = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        for place, conv in enumerate(self.convs):
            x = functional.relu(conv(x))
            x = functional.max_pool2d(x, 2) if place in (1, 3, 6, 9, 12) else x
        x = x.flatten(1)
        for layer in [*self.fcs][:-1]:
            x = functional.dropout(functional.relu(layer(x)), 0.5, self.training)
        return self.fcs[-1](x)


class PlainCifar(nn.Module):
    """3x3 convolutions, each with batch norm and ReLU; two of them halve the map."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        each = (depth - 2) // 3
        widths = [16] + [16] * each + [32] * each + [64] * each
        self.layers, taken = nn.ModuleList(), 3
        for width in widths:
            stride = 2 if taken != width and taken > 3 else 1
            conv = nn.Conv2d(taken, width, 3, stride, 1, bias=False)
            self.layers.append(nn.ModuleList([conv, nn.BatchNorm2d(width)]))
            taken = width
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in self.layers:
            x = functional.relu(norm(conv(x)))
        return self.fc(x.mean((2, 3)))


def weighted(module: nn.Module) -> list[nn.Module]:
    """Layers with parameters, in order of registration."""
    return [one for one in module.modules() if [*one.parameters(recurse=False)]]


def twins(name: str, other: nn.Module) -> nn.Module:
    """The catalogue's network with the weights of another, in order of registration."""
    torch.manual_seed(0)
    randomise(other)
    mine = empty(CATALOGUE[name].build)
    for layer, theirs in zip(weighted(mine), weighted(other), strict=True):
        layer.load_state_dict(theirs.state_dict())
    return mine


LISTINGS = {
    "residual_block_net": BlockAndClassifier,
    "mnist_cnn": MnistNet,
    "cifar_cnn": CifarNet,
    "resnet18_lecture_cifar": lazy_resnet18,
    "googlenet_cifar": lambda: GoogLeNetByTable(10, published=False),
    "googlenet_2014": lambda: GoogLeNetByTable(1000, published=True),
    "plain20_cifar": lambda: PlainCifar(20),
    "plain56_cifar": lambda: PlainCifar(56),
    "vgg16_c": VggC,
}


@pytest.mark.parametrize("name", LISTINGS)
@torch.no_grad()
def test_the_catalogues_network_is_the_listing(name: str) -> None:
    """In inference and in training, where the same seed draws the same dropout."""
    other = empty(LISTINGS[name])
    mine = twins(name, other)
    images = torch.randn(2, *CATALOGUE[name].input)

    for training in (False, True):
        found = []
        for module in (mine.train(training), other.train(training)):
            torch.manual_seed(1)
            found.append(module(images))
        heads, wanted = ([one] if isinstance(one, Tensor) else one for one in found)
        assert all(one.std() > 1e-3 for one in wanted)
        for head, same in zip(heads, wanted, strict=True):
            torch.testing.assert_close(head, same, rtol=1e-6, atol=1e-6 * float(same.std()))


@pytest.mark.parametrize(
    ("name", "params", "buffers", "macs"),
    [
        ("residual_block_net", 27_726_703, 0, 51_277_824),
        ("mnist_cnn", 1_626_314, 451, 16_283_392),
        ("resnet18_lecture_cifar", 11_184_650, 7_825, 37_016_576),
        ("vgg16_c", 133_638_952, 0, 11_770_888_192),
        # Both auxiliary heads: 512 and 528 maps to 128, fc 2048-1024-1000.
        ("googlenet_2014", 6_998_552 + 6_379_728, 0, 1_582_671_872),
    ],
)
def test_counts_of_the_listings(name: str, params: int, buffers: int, macs: int) -> None:
    found = count(CATALOGUE[name])

    assert (found.params, found.buffers, found.macs) == (params, buffers, macs)


def test_the_cifar_network_has_the_lectures_layers_and_no_others() -> None:
    network = CATALOGUE["cifar_cnn"].build()

    dropouts = [(type(one).__name__, one.p) for one in network if hasattr(one, "p")]
    assert dropouts == [("Dropout2d", 0.05), ("Dropout", 0.1), ("Dropout", 0.1)]
    assert all(one.inplace for one in network if isinstance(one, nn.ReLU))


@pytest.mark.parametrize("depth", [20, 56])
def test_a_plain_network_for_cifar_is_its_residual_twin_without_shortcuts(depth: int) -> None:
    plain, residual = (
        count(CATALOGUE[f"plain{depth}_cifar"]),
        count(CATALOGUE[f"resnet{depth}_cifar"]),
    )

    assert (plain.params, plain.macs) == (residual.params, residual.macs)
