"""Pipelines do what their recipes say, on PIL's pictures and on tensors alike."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from cnnbench import recipes
from cnnbench.errors import Unsupported
from cnnbench.recipes import BACKENDS, RECIPES, SOURCES, Recipe
from cnnbench.spec import Device, Mode, Spec
from cnnbench.worker import pipeline, pipeline_tasks
from cnnbench.worker.pipeline import Pipeline
from cnnbench.worker.sampling import Pace
from cnnbench.worker.scenes import scenes
from cnnbench.worker.transforms import CLASSES, OF_BATCHES, TRANSFORMS

BATCH, SEED = 4, 3
WHOLE = [one for one in RECIPES if one.whole]
CIFAR = recipes.recipe("cifar-train")


def spec(recipe: Recipe, backend: str = "pil", workers: int = 0) -> Spec:
    return Spec(recipe.workload(BATCH, workers), BACKENDS[backend], Device(), 1)


def test_every_word_of_a_recipe_is_in_the_table_and_none_is_idle() -> None:
    said = {word for one in RECIPES for word in (*one.steps, *one.before)}

    assert said | {"pin", "copy"} == set(TRANSFORMS)
    assert set(TRANSFORMS) >= OF_BATCHES


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("recipe", WHOLE, ids=lambda one: one.name)
def test_a_recipe_makes_batches_for_a_network(recipe: Recipe, backend: str) -> None:
    pictures, classes = pipeline.made(spec(recipe, backend), SEED)()

    assert pictures.shape == (BATCH, *recipe.shape)
    assert pictures.dtype is torch.float32
    assert bool(torch.isfinite(pictures).all())
    mixed = {"mixup", "cutmix"} & {*recipe.steps}
    assert classes.shape == ((BATCH, CLASSES) if mixed else (BATCH,))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda one: one.name)
def test_both_back_ends_make_the_same(recipe: Recipe) -> None:
    usual, other = (
        pipeline_tasks.first_batch(pipeline.made(spec(recipe, backend), SEED), SEED)
        for backend in BACKENDS
    )

    found = pipeline_tasks.judge(other, usual)

    assert found.status == "ok", found.reason
    if not {*recipe.steps, *recipe.before} & _ROUNDED:
        assert found.error is not None
        assert found.error < 1e-6


# What is not exact: PIL resizes and changes colours in whole numbers.
_ROUNDED = {"resize", "random_resized_crop", "color_jitter", "auto_augment", "rand_augment",
            "trivial_augment", "augmix", "mixup", "cutmix"}  # fmt: skip


def test_another_picture_is_wrong() -> None:
    usual, other = (
        pipeline_tasks.first_batch(pipeline.made(spec(CIFAR), seed), seed) for seed in (0, 1)
    )

    assert pipeline_tasks.judge(other, usual).status == "wrong"
    assert pipeline_tasks.judge(usual[:1], usual).status == "wrong"
    nothing = [torch.full_like(one, math.nan) for one in usual]
    assert pipeline_tasks.judge(nothing, usual).status == "wrong"


def test_random_steps_draw_anew_on_every_call() -> None:
    made = pipeline.made(spec(CIFAR), SEED)

    first = made()[0]
    made.restart()

    assert not torch.equal(first, made()[0])


@pytest.mark.parametrize("name", ["imagenet-train", "cifar-strong", "mixup", "color_jitter"])
def test_the_parts_of_a_batch_add_up_to_it(name: str) -> None:
    made = pipeline.made(spec(recipes.recipe(name)), SEED)

    with pipeline.running(made, spec(recipes.recipe(name))) as (call, _):
        found = made.parts(call)

    assert [*found] == [*recipes.recipe(name).steps, "rest"]
    assert min(found.values()) >= 0
    assert all(found[step] > 0 for step in recipes.recipe(name).steps)


def test_workers_make_the_batches_of_the_recipe() -> None:
    eval_spec = spec(recipes.recipe("cifar-eval"), workers=2)
    made = pipeline.made(eval_spec, SEED)
    usual = [made()[0] for _ in range(3)]
    made.restart()

    with pipeline.running(made, eval_spec) as (call, pace):
        found = [call()[0] for _ in range(3)]

    assert pace == Pace(ahead=4, together=2)
    assert all(torch.equal(a, b) for a, b in zip(found, usual, strict=True))


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (replace(spec(CIFAR), mode=Mode(memory_format="channels_last")), "is for networks"),
        (replace(spec(CIFAR), workload=replace(CIFAR.workload(2), input=(3, 8, 8))), "3x32x32"),
        (spec(recipes.recipe("flip"), workers=1), "single step"),
    ],
)
def test_what_no_pipeline_can_do_is_refused(odd: Spec, why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        pipeline.made(odd, SEED)


@pytest.mark.parametrize("source", SOURCES, ids=lambda one: one.name)
def test_scenes_are_the_same_for_the_same_seed_and_of_the_right_shape(source) -> None:
    found = scenes(source, SEED)

    for one, again in zip(found, scenes(source, SEED), strict=True):
        assert np.array_equal(_pixels(one), _pixels(again))
    channels, *space = source.shape
    assert _pixels(found[0]).shape == (*space, channels)[: 3 if channels > 1 else 2]


def test_files_of_scenes_are_as_large_as_those_of_photographs() -> None:
    files = [one for one in scenes(recipes.IMAGENET, SEED) if isinstance(one, bytes)]

    assert 90_000 < sum(map(len, files)) / len(files) < 140_000


def test_scenes_have_the_spectrum_of_photographs() -> None:
    planes = [_pixels(one)[..., 0].astype(float) for one in scenes(recipes.IMAGENET, SEED)]
    power = sum(np.abs(np.fft.rfft2(plane - plane.mean())) ** 2 for plane in planes)
    frequency = np.hypot(np.fft.fftfreq(375)[:, None], np.fft.rfftfreq(500)[None])
    band = (frequency > 0.02) & (frequency < 0.2)

    slope, _ = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)

    assert -2.3 < slope < -1.7


def _pixels(one: bytes | np.ndarray) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(one))) if isinstance(one, bytes) else one


def test_a_pipeline_goes_round_its_pictures() -> None:
    recipe = recipes.recipe("cifar-eval")
    made = Pipeline(recipe, "tensor", BATCH, SEED, recipe.steps)

    assert torch.equal(made.picture(0)[0], made.picture(len(made))[0])
    assert isinstance(made.pictures, Sequence)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("workers", [0, 1])
def test_on_cuda_a_batch_ends_up_on_the_device(workers: int) -> None:
    recipe = recipes.recipe("cifar-eval")
    on_cuda = replace(spec(recipe, workers=workers), device=Device("cuda", 0))
    made = pipeline.made(on_cuda, SEED)

    with pipeline.running(made, on_cuda) as (call, _):
        pictures, classes = call()

    assert pictures.device.type == classes.device.type == "cuda"
