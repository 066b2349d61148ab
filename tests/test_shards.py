"""Grids cut into shards: whole, alike everywhere, about equally long."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import shards
from cnnbench.errors import UsageError
from cnnbench.runner import campaign
from cnnbench.shards import Shard
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.suite import Grid

if TYPE_CHECKING:
    from cnnbench.runner.campaign import Job

ROOT = Path(__file__).resolve().parents[1]

MODES = ("eager", "channels_last", "compile")


def specs(groups: int) -> list[Spec]:
    return [
        Spec(Workload(f"net{number}", 1, (3, 8, 8)), Mode.parse(mode, "cpu"), Device(), 1)
        for number in range(groups)
        for mode in MODES
    ]


LENGTHS = st.lists(st.floats(0.1, 100), min_size=1, max_size=30)


@given(LENGTHS, st.integers(1, 8))
def test_every_spec_is_in_one_shard_and_groups_stay_together(lengths, count: int) -> None:
    whole = specs(len(lengths))
    seconds = {f"net{number}": one for number, one in enumerate(lengths)}

    found = shards.cut(whole, lambda spec: seconds[spec.workload.architecture], count)

    assert len(found) == count
    assert sorted(spec.id for some in found for spec in some) == sorted(one.id for one in whole)
    homes = [{spec.workload.architecture for spec in some} for some in found]
    assert sum(map(len, homes)) == len(lengths)
    for some in found:
        assert some == [spec for spec in whole if spec in some]


@given(LENGTHS, st.integers(1, 8), st.integers(0, 99))
def test_no_shard_takes_more_than_the_bound_and_the_order_of_a_grid_is_no_matter(
    lengths, count: int, seed: int
) -> None:
    whole = specs(len(lengths))
    seconds = {f"net{number}": one for number, one in enumerate(lengths)}

    def of(spec: Spec) -> float:
        return seconds[spec.workload.architecture]

    found = shards.cut(whole, of, count)
    groups = [3 * one for one in lengths]
    best = max(max(groups), sum(groups) / count)
    longest = max(sum(map(of, some)) for some in found)

    # Graham's bound, against what no cut can undercut.
    assert longest <= (4 / 3) * best + 1e-9 or len(lengths) <= 2 * count
    assert longest <= sum(groups) / count + max(groups) + 1e-9
    shuffled = random.Random(seed).sample(whole, len(whole))
    again = shards.cut(shuffled, of, count)
    assert [{one.id for one in some} for some in again] == [{o.id for o in s} for s in found]


def test_what_replaces_a_layer_stays_with_it() -> None:
    layer = Workload("conv:k64-3x3-p1", 1, (64, 8, 8))
    pair = [
        Spec(one, Mode(), Device(), 1)
        for one in (layer, replace(layer, architecture="conv:k64-3x3-p1~ghost"))
    ]

    found = shards.cut([*pair, *specs(3)], lambda _: 1.0, 4)

    assert any({*pair} <= {*some} for some in found)


def catalogued() -> Job:
    """Every network of the catalogue, as far as that is known without torch."""
    asked = {"models": ("all",), "modes": MODES, "device": Device()}
    return campaign.prepare(Grid.of(asked, {}), who="fake", dry=True)


def test_shards_of_the_catalogue_take_about_as_long_as_each_other() -> None:
    job = catalogued()
    groups: dict[str, float] = {}
    for spec in job.specs:
        groups[spec.workload.id] = groups.get(spec.workload.id, 0.0) + job.seconds(spec)
    for count in (2, 8, 32):
        found = shards.cut(job.specs, job.seconds, count)
        lengths = [sum(map(job.seconds, some)) for some in found]
        sizes = [len(some) for some in found]

        mean = sum(lengths) / count
        assert max(lengths) <= max(1.05 * mean, *groups.values())
        # Time is what is equal, not the number of specs.
        assert count == 2 or max(sizes) > min(sizes)


CUT = """
import random, sys
from tests.test_shards import catalogued
from cnnbench import shards
job = catalogued()
specs = random.Random(int(sys.argv[1])).sample(job.specs, len(job.specs))
cut = shards.cut(specs, job.seconds, 8)
print([sorted(one.id for one in some) for some in cut])
"""


def test_every_process_cuts_alike_whatever_its_hashes_and_its_order() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", CUT, seed], check=True, capture_output=True, text=True,
            cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip

    assert len(said) == 1
    assert "resnet18/" in said.pop()


@given(st.integers(1, 999), st.integers(1, 999))
def test_a_shard_is_read_as_it_is_written(number: int, count: int) -> None:
    if number <= count:
        assert shards.read(Shard(number, count).text) == Shard(number, count)
    else:
        with pytest.raises(UsageError, match="is no shard; the second of eight is 2/8"):
            shards.read(f"{number}/{count}")


@pytest.mark.parametrize(
    "text", ["", "2", "0/3", "2/0", "-1/3", "1/3/5", "\u0661/3", "1 / 3", "a/b"]
)
def test_other_words_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="is no shard"):
        shards.read(text)


def test_what_is_missing_is_named_grid_by_grid() -> None:
    one, other = shards.grid(["a", "b"]), shards.grid(["a", "c"])

    assert shards.grid(["b", "a"]) == one != other
    assert shards.missing([]) == []
    assert shards.missing([("1/2", one), ("2/2", one), ("1/1", other)]) == []
    assert shards.missing([("1/4", one), ("3/4", one), ("1/2", other)]) == [
        "shards 2/4, 4/4 of this grid not among these runs",
        "shard 2/2 of this grid not among these runs",
    ]
