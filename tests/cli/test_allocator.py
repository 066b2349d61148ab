"""``--allocator`` on the command line, with real processes."""

from __future__ import annotations

import os

import pytest

from cnnbench import allocator, machine, store

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("condition", [None, "system"])
def test_the_condition_is_a_fact_of_the_environment(
    condition: str | None, cnnbench_cli, tmp_path, monkeypatch
) -> None:
    for name in [one for one in os.environ if one.startswith(machine.ALLOCATOR)]:
        monkeypatch.delenv(name)
    asked = [] if condition is None else ["--allocator", condition]

    done = cnnbench_cli(
        "run", "lenet", "--modes", "eager", "--rounds", "1", "--slices", "1", *asked,
        "--out", "out",
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    environment = store.read(tmp_path / "out").environment
    named = {
        name: value
        for name, value in environment.hard["variables"].items()
        if name.startswith("MALLOC_")
    }
    assert named == allocator.CONDITIONS[condition or allocator.DEFAULT].variables
    assert allocator.VARIABLE not in os.environ


def test_one_that_could_not_be_had_is_refused(cnnbench_cli, monkeypatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    line = ("run", "lenet", "--modes", "eager", "--executor", "fake")

    done = cnnbench_cli(*line, "--allocator", "kept", "--out", "out")

    assert done.exit_code == 2
    assert "MALLOC_ARENA_MAX configures malloc; unset it first" in done.stderr
    assert cnnbench_cli(*line, "--out", "out").exit_code == 0
    monkeypatch.delenv("MALLOC_ARENA_MAX")
    assert cnnbench_cli(*line, "--allocator", "kept", "--out", "other").exit_code == 0


def test_an_unknown_one_is_refused_by_name(cnnbench_cli) -> None:
    done = cnnbench_cli("run", "lenet", "--allocator", "mine", "--executor", "fake")

    assert done.exit_code == 2
    assert "kept" in done.stderr
    assert done.stderr.count("\n") == 1
