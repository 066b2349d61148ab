"""Runs on several CUDA devices that are not there, by real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cnnbench import store
from tests.runner.gpus import never_two_at_once, one_gpu_each

TINY, LOSING, PLACED = (f"pretended_nets:{name}" for name in ("tiny", "losing", "placed"))
SHORT = ("--device", "cuda:all", "--input", "3x16x16", "--modes", "eager,channels_last",
         "--slices", "2")  # fmt: skip
CORES = len(os.sched_getaffinity(0))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("pretended_cuda"),
    pytest.mark.skipif(CORES < 2, reason="two GPUs need two cores"),
]


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRETENDED_CUDA_NAMES", "Pretended GPU,Pretended GPU")


@pytest.mark.usefixtures("two_gpus")
def test_groups_are_shared_and_workers_see_one_gpu_and_its_cores_alone(
    cnnbench_cli, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("PRETENDED_CUDA_PLACED", str(tmp_path / "placed"))
    result = cnnbench_cli("run", PLACED, *SHORT, "--batch", "1,2", "--rounds", "1", "--quiet",
                          "--out", "out")  # fmt: skip

    assert result.exit_code == 0, result.output
    stored = store.read(tmp_path / "out")
    assert len(stored.records) == 4
    runs = [run for record in stored.records for run in record.runs]
    assert {run.gpu.index for run in runs} == {0, 1}
    # What the workers found is what the runner says.
    assert all(run.flags["gpu"] == run.gpu.uuid for run in runs)
    sharing = {one["uuid"]: one["cores"] for one in stored.environment.soft["gpus_sharing"]}
    assert not {*sharing[runs[0].gpu.uuid]} & set().union(
        *(cores for uuid, cores in sharing.items() if uuid != runs[0].gpu.uuid)
    )
    placed = (tmp_path / "placed").read_text(encoding="utf8").splitlines()
    named = re.compile(r"(\S+) (\[.*\])")
    bound = {(found[1], found[2]) for line in placed if (found := named.fullmatch(line))}
    # A worker of the preparation is none of a GPU's yet; all that measure are kept on its cores.
    assert {(uuid, str(cores)) for uuid, cores in sharing.items()} <= bound
    assert any(run.gpu.neighbours for run in runs)
    never_two_at_once(stored.records)
    one_gpu_each(stored.records)


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_that_goes_away_costs_its_rows(cnnbench_cli, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PRETENDED_CUDA_LOST", str(tmp_path / "lost"))
    result = cnnbench_cli("run", LOSING, TINY, *SHORT, "--batch", "1,2", "--rounds", "1",
                          "--quiet", "--out", "out", "--modes", "eager")  # fmt: skip

    # Two batches of what kills a GPU, and two GPUs.
    assert result.exit_code == 3, result.output
    assert len((tmp_path / "lost").read_text(encoding="utf8").splitlines()) == 2
    assert "no GPU answers any more" in result.output
    assert "torch sees 0 CUDA devices" in result.output
    assert "continue with: cnnbench run --resume out" in result.output
    (tmp_path / "lost").unlink()
    before = {one.id: one for one in store.read(tmp_path / "out").records}
    again = cnnbench_cli("run", "--resume", "out", "--allow", "pretended_nets:*", "--quiet")

    stored = store.read(tmp_path / "out")
    status = {(one.spec.workload.architecture, one.status) for one in stored.records}
    assert (TINY, "ok") in status, again.output
    assert all(before[one.id] == one for one in stored.records if one.id in before)


def test_unlike_gpus_are_refused_and_each_can_be_used(cnnbench_cli, monkeypatch) -> None:
    monkeypatch.setenv("PRETENDED_CUDA_NAMES", "One GPU,Other GPU")

    result = cnnbench_cli("run", TINY, *SHORT, "--rounds", "1", "--quiet")
    one = cnnbench_cli("run", TINY, *SHORT, "--rounds", "1", "--quiet", "--dry-run",
                       "--device", "cuda:0")  # fmt: skip

    assert result.exit_code == 2, result.output
    assert "the GPUs are not alike (cuda:0 One GPU, cuda:1 Other GPU)" in result.output
    assert one.exit_code == 2  # two devices, of which click would have taken the last
    (remedy,) = re.findall(r"or use (--device cuda:\d)$", result.output.strip(), re.MULTILINE)
    words = [word for word in SHORT if word not in {"--device", "cuda:all"}]
    done = cnnbench_cli("run", TINY, *words, *remedy.split(), "--rounds", "1", "--dry-run")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("sent", [signal.SIGKILL])
@pytest.mark.usefixtures("two_gpus")
def test_a_killed_run_leaves_no_process_and_goes_on(tmp_path: Path, sent: int) -> None:
    words = [sys.executable, "-m", "cnnbench", "run"]
    out = tmp_path / "out"
    running = subprocess.Popen(
        [*words, TINY, *SHORT, "--batch", "1,2,3", "--rounds", "1", "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    records = out / "records.jsonl"
    deadline = time.monotonic() + 600
    while not (records.exists() and records.stat().st_size):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started = _descendants(running.pid)
    running.send_signal(sent)
    _, errors = running.communicate(timeout=300)

    assert running.returncode == (-sent if sent == signal.SIGKILL else 130)
    while any(Path(f"/proc/{pid}").exists() for pid in started):
        assert time.monotonic() < deadline, started
        time.sleep(0.05)
    if sent == signal.SIGINT:
        assert f"--resume {out}" in errors.decode()
    halfway = {one.id: one for one in store.read(out).records}
    done = subprocess.run(
        [*words, "--resume", str(out), "--allow", "pretended_nets:*", "--json"],
        capture_output=True, cwd=tmp_path, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr.decode()
    assert len(json.loads(done.stdout)) == 6
    stored = store.read(out)
    assert stored.missing == stored.unfinished == ()
    assert len(stored.records) == 6
    for one in stored.records:
        before = halfway.get(one.id)
        if before is not None and not before.unfinished:
            assert one == before
        # What the kill left unfinished has the round that it had, and the one that resuming begins.
        whole = before is None or not before.unfinished
        assert [run.round for run in one.runs] == ([0] if whole else [0, 1])
    never_two_at_once(stored.records)
    one_gpu_each(stored.records)


def _descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, rest = [], [pid]
    while rest:
        children = parents.get(rest.pop(), [])
        found += children
        rest += children
    return found
