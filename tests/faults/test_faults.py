"""What must survive: real worker processes, one fault each, and every other spec still measured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cnnbench
from cnnbench import store

HERE = Path(__file__).parent
# As quick as a real measurement can be: what is tested here is survival, not numbers.
FAST = {"rounds": 1, "slices": 2, "slice_seconds": 0.005, "warm_up_calls": 2, "warm_up_seconds": 0}


@pytest.fixture(autouse=True)
def _networks_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("PYTHONPATH", str(HERE))


def measure(tmp_path: Path, *names: str, modes: str = "eager", **options):
    """Records of bad networks by class name, each beside a network that works."""
    models = [f"bad_networks:{name}" for name in (*names, "fine")]
    plan = FAST | options
    results = cnnbench.run(
        models, modes, device="cpu", threads=1, input=(3, 16, 16), out=tmp_path / "run", **plan
    )
    assert all(
        record.status == "ok"
        for record in results.records
        if record.spec.workload.architecture == "bad_networks:fine"
    )
    return {
        (record.spec.workload.architecture.partition(":")[2], record.spec.mode.text): record
        for record in results.records
    }


def test_a_fault_costs_one_row_that_names_phase_and_reason(tmp_path: Path) -> None:
    names = ("raises_in_construction", "RaisesInForward", "Exits", "ExitsPolitely", "Killed")

    records = measure(tmp_path, *names)

    failures = {name: records[name, "eager"].failure for name in names}
    found = {name: (f.phase, f.kind) for name, f in failures.items() if f is not None}
    assert found == {
        "raises_in_construction": ("plan", "unsupported"),
        "RaisesInForward": ("first call", "error"),
        "Exits": ("first call", "died"),
        "ExitsPolitely": ("first call", "error"),
        "Killed": ("first call", "died"),
    }
    assert "no weights today" in failures["raises_in_construction"].message
    assert "forward is broken" in failures["RaisesInForward"].message
    assert "in forward" in failures["RaisesInForward"].details
    assert "status 7" in failures["Exits"].message
    assert "SIGKILL" in failures["Killed"].message


def test_a_process_that_dies_in_the_second_check_keeps_its_slices(tmp_path: Path) -> None:
    record = measure(tmp_path, "DiesInTheSecondCheck")["DiesInTheSecondCheck", "eager"]

    assert (record.failure, record.status, record.rounds) == (None, "unchecked", 1)
    assert record.latency is not None
    assert sum(len(run.slices) for run in record.runs) >= 2
    assert "no check after the measurement: the worker process was killed by" in record.reason


def test_an_output_that_cannot_be_read_is_never_called_right(tmp_path: Path) -> None:
    records = measure(tmp_path, "RaisesInCheck", "Uncheckable", modes="eager,bf16")

    assert records["RaisesInCheck", "eager"].status == "ok"
    failure = records["RaisesInCheck", "bf16"].failure
    assert (failure.phase, failure.kind) == ("check", "error")
    assert "cannot be read" in failure.message
    unchecked = records["Uncheckable", "eager"]
    assert unchecked.status == "unchecked"
    assert "cannot be read" in unchecked.check.reason


def test_a_hanging_network_costs_one_timeout(tmp_path: Path) -> None:
    records = measure(tmp_path, "Hangs", modes="eager,channels_last", timeout=10.0)

    for mode in ("eager", "channels_last"):
        failure = records["Hangs", mode].failure
        assert (failure.kind, failure.phase) == ("timeout", "calibrate")
        assert "--timeout" in failure.message


def test_one_mode_that_hangs_or_dies_leaves_the_others_of_its_network(tmp_path: Path) -> None:
    records = measure(tmp_path, "HangsInBf16", "DiesLater", modes="eager,bf16", timeout=12.0,
                      slices=40, slice_seconds=0.05)  # fmt: skip

    assert records["HangsInBf16", "eager"].status == "ok"
    assert records["HangsInBf16", "bf16"].failure.kind == "timeout"
    assert records["DiesLater", "eager"].status == "ok"
    died = records["DiesLater", "bf16"].failure
    assert (died.phase, died.kind) == ("measure", "died")
    assert "status 9" in died.message


def test_what_a_network_prints_corrupts_nothing(tmp_path: Path) -> None:
    records = measure(tmp_path, "Prints", "PrintsMegabytes")

    assert records["Prints", "eager"].status == "ok"
    assert records["PrintsMegabytes", "eager"].status == "ok"


def test_memory_beyond_the_limit_is_a_row_that_says_so(tmp_path: Path) -> None:
    records = measure(tmp_path, "Allocates", memory_limit=1 << 30)

    failure = records["Allocates", "eager"].failure
    assert (failure.phase, failure.kind) == ("first call", "out_of_memory")


def test_a_network_that_kills_the_supervisor_fails_alone(tmp_path: Path) -> None:
    records = measure(tmp_path, "KillsTheStarter", modes="eager,channels_last")

    assert {
        records["KillsTheStarter", mode].failure.kind for mode in ("eager", "channels_last")
    } == {"died"}


def test_a_fast_wrong_answer_is_shown_as_wrong(tmp_path: Path) -> None:
    records = measure(
        tmp_path, "WrongInChannelsLast", "NotFinite", modes="eager,channels_last,bf16"
    )

    assert records["WrongInChannelsLast", "eager"].status == "ok"
    wrong = records["WrongInChannelsLast", "channels_last"]
    assert wrong.status == "wrong"
    assert wrong.check.error > 0.1
    assert wrong.runs[0].slices
    assert records["NotFinite", "bf16"].status == "wrong"


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "cnnbench", *words]


def start_run(out: Path) -> subprocess.Popen[bytes]:
    """A real run of several batches in a process of its own."""
    words = ["run", "--models", "bad_networks:fine,bad_networks:Fine", "--modes",
             "eager,channels_last", "--input", "3x16x16", "--device", "cpu", "--threads", "1",
             "--rounds", "2", "--slices", "3", "--out", str(out)]  # fmt: skip
    return subprocess.Popen(
        command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=HERE
    )


def wait_for(condition, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(status.parent.name))
    return found


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_run_leaves_no_process_and_can_be_resumed(tmp_path: Path, sent: int) -> None:
    out = tmp_path / "run"
    process = start_run(out)
    wait_for(lambda: (out / "records.jsonl").exists() and children_of(process.pid))
    starters = children_of(process.pid)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == (-sent if sent == signal.SIGKILL else 128 + sent)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in starters))
    if sent != signal.SIGKILL:
        assert f"--resume {out}" in errors.decode()
    done = subprocess.run(
        command("run", "--resume", str(out), "--allow", "bad_networks:*"),
        capture_output=True,
        cwd=HERE,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
    stored = store.read(out)
    assert not stored.missing
    assert {record.status for record in stored.records} == {"ok"}


def test_a_kill_within_a_record_loses_only_that_record(tmp_path: Path) -> None:
    measure(tmp_path, "Fine", modes="eager,channels_last")
    out = tmp_path / "run"
    records = out / "records.jsonl"
    lines = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(b"".join(lines[:1]) + lines[1][: len(lines[1]) // 2])

    before = store.read(out)
    done = subprocess.run(
        command("run", "--resume", str(out), "--allow", "bad_networks:*"),
        capture_output=True,
        cwd=HERE,
        check=False,
    )

    assert len(before.records) == 1
    assert any("incomplete line" in problem for problem in before.problems)
    assert done.returncode == 0, done.stderr.decode()
    after = store.read(out)
    assert not after.missing
    assert after.records[0] == before.records[0]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("bad_networks:nobody", ["bad_networks", "nobody"]),
        ("no_such_module:net", ["no_such_module", "PYTHONPATH"]),
        ("bad_networks:not_callable", ["int", "not a function"]),
        ("bad_networks:not_a_module", ["int", "torch.nn.Module"]),
    ],
)
def test_a_factory_that_cannot_be_used_is_one_clear_line(model: str, words: list[str]) -> None:
    done = subprocess.run(
        command("run", "--models", model, "--device", "cpu"),
        capture_output=True, cwd=HERE, check=False,
    )  # fmt: skip

    lines = done.stderr.decode().strip().splitlines()
    assert done.returncode == 2
    assert len(lines) == 1
    assert all(word in lines[0] for word in words)


def test_the_worker_finds_networks_beside_the_user_but_never_shadows_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\n\n"
        "def net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(12, 2))\n"
    )
    (tmp_path / "random.py").write_text("raise SystemExit('shadowed')\n")
    monkeypatch.delenv("PYTHONPATH")
    root = str(Path(cnnbench.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-P", "-c",
         f"import sys; sys.path.append({root!r}); from cnnbench.cli import main; main()",
         "run", "--models", "mine:net", "--input", "3x2x2", "--device", "cpu", "--rounds", "1",
         "--slices", "1", "--modes", "eager", "--out", "out", "-q"],
        capture_output=True, cwd=tmp_path, check=False, env=dict(os.environ),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr.decode()
    assert b"mine:net" in done.stdout
