"""Counters of a pretended kernel, and probes that cost nothing but their time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.worker import counters, sampling
from cnnbench.worker.counters import Counters, Probes
from cnnbench.worker.devices import Cpu

TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def reading(cpu: int = 0, busy: int | None = 0, steal: int | None = 0) -> Counters:
    return Counters(cpu, 0, 0, 0, steal, busy)


def kernel(path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path.write_text(text, encoding="ascii")
    monkeypatch.setattr(counters, "_STAT", path)


def test_busy_and_steal_are_read_by_the_kernels_columns(tmp_path, monkeypatch) -> None:
    columns = "cpu  1 20 300 4000 50000 600 7000 80000 900000 1000000\ncpu0 9 9\n"
    kernel(tmp_path / "stat", monkeypatch, columns)

    read = Counters.read()

    assert read.steal_ns == 80_000 * TICK
    # User, nice, system and interrupts; neither idle nor waiting, and a guest is user time already.
    assert read.busy_ns == (1 + 20 + 300 + 600 + 7000) * TICK


@pytest.mark.parametrize("text", ["", "cpu", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8", "cpu a b c d"])
def test_a_kernel_that_counts_otherwise_is_not_guessed_at(tmp_path, monkeypatch, text) -> None:
    kernel(tmp_path / "stat", monkeypatch, text)

    read = Counters.read()

    assert (read.steal_ns, read.busy_ns) == (None, None)


def test_a_system_without_proc_still_has_what_it_has(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(counters, "_STAT", tmp_path / "none")
    monkeypatch.setattr(counters, "_SCHEDSTAT", tmp_path / "none")

    taken = sampling.take_slice(lambda: None, Cpu(), 0, 1, 0.001, 1e-4)

    assert (taken.steal_ns, taken.others_ns, taken.run_delay_ns) == (None, None, None)
    assert taken.cpu_ns is not None
    assert taken.minor_faults is not None


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_the_others_work_is_what_this_process_did_not_and_never_negative(own, busy) -> None:
    change = reading(cpu=own, busy=busy).since(reading())

    assert change["others_ns"] == max(0, busy - own)


@pytest.mark.parametrize(
    ("before", "after"), [(None, 5), (5, None), (None, None)], ids=["before", "after", "both"]
)
def test_what_was_not_counted_at_both_ends_is_not_known(before, after) -> None:
    change = reading(busy=after, steal=after).since(reading(busy=before, steal=before))

    assert change["others_ns"] is None
    assert change["steal_ns"] is None


def test_canaries_sing_after_the_samples_of_a_slice(monkeypatch) -> None:
    order: list[str] = []
    probes = Probes()
    monkeypatch.setattr(probes, "_work", {"one": lambda: order.append("probe")})
    read = Counters.read
    monkeypatch.setattr(Counters, "read", lambda: order.append("counters") or read())

    taken = sampling.take_slice(lambda: order.append("call"), Cpu(), 0, 1, 0, 4e-3, probes)

    settling = ["call", "call"]
    assert order == [*settling, "counters", "call", "counters", "probe"]
    assert set(taken.canaries_ns) == {"one"}


def test_each_canary_takes_some_time_and_touches_no_random_numbers() -> None:
    state = torch.get_rng_state()

    taken = Probes().run()

    assert set(taken) == {"matmul", "python"}
    assert min(taken.values()) > 0
    assert torch.equal(state, torch.get_rng_state())


def test_a_canary_allocates_nothing_once_it_is_made() -> None:
    probes = Probes()

    with torch.profiler.profile(profile_memory=True) as profile:
        probes.run()

    allocated = [event.self_cpu_memory_usage for event in profile.key_averages()]
    assert set(allocated) <= {0}
    assert "aten::mm" in {event.key for event in profile.key_averages()}


def test_the_waiting_of_all_threads_is_added_up(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(counters, "_THREADS", tmp_path)
    for number, delay in (("1", 30), ("2", 12)):
        (tmp_path / number).mkdir()
        (tmp_path / number / "schedstat").write_text(f"100 {delay} 5\n")
    (tmp_path / "3").mkdir()  # it has just ended

    assert Counters.read().threads_delay_ns == 42


def test_a_thread_that_ended_leaves_the_waiting_unknown() -> None:
    before = Counters(0, 0, 0, 0, 0, 0, threads_delay_ns=50)
    after = Counters(0, 0, 0, 0, 0, 0, threads_delay_ns=20)

    assert after.since(before)["threads_delay_ns"] is None
    assert before.since(after)["threads_delay_ns"] == 30


def test_without_proc_the_waiting_of_threads_is_unknown(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(counters, "_THREADS", tmp_path / "none")

    assert Counters.read().threads_delay_ns is None
