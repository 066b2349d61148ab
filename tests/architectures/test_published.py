"""Parameter counts against what papers, reference implementations and torchvision publish."""

from __future__ import annotations

import pytest
from torchvision import models

from cnnbench import architectures
from cnnbench.architectures.export import count

CATALOGUE = architectures.catalogue()
OWN = [name for name, each in CATALOGUE.items() if each.source == "cnnbench"]
CLAIMS = [name for name in OWN if CATALOGUE[name].params is not None]

# Counts that papers round, with the number of digits they give: name, published, unit.
ROUNDED = [
    ("mobilenet_v1_100", 4.2, 1e6),
    ("mobilenet_v1_075", 2.6, 1e6),
    ("mobilenet_v1_050", 1.3, 1e6),
    ("mobilenet_v1_025", 0.5, 1e6),
    ("resnet20_cifar", 0.27, 1e6),
    ("resnet32_cifar", 0.46, 1e6),
    ("resnet44_cifar", 0.66, 1e6),
    ("resnet56_cifar", 0.85, 1e6),
    ("resnet110_cifar", 1.7, 1e6),
    ("preact_resnet110_cifar", 1.7, 1e6),
    ("preact_resnet164_cifar", 1.7, 1e6),
    ("densenet40_cifar", 1.0, 1e6),
    ("densenet100_cifar", 7.0, 1e6),
    ("densenet_bc100_cifar", 0.8, 1e6),
    ("highway_cifar", 2.3, 1e6),
    ("nasnet_mobile", 5.3, 1e6),
    ("efficientnet_l2", 480, 1e6),
    ("vgg16_c", 134, 1e6),
]

SEEDS = {
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "resnet152": 60_192_808,
    "densenet201": 20_013_928,
    "inception_v3": 27_161_264,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    "efficientnet_b5": 30_389_784,
    "efficientnet_b6": 43_040_704,
    "efficientnet_b7": 66_347_960,
}


def digits(published: float) -> int:
    """Decimals in which a published number is given."""
    return len(f"{published}".partition(".")[2]) if isinstance(published, float) else 0


@pytest.mark.parametrize("name", CLAIMS)
def test_own_networks_have_the_published_number_of_parameters(name):
    architecture = CATALOGUE[name]

    assert count(architecture, **architecture.claim).params == architecture.params


@pytest.mark.parametrize(("name", "published", "unit"), ROUNDED, ids=[row[0] for row in ROUNDED])
def test_rounded_counts_round_as_the_papers_do(name, published, unit):
    exact = count(CATALOGUE[name]).params

    assert round(exact / unit, digits(published)) == published


def test_counts_that_papers_cut_or_that_differ_in_the_last_digit():
    # AlexNet has "60 million" and OverFeat (table 4) 145 M: both are cut, not rounded.
    assert count(CATALOGUE["alexnet_2012"]).params // 10**6 == 60
    assert count(CATALOGUE["overfeat_fast"]).params // 10**6 == 145
    # Mahajan et al. say 829 M for the 828.4 M of their model.
    assert count(CATALOGUE["resnext101_32x48d"]).params / 829e6 == pytest.approx(1, abs=1e-3)
    # NASNet-A 6 @ 4032: 88.9 M in table 2 is TensorFlow's count with moving means and variances.
    assert count(CATALOGUE["nasnet_large"]).params / 88.9e6 == pytest.approx(1, abs=2e-3)


def test_bit_has_928_million_parameters_without_its_classifier():
    classifier = 8192 * 1000 + 1000

    assert (count(CATALOGUE["bit_resnet152x4"]).params - classifier) // 10**6 == 928


@pytest.mark.parametrize("name", ["fcn32s", "fcn16s", "fcn8s"])
def test_fcn_has_134_million_parameters_without_its_interpolation(name):
    module = architectures.build(CATALOGUE[name])

    interpolation = sum(
        parameter.numel() for path, parameter in module.named_parameters() if path.startswith("up")
    )
    total = sum(parameter.numel() for parameter in module.parameters())

    assert (total - interpolation) // 10**6 == 134


