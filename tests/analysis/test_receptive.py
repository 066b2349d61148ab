"""Receptive fields by hand, and against the extent of float64 gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnnbench.analysis import analyze
from tests.analysis.field_truth import judge
from tests.analysis.random_networks import Call

pytestmark = pytest.mark.torch


def field(network, shape=(1, 4, 32, 32)):
    return analyze(network, (torch.zeros(shape),)).layers[0].field


def conv(axes=2, **options):
    return (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1](4, 4, 3, **options)


def resized(**options):
    return Call(f"{options}", lambda x: functional.interpolate(x, **options))


def padded(margins, mode):
    return Call(mode, lambda x: functional.pad(x, margins, mode))


def filled(x):
    """Two halves of the channels, written into a new tensor."""
    out = torch.empty_like(x)
    out[:, :2] = x[:, :2].roll(1, 2)
    out[:, 2:] = x[:, 2:]
    return out


def windows(x):
    """Each pixel gets the mean of its window, as attention in windows would mix them."""
    n, c, h, w = x.shape
    cut = x.view(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
    mixed = (cut @ cut.transpose(1, 2)).softmax(-1) @ cut
    back = mixed.view(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4)
    return back.reshape(n, c, h, w)


# network, size, stride, centre of the first element
KNOWN = {
    "shuffle": (nn.Sequential(conv(), nn.PixelShuffle(2), nn.Conv2d(1, 1, 3)), 4, 0.5, 1.5),
    "slice": (nn.Sequential(Call("::2", lambda x: x[..., ::2, ::2]), conv()), 5, 2, 2),
    "dilated transposed": (nn.ConvTranspose2d(4, 4, 3, dilation=2), 5, 1, -2),
    "transposed": (nn.ConvTranspose2d(4, 4, 4, 2, 1), 2, 0.5, -0.5),
    "average": (nn.Sequential(conv(), nn.AvgPool2d(2), conv()), 8, 2, 3.5),
    "antialiased": (resized(scale_factor=0.5, mode="bilinear", antialias=True), 4, 2, 0.5),
    "bilinear": (resized(scale_factor=2, mode="bilinear"), 2, 0.5, -0.5),
    "nearest": (resized(scale_factor=2), 1, 0.5, 0),
    "area": (resized(size=8, mode="area"), 4, 4, 1.5),
    "unshuffle": (nn.PixelUnshuffle(2), 1, 2, 0),
    "unshuffle, mixed": (nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(16, 4, 1)), 2, 2, 0.5),
    "unshuffle, apart": (
        nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(16, 16, 3, groups=16)),
        5,
        2,
        2,
    ),
    "unshuffle, residual": (
        nn.Sequential(
            nn.PixelUnshuffle(2),
            Call("x + f(x)", lambda x, f: x + f(x), nn.Conv2d(16, 16, 3, padding=1)),
            nn.Conv2d(16, 4, 3, padding=1),
        ),
        10,
        2,
        0.5,
    ),
    "circular": (conv(padding=1, padding_mode="circular"), 3, 1, 0),
    "reflected": (nn.Sequential(padded((1, 1, 1, 1), "reflect"), conv()), 3, 1, 0),
    "cropped": (nn.Sequential(padded((-2, 0, -2, 0), "constant"), conv()), 3, 1, 3),
    "flipped": (nn.Sequential(Call("flip", lambda x: x.flip(2, 3)), conv()), 3, -1, 30),
    "rolled": (Call("roll", lambda x: x + x.roll((-1, -1), (2, 3))), 2, 1, 0.5),
    "unfold": (nn.Sequential(nn.Unfold(3, 2), nn.Fold((28, 28), 1)), None, None, None),
    "windows": (Call("windows", windows), 4, 1, 1.5),
    "written": (Call("filled", filled), 1, 1, -0.5),
    "tokens": (Call("tokens", lambda x: x.flatten(2).mT.softmax(-1).mT.reshape(x.shape)), 1, 1, 0),
    "batch norm": (nn.Sequential(conv(), nn.BatchNorm2d(4)), 3, 1, 1),
}
EVERYTHING = {
    "pooled": nn.AdaptiveAvgPool2d(1),
    "gate": Call("gate", lambda x: x * x.mean((2, 3), keepdim=True)),
    "linear": nn.Sequential(nn.Flatten(), nn.Linear(4096, 5), nn.Unflatten(1, (5, 1, 1))),
    "instance norm": nn.InstanceNorm2d(4),
    "group norm": nn.GroupNorm(2, 4),
    "layer norm": nn.LayerNorm([4, 32, 32]),
    "fft": Call("fft", lambda x: torch.fft.fft2(x).abs()),
    "attention": Call("attention", lambda x: functional.scaled_dot_product_attention(
        *[x.flatten(2).mT[:, None]] * 3).squeeze(1).mT.reshape(x.shape)),
    "products": Call("products", lambda x: (
        (x.flatten(2).mT @ x.flatten(2)).softmax(-1) @ x.flatten(2).mT).mT.reshape(x.shape)),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in KNOWN if KNOWN[name][1] is not None])
def test_by_hand_and_by_gradients(name):
    network, size, stride, centre = KNOWN[name]
    found = field(network)

    assert found.known
    assert found.size == (size, 1 if name == "written" else size)
    assert found.stride == (stride, stride)
    assert found.centre[0] in (centre, -1)
    verdict = judge(network, (1, 4, 32, 32))
    assert verdict.kind in ("right", "beyond the picture"), verdict.reason


@pytest.mark.parametrize("name", EVERYTHING)
def test_what_mixes_positions_reads_everything(name):
    found = field(EVERYTHING[name])

    assert found.known
    assert found.size is None
    assert judge(EVERYTHING[name], (1, 4, 32, 32)).kind == "everything"


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_every_number_of_axes(axes):
    pool = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[axes - 1](2)
    found = field(nn.Sequential(conv(axes), pool, conv(axes)), (1, 4, *[16] * axes))

    assert found.size == (8,) * axes
    assert found.stride == (2,) * axes


def test_axes_apart():
    found = field(Call("rows", lambda x: x.mean(3, keepdim=True).expand_as(x)))

    assert found.size == (1, None)


@pytest.mark.parametrize("batch", [1, 2, 36, 1024])
def test_nothing_depends_on_the_batch(batch):
    network = nn.Sequential(
        conv(padding=1), nn.InstanceNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 36)
    )
    rows = analyze(network, (torch.zeros(batch, 4, 6, 6),)).layers

    assert [row.field.size for row in rows[1:]] == [(3, 3), None, None, None]


def test_an_unbatched_picture():
    found = field(conv(), (4, 32, 32))

    assert found.size == (3, 3)


@pytest.mark.parametrize(
    "network",
    [
        KNOWN["unfold"][0],
        Call("sample", lambda x: functional.grid_sample(
            x, torch.zeros(1, 8, 8, 2, device=x.device), align_corners=False)),
        Call("index", lambda x: x[:, :, torch.arange(8, device=x.device)]),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_not_known(network):
    found = field(network)

    assert not found.known
    assert (found.size, found.stride, found.centre) == (None, None, None)


def test_training_is_followed_as_inference():
    network = nn.Sequential(conv(), nn.BatchNorm2d(4), conv())
    found = analyze(network, (torch.zeros(2, 4, 32, 32),), phase="training").layers[0].field

    assert found.size == (5, 5)


EMPTY = {
    "no pictures": (lambda net, x: net.conv(x[:0]), None),
    "no channels beside": (lambda net, x: net.conv(torch.cat([x[:, :0], x], 1)), (3, 3)),
    "no rows above": (lambda net, x: net.conv(torch.cat([x[:, :, :0], x], 2)), (3, 3)),
    "no columns": (lambda net, x: net.conv(x)[..., 6:].sum(), (3, 3)),
    "a mean over nothing": (lambda net, x: net.conv(x)[:, :, :0].mean((2, 3)), (3, 3)),
    "the result": (lambda net, x: net.conv(x)[:, :, :0].mT.flip(2) + 1, (3, 3)),
}


@pytest.mark.parametrize("case", EMPTY)
@pytest.mark.parametrize("real", [False, True], ids=["meta", "real"])
def test_tensors_without_elements_have_no_field(case, real):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3)

        def forward(self, x):
            return EMPTY[case][0](self, x)

    analysis = analyze(Net(), (torch.zeros(2, 4, 8, 8),), real=real)
    (row,) = [one for one in analysis.layers if one.name == "conv"]

    assert (row.field and row.field.size) == EMPTY[case][1]
    assert "conv" in repr(analysis)
    assert analysis.to_json()
