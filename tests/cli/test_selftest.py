from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cnnbench.runner import fake

FAKE = ("selftest", "--executor", "fake", "--threads", "1")


def test_the_table_has_a_verdict_per_line_and_ends_with_what_can_be_seen(cnnbench_cli) -> None:
    result = cnnbench_cli(*FAKE, "--wide")

    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0] == "FAKE EXECUTOR: every number here is made up"
    heading = next(i for i, line in enumerate(lines) if line.startswith("what"))
    assert lines[heading].split() == ["what", "figure", "bound", "verdict"]
    assert [line.split()[-1] for line in lines[heading + 2 : -2]] == ["ok"] * 17
    assert lines[-1].startswith("smallest detectable change here today: ")
    assert lines[-1].endswith("with 5 rounds on 1 thread")


def test_json_holds_figures_bounds_and_verdicts(cnnbench_cli) -> None:
    data = json.loads(cnnbench_cli(*FAKE, "--json").stdout)

    findings = {one["name"]: one for one in data["findings"]}
    assert data["ok"] is True
    assert data["fake"] is True
    assert findings["held_1ms_allocator"]["value"] == 64 << 20
    assert findings["sleep"]["least"] == 0.02
    assert findings["slower_ratio"]["low"] < 1.1 < findings["slower_ratio"]["high"] + 0.01
    assert findings["wrong_answer"]["value"] == "wrong"
    assert f"{100 * data['resolution']:.1f} %" in data["sentence"]


def test_quick_takes_fewer_rounds_and_rounds_overrule_it(cnnbench_cli) -> None:
    asked = [(), ("--quick",), ("--quick", "--rounds", "2")]

    rounds = [json.loads(cnnbench_cli(*FAKE, *more, "--json").stdout)["rounds"] for more in asked]

    assert rounds == [5, 3, 2]


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_bad_figure_is_shown_and_exits_3(cnnbench_cli, monkeypatch, more) -> None:
    monkeypatch.setattr(fake, "_CLOCK", replace(fake._CLOCK, sample_ns=5_000.0))

    result = cnnbench_cli(*FAKE, *more)

    assert result.exit_code == 3
    assert result.stderr.splitlines()[-1] == (
        "cnnbench: 1 figure out of bounds: overhead; see 'cnnbench doctor'"
    )
    assert ('"ok": false' if more else " bad\n") in result.stdout


def test_one_round_is_no_test(cnnbench_cli) -> None:
    result = cnnbench_cli(*FAKE, "--rounds", "1")

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


@pytest.mark.torch
@pytest.mark.slow
def test_the_real_instrument_knows_what_needs_no_quiet_machine(cnnbench_process) -> None:
    done = cnnbench_process("selftest", "--quick", "--rounds", "2", "--threads", "1", "--json")

    data = json.loads(done.out)
    verdicts = {one["name"]: one["ok"] for one in data["findings"]}
    assert done.code == (0 if data["ok"] else 3), done.err
    # What depends on time may be bad on a busy machine; what does not, must not be.
    steady = ["right_answer", "wrong_answer", *(f"held_{n}ms_allocator" for n in (1, 5, 50))]
    assert {name: verdicts[name] for name in steady} == dict.fromkeys(steady, True)
    assert data["resolution"] > 0
    assert len(verdicts) in {14, 17}