@pytest.mark.parametrize("name", models.list_models())
def test_torchvision_models_have_the_parameters_of_their_weights(name):
    architecture = CATALOGUE[name]
    published = models.get_model_weights(name).DEFAULT.meta["num_params"]

    assert architecture.params == published
    assert count(architecture, **architecture.claim).params == published


def test_every_torchvision_model_is_there():
    found = {name for name, each in CATALOGUE.items() if each.source.startswith("torchvision")}

    assert found == set(models.list_models())
    assert len(found) >= 121


def test_googlenet_is_counted_with_and_without_its_auxiliary_heads():
    assert count(CATALOGUE["googlenet"]).params == 13_004_888
    assert count(CATALOGUE["googlenet"], aux_logits=False).params == 6_624_904
    assert count(CATALOGUE["inception_v3"], aux_logits=False).params == 23_834_568


def test_trainable_batch_norm_adds_its_parameters_to_a_detector():
    detector = CATALOGUE["fasterrcnn_resnet50_fpn"]

    difference = count(detector, frozen_norm=False).params - count(detector).params

    assert difference == 53_120


@pytest.mark.parametrize(("name", "published"), SEEDS.items(), ids=SEEDS)
def test_well_known_counts(name, published):
    assert count(CATALOGUE[name]).params == published


def test_a_lecture_counts_vgg16_with_a_max_pool_that_has_parameters():
    """It prints 138,423,208; the difference is a 1x1 convolution of 512 to 128 maps with bias.

    That is the first layer of GoogLeNet's auxiliary head, in a row called max-pool.
    """
    assert 138_423_208 - count(CATALOGUE["vgg16"]).params == 512 * 128 + 128 == 65_664


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("cifar_cnn", 137_729_024),
        ("vgg_cifar", 153_293_824),
        ("nin_cifar", 158_901_768),
        ("googlenet_cifar", 32_288_768),
        ("resnet18_lecture", 1_814_073_344),
    ],
)
def test_macs_of_the_lecture_networks(name, macs):
    assert count(CATALOGUE[name]).macs == macs


@pytest.mark.parametrize(
    "name", ["fcn_resnet50", "deeplabv3_resnet50", "r3d_18", "s3d", "vit_h_14"]
)
def test_published_macs_hold_for_what_is_built(name):
    """The auxiliary head of segmentation and 16 frames of video are part of torchvision's count."""
    architecture = CATALOGUE[name]

    assert round(count(architecture).macs / 1e9, 3) == round(architecture.macs / 1e9, 3)


@pytest.mark.parametrize(
    ("name", "published", "unit"),
    [
        # arXiv:1704.04861, tables 6 and 7
        ("mobilenet_v1_100", 569, 1e6),
        ("mobilenet_v1_075", 325, 1e6),
        ("mobilenet_v1_050", 149, 1e6),
        ("mobilenet_v1_025", 41, 1e6),
        # arXiv:1707.07012, tables 2 and 3
        ("nasnet_large", 23.8, 1e9),
        ("nasnet_mobile", 564, 1e6),
        # arXiv:1512.03385, table 1 and section 3.3
        ("plain34", 3.6, 1e9),
        # arXiv:1805.00932, table 1
        ("resnext101_32x48d", 153, 1e9),
    ],
)
def test_multiply_adds_that_papers_state(name, published, unit):
    assert round(count(CATALOGUE[name]).macs / unit, digits(published)) == published


def test_plain_networks_lack_only_the_projections_of_resnet():
    projections = (64 * 128 + 2 * 128) + (128 * 256 + 2 * 256) + (256 * 512 + 2 * 512)

    assert 11_689_512 - count(CATALOGUE["plain18"]).params == projections
