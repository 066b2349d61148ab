from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import machine, units

if TYPE_CHECKING:
    from collections.abc import Callable

GIB = 1 << 30
CPUINFO = """processor : 0
vendor_id : GenuineIntel
cpu family : 6
model : 143
model name : A Processor @ 2 GHz
stepping : 8
flags : fpu avx2 avx hypervisor amx_bf16 nonsense

processor : 1
model name : Another
"""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine that has these files of the system and no others."""

    def have(**files: str) -> None:
        table = {name: text.strip() for name, text in files.items()}

        def read(path: str | Path) -> str | None:
            hits = [text for name, text in table.items() if str(path).endswith(name)]
            return hits[0] if hits else None

        monkeypatch.setattr(machine, "read_text", read)

    return have


def cores(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: number)


def test_a_quota_of_control_groups_is_cores_worth_of_time(host) -> None:
    host(**{"cpu.max": "150000 100000"})

    assert machine.cpu_quota() == 1.5


def test_a_quota_of_the_first_version_of_control_groups_is_read_too(host) -> None:
    host(**{"cpu.cfs_quota_us": "200000", "cpu.cfs_period_us": "100000"})

    assert machine.cpu_quota() == 2


@pytest.mark.parametrize(
    "found",
    [{}, {"cpu.max": "max 100000"},
     {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}],
    ids=["nothing", "max", "minus one"],
)  # fmt: skip
def test_no_quota_is_none(host, found: dict[str, str]) -> None:
    host(**found)

    assert machine.cpu_quota() is None


@pytest.mark.parametrize(
    ("quota", "usable", "threads"),
    [
        ("max 100000", 8, 8),
        ("250000 100000", 8, 2),
        ("50000 100000", 8, 1),
        ("900000 100000", 4, 4),
    ],
)
def test_default_threads_can_run_at_the_same_time(
    host, monkeypatch, quota: str, usable: int, threads: int
) -> None:
    host(**{"cpu.max": quota})
    cores(monkeypatch, usable)

    assert machine.default_threads() == threads


def test_memory_is_that_of_the_machine_or_the_control_groups_limit(host) -> None:
    meminfo = f"MemTotal: {64 << 20} kB\nMemFree: 5 kB\nMemAvailable: {32 << 20} kB"

    host(meminfo=meminfo)
    assert (machine.memory_total(), machine.memory_available()) == (64 * GIB, 32 * GIB)

    host(**{"meminfo": meminfo, "memory.max": "max", "memory.current": str(GIB)})
    assert (machine.memory_total(), machine.memory_available()) == (64 * GIB, 32 * GIB)

    host(**{"meminfo": meminfo, "memory.max": str(8 * GIB), "memory.current": str(3 * GIB)})
    assert (machine.memory_total(), machine.memory_available()) == (8 * GIB, 5 * GIB)


def test_what_cannot_be_read_is_none(host) -> None:
    host()

    facts = machine.hard_facts() | machine.soft_facts()
    names = ["memory_gib", "cpu_quota", "governor", "turbo", "transparent_huge_pages",
             "memory_available_bytes"]  # fmt: skip
    assert {name: facts[name] for name in names} == dict.fromkeys(names)


def test_instruction_sets_are_those_that_matter_in_a_fixed_order(host) -> None:
    host(cpuinfo=CPUINFO)

    assert machine.instruction_sets() == ("avx", "avx2", "amx_bf16")


def test_an_arm_processor_says_features(host) -> None:
    assert machine.instruction_sets({"Features": "fp asimd sve"}) == ("asimd", "sve")


def test_the_first_processor_speaks_for_all(host) -> None:
    host(cpuinfo=CPUINFO)

    facts = machine.hard_facts()
    assert (facts["cpu"], facts["cpu_family"]) == ("A Processor @ 2 GHz", "6/143/8")
    assert machine.soft_facts()["hypervisor"] is True


@pytest.mark.parametrize(
    ("found", "turbo"),
    [({"no_turbo": "1"}, False), ({"no_turbo": "0"}, True), ({"cpufreq/boost": "1"}, True),
     ({}, None)],
)  # fmt: skip
def test_turbo_is_known_only_where_the_machine_says(host, found, turbo: bool | None) -> None:
    host(**found)

    assert machine.turbo() is turbo


def test_the_chosen_huge_pages_stand_in_brackets(host) -> None:
    host(**{"transparent_hugepage/enabled": "always [madvise] never"})

    assert machine.transparent_huge_pages() == "madvise"


def test_variables_are_recorded_by_an_allow_list(monkeypatch) -> None:
    environ = b"\0".join(
        [b"OMP_NUM_THREADS=2", b"HOME=/home/someone", b"AWS_SECRET=x", b"MALLOC_ARENA_MAX=1",
         b"TORCH_LOGS=a=b", b"NVIDIA_API_KEY=secret", b"PYTORCH_TOKEN=secret", b""]
    )  # fmt: skip
    monkeypatch.setattr(Path, "read_bytes", lambda self: environ)

    assert machine.variables() == {
        "MALLOC_ARENA_MAX": "1",
        "OMP_NUM_THREADS": "2",
        "TORCH_LOGS": "a=b",
    }


def test_which_gpus_are_seen_makes_no_other_environment_and_tf32_does(monkeypatch) -> None:
    environ = b"\0".join(
        [b"NVIDIA_VISIBLE_DEVICES=GPU-5f2c", b"NVIDIA_DRIVER_CAPABILITIES=compute,utility",
         b"NVIDIA_REQUIRE_CUDA=cuda>=12", b"CUDA_VISIBLE_DEVICES=GPU-5f2c",
         b"CUDA_DEVICE_ORDER=PCI_BUS_ID", b"CUDA_LAUNCH_BLOCKING=1", b"NVIDIA_TF32_OVERRIDE=0", b""]
    )  # fmt: skip
    monkeypatch.setattr(Path, "read_bytes", lambda self: environ)

    assert machine.variables() == {"CUDA_LAUNCH_BLOCKING": "1", "NVIDIA_TF32_OVERRIDE": "0"}


def test_the_allocator_is_named_with_what_changes_it_and_not_where_it_lies(monkeypatch) -> None:
    environ = b"OMP_NUM_THREADS=2\0MALLOC_MMAP_MAX_=0\0LD_PRELOAD=/home/someone/libtcmalloc.so.4\0"
    monkeypatch.setattr(Path, "read_bytes", lambda self: environ)
    monkeypatch.setattr(machine.platform, "libc_ver", lambda: ("glibc", "2.36"))

    assert machine.allocator() == "glibc 2.36 LD_PRELOAD=libtcmalloc.so.4 MALLOC_MMAP_MAX_=0"


def test_the_facts_of_this_machine_are_json_and_do_not_name_it() -> None:
    facts = machine.hard_facts() | machine.soft_facts()

    text = json.dumps(facts)
    assert json.loads(text)["cores_usable"] >= 1
    assert f'"{machine.socket.gethostname()}"' not in text


def test_the_compiler_is_the_one_that_is_named(tmp_path, monkeypatch) -> None:
    tool = tmp_path / "my-cxx"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("CXX", str(tool))

    assert machine.compiler() == str(tool)

    monkeypatch.setenv("CXX", str(tmp_path / "missing"))
    assert machine.compiler() is None


def test_a_file_that_is_not_there_reads_as_none(tmp_path: Path) -> None:
    assert machine.read_text(tmp_path / "missing") is None
    assert machine.read_text(tmp_path) is None


def test_without_proc_variables_are_those_of_python(monkeypatch) -> None:
    def missing(path: Path) -> bytes:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_bytes", missing)
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "3", "HOME": "/home"})

    assert machine.variables() == {"OMP_NUM_THREADS": "3"}


@pytest.mark.parametrize(
    ("text", "cores"),
    [("0-3,8", (0, 1, 2, 3, 8)), ("5\n", (5,)), ("", ()), ("x", ()), ("0-", ()), ("3-1", ())],
)
def test_lists_of_cores_are_read(text: str, cores: tuple[int, ...]) -> None:
    assert machine.core_list(text) == cores


@given(st.sets(st.integers(0, 300)))
def test_lists_of_cores_are_read_as_they_are_written(cores: set[int]) -> None:
    assert machine.core_list(units.ranges(cores)) == tuple(sorted(cores))


def test_hyperthreads_of_one_core_are_together(monkeypatch) -> None:
    siblings = {0: "0,4", 4: "0,4", 1: "1,5", 5: "1,5", 2: "2,6"}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*siblings}, raising=False)
    monkeypatch.setattr(
        machine, "read_text", lambda path: siblings[int(str(path).split("/cpu")[2].split("/")[0])]
    )

    assert machine.physical_cores() == [(0, 4), (1, 5), (2,)]


def test_cores_of_which_the_system_says_nothing_are_cores_of_their_own(monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 7}, raising=False)
    monkeypatch.setattr(machine, "read_text", lambda _: None)

    assert machine.physical_cores() == [(3,), (7,)]
    assert machine.cores_near("0000:3b:00.0") == ()


def test_cores_next_to_a_device_are_those_of_its_slot(monkeypatch) -> None:
    monkeypatch.setattr(machine, "read_text", lambda path: "8-9" if "0000:3b:00.0" in path else "")

    assert machine.cores_near("0000:3b:00.0") == (8, 9)


@pytest.mark.parametrize(
    ("texts", "size"),
    [
        ({"0": "48K", "3": "32768K"}, 32 << 20),
        ({"0": "48K", "3": "260M"}, 260 << 20),
        ({"0": "1024"}, 1024),
        ({"0": "unknown"}, 64 << 20),
        ({}, 64 << 20),
    ],
)
def test_the_largest_cache_is_that_of_any_core(tmp_path, monkeypatch, texts, size: int) -> None:
    for index, text in texts.items():
        folder = tmp_path / "cpu1" / "cache" / f"index{index}"
        folder.mkdir(parents=True)
        (folder / "size").write_text(f"{text}\n")
    monkeypatch.setattr(machine, "_CACHES", tmp_path)

    assert machine.largest_cache() == size
