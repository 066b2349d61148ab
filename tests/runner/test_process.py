"""Real processes without torch: a worker of a stand-in package, which does as it is told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import cnnbench
from cnnbench.errors import WorkerDied, WorkerError, WorkerRaised, WorkerTimeout
from cnnbench.runner import process
from cnnbench.runner.origin import Origin
from cnnbench.runner.process import Guests, Pool, Processes, StarterDied, Worker

REAL = Path(cnnbench.__file__).parent

# A package that is the real one but for its workers: they need no torch, and end as a test says.
STAND_IN = f"""
__path__.append({str(REAL)!r})
"""
WORKERS = """
import os, signal, socket, sys, time
from cnnbench.channel import Channel, ChannelClosed

def serve(channel):
    try:
        request = channel.receive()
        sys.stderr = open(request["log"], "w")
        while True:
            channel.send({"phase": "build"})
            do = request["task"] if "task" in request else request["do"]
            if do == "die":
                print("the last words", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            if do == "leave":
                os._exit(7)
            if do == "assert":
                print(request["stderr"], file=sys.stderr, flush=True)
                message = "AcceleratorError: CUDA error: device-side assert triggered"
                error = {"phase": "first call", "message": message, "kind": "error"}
                channel.send({"error": error | {"details": "Traceback"}})
            if do == "raise":
                error = {"phase": "warm-up", "message": "ValueError: x", "kind": "error"}
                channel.send({"error": error | {"details": "Traceback"}})
            if do == "hang":
                time.sleep(600)
            if do == "linger":
                channel.send({"result": os.getpid()})
                channel.close()
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(600)
            channel.send({"result": {"pid": os.getpid(), "parent": os.getppid(),
                "request": request, "value": os.environ.get("VALUE"), "folder": os.getcwd()}})
            request = channel.receive()
    except ChannelClosed:
        return

def reap(pid, force):
    if force:
        os.kill(pid, signal.SIGKILL)
    for _ in range(400):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return reap(pid, True)

def start(control):
    control.send({"ready": os.getpid(), "hazard": HAZARD})
    while True:
        try:
            message = control.receive()
        except ChannelClosed:
            os.killpg(0, signal.SIGKILL)
        if message["do"] == "fork":
            end = control.take_descriptor()
            pid = os.fork()
            if not pid:
                control.close()
                serve(Channel(socket.socket(fileno=end)))
                os._exit(0)
            os.close(end)
            control.send({"pid": pid})
        else:
            control.send({"status": reap(message["pid"], message["force"])})

channel = Channel(socket.socket(fileno=int(sys.argv[2])))
start(channel) if sys.argv[1] == "starter" else serve(channel)
"""


def package(folder: Path, workers: str) -> Origin:
    """Workers whose main module is this text."""
    (folder / "cnnbench" / "worker").mkdir(parents=True)
    (folder / "cnnbench" / "__init__.py").write_text(STAND_IN)
    (folder / "cnnbench" / "worker" / "__init__.py").write_text("")
    (folder / "cnnbench" / "worker" / "__main__.py").write_text(workers)
    return Origin(package=str(folder), variables={"VALUE": "told"})


@pytest.fixture(params=["None", "'no /proc'"], ids=["forked", "spawned"])
def pool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pool]:
    """Workers that a starter forks, and ones that are processes of their own."""
    origin = package(tmp_path / "package", WORKERS.replace("HAZARD", request.param))
    with Processes(origin).open(tmp_path) as opened:
        yield opened


@pytest.fixture
def forked(tmp_path: Path) -> Iterator[Pool]:
    origin = package(tmp_path / "package", WORKERS.replace("HAZARD", "None"))
    with Processes(origin).open(tmp_path) as opened:
        yield opened


def alive(pid: int) -> bool:
    """Whether it still runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    for _ in range(1000):
        if not alive(pid):
            return True
        time.sleep(0.01)
    return False


@contextmanager
def working(place: Pool | Guests) -> Iterator[Worker]:
    """A worker that is closed in the end, as every caller closes those that it starts."""
    worker = place.start()
    try:
        yield worker
    finally:
        worker.close()


def ended(worker: Worker, do: str, timeout: float = 60) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        worker.ask({"task": do}, timeout)
    return caught.value


def test_a_worker_answers_until_it_is_closed(pool: Pool) -> None:
    worker = pool.start()
    first = worker.ask({"task": "measure", "spec": "x"}, 60)
    second = worker.ask({"do": "slice"}, 60)

    assert worker.phase == "build"
    assert first["pid"] == second["pid"] != os.getpid()
    assert first["request"]["spec"] == "x"
    assert second["request"] == {"do": "slice"}
    assert first["value"] == "told"
    assert worker.close() == 0
    assert worker.close() == 0
    assert gone(first["pid"])


def test_workers_live_at_the_same_time(pool: Pool) -> None:
    with working(pool) as one, working(pool) as other:
        pids = [worker.ask({"task": "measure"}, 60)["pid"] for worker in (one, other)]

        assert pids[0] != pids[1]
        assert all(map(alive, pids))


def test_a_worker_that_dies_says_how_and_its_last_words(pool: Pool) -> None:
    worker = pool.start()
    error = ended(worker, "die")

    assert isinstance(error, WorkerDied)
    assert str(error) == "the worker process was killed by SIGKILL; out of memory?"
    assert error.__notes__ == ["the last words"]
    assert worker.close() == -signal.SIGKILL


def test_a_worker_that_leaves_says_with_what(pool: Pool) -> None:
    error = ended(pool.start(), "leave")

    assert str(error) == "the worker process exited with status 7 without an answer"


def test_a_worker_that_raises_says_what_and_in_which_phase(pool: Pool) -> None:
    worker = pool.start()
    error = ended(worker, "raise")

    assert isinstance(error, WorkerRaised)
    assert (str(error), error.kind, error.traceback) == ("ValueError: x", "error", "Traceback")
    assert worker.phase == "warm-up"
    assert worker.close() == 0


INDEXING = (
    "../torch/aten/src/ATen/native/cuda/Indexing.cu:1369: indexSelectSmallIndex: block: [0,0,0],"
    " thread: [5,0,0] Assertion `srcIndex < srcSelectDimSize` failed."
)
LOSS = (
    "/pytorch/aten/src/ATen/native/cuda/Loss.cu:250: nll_loss_forward_reduce_cuda_kernel_2d: block:"
    " [0,0,0], thread: [0,0,0] Assertion `t >= 0 && t < n_classes` failed."
)


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        (f"a warning\n{INDEXING}\n{INDEXING}", " (Assertion `srcIndex < srcSelectDimSize` failed in"
         " indexSelectSmallIndex, Indexing.cu:1369)"),
        (LOSS, " (Assertion `t >= 0 && t < n_classes` failed in"
         " nll_loss_forward_reduce_cuda_kernel_2d, Loss.cu:250)"),
        ("nothing of the kind", ""),
    ],
)  # fmt: skip
def test_a_failed_assertion_of_a_kernel_is_said_as_the_driver_says_it(
    pool: Pool, stderr: str, said: str
) -> None:
    with pytest.raises(WorkerRaised) as caught:
        pool.start().ask({"task": "assert", "stderr": stderr}, 60)

    message = "AcceleratorError: CUDA error: device-side assert triggered"
    assert str(caught.value) == message + said


