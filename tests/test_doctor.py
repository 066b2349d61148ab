from __future__ import annotations

from typing import Any

import pytest

from cnnbench import doctor
from cnnbench.environment import Environment
from cnnbench.quiet import CoreUse

CALM_HARD: dict[str, Any] = {
    "cpu_quota": None, "cores_usable": 8, "torch": {"onednn": True}, "variables": {},
}  # fmt: skip
CALM_SOFT: dict[str, Any] = {
    "load": [0.1, 0.1, 0.1], "governor": "performance", "hypervisor": False, "compiler": "g++",
    "memory_available_bytes": 64 << 30,
}  # fmt: skip


def found(hard: dict[str, Any] | None = None, soft: dict[str, Any] | None = None) -> list[str]:
    environment = Environment(CALM_HARD | (hard or {}), CALM_SOFT | (soft or {}))
    return [finding.name for finding in doctor.findings(environment)]


def test_a_calm_machine_has_no_findings() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("hard", "soft", "name"),
    [
        ({"cpu_quota": 2.0}, {}, "quota"),
        ({"cores_usable": 1}, {}, "single_core"),
        ({}, {"load": [12.0, 0, 0]}, "busy"),
        ({}, {"governor": "powersave"}, "governor"),
        ({}, {"hypervisor": True}, "virtual"),
        ({}, {"compiler": None}, "compiler"),
        ({}, {"memory_available_bytes": 1 << 30}, "memory"),
        ({"torch": {"onednn": False}}, {}, "onednn"),
        ({"variables": {"OMP_NUM_THREADS": "1"}}, {}, "variables"),
        ({}, {"libc": "glibc 2.36"}, "allocator"),
        ({}, {"flags": {"flush_denormal": True}}, "denormals"),
    ],
)
def test_each_trouble_is_found_alone(hard: dict[str, Any], soft: dict[str, Any], name: str) -> None:
    assert found(hard, soft) == [name]


@pytest.mark.parametrize(
    ("hard", "soft"),
    [
        ({"cpu_quota": 8.0}, {}),
        ({}, {"load": [11.9, 99, 99]}),
        ({}, {"governor": None}),
        ({}, {"memory_available_bytes": 4 << 30}),
        ({}, {"memory_available_bytes": None}),
        ({"torch": {}}, {}),
        ({"variables": {"OMP_PROC_BIND": "true"}}, {}),
        ({"variables": {"LD_PRELOAD": "libtcmalloc.so.4"}}, {"libc": "glibc 2.36"}),
        ({"variables": {"MALLOC_MMAP_MAX_": "0"}}, {"libc": "glibc 2.36"}),
        ({}, {"libc": None}),
        ({}, {"flags": {"flush_denormal": False}}),
    ],
)
def test_what_spoils_nothing_is_not_a_finding(hard: dict[str, Any], soft: dict[str, Any]) -> None:
    assert found(hard, soft) == []


def test_an_empty_environment_breaks_no_check() -> None:
    assert doctor.findings(Environment({})) == ()


def test_findings_say_the_number_and_what_to_do() -> None:
    environment = Environment(CALM_HARD | {"cpu_quota": 2.5}, CALM_SOFT)

    (finding,) = doctor.findings(environment)
    assert "2.5 cores" in finding.what
    assert "--threads 2" in finding.fix


def test_every_check_has_a_name_of_its_own() -> None:
    bad = Environment(
        {"cpu_quota": 0.5, "cores_usable": 1, "torch": {"onednn": False},
         "variables": {"MKL_NUM_THREADS": "9"}},
        {"load": [9.0], "governor": "x", "hypervisor": True, "memory_available_bytes": 0,
         "libc": "glibc 2.36", "compiler": None, "flags": {"flush_denormal": True}},
    )  # fmt: skip

    names = [finding.name for finding in doctor.findings(bad)]
    assert len(set(names)) == len(names) == len(doctor.CHECKS)


def test_nothing_that_is_advised_needs_root() -> None:
    bad = Environment(
        {"cpu_quota": 0.5, "cores_usable": 1, "torch": {"onednn": False},
         "variables": {"MKL_NUM_THREADS": "9"}},
        {"load": [9.0], "governor": "x", "hypervisor": True, "memory_available_bytes": 0,
         "libc": "glibc 2.36", "compiler": None, "flags": {"flush_denormal": True}},
    )  # fmt: skip

    mends = [finding.fix for finding in doctor.findings(bad)]
    assert len(mends) == len(doctor.CHECKS)
    assert not any(word in fix for fix in mends for word in ("sudo", "root", "/sys/"))


@pytest.mark.parametrize("cores", [1, 2, 8])
def test_a_load_of_less_than_one_per_core_is_no_finding(cores: int) -> None:
    assert found({"cores_usable": cores}, {"load": [0.7 * cores] * 3}).count("busy") == 0


def test_the_busy_share_now_decides_in_place_of_the_load_average() -> None:
    loaded = Environment(CALM_HARD, CALM_SOFT | {"load": [99.0] * 3})
    calm = Environment(CALM_HARD, CALM_SOFT)

    assert doctor.findings(loaded, CoreUse(0.1, 8)) == ()
    assert [one.name for one in doctor.findings(calm, CoreUse(7.5, 8))] == ["busy"]


@pytest.mark.parametrize(
    ("now", "threads", "what"),
    [
        (CoreUse(1.6, 2), 2, "1.6 of 2 cores busy, so expect times too long and wide intervals"),
        (CoreUse(1.6, 2), 1, "1.6 of 2 cores busy, so expect times a little too long"),
        (CoreUse(0.7, 1), 1, "0.7 of 1 core busy"),
        (CoreUse(1.5, 64), 64, "1.5 of 64 cores busy"),
        (CoreUse(1.0, 2), 1, "a little too long, because caches"),
        (CoreUse(9.0, 64, quota=2.0, group=1.5), 2, "other work takes 1.5 of the 2 cores allowed"),
    ],
)
def test_busy_says_what_is_taken_and_what_to_expect(now: CoreUse, threads: int, what: str) -> None:
    finding = doctor.busy(now, threads)

    assert finding is not None
    assert what in finding.what
    assert finding.fix.startswith("--wait 10m waits for quiet")
    assert ("--threads 1" in finding.fix) == (threads > 1)


@pytest.mark.parametrize(
    ("now", "threads"),
    [
        (None, 2),
        (CoreUse(0.15, 2), 2),
        (CoreUse(1.2, 64), 64),
        (CoreUse(10.0, 64), 32),
        (CoreUse(0.0, 64, quota=2.0, group=0.1), 2),
        (CoreUse(0.0, 2), 4),
    ],
)
def test_what_leaves_every_thread_its_core_is_not_busy(now: CoreUse | None, threads: int) -> None:
    assert doctor.busy(now, threads) is None


def test_more_threads_than_cores_are_named_but_not_waited_for() -> None:
    finding = doctor.quick(CoreUse(0.0, 2), 4)

    assert finding is not None
    assert (finding.name, finding.fix) == ("too_many", "start anew with --threads 2")
    assert doctor.quick(CoreUse(0.0, 2), 2) is None
