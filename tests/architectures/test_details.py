"""What papers say of their networks beyond a count."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnnbench import architectures
from cnnbench.architectures.export import count
from cnnbench.architectures.fcn import FCN
from cnnbench.architectures.meta import on_meta
from cnnbench.architectures.resnet_cifar import PaddedShortcut

CATALOGUE = architectures.catalogue()


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_each_layer_of_lenet5_has_the_parameters_the_paper_states():
    layers = [parameters(layer) for layer in CATALOGUE["lenet5"].build()]

    # C1, S2, C3, S4, C5, F6 of section II-B.
    assert [count for count in layers if count] == [156, 12, 1_516, 32, 48_120, 10_164]


def test_table_1_of_lenet5_gives_each_map_of_s2_ten_maps_of_c3():
    sees = CATALOGUE["lenet5"].build()[4].sees

    assert len(sees) == 16
    assert sum(len(inputs) for inputs in sees) == 60
    assert [sum(each in inputs for inputs in sees) for each in range(6)] == [10] * 6


def test_lenet5_has_a_linear_sibling_as_courses_teach_it():
    assert count(CATALOGUE["lenet5_tanh"]).params == 61_706


@pytest.mark.parametrize("patch", [9, 17, 33])
def test_bagnet_sees_no_more_than_its_patch(patch):
    module = CATALOGUE[f"bagnet{patch}"].build().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                # Means: nothing cancels, is cut off or overflows, so no pixel seems unseen.
                parameter.fill_(1 / parameter[0].numel())
    image = torch.ones(1, 3, 64, 64, requires_grad=True)

    maps = module[:-3](image)
    maps[0, :, 2, 2].sum().backward()

    seen = image.grad[0].abs().sum(0) > 0
    assert (int(seen.any(0).sum()), int(seen.any(1).sum())) == (patch, patch)


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_fcn_interpolates_bilinearly_and_does_not_learn_it(stride):
    with torch.device("meta"):
        meta = FCN(3, 3, stride)
    layer = FCN(3, 3, stride).up if stride == 8 else None

    assert [path for path, p in meta.named_parameters() if not p.requires_grad] == ["up.weight"]
    if layer is not None:
        out = layer(torch.ones(1, 3, 4, 4))
        torch.testing.assert_close(out[:, :, 8:-8, 8:-8], torch.ones(1, 3, 24, 24))


def test_the_shortcut_without_parameters_pads_with_zeros():
    x = torch.arange(2.0 * 4 * 4).reshape(1, 2, 4, 4)

    out = PaddedShortcut(2, 4)(x)

    assert out.shape == (1, 4, 2, 2)
    assert not out[:, [0, 3]].any()
    torch.testing.assert_close(out[:, 1:3], x[:, :, ::2, ::2])


def test_work_of_rcnn_grows_with_regions_and_that_of_fast_rcnn_with_the_image():
    regions, image = count(CATALOGUE["rcnn_vgg16"]).macs, count(CATALOGUE["fast_rcnn_vgg16"]).macs
    vgg16 = 15_470_264_320

    # Sixteen times VGG-16 but for the last layer, which has 21 classes and box offsets instead.
    assert regions / 16 == pytest.approx(vgg16, rel=1e-3)
    assert image < regions / 2
    # Of 2,000 regions, as in the papers: the shared convolutions are the part that does not grow.
    each = 25_088 * 4_096 + 4_096**2 + 4_096 * 5 * 21
    assert round(2_000 * regions / 16 / (image - 16 * each + 2_000 * each)) == 88


def test_highway_gates_start_nearly_closed():
    module = CATALOGUE["highway_cifar"].build()

    gates = [layer.gate.bias for layer in module.modules() if hasattr(layer, "gate")]

    assert len(gates) == 13
    assert all((bias == -1).all() for bias in gates)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        *((f"plain{depth}", depth) for depth in (18, 34, 50, 101, 152)),
        *((f"resnet{depth}_cifar", depth) for depth in (20, 32, 44, 56, 110)),
        *((f"plain{depth}_cifar", depth) for depth in (20, 56)),
        ("densenet40_cifar", 40),
        ("densenet100_cifar", 100),
        ("densenet_bc100_cifar", 100),
        ("overfeat_fast", 8),
        ("zfnet", 8),
        ("vgg_cifar", 11),
        ("vgg16_c", 16),
    ],
)
def test_names_and_papers_count_convolutions_and_linear_layers(name, layers):
    module = on_meta(CATALOGUE[name].build)

    weights = [each for each in module.modules() if isinstance(each, (nn.Conv2d, nn.Linear))]

    assert len(weights) == layers