def test_a_worker_that_hangs_is_killed(pool: Pool) -> None:
    worker = pool.start()
    error = ended(worker, "hang", 0.05)

    assert isinstance(error, WorkerTimeout)
    assert str(error) == "no answer within 0.05 s; raise --timeout"
    assert worker.close() == -signal.SIGKILL


def test_a_worker_that_lingers_is_killed_in_the_end(pool: Pool) -> None:
    worker = pool.start()
    pid = worker.ask({"task": "linger"}, 60)

    assert worker.close() == -signal.SIGKILL
    assert not alive(pid)


def test_the_end_of_a_pool_is_the_end_of_its_workers(forked: Pool) -> None:
    with forked, working(forked) as worker:
        told = worker.ask({"task": "measure"}, 60)
        forked.__exit__()

        assert gone(told["pid"])
        assert gone(told["parent"])
        assert worker.close() is None


def test_without_the_starter_every_worker_ends_and_another_starter_begins(forked: Pool) -> None:
    with working(forked) as first, working(forked) as second:
        told, other = (worker.ask({"task": "measure"}, 60) for worker in (first, second))
        os.kill(told["parent"], signal.SIGKILL)

        with pytest.raises(StarterDied, match="supervises the workers was killed"):
            first.ask({"do": "hang"}, 60)
        assert second.close() is None
        assert gone(told["pid"])
        assert gone(other["pid"])
    with working(forked) as worker:
        assert worker.ask({"task": "measure"}, 60)["parent"] != told["parent"]


