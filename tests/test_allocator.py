"""Conditions of malloc: what processes are started with, and that malloc then does it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from cnnbench import allocator, machine
from cnnbench.errors import UnknownName
from cnnbench.runner.origin import Origin, environment

# Gets and frees blocks as a step does, then prints page faults of the same once more.
LOOP = """
import resource
def step():
    blocks = [bytearray(size) for size in (40 << 20, 3 << 20, 9 << 20)]
for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(condition: str) -> int:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(machine.ALLOCATOR)}
    environ |= allocator.variables(environ, condition)
    # Objects of Python's own go past its arenas, as tensors do.
    done = subprocess.run(
        [sys.executable, "-c", LOOP], env=environ, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(
    not machine.allocator().startswith("glibc"), reason="the variables are those of glibc"
)
def test_kept_blocks_are_not_mapped_anew_and_the_system_s_are() -> None:
    pages = (40 << 20) // resource.getpagesize()

    assert faults("kept") < pages / 100
    assert faults("system") > pages / 600  # with huge pages, one fault maps 512


def test_the_default_is_one_of_them_and_one_leaves_everything_as_it_is() -> None:
    assert allocator.variables({}) == allocator.CONDITIONS[allocator.DEFAULT].variables
    assert allocator.variables({allocator.VARIABLE: "system"}) == {}
    assert allocator.variables({allocator.VARIABLE: ""}) == allocator.variables({})
    assert allocator.words("kept") == "MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=4294967296"


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "LD_PRELOAD", "GLIBC_TUNABLES"])
def test_what_a_user_configured_is_left_as_it_is(name: str) -> None:
    assert allocator.variables({name: "x"}) == {}
    assert allocator.variables({name: "x"}, "kept") == {}


def test_an_unknown_condition_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownName, match=r"CNNBENCH_ALLOCATOR 'mine'.*kept, system"):
        allocator.variables({allocator.VARIABLE: "mine"})


def test_processes_that_measure_are_started_with_it(tmp_path, monkeypatch) -> None:
    for name in [one for one in os.environ if one.startswith(machine.ALLOCATOR)]:
        monkeypatch.delenv(name)
    kept, system = ({**environment(Origin(allocator=one), tmp_path)} for one in ("kept", "system"))

    assert {*kept.items()} - {*system.items()} == {*allocator.variables({}, "kept").items()}
    assert not Origin(allocator="kept").shares_starter(Origin(allocator="system"))
