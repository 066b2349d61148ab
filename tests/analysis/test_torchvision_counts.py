"""MACs and parameters of every torchvision model against its own metadata."""

from __future__ import annotations

import functools

import pytest
import torch
from torchvision import models

from cnnbench.analysis import analyze, build_on_meta

SQUARES = {"inception_v3": 299}


def on_meta(*shape):
    return torch.empty(shape, device="meta")


def published(name):
    return models.get_model_weights(name).DEFAULT


def build(name, **arguments):
    if name in {"googlenet", "inception_v3"}:
        arguments["init_weights"] = False
    if name == "googlenet":
        arguments["aux_logits"] = False  # its num_params are without, all others with
    return build_on_meta(functools.partial(models.get_model, name, weights=None, **arguments))


def check(module, inputs, name):
    analysis = analyze(module, inputs)

    assert round(analysis.macs / 1e9, 3) == published(name).meta["_ops"]
    assert analysis.params == published(name).meta["num_params"]
    assert analysis.uncounted == {}
    return analysis


@pytest.mark.parametrize("name", models.list_models(module=models))
def test_classification(name):
    (size,) = published(name).transforms().crop_size
    module = build(name, **({"image_size": size} if name == "vit_h_14" else {}))

    check(module, (on_meta(1, 3, size, size),), name)


@pytest.mark.parametrize("name", models.list_models(module=models.segmentation))
def test_segmentation(name):
    auxiliary = {} if name.startswith("lraspp") else {"aux_loss": True}

    check(build(name, weights_backbone=None, **auxiliary), (on_meta(1, 3, 520, 520),), name)


@pytest.mark.parametrize("name", models.list_models(module=models.video))
def test_video(name):
    crop = published(name).transforms().crop_size
    height, width = (tuple(crop) * 2)[:2]

    check(build(name), (on_meta(1, 3, 16, height, width),), name)


@pytest.mark.parametrize("name", models.list_models(module=models.optical_flow))
def test_optical_flow(name):
    frame = on_meta(1, 3, 512, 512)

    check(build(name), (frame, frame), name)


@pytest.mark.parametrize("name", models.list_models(module=models.quantization))
def test_quantizable_in_float(name):
    base = name.removeprefix("quantized_")
    (size,) = published(name).transforms().crop_size
    arguments = {"init_weights": False} if base in {"googlenet", "inception_v3"} else {}
    if base == "googlenet":
        arguments["aux_logits"] = False

    check(build(name, quantize=False, **arguments), (on_meta(1, 3, size, size),), name)


# _ops of the two-stage detectors depends on how many boxes the published weights found in noise:
# the number of proposals
# (and of detections) that explains it, from the models' own limits.
STATIC_DETECTORS = ("fcos_resnet50_fpn", "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2",
                    "ssd300_vgg16", "ssdlite320_mobilenet_v3_large")  # fmt: skip
BOXES = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": (0, 0),
    "fasterrcnn_mobilenet_v3_large_fpn": (0, 0),
    "fasterrcnn_resnet50_fpn": (1000, 0),
    "fasterrcnn_resnet50_fpn_v2": (1000, 0),
    "keypointrcnn_resnet50_fpn": (1000, 1),
    "maskrcnn_resnet50_fpn": (1000, 0),
    "maskrcnn_resnet50_fpn_v2": (1000, 100),
}


def detector(name):
    with torch.no_grad():
        return build(name, weights_backbone=None)


@pytest.mark.parametrize("name", STATIC_DETECTORS)
def test_one_stage_detectors_have_no_slope(name):
    analysis = analyze(detector(name), ([on_meta(3, 512, 512)],))

    assert round(analysis.macs / 1e9, 3) == published(name).meta["_ops"]
    assert analysis.slopes == ()
    assert analysis.assumptions


@pytest.mark.parametrize(("name", "boxes"), BOXES.items())
def test_two_stage_detectors_are_a_static_part_and_slopes(name, boxes):
    analysis = analyze(detector(name), ([on_meta(3, 512, 512)],))

    proposals, detections = boxes
    box = sum(s.macs for s in analysis.slopes if s.layer.startswith("roi_heads.box"))
    rest = sum(s.macs for s in analysis.slopes if not s.layer.startswith("roi_heads.box"))
    macs = analysis.macs + proposals * box + detections * rest
    assert box > 0
    assert round(macs / 1e9, 3) == published(name).meta["_ops"]


@pytest.mark.parametrize("name", models.list_models(module=models.detection))
def test_every_detector_runs_and_has_the_published_parameters(name):
    analysis = analyze(detector(name), ([on_meta(3, 512, 512)],))

    # Published are the variants whose backbone's batch norms are frozen into buffers.
    norms = sum(
        row.own_params
        for row in analysis.layers
        if row.type == "BatchNorm2d" and row.name.startswith("backbone.body")
    )
    assert published(name).meta["num_params"] in (analysis.params, analysis.params - norms)
    assert analysis.uncounted == {}


def test_mask_heads_have_a_slope_of_their_own():
    analysis = analyze(detector("maskrcnn_resnet50_fpn"), ([on_meta(3, 512, 512)],))

    layers = {slope.layer.split(".")[1] for slope in analysis.slopes}
    assert {"box_head", "box_predictor", "mask_head", "mask_predictor"} <= layers


def test_auxiliary_heads_are_stated():
    module = build_on_meta(functools.partial(models.googlenet, weights=None, init_weights=False))

    analysis = analyze(module, (on_meta(1, 3, 224, 224),))

    assert analysis.params == 13_004_888
    assert analysis.auxiliary_params == 13_004_888 - 6_624_904
