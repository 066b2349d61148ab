"""``--input`` and ``--input-factory``: the same in every command that asks for a grid."""

from __future__ import annotations

import json

import pytest

from cnnbench.spec import Spec

TYPED = ("--input", "int64<1000:20", "--input", "3x16x16", "--input", "mask=bool:10")
FACTORY = ("--input-factory", "pkg.data:batch")
PLACE = ("--device", "cpu", "--threads", "1", "--executor", "fake")
COMMANDS = {
    "run": ("run", "--models", "pkg:net", "--modes", "eager", "--out", "out", *PLACE),
    "profile": ("profile", "pkg:net", "--out", "out", *PLACE),
    "advise": ("advise", "pkg:net", *PLACE),
    "max-batch": ("max-batch", "--models", "pkg:net", "--limit", "1GiB", *PLACE),
    "baseline": ("baseline", "save", "--models", "pkg:net", *PLACE),
    "cost": ("cost", "pkg:net", "--executor", "fake"),
    "predict": ("predict", "pkg:net", "--threads", "1", "--executor", "fake"),
    "ab": ("ab", "mode:eager", "mode:channels_last", "--models", "pkg:net", "--out", "out", *PLACE),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("words", [TYPED, FACTORY, (*TYPED, *FACTORY)])
def test_every_command_takes_them(cnnbench_cli, name: str, words: tuple[str, ...]) -> None:
    done = cnnbench_cli(*COMMANDS[name], *words)

    assert done.exit_code == 0, done.output


def test_a_runs_ids_hold_them_and_it_can_be_resumed(cnnbench_cli) -> None:
    cnnbench_cli(*COMMANDS["run"], *TYPED, *FACTORY)

    shown = cnnbench_cli("report", "out", "--format", "json")
    again = cnnbench_cli("run", "--resume", "out")

    (row,) = json.loads(shown.stdout)
    workload = Spec.parse(row["spec"]).workload
    assert workload.setting("inputs", "") == "int64<1000:20,3x16x16,mask=bool:10"
    assert workload.setting("input_factory", "") == "pkg.data:batch"
    assert again.exit_code == 0, again.output


def test_a_structure_baseline_keeps_size_phase_input_and_arguments(cnnbench_cli) -> None:
    done = cnnbench_cli(
        *COMMANDS["baseline"], "--input", "1x28x28", "--phase", "training", "--model-arg", "width=3"
    )

    kept = json.loads(cnnbench_cli("baseline", "show", "baseline.json", "--json").stdout)
    assert done.exit_code == 0, done.output
    assert [*kept["specs"]] == ["pkg:net?width=3/training-b1-1x28x28/eager/cpu-t1"]
    cnnbench_cli(*COMMANDS["baseline"], "--size", "64", "-o", "other.json")
    other = json.loads(cnnbench_cli("baseline", "show", "other.json", "--json").stdout)
    assert all("x64x64/" in name for name in other["specs"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--input", "int46:3"), "did you mean int64"),
        (("--input", "3by4"), "is not of the form"),
        (("--input", "m=3", "--input", "m=4"), "'m' is given twice"),
        (("--input-factory", "nofunction"), "is not of the form package.module:function"),
        (("--input", "3x9x9", "--size", "9"), "mutually exclusive"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    cnnbench_cli, words: tuple[str, ...], said: str
) -> None:
    done = cnnbench_cli(*COMMANDS["run"], *words)

    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr


@pytest.mark.torch
def test_regions_are_part_of_the_id_and_16_go_without_saying(cnnbench_cli) -> None:
    done = cnnbench_cli(
        "run", "--models", "rcnn_vgg16", "--regions", "16,2000", "--device", "cpu",
        "--threads", 1, "--dry-run", "--modes", "eager",
    )  # fmt: skip

    assert [line for line in done.stdout.splitlines() if line.startswith("rcnn")] == [
        "rcnn_vgg16/inference-b1-3x600x600/eager/cpu-t1",
        "rcnn_vgg16/inference-b1-3x600x600-regions=2000/eager/cpu-t1",
    ]


@pytest.mark.torch
def test_a_network_without_regions_is_a_row_that_says_so(cnnbench_cli) -> None:
    words = ("--models", "lenet,fast_rcnn_vgg16", "--regions", 300, "--device", "cpu")
    alone = cnnbench_cli("run", "--models", "lenet", "--regions", 300)
    both = cnnbench_cli("run", *words, "--dry-run")

    assert (alone.exit_code, alone.stderr.count("\n")) == (2, 1)
    assert "takes no regions as an input" in alone.stderr
    assert "lenet" in both.stdout
    assert both.stdout.count("not possible") == both.stdout.count("lenet/")
