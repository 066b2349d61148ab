"""The driver's answers, and its silence, with a pretended ``pynvml``."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cnnbench.worker.nvml import Driver, driver_version

if TYPE_CHECKING:
    from collections.abc import Iterator


class NotSupported(Exception):
    pass


def refuse(*_: Any) -> Any:
    raise NotSupported("Not Supported")


def package(**changes: Any) -> SimpleNamespace:
    processes = [
        SimpleNamespace(pid=1, usedGpuMemory=111),
        SimpleNamespace(pid=os.getpid(), usedGpuMemory=5 << 20),
    ]
    names = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByUUID": lambda uuid: f"handle of {uuid}",
        "nvmlDeviceGetClockInfo": lambda _device, clock: {0: 1980, 2: 2619}[clock],
        "nvmlDeviceGetTemperature": lambda _device, _sensor: 41,
        "nvmlDeviceGetCurrentClocksEventReasons": lambda _device: 0x4 | 0x20,
        "nvmlDeviceGetComputeRunningProcesses": lambda _device: processes,
    }
    return SimpleNamespace(**(names | changes))


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch):
    def put(module: Any) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", module)

    return put


def test_clocks_temperature_and_reasons_by_name(install) -> None:
    install(package())

    driver = Driver("1234")

    assert driver.state() == {
        "sm_mhz": 1980,
        "memory_mhz": 2619,
        "temperature_c": 41,
        "throttle": ["power_cap", "thermal_software"],
    }
    assert driver.process_bytes() == 5 << 20
    assert driver.reason == ""


@pytest.mark.parametrize("uuid", ["12-34", "GPU-12-34"])
def test_the_device_is_found_by_its_uuid(install, uuid: str) -> None:
    asked: list[str] = []
    install(package(nvmlDeviceGetHandleByUUID=asked.append))

    Driver(uuid)

    assert asked == ["GPU-12-34"]


def test_a_part_of_a_gpu_is_found_by_its_own_name_and_has_the_clocks_of_the_whole(install) -> None:
    def find(uuid: str) -> str:
        return uuid if uuid.startswith("MIG-") else refuse()

    def clock(device: str, kind: int) -> int:
        assert device == "the whole"
        return {0: 1980, 2: 2619}[kind]

    def processes(device: str) -> list[SimpleNamespace]:
        assert device == "MIG-12-34"
        return [SimpleNamespace(pid=os.getpid(), usedGpuMemory=7)]

    install(
        package(
            nvmlDeviceGetHandleByUUID=find,
            nvmlDeviceGetDeviceHandleFromMigDeviceHandle=lambda _device: "the whole",
            nvmlDeviceGetClockInfo=clock,
            nvmlDeviceGetComputeRunningProcesses=processes,
        )
    )

    driver = Driver("12-34")

    assert driver.reason == ""
    assert driver.state()["sm_mhz"] == 1980
    assert driver.process_bytes() == 7


def used(*shares: tuple[int, int]) -> list[SimpleNamespace]:
    return [SimpleNamespace(pid=pid, smUtil=percent) for pid, percent in shares]


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process of nobody of ours; not init, which in a container may have started the tests."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process.pid
    process.kill()
    process.wait()


def test_a_device_that_only_this_process_uses(install) -> None:
    found = used((os.getpid(), 90))
    install(package(nvmlDeviceGetProcessUtilization=lambda _device, _since: found))

    assert Driver("1").state()["others_busy"] == 0.0


def test_who_else_keeps_the_device_busy(install, stranger: int) -> None:
    # Two samples of one process are two moments.
    found = used((os.getpid(), 90), (stranger, 20), (stranger, 40))
    install(package(nvmlDeviceGetProcessUtilization=lambda _device, _since: found))

    assert Driver("1").state()["others_busy"] == pytest.approx(0.3)


def test_others_are_not_known_where_not_even_this_process_is_seen(install, stranger: int) -> None:
    found = used((stranger, 40))
    install(package(nvmlDeviceGetProcessUtilization=lambda _device, _since: found))

    assert "others_busy" not in Driver("1").state()


def test_workers_beside_this_one_are_no_others(install, stranger: int) -> None:
    with subprocess.Popen(["sleep", "60"]) as beside:
        found = used((os.getpid(), 50), (beside.pid, 30), (stranger, 7))
        install(package(nvmlDeviceGetProcessUtilization=lambda _device, _since: found))

        busy = Driver("1").state()["others_busy"]
        beside.kill()

    assert busy == pytest.approx(0.07)


@pytest.mark.parametrize(("mode", "one"), [(0, False), (1, True), (3, True), (refuse, False)])
def test_a_device_for_one_process_is_told_from_others(install, mode, one: bool) -> None:
    install(package(nvmlDeviceGetComputeMode=mode if callable(mode) else lambda _device: mode))

    assert Driver("1").one_process() is one


@pytest.mark.parametrize("said", ["580.65.06", b"580.65.06"])
def test_the_driver_knows_its_version(install, said: str | bytes) -> None:
    install(package(nvmlSystemGetDriverVersion=lambda: said))

    assert driver_version() == "580.65.06"


@pytest.mark.parametrize("module", [None, package(), package(nvmlInit=refuse)])
def test_a_version_that_cannot_be_asked_for_is_not_known(install, module) -> None:
    install(module)

    assert driver_version() is None


def test_an_older_driver_calls_the_reasons_otherwise(install) -> None:
    module = package(nvmlDeviceGetCurrentClocksThrottleReasons=lambda _device: 0x40)
    del module.nvmlDeviceGetCurrentClocksEventReasons
    install(module)

    assert Driver("1").state()["throttle"] == ["thermal_hardware"]


def test_a_figure_that_is_not_supported_is_left_out(install) -> None:
    install(package(nvmlDeviceGetTemperature=refuse))

    assert set(Driver("1").state()) == {"sm_mhz", "memory_mhz", "throttle"}


@pytest.mark.parametrize(
    "processes",
    [
        lambda _device: [],
        lambda _device: [SimpleNamespace(pid=1, usedGpuMemory=111)],
        lambda _device: [SimpleNamespace(pid=os.getpid(), usedGpuMemory=None)],
        refuse,
    ],
    ids=["none", "a container's other numbers", "no permission", "not supported"],
)
def test_memory_of_a_process_that_is_not_shown_is_not_known(install, processes) -> None:
    install(package(nvmlDeviceGetComputeRunningProcesses=processes))

    assert Driver("1").process_bytes() is None


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (None, "pynvml is not installed"),
        (package(nvmlInit=refuse), "cannot be asked: Not Supported"),
        (package(nvmlDeviceGetHandleByUUID=refuse), "cannot be asked"),
    ],
)
def test_without_the_driver_there_is_a_reason_and_nothing_else(install, module, words) -> None:
    install(module)

    driver = Driver("1")

    assert words in driver.reason
    assert driver.state() == {}
    assert driver.process_bytes() is None
