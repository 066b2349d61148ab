from __future__ import annotations

from dataclasses import replace

import pytest

from cnnbench import catalogue, suite
from cnnbench.errors import UnknownName, Unsupported, UsageError
from cnnbench.spec import SENSIBLE_MODES, Device, Mode, Spec
from cnnbench.suite import Facts, Grid

KNOWN = {"small": Facts((3, 32, 32), 1000, 32), "large": Facts((3, 224, 224), 5000, 64)}
GRID = Grid(("small", "large"), ("eager", "channels_last"), (1, 8), ("inference", "training"))


def expand(grid: Grid, known=KNOWN):
    """The specs on the CPU with one thread."""
    grid = replace(grid, threads=grid.threads or (1,))
    return suite.expand(grid, Device(), suite.modes(grid.modes, Device()), known)


def test_a_grid_is_every_combination_once() -> None:
    specs = expand(GRID, KNOWN).specs

    assert len(specs) == len({spec.id for spec in specs}) == 2 * 2 * 2 * 2


def test_modes_of_one_workload_stand_together() -> None:
    specs = expand(GRID, KNOWN).specs

    workloads = [spec.workload for spec in specs]
    assert workloads[0::2] == workloads[1::2]


def test_every_network_keeps_its_own_input_unless_a_size_is_given() -> None:
    own = {spec.workload.input for spec in expand(GRID, KNOWN).specs}
    sized = {spec.workload.input for spec in expand(replace(GRID, sizes=((96, 64),)), KNOWN).specs}

    assert own == {(3, 32, 32), (3, 224, 224)}
    assert sized == {(3, 96, 64)}


def test_a_whole_input_shape_replaces_everything() -> None:
    grid = replace(GRID, input=(1, 100, 100))

    assert {spec.workload.input for spec in expand(grid, KNOWN).specs} == {(1, 100, 100)}


def test_a_size_that_one_network_cannot_take_is_a_row_of_that_network_only() -> None:
    expansion = expand(replace(GRID, sizes=((32, 32),)), KNOWN)

    models = {spec.workload.model for spec in expansion.specs if spec.id in expansion.impossible}
    assert models == {"large"}
    assert set(expansion.impossible.values()) == {
        "model 'large' cannot take 32x32; the smallest it takes is 64x64"
    }
    assert len(expansion.specs) == 16


@pytest.mark.parametrize("phases", [("inference",), ("inference", "inference")])
def test_a_grid_of_which_nothing_is_possible_is_refused(phases: tuple[str, ...]) -> None:
    with pytest.raises(Unsupported, match="cannot take 8x8; the smallest it takes is 32x32"):
        expand(replace(GRID, sizes=((8, 8),), phases=phases), KNOWN)


def test_the_smaller_side_decides() -> None:
    with pytest.raises(Unsupported, match="cannot take 500x8"):
        expand(replace(GRID, sizes=((500, 8),)), KNOWN)


def test_what_is_said_twice_is_measured_once() -> None:
    grid = replace(GRID, batches=(1, 1), modes=("eager", "contiguous"), phases=("inference",))

    assert len(expand(grid, KNOWN).specs) == 2


def test_arguments_and_threads_reach_every_spec() -> None:
    grid = replace(GRID, arguments={"width": 2}, threads=(3,))

    specs = expand(grid, KNOWN).specs
    assert {(spec.workload.model, spec.threads) for spec in specs} == {
        ("small?width=2", 3),
        ("large?width=2", 3),
    }


def test_guessed_macs_grow_with_batch_and_area() -> None:
    base = expand(replace(GRID, modes=("eager",), phases=("inference",)), KNOWN)
    grown = expand(replace(GRID, modes=("eager",), phases=("inference",), sizes=((64, 64),)), KNOWN)

    assert list(base.macs.values()) == [1000, 8000, 5000, 40000]
    assert list(grown.macs.values())[:2] == [4000, 32000]


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_all_modes_are_the_sensible_ones_of_the_device(kind: str) -> None:
    modes = suite.modes(("all",), Device(kind))

    assert [mode.text for mode in modes] == list(SENSIBLE_MODES[kind])


def test_a_mode_said_twice_counts_once() -> None:
    assert suite.modes(("amp", "all", "amp=bf16"), Device())[0] == Mode(precision="amp=bf16")
    assert len(suite.modes(("amp", "all"), Device())) == len(SENSIBLE_MODES["cpu"])


def test_names_with_a_colon_are_outside_of_the_catalogue() -> None:
    names = suite.select(["lenet", "pkg.mod:make", "timm:resnet50d"])

    assert suite.outside(names) == ("pkg.mod:make", "timm:resnet50d")
    assert list(suite.facts(names)) == ["lenet"]


def test_nothing_selected_is_refused() -> None:
    with pytest.raises(UsageError, match="no model given"):
        suite.select([])


@pytest.mark.parametrize(
    ("pattern", "some"),
    [("resnet*", "resnet18"), ("tag:quick", "lenet"), ("family:lenet", "lenet"),
     ("all", "vgg16"), ("quick", "lenet"), ("resnet[15]*", "resnet50")],
)  # fmt: skip
def test_patterns_choose_by_glob_tag_and_family(pattern: str, some: str) -> None:
    assert some in catalogue.select([pattern])


def test_selection_keeps_the_order_of_patterns_and_each_name_once() -> None:
    names = catalogue.select(["vgg16", "alexnet", "vgg1*", "alexnet"])

    assert names[:2] == ("vgg16", "alexnet")
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("pattern", ["resnet19", "tag:mobil", "family:resnt", "resnte*", ""])
def test_a_pattern_that_chooses_nothing_is_an_unknown_name(pattern: str) -> None:
    with pytest.raises(UnknownName):
        catalogue.select([pattern])


def test_the_catalogue_is_sorted_and_its_names_are_unique() -> None:
    names = [entry.name for entry in catalogue.entries()]

    assert names == sorted(set(names))


def test_no_name_of_the_catalogue_looks_like_a_word_of_selection() -> None:
    names = {entry.name for entry in catalogue.entries()}

    assert not names & {"all", "quick"}
    assert not [name for name in names if set(name) & set(":*?[],/ +")]


def test_every_size_and_every_number_of_threads_is_a_spec() -> None:
    grid = replace(GRID, modes=("eager",), phases=("inference",), batches=(1,), threads=(1, 2),
                   sizes=((64, 64), (96, 64)))  # fmt: skip

    specs = expand(grid, KNOWN).specs

    seen = {(spec.workload.input[-2:], spec.threads) for spec in specs}
    assert seen == {((64, 64), 1), ((64, 64), 2), ((96, 64), 1), ((96, 64), 2)}


def test_a_size_that_a_model_cannot_take_is_impossible_at_that_size_only() -> None:
    grid = replace(GRID, modes=("eager",), phases=("inference",), sizes=((64, 64), (8, 8)))

    expansion = expand(grid, KNOWN)

    refused = {Spec.parse(name).workload.input[-1] for name in expansion.impossible}
    assert refused == {8}
    assert len(expansion.impossible) < len(expansion.specs)


def test_an_implementation_that_does_not_exist_is_refused_before_anything_runs() -> None:
    with pytest.raises(UnknownName, match=r"did you mean .*winograd_f4"):
        suite.modes(["impl=winograd_4"], Device())

    (mode,) = suite.modes(["impl=winograd_f4"], Device())

    assert mode.implementation == "winograd_f4"