def test_a_starter_that_is_gone_forks_nothing(forked: Pool) -> None:
    with working(forked) as worker:
        told = worker.ask({"task": "measure"}, 60)
        os.kill(told["parent"], signal.SIGKILL)
        assert gone(told["parent"])

        with pytest.raises(StarterDied, match="supervises the workers was killed"):
            forked.start()


def test_a_starter_that_cannot_start_says_its_last_line(tmp_path: Path) -> None:
    origin = package(tmp_path / "package", "raise ImportError('no torch here')")
    with Pool(tmp_path, origin) as pool, pytest.raises(StarterDied) as caught:
        pool.start()

    assert str(caught.value) == ("no worker process can be started: ImportError: no torch here")


def test_a_starter_that_says_nothing_is_not_quoted(tmp_path: Path) -> None:
    origin = package(tmp_path / "package", "")
    with Pool(tmp_path, origin) as pool, pytest.raises(StarterDied, match="it gave no reason"):
        pool.start()


def test_a_starter_that_is_too_slow_is_not_taken_for_a_broken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_START_SECONDS", 0.1)
    origin = package(tmp_path / "package", "import time\ntime.sleep(300)")
    with (
        Pool(tmp_path, origin) as pool,
        pytest.raises(StarterDied, match=r"torch was not imported within .* very busy\?"),
    ):
        pool.start()


def test_networks_and_their_folder_are_told_with_every_request(tmp_path: Path) -> None:
    origin = package(tmp_path / "package", WORKERS.replace("HAZARD", "None"))
    guest = Origin(
        package=origin.package, variables=origin.variables, networks=("here",), folder="there"
    )
    with Processes(origin).open(tmp_path) as pool:
        joined = Processes(guest).join(pool)
        assert joined is not None
        with working(joined) as worker:
            asked = worker.ask({"task": "measure"}, 60)["request"]

    assert (asked["networks"], asked["folder"]) == (["here"], "there")


def test_another_code_needs_a_starter_of_its_own(tmp_path: Path) -> None:
    with Pool(tmp_path, Origin()) as pool:
        assert Processes(Origin(package="elsewhere")).join(pool) is None
        assert Processes().join(pool) is not None
        assert Processes().join(object()) is None


def test_another_interpreter_finds_this_package_and_nothing_beside_it(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nls "${{PYTHONPATH%%:*}}" > {tmp_path}/holds\n')
    python.chmod(0o755)
    for _ in range(2):
        with Pool(tmp_path, Origin(python=str(python))) as pool, pytest.raises(StarterDied):
            pool.start()

    assert (tmp_path / "holds").read_text() == "cnnbench\n"
    assert (tmp_path / "package" / "cnnbench").resolve() == REAL
