"""Energy by counters that a test turns itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import metrics
from cnnbench.worker import energy
from tests import made


def zone(root: Path, name: str, called: str, counter: int, most: int = 1000) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    for file, text in (("name", called), ("energy_uj", counter), ("max_energy_range_uj", most)):
        (folder / file).write_text(f"{text}\n", encoding="ascii")
    return folder / "energy_uj"


def test_packages_add_up_and_their_parts_are_not_counted_twice(tmp_path: Path) -> None:
    counters = [zone(tmp_path, f"intel-rapl:{n}", f"package-{n}", 100) for n in range(2)]
    zone(tmp_path, "intel-rapl:0:0", "core", 50)
    zone(tmp_path, "intel-rapl:2", "psys", 500)
    meter = energy.Rapl(tmp_path)

    before = meter.read()
    for counter, value in zip(counters, (700, 400), strict=True):
        counter.write_text(str(value), encoding="ascii")

    assert meter.reason == ""
    assert before == [100, 100]
    assert meter.joules(before, meter.read()) == pytest.approx(900e-6)


@given(st.integers(0, 999), st.integers(0, 999))
def test_a_counter_that_wrapped_goes_on(start: int, spent: int) -> None:
    meter = energy.Rapl(Path("/nowhere"))
    meter._zones = [energy._Zone(Path("counter"), 1000)]

    assert meter.joules([start], [(start + spent) % 1000]) == pytest.approx(spent / 1e6)


@pytest.mark.parametrize("wrong", ["nothing", "unreadable"])
def test_without_counters_there_is_a_reason(tmp_path: Path, wrong: str) -> None:
    if wrong == "unreadable":
        counter = zone(tmp_path, "intel-rapl:0", "package-0", 1)
        counter.unlink()
        counter.mkdir()
    meter = energy.Rapl(tmp_path)

    assert ("RAPL cannot be read" if wrong == "unreadable" else "no RAPL") in meter.reason
    assert energy.idle(meter) is None
    assert energy.of_calls(meter, print, DEVICE, 1.0) == {"missing": meter.reason}


DEVICE = SimpleNamespace(synchronize=lambda: None)


def test_joules_and_calls_are_those_of_the_window() -> None:
    drawn = [5000]
    meter = energy.Nvml(lambda: drawn[0], "")

    def call() -> None:
        drawn[0] += 7

    found = energy.of_calls(meter, call, DEVICE, 1e-3, seconds=0.01)

    assert found["source"] == "nvml"
    assert found["calls"] % 50 == 0
    assert found["joules"] == pytest.approx(7e-3 * found["calls"])
    assert found["seconds"] >= 0.01
    assert energy.idle(meter, sleep=lambda seconds: drawn.__setitem__(0, 9 * drawn[0])) > 0


def test_a_counter_that_stands_still_or_is_not_told_is_no_zero() -> None:
    still = energy.Nvml(lambda: 1, "")

    assert "did not move" in energy.of_calls(still, lambda: None, DEVICE, 1.0, 0.0)["missing"]
    assert "does not tell" in energy.Nvml(lambda: None, "").reason
    assert energy.Nvml(lambda: 1, "no driver").reason == "no driver"


@pytest.mark.parametrize("answers", [(7, None, 5000), (7, 5000, None)])
def test_a_driver_that_does_not_answer_once_is_no_counter_that_began_at_zero(answers) -> None:
    said = iter(answers)
    meter = energy.Nvml(lambda: next(said), "")

    assert "did not move" in energy.of_calls(meter, lambda: None, DEVICE, 1.0, 0.0)["missing"]
    said = iter(answers)
    assert energy.idle(energy.Nvml(lambda: next(said), ""), sleep=lambda seconds: None) is None


def test_a_record_has_the_mean_of_its_rounds_per_sample() -> None:
    record = made.record(made.EAGER, [[10], [10]])
    runs = [
        made.replace(run, flags={"energy": {"joules": joules, "calls": 4}})
        for run, joules in zip(record.runs, (8.0, 24.0), strict=True)
    ]
    batch = record.spec.workload.batch

    found = metrics.metric("energy").of(made.replace(record, runs=tuple(runs)))

    assert metrics.metric("energy").of(record) is None
    assert found.point == pytest.approx(4.0 / batch)


@pytest.mark.parametrize("meter", [energy.Nvml(lambda: 1, "no driver"), None])
def test_a_run_says_why_its_energy_is_missing_only_if_it_was_asked_for(meter) -> None:
    phases: list[str] = []
    device = SimpleNamespace(meter=lambda: meter, synchronize=lambda: None)
    talk = SimpleNamespace(enter=phases.append)

    power = energy.Power(device, talk, asked=meter is not None)
    found = power.flags(lambda: None, 1.0)

    if meter is None:
        assert (found, phases) == ({}, [])
    else:
        assert found == {"remarks": ["energy not measured: no driver"]}
        assert phases == ["idle power", "energy"]
