"""The self-test passes where the instrument is sound, and each planted fault is found."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import stats
from cnnbench.errors import WorkerRaised
from cnnbench.facts import Check
from cnnbench.plan import Plan
from cnnbench.record import Memory
from cnnbench.runner import fake, selftest
from cnnbench.runner.executor import executor
from cnnbench.runner.selftest import SelfTest
from tests.runner.conftest import Trouble

ORACLES = "cnnbench.worker.oracles"


def check(plan: Plan | None = None, who=None) -> selftest.Report:
    return selftest.check(who or executor("fake"), plan or Plan(rounds=3), 1)


def bad(report: selftest.Report) -> set[str]:
    return {finding.name for finding in report.bad}


def test_a_sound_instrument_has_no_bad_finding() -> None:
    report = check()

    assert bad(report) == set()
    assert (report.rounds, report.threads) == (3, 1)
    assert 0 < report.resolution < 0.02
    names = [finding.name for finding in report.findings]
    assert len(names) == len(set(names)) == 17


@pytest.mark.parametrize(
    ("figure", "nanoseconds", "expected"),
    [
        ("resolution_ns", 4e6, {"clock_resolution"}),
        ("reading_ns", 1_500.0, {"clock_reading"}),
        ("empty_ns", 1_500.0, {"empty_call"}),
        ("sample_ns", 2_000.0, {"overhead"}),
    ],
)
def test_a_slow_clock_or_loop_is_found(monkeypatch, figure, nanoseconds, expected) -> None:
    monkeypatch.setattr(fake, "_CLOCK", replace(fake._CLOCK, **{figure: nanoseconds}))

    assert bad(check()) == expected


@pytest.mark.parametrize("factor", [0.9, 1.2])
def test_a_clock_that_goes_wrong_is_found(monkeypatch, factor: float) -> None:
    monkeypatch.setitem(
        fake._KNOWN_SECONDS, f"{ORACLES}:sleeps", lambda given: factor * given["milliseconds"] / 1e3
    )

    assert bad(check()) == {"sleep"}


def test_a_slow_down_that_is_not_seen_is_found(monkeypatch) -> None:
    monkeypatch.setitem(fake._KNOWN_SECONDS, f"{ORACLES}:repeated", lambda given: 2e-3)

    assert bad(check()) == {"slower_ratio", "slower_seen"}


def test_an_instrument_that_prefers_one_of_twins_is_found(monkeypatch) -> None:
    monkeypatch.setitem(
        fake._KNOWN_SECONDS,
        f"{ORACLES}:repeated",
        lambda given: (1.05 if "twin" in given else 1.0) * 1e-4 * given.get("times", 20),
    )

    assert bad(check()) == {"same_ratio"}


@pytest.mark.parametrize("share", [0.01, 0.98, 1.02, 100])
def test_a_peak_that_is_off_is_found(monkeypatch, share: float) -> None:
    def memory(spec):
        held = spec.workload.keywords["mebibytes"] << 20
        return Memory(resident_bytes=5, cpu_peak_bytes=5 + round(share * held))

    monkeypatch.setattr(fake, "_memory", memory)

    assert bad(check()) == {f"held_{n}ms_allocator" for n in (1, 5, 50)}


def test_a_peak_that_nobody_knows_is_no_good_finding(monkeypatch) -> None:
    monkeypatch.setattr(fake, "_memory", lambda spec: Memory(resident_bytes=5))

    assert bad(check()) == {f"held_{n}ms_allocator" for n in (1, 5, 50)}


@pytest.mark.parametrize(
    ("status", "expected"), [("ok", {"wrong_answer"}), ("wrong", {"right_answer"})]
)
def test_an_output_check_that_says_one_thing_is_found(monkeypatch, status, expected) -> None:
    monkeypatch.setattr(fake, "_check", lambda spec, request: Check(status))

    assert bad(check()) == expected


def test_noise_is_no_fault_of_a_ratio_but_of_its_spread() -> None:
    wide = selftest._comparisons([-0.3, 0.3, 0.0], [-0.2, 0.4, 0.1])

    assert {finding.name for finding in wide if not finding.ok} == {"same_sd", "slower_seen"}


def test_a_worker_that_fails_ends_the_test_with_its_reason() -> None:
    def raises(heard):
        return WorkerRaised("ValueError: broken") if heard.what == "measure" else None

    with pytest.raises(WorkerRaised, match="the self-test failed: ValueError: broken"):
        check(who=Trouble(raises=raises))


def test_every_round_is_a_fresh_pool() -> None:
    who = Trouble()

    check(Plan(rounds=4), who)

    assert who.pools == 4
    compared = [heard.pool for heard in who.heard if heard.what == "measure"]
    assert {pool: compared.count(pool) for pool in (2, 3, 4)} == {2: 3, 3: 3, 4: 3}


@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=12))
def test_the_resolution_is_that_of_two_errors_at_one_per_cent(logs: list[float]) -> None:
    count = len(logs)
    expected = 2 * stats.t_quantile(0.99, count - 1) * statistics.stdev(logs) / math.sqrt(count)

    assert selftest.resolution(logs) == pytest.approx(math.exp(expected) - 1, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("finding", "ok"),
    [
        (SelfTest("a", "", "seconds", 2.0, least=1.0, most=3.0), True),
        (SelfTest("a", "", "seconds", 4.0, least=1.0, most=3.0), False),
        (SelfTest("a", "", "seconds", 0.5, least=1.0), False),
        (SelfTest("a", "", "ratio", 4.0, 2.5, 6.0, 1.0, 3.0), True),
        (SelfTest("a", "", "ratio", 4.0, 3.5, 6.0, 1.0, 3.0), False),
        (SelfTest("a", "", "bytes", math.nan, least=1.0), False),
        (SelfTest("a", "", "bytes", math.nan, most=1.0), False),
        (SelfTest("a", "", "text", "ok", expected="ok"), True),
        (SelfTest("a", "", "text", "loose", expected="wrong"), False),
    ],
)
def test_a_finding_is_judged_by_its_bounds(finding: SelfTest, ok: bool) -> None:
    assert finding.ok is ok
