"""Every network runs: forward and backward, at its own size or a small one it takes."""

from __future__ import annotations

import pytest
import torch

from cnnbench import architectures
from cnnbench.architectures.losses import Loss
from cnnbench.architectures.meta import on_meta
from cnnbench.architectures.tasks import TASKS

CATALOGUE = architectures.catalogue()
OWN = [name for name, each in CATALOGUE.items() if each.source == "cnnbench"]

# Networks are run with real numbers up to this many parameters, beyond it on the meta device.
REAL = 30_000_000
SMALL = 32


def small(architecture) -> tuple[int, ...]:
    *front, height, width = architecture.input
    side = max(SMALL, architecture.min_size)
    return (*front, min(side, height), min(side, width))


def train(architecture, device: str):
    """One training step; returns loss and module."""
    torch.manual_seed(0)
    task = TASKS[architecture.task]
    make = task.training_inputs or task.inputs
    inputs = make(2, small(architecture), torch.Generator().manual_seed(0))
    inputs = tuple(tensor.to(device) for tensor in inputs)
    build = architecture.build
    module = (on_meta(build) if device == "meta" else build()).train()
    loss = Loss("auto", task.loss, 0)(module(*inputs), inputs)
    loss.backward()
    torch.optim.SGD(module.parameters(), lr=1e-4).step()
    return loss, module


def size(name: str) -> int:
    return sum(parameter.numel() for parameter in on_meta(CATALOGUE[name].build).parameters())


@pytest.mark.parametrize("name", OWN)
def test_a_training_step_reaches_every_trainable_parameter(name):
    device = "cpu" if size(name) <= REAL else "meta"

    loss, module = train(CATALOGUE[name], device)

    assert loss.shape == ()
    assert device == "meta" or torch.isfinite(loss)
    without = [path for path, p in module.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@pytest.mark.parametrize("name", OWN)
def test_inference_has_the_documented_shape(name):
    architecture = CATALOGUE[name]
    module = on_meta(architecture.build).eval()
    (images, *rest) = TASKS[architecture.task].inputs(2, architecture.input, torch.Generator())

    with torch.no_grad():
        out = module(images.to("meta"), *(tensor.to("meta") for tensor in rest))

    if architecture.task == "classification":
        classes = {"imagenet": 1000, "cifar": 10, "mnist": 10}
        (known,) = {classes[tag] for tag in architecture.tags if tag in classes} or {751}
        assert tuple(out.shape) == (2, known)
    elif architecture.task == "regions":
        assert [tuple(part.shape) for part in out] == [(32, 21), (32, 84)]
    elif architecture.name == "unet":
        assert tuple(out.shape) == (2, 2, 388, 388)
    else:
        assert tuple(out.shape) == (2, 21, 500, 500)


@pytest.mark.parametrize("name", OWN)
def test_min_size_is_the_smallest_that_runs(name):
    architecture = CATALOGUE[name]
    module = on_meta(architecture.build)

    def runs(side: int) -> bool:
        shape = (*architecture.input[:-2], side, side)
        inputs = TASKS[architecture.task].inputs(2, shape, torch.Generator())
        try:
            for mode in (True, False):
                module.train(mode)(*(tensor.to("meta") for tensor in inputs))
        except (RuntimeError, ValueError):
            return False
        return True

    smallest = architecture.min_size
    assert smallest is not None
    # One pixel in all is a value that batch norm cannot train on, at any batch but a larger one.
    assert runs(smallest)
    assert smallest == 1 or not runs(smallest - 1)


@pytest.mark.parametrize(
    "name",
    [
        "quantized_resnet18",
        "fcn_resnet50",
        "lraspp_mobilenet_v3_large",
        "ssdlite320_mobilenet_v3_large",
        "fcos_resnet50_fpn",
        "maskrcnn_resnet50_fpn",
        "keypointrcnn_resnet50_fpn",
        "raft_small",
        "googlenet",
        "inception_v3",
    ],
)
def test_each_task_of_torchvision_trains(name):
    architecture = CATALOGUE[name]
    task = TASKS[architecture.task]
    generator = torch.Generator().manual_seed(0)
    side = {"raft_small": 128, "inception_v3": 299}.get(name, 64)
    inputs = (task.training_inputs or task.inputs)(2, (3, side, side), generator)
    # Detectors enlarge every image to 800 pixels and look at hundreds of regions; less does here.
    less = {"min_size": 64, "max_size": 96} if "rcnn" in name or "fcos" in name else {}
    few = {"rpn_post_nms_top_n_train": 16, "box_batch_size_per_image": 16} if "rcnn" in name else {}
    module = architectures.build(architecture, **less, **few)

    loss = Loss("auto", task.loss, 0)(module.train()(*inputs), inputs)
    loss.backward()

    assert loss.shape == ()
    assert torch.isfinite(loss)


def test_video_runs_on_clips():
    architecture = CATALOGUE["mc3_18"]
    module = on_meta(architecture.build).eval()

    (clip,) = TASKS["video"].inputs(2, architecture.input, torch.Generator())

    assert clip.shape == (2, 3, 16, 112, 112)
    assert module(clip.to("meta")).shape == (2, 400)


def test_detectors_take_lists_of_images():
    (images,) = TASKS["detection"].inputs(3, (3, 64, 80), torch.Generator())

    assert [tuple(image.shape) for image in images] == [(3, 64, 80)] * 3


def test_the_same_seed_gives_the_same_inputs_and_loss():
    for task in TASKS.values():
        first, second = (
            task.inputs(1, (3, 32, 32), torch.Generator().manual_seed(7)) for _ in range(2)
        )

        torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["fast_rcnn_vgg16", "rcnn_vgg16"])
@pytest.mark.parametrize("autocast", [True, False])
def test_region_networks_run_in_sixteen_bits(name: str, autocast: bool) -> None:
    # The operators on regions know no bfloat16; the networks must not hand it to them.
    architecture = architectures.resolve(name)
    module = architectures.build(architecture, num_classes=2).eval()
    images, boxes = torch.rand(1, 3, 64, 64), torch.tensor([[[4.0, 4.0, 40.0, 40.0]]])
    if not autocast:
        module, images, boxes = module.bfloat16(), images.bfloat16(), boxes.bfloat16()

    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        scores, offsets = module(images, boxes)

    assert scores.shape == (1, 2)
    assert offsets.shape == (1, 8)
