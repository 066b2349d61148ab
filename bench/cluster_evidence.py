"""What becomes of rows when hosts or drivers of a cluster are lost: counted with real Ray.

    python -m bench.cluster_evidence results/cluster --minutes 30
    python -m bench.cluster_evidence results/cluster --report

Two Ray nodes on this machine are the hosts, workers are pretended and sleep in every slice. In a
trial of ``node`` a node is killed (SIGKILL) at a random moment while it measures; in one of
``driver`` the command is killed and resumed. In one of ``two`` a second campaign begins while the
first one measures. Hosts write down when each slice began and ended, so that it can be seen whether
two campaigns, or a group and the next, were ever measured at once on a host.

``real node`` and ``real driver`` are the same with real workers and four networks. Both nodes share
a machine there, so that their times mean nothing and are not looked at.

Every trial is a line of ``trials.jsonl``. It can be stopped at any time and goes on with the next
trial.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cnnbench.plan import Plan
from cnnbench.record import Record
from cnnbench.runner.campaign import Job
from cnnbench.runner.cluster import directory, on_ray, start
from cnnbench.runner.cluster.hosts import Event, HostLost, Node
from cnnbench.runner.cluster.on_ray import RESOURCE, RayHosts
from cnnbench.runner.cluster.start import Over
from cnnbench.runner.fake import Fake, FakePool
from cnnbench.runner.process import Pool, Processes
from cnnbench.spec import Device
from cnnbench.store import StoredRun
from cnnbench.suite import Grid

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("lenet", "alexnet", "vgg11", "vgg16", "resnet18", "resnet34", "resnet50", "googlenet")
REAL_MODELS = ("lenet", "squeezenet1_1", "mobilenet_v2", "resnet18")
PLAN = Plan(rounds=2, slices=3)
# A slice of a pretended worker.
SLEEP = 0.02
# Where hosts write down what they did.
LOG = "CNNBENCH_EVIDENCE_LOG"
WANTED = {"node": 20, "driver": 5, "two": 2, "real node": 3, "real driver": 1}
# What is left of a killed node's workers is looked for after so many seconds.
LINGERING = 10.0
# On a busy machine Ray is slow, and no node is to be lost because of that.
PATIENCE = {
    "RAY_agent_register_timeout_ms": "1800000",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_gcs_server_request_timeout_seconds": "600",
    "RAY_gcs_rpc_server_connect_timeout_s": "300",
    "RAY_raylet_client_connect_timeout_milliseconds": "600000",
    "RAY_health_check_initial_delay_ms": "60000",
    "RAY_health_check_failure_threshold": "60",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
}
Line = dict[str, Any]


def _noting(worker: Any, visit: str, sleep: float = 0.0) -> Any:
    """A worker that writes down when each of its slices began and ended."""
    ask = worker.ask

    def asked(message: Line, timeout: float) -> Any:
        began = time.monotonic()
        answer = ask(message, timeout)
        if "turn" in message:
            time.sleep(sleep)
            line = {"visit": visit, "began": began, "ended": time.monotonic()}
            with Path(os.environ[LOG]).open("a") as file:
                file.write(json.dumps(line) + "\n")
        return answer

    worker.ask = asked
    return worker


def _visit() -> str:
    """A pool of this process, told from all others."""
    return f"{HERE['node']}/{os.getpid()}/{time.monotonic()}"


class _SleepyPool(FakePool):
    def __init__(self, who: Fake) -> None:
        super().__init__(who)
        self._visit = _visit()

    def start(self) -> Any:
        return _noting(super().start(), self._visit, SLEEP)


class Sleeping(Fake):
    """Pretends, takes its time, and writes down when."""

    @contextmanager
    def open(self, scratch: Path) -> Iterator[FakePool]:
        del scratch
        yield _SleepyPool(self)


class _NotingPool(Pool):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._visit = _visit()

    def start(self, *given: Any) -> Any:
        return _noting(super().start(*given), self._visit)


class Noting(Processes):
    """Measures for real, and writes down when."""

    def open(self, scratch: Path) -> Pool:
        return _NotingPool(scratch, self._origin, self._halt)


# Which node this process serves.
HERE = {"node": ""}


def agent(log: str) -> Any:
    """What runs on a host: the usual, with workers that sleep."""

    class Watched(on_ray.agent()):  # type: ignore[misc]
        def introduce(self, asked: Line) -> Line:
            import ray

            from bench import cluster_evidence
            from cnnbench.runner import executor

            os.environ[cluster_evidence.LOG] = log
            cluster_evidence.HERE["node"] = ray.get_runtime_context().get_node_id()
            executor.EXECUTORS["fake"] = cluster_evidence.Sleeping
            executor.EXECUTORS["process"] = cluster_evidence.Noting
            # Both nodes of this trial are one machine, of which only one would take part.
            return super().introduce(asked) | {"machine": ""}

    return Watched


class Watcher:
    """Sees what hosts are said to do, and nothing of it is printed."""

    def working(self, what: str, done: int, total: int) -> None: ...

    def first(self, records: Sequence[Record]) -> None: ...

    def finished(self, record: Record) -> None: ...


class Watched(RayHosts):
    """A cluster of which a node is killed when it has been handed so many groups."""

    def __init__(self, address: str, log: str) -> None:
        super().__init__(address, lambda: agent(log))
        self.victim, self.after, self.delay = "", 0, 0.0
        self.kill: Any = None
        self.handed: Counter[str] = Counter()
        self.orders: list[tuple[str, tuple[str, ...]]] = []
        self.lost: list[str] = []

    def hand(self, node: Node, order: Line) -> None:
        super().hand(node, order)
        self.handed[node.id] += 1
        self.orders.append((node.id, tuple(order["specs"])))
        if node.id == self.victim and self.handed[node.id] == self.after:
            threading.Timer(self.delay, self.kill).start()

    def wait(self, seconds: float) -> Event | None:
        found = super().wait(seconds)
        if isinstance(found, HostLost):
            self.lost.append(found.node.id)
        return found


def job(*, real: bool = False) -> Job:
    """Two modes of each network."""
    models, who = (REAL_MODELS, "process") if real else (MODELS, "fake")
    grid = Grid(models, ("eager", "channels_last"), device=Device("cpu"))
    return start.prepare(grid, PLAN, who)


def counted(runs: Sequence[StoredRun], wanted: set[str], log: Path) -> Line:
    """Rows that are lost or doubled, and visits that overlapped on a host."""
    rows = Counter(one.id for run in runs for one in run.records)
    whole = {one.id for run in runs for one in run.records if not one.unfinished}
    held = Counter(name for run in runs for name in run.manifest.specs)
    return {
        "specs": len(wanted), "rows": sum(rows.values()), "lost": len(wanted - whole),
        "doubled": sum(count - 1 for count in (rows | held).values()),
        "overlapping": overlapping(log),
        "slices": len(log.read_text().splitlines()) if log.exists() else 0,
        "bad": sum(one.status != "ok" for run in runs for one in run.records),
    }  # fmt: skip


def lingering(log: Path) -> int:
    """How many processes of a lost host are still there after a while: starters and workers."""
    mark, ends = f"{LOG}={log}".encode(), time.monotonic() + LINGERING
    while (found := _marked(mark)) and time.monotonic() < ends:
        time.sleep(0.5)
    return found


def _marked(mark: bytes) -> int:
    found = 0
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            named = b"cnnbench.worker" in (path / "cmdline").read_bytes()
            found += named and mark in (path / "environ").read_bytes().split(b"\0")
    return found


def overlapping(log: Path) -> int:
    """How many visits of a pool began on a host before another had ended there."""
    visits: dict[str, list[float]] = {}
    for text in log.read_text().splitlines() if log.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:  # the one that a kill has cut off
            continue
        span = visits.setdefault(line["visit"], [line["began"], line["ended"]])
        span[1] = max(span[1], line["ended"])
    by_node: dict[str, list[list[float]]] = {}
    for name, span in visits.items():
        by_node.setdefault(name.partition("/")[0], []).append(span)
    found = 0
    for spans in by_node.values():
        spans.sort()
        found += sum(later[0] < before[1] for before, later in itertools.pairwise(spans))
    return found


def _patiently() -> None:
    """Have Ray wait for a node of its own for more than half a minute, on a machine this busy."""
    from ray._private import services

    get = services.get_node

    def patient(*given: Any, **more: Any) -> Any:
        ends = time.monotonic() + 1200
        while True:
            try:
                return get(*given, **more)
            except RuntimeError:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.2)

    services.get_node = patient


def _host() -> Line:
    """A node that takes part; Ray waits a quarter of a minute for ports that it is not given."""
    names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port",
             "runtime_env_agent_port")  # fmt: skip
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in names]
        for one in found:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in found]
    return {"num_cpus": 1, "resources": {RESOURCE: 1}, **dict(zip(names, ports, strict=True))}


class Bed:
    """A cluster of two nodes, the first of which stays; a killed one is replaced."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        os.environ["PYTHONPATH"] = os.pathsep.join(
            [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        os.environ |= PATIENCE
        _patiently()
        head = {**_host(), "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._nodes: list[Any] = [self._cluster.head_node]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def two(self) -> list[Any]:
        """Both hosts."""
        while len(self._nodes) < 2:
            self._nodes.append(self._cluster.add_node(**_host()))
        return self._nodes

    def kill(self, node: Any) -> None:
        """A node goes as a machine without power does."""
        self._nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


def connected(address: str, log: Path, **more: Any) -> Watched:
    """A connection that ``start`` takes for the cluster's."""
    found = Watched(address, str(log))
    for name, value in more.items():
        setattr(found, name, value)
    start.on_ray.RayHosts = lambda _: found  # type: ignore[assignment, misc]
    return found


def node_killed(bed: Bed, folder: Path, wanted: Job, chance: random.Random) -> Line:
    """A node is killed while it measures."""
    victim, real = bed.two()[-1], not wanted.executor.pretends
    after = chance.randint(1, 2 if real else 3)
    delay = chance.uniform(0.0, 12.0 if real else 0.4)
    hosts = connected(
        bed.address, folder / "log", victim=victim.node_id, after=after, delay=delay,
        kill=lambda: bed.kill(victim),
    )  # fmt: skip
    runs = start.begin(wanted, Over(bed.address), folder / "run", Watcher())
    handed = Counter(name for _, names in hosts.orders for name in names)
    return {
        "group": after, "delay": round(delay, 3), "was_lost": victim.node_id in hosts.lost,
        "handed_out_again": sum(count > 1 for count in handed.values()),
        "lingering": lingering(folder / "log"),
        **counted(runs, {one.id for one in wanted.specs}, folder / "log"),
    }  # fmt: skip


def driver(bed: Bed, folder: Path, *, real: bool = False) -> subprocess.Popen[bytes]:
    """The same campaign by another process, of a group of its own."""
    words = [sys.executable, "-m", "bench.cluster_evidence", str(folder), "--drive", bed.address,
             *["--real"] * real]  # fmt: skip
    return subprocess.Popen(words, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)


def rows(folder: Path) -> int:
    """Whole rows on disk."""
    found = directory.runs(folder / "run") if directory.holds(folder / "run") else []
    return sum(not one.unfinished for run in found for one in run.records)


def driver_killed(bed: Bed, folder: Path, wanted: Job, chance: random.Random) -> Line:
    """The process that hands out is killed, and the run resumed."""
    bed.two()
    most = chance.randint(0, len(wanted.specs) - 4)
    process = driver(bed, folder, real=not wanted.executor.pretends)
    while process.poll() is None and rows(folder) < max(most, 1):
        time.sleep(0.05)
    time.sleep(chance.uniform(0.0, 0.3))
    killed = process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = rows(folder)
    hosts = connected(bed.address, folder / "log")
    runs = start.resume(folder / "run", Watcher())
    asked = {name for _, names in hosts.orders for name in names}
    return {
        "killed": killed, "rows_before": before, "measured_after": len(asked),
        "lingering": lingering(folder / "log"),
        **counted(runs, {one.id for one in wanted.specs}, folder / "log"),
    }  # fmt: skip


def two_campaigns(bed: Bed, folder: Path, wanted: Job, chance: random.Random) -> Line:
    """Another campaign of the same cluster, with a log that both write."""
    del chance
    bed.two()
    other = folder / "other"
    other.mkdir()
    (other / "log").symlink_to(folder / "log")
    (folder / "log").touch()
    process = driver(bed, other)
    connected(bed.address, folder / "log")
    runs = start.begin(wanted, Over(bed.address), folder / "run", Watcher())
    code, ids = process.wait(), {one.id for one in wanted.specs}
    found, more = counted(runs, ids, folder / "log"), counted(
        directory.runs(other / "run"), ids, folder / "log"
    )  # fmt: skip
    return {"code": code, **found, **{key: found[key] + more[key] for key in
                                      ("specs", "rows", "lost", "doubled")}}  # fmt: skip


TRIALS = {
    "node": node_killed, "driver": driver_killed, "two": two_campaigns, "real node": node_killed,
    "real driver": driver_killed,
}  # fmt: skip


def drive(folder: Path, address: str, *, real: bool) -> None:
    """One campaign, in a process that is killed."""
    connected(address, folder / "log")
    start.begin(job(real=real), Over(address), folder / "run", Watcher())


def read(path: Path) -> list[Line]:
    """The trials so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(lines: Sequence[Line]) -> str:
    """What came of the trials, as Markdown."""
    heads = ("trial", "trials", "specs", "lost", "doubled", "overlapping", "slices", "median s")
    told = {
        "node": "a node killed while it measured",
        "driver": "the driver killed, then resumed",
        "two": "two campaigns at once",
        "real node": "a node killed, real workers",
        "real driver": "the driver killed, then resumed, real workers",
    }
    table = ["| " + " | ".join(heads) + " |", "|" + " :-- |" + " --: |" * (len(heads) - 1)]
    for what, words in told.items():
        own = [line for line in lines if line["what"] == what]
        if own:
            sums = [sum(one[key] for one in own) for key in
                    ("specs", "lost", "doubled", "overlapping", "slices")]  # fmt: skip
            seconds = sorted(one["seconds"] for one in own)[len(own) // 2]
            table.append(f"| {words} | {len(own)} | {' | '.join(map(str, sums))} | {seconds:.0f} |")
    nodes = [line for line in lines if line["what"].endswith("node")]
    hit = sum(line["handed_out_again"] > 0 for line in nodes)
    drivers = [line for line in lines if line["what"].endswith("driver")]
    killed = [line for line in lines if "lingering" in line]
    left = sum(line["lingering"] for line in killed)
    bad = sum(line.get("bad", 0) for line in lines if line["what"].startswith("real"))
    cut = sum(line["killed"] and line["measured_after"] > 0 for line in drivers)
    return "\n".join(
        [
            "# Hosts and drivers that are lost",
            "",
            f"Real Ray ({', '.join(sorted({line['ray'] for line in lines}))}), two"
            " nodes on one machine, pretended workers that sleep"
            f" {1000 * SLEEP:.0f} ms in every slice; {len(MODELS)} workloads in two modes,"
            f" {PLAN.rounds} rounds of {PLAN.slices} slices. With real workers:"
            f" {', '.join(REAL_MODELS)} in two modes. Both nodes share a machine, so that no time"
            " means anything.",
            "",
            *table,
            "",
            f"In {hit} of {len(nodes)} trials the killed node had a group at work, which was"
            f" measured again elsewhere; in {cut} of {len(drivers)} the killed driver left"
            " something to be measured. Lost: specs without a whole record at the end. Doubled:"
            " specs with two records, or in two manifests. Overlapping: visits of a worker pool"
            " that began on a host before another one had ended there.",
            "",
            f"With real workers, {bad} rows failed or were not right. In {len(killed)} trials,"
            f" {left} starters and workers were still there {LINGERING:.0f} s after the campaign.",
            "",
        ]
    )


def main() -> None:
    """Run trials until enough are done or time is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--report", action="store_true", help="only write the report anew")
    parser.add_argument("--drive", metavar="ADDRESS", help=argparse.SUPPRESS)
    parser.add_argument("--real", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        drive(options.folder, options.drive, real=options.real)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    path, ends = options.folder / "trials.jsonl", time.monotonic() + 60 * options.minutes
    if not options.report:
        trials(path, ends)
    (options.folder / "report.md").write_text(report(read(path)))


def trials(path: Path, ends: float) -> None:
    """Do what is missing, the kinds of trials by turns."""
    import ray

    bed, jobs = Bed(), {}
    try:
        while time.monotonic() < ends:
            done = Counter(line["what"] for line in read(path))
            open_ones = [what for what, count in WANTED.items() if done[what] < count]
            if not open_ones:
                return
            what = min(open_ones, key=lambda one: done[one] / WANTED[one])
            began, number = time.monotonic(), done[what]
            with tempfile.TemporaryDirectory() as folder:
                chance = random.Random(f"{what} {number}")
                real = what.startswith("real")
                jobs[real] = wanted = jobs[real] if real in jobs else job(real=real)
                found = TRIALS[what](bed, Path(folder), wanted, chance)
            seconds = round(time.monotonic() - began, 1)
            line = {"what": what, "trial": number, **found, "seconds": seconds,
                    "ray": ray.__version__}  # fmt: skip
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
    finally:
        bed.close()


if __name__ == "__main__":
    main()
