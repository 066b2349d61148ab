"""What commands say of a busy machine before they measure, and ``--wait``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cnnbench import quiet
from cnnbench.quiet import CoreUse
from cnnbench.runner.fake import Fake
from tests.test_quiet import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

BUSY, CALM = CoreUse(1.6, 2), CoreUse(0.0, 2)
TOLD = "cnnbench: other work keeps 1.6 of 2 cores busy"
FAKE = ("--device", "cpu", "--executor", "fake")
COMMANDS = {
    "run": ("run", "--models", "lenet", "--rounds", "2", *FAKE),
    "conv": ("conv", "--layer", "n1c4h8w8-k4-3x3-p1", "--rounds", "2", *FAKE),
    "advise": ("advise", "lenet", "--rounds", "2", *FAKE),
    "ab": ("ab", "eager", "eager", "--models", "lenet", *FAKE),
}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Clock]:
    """Makes the pretended machine give these readings, the last of them for ever."""

    def give(*uses: CoreUse | None) -> Clock:
        left, clock = [*uses], Clock()
        read = lambda _: left.pop(0) if len(left) > 1 else left[0]  # noqa: E731
        monkeypatch.setattr(Fake, "core_use", read)
        monkeypatch.setattr(quiet, "time", clock)
        return clock

    return give


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_busy_machine_is_told_in_one_line_before_measuring(cnnbench_cli, machine, words) -> None:
    machine(BUSY)

    result = cnnbench_cli(*words, "--threads", "2")

    lines = result.stderr.splitlines()
    assert result.exit_code == 0, result.output
    assert [line for line in lines if "busy" in line] == [lines[0]]
    assert lines[0] == (
        f"{TOLD}, so expect times too long and wide intervals; --wait 10m waits for quiet before"
        " measuring; started anew with --threads 1, the waiting can be taken out"
    )


def test_a_profile_of_a_busy_machine_says_so_in_its_first_lines(cnnbench_cli, machine) -> None:
    machine(BUSY)

    result = cnnbench_cli("profile", "lenet", "--threads", "2", *FAKE)

    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].startswith("not usable: ")
    assert "busy" in result.stdout.splitlines()[1]


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("use", "more"), [(CALM, ()), (None, ()), (BUSY, ("--quiet",))])
def test_otherwise_nothing_is_said(cnnbench_cli, machine, words, use, more) -> None:
    machine(use)

    result = cnnbench_cli(*words, "--threads", "2", *more)

    assert result.exit_code == 0
    assert "busy" not in result.stderr


def test_one_thread_is_not_advised_to_who_has_one(cnnbench_cli, machine) -> None:
    machine(BUSY)

    assert "--threads 1" not in cnnbench_cli(*COMMANDS["run"], "--threads", "1").stderr


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_wait_measures_as_soon_as_it_is_quiet(cnnbench_cli, machine, words) -> None:
    clock = machine(BUSY, BUSY, BUSY, CALM)

    result = cnnbench_cli(*words, "--threads", "2", "--wait", "5m")

    assert result.exit_code == 0
    assert [line for line in result.stderr.splitlines() if "busy" in line] == [
        "cnnbench: waiting for quiet, 5 min at most: other work keeps 1.6 of 2 cores busy, so"
        " expect times too long and wide intervals"
    ]
    assert 0 < clock.now < 300


def test_wait_without_a_time_gives_up_after_ten_minutes_and_says_so(cnnbench_cli, machine) -> None:
    clock = machine(BUSY)

    result = cnnbench_cli(*COMMANDS["run"], "--threads", "2", "--wait")

    lines = [line for line in result.stderr.splitlines() if "busy" in line]
    assert result.exit_code == 0
    assert clock.now == 600
    assert len(lines) == 2
    assert lines[1].startswith("cnnbench: not quiet within 10 min, starting anyway: other")


def test_where_nothing_is_known_of_the_cores_wait_starts_at_once(cnnbench_cli, machine) -> None:
    clock = machine(None)

    result = cnnbench_cli(*COMMANDS["run"], "--wait")

    assert result.exit_code == 0
    assert "--wait: it is not known here how busy the cores are" in result.stderr
    assert clock.now == 0


def test_a_resumed_run_tells_it_too_and_waits(cnnbench_cli, machine, tmp_path) -> None:
    machine(CALM)
    assert cnnbench_cli(*COMMANDS["run"], "--threads", "2", "--out", "kept").exit_code == 0
    machine(BUSY)
    assert "busy" not in cnnbench_cli("run", "--resume", "kept").stderr  # nothing is left to do
    (tmp_path / "kept" / "records.jsonl").write_text("")

    result = cnnbench_cli("run", "--resume", "kept", "--wait", "2s")

    assert result.exit_code == 0
    assert "not quiet within 2 s" in result.stderr


def test_a_time_that_is_none_is_refused(cnnbench_cli) -> None:
    result = cnnbench_cli(*COMMANDS["run"], "--wait", "soon")

    assert result.exit_code == 2
    assert "'soon' is not a time such as 90s or 5m" in result.stderr
