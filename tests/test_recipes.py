"""Recipes as data: names, the numbers of an epoch, what an id says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import axes, recipes, suite, trust
from cnnbench.errors import UnknownName, UsageError
from cnnbench.recipes import RECIPES, SOURCES
from cnnbench.spec import Device, Mode, Spec


def test_names_of_recipes_and_data_sets_are_unique() -> None:
    assert len({one.name for one in RECIPES}) == len(RECIPES)
    assert len({one.name for one in SOURCES}) == len(SOURCES)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda one: one.name)
@pytest.mark.parametrize("workers", [0, 2])
def test_the_id_of_a_pipeline_says_what_it_is(recipe: recipes.Recipe, workers: int) -> None:
    workload = recipe.workload(8, workers)
    spec = Spec(workload, Mode(implementation="tensor"), Device(), 1)

    again = axes.understood(Spec.parse(spec.id))

    assert again == spec
    assert recipes.of_workload(again.workload) is recipe
    assert recipes.workers(again.workload) == workers
    assert recipes.alone(again.workload) == (workers > 0)
    assert spec.baseline == spec.plain


def test_an_unknown_recipe_is_refused_with_the_closest() -> None:
    with pytest.raises(UnknownName, match="imagenet-train"):
        recipes.recipe("imagenet-trian")


@pytest.mark.parametrize(
    ("text", "pictures"),
    [("cifar10", 50_000), ("mnist", 60_000), ("imagenet", 1_281_167), ("7", 7)],
)
def test_an_epoch_has_the_pictures_of_its_data_set(text: str, pictures: int) -> None:
    assert recipes.training_pictures(text) == pictures


@pytest.mark.parametrize("text", ["0", "-3", "cifar", "1e6", ""])
def test_what_is_no_data_set_is_refused(text: str) -> None:
    with pytest.raises(UnknownName, match="data set"):
        recipes.training_pictures(text)


@given(pictures=st.integers(1, 10**7), batch=st.integers(1, 4096))
def test_the_steps_of_an_epoch_hold_every_picture_and_no_batch_more(
    pictures: int, batch: int
) -> None:
    steps = recipes.batches(pictures, batch)

    assert (steps - 1) * batch < pictures <= steps * batch


@pytest.mark.parametrize("text", ["two", "-1", "1.5", ""])
def test_what_is_no_number_of_workers_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="number of workers"):
        recipes.workers_of(text)


@pytest.mark.parametrize("text", [str(recipes.MOST_WORKERS + 1), "100000", "9" * 5000])
def test_more_workers_than_a_machine_has_processes_are_refused(text: str) -> None:
    assert recipes.workers_of(str(recipes.MOST_WORKERS)) == recipes.MOST_WORKERS
    with pytest.raises(UsageError, match="at most 1,024 workers"):
        recipes.workers_of(text)


def test_a_network_has_no_workers() -> None:
    spec = Spec.parse("lenet/inference-b1-3x32x32-workers=2/eager/cpu-t1")

    with pytest.raises(UsageError, match="a network has no workers"):
        axes.understood(spec)


def test_pipelines_are_measured_by_their_own_command() -> None:
    with pytest.raises(UsageError, match="cnnbench input --recipe mnist"):
        suite.select(["input:mnist"])


def test_a_run_of_pipelines_may_be_resumed_by_anybody(tmp_path) -> None:
    name = "input:mnist/inference-b8-1x28x28/impl=tensor/cpu-t1"

    (spec,) = trust.specs([name], tmp_path)

    assert spec.id == name


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda one: one.name)
def test_batches_are_copied_to_cuda_through_pinned_memory(recipe: recipes.Recipe) -> None:
    on_cuda = recipes.steps(recipe, Device("cuda", 0))

    assert recipes.steps(recipe, Device()) == recipe.steps
    assert on_cuda == (*recipe.steps, *(("pin", "copy") if recipe.whole else ()))
