"""Real profiles of a tiny network through the command, and what viewers make of them."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cnnbench import analysis
from cnnbench.requests import CountLayers
from cnnbench.worker.profile import kernel_times, layer_costs, memory_curve, times_by_layer

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTS = Path(__file__).parents[1] / "faults"
STEPS = 3


def profiled(folder: Path, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "cnnbench", "profile", *words, "--device", "cpu", "--threads", "1",
         "--steps", str(STEPS), "--seconds", "0.2", "--out", str(folder), "--json"],
        capture_output=True, text=True, cwd=FAULTS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profiles")


@pytest.fixture(scope="module")
def trained(logs: Path) -> dict[str, Any]:
    """One step of training LeNet, with call stacks."""
    return profiled(logs / "lenet", "lenet", "--phase", "training", "--stacks")


def folder_of(logs: Path) -> Path:
    (folder,) = logs.iterdir()
    return folder


def events_of(folder: Path) -> list[dict[str, Any]]:
    (path,) = folder.glob("*.pt.trace.json.gz")
    with gzip.open(path, "rt", encoding="utf8") as file:
        events: list[dict[str, Any]] = json.load(file)["traceEvents"]
    return events


def test_what_took_longest_is_an_operator_and_no_function_of_python(trained, logs) -> None:
    with (folder_of(logs) / "layers.csv").open(newline="") as file:
        named = [row["kernel"] for row in csv.DictReader(file) if row["kernel"]]

    assert named
    assert not any(".py(" in name or name.startswith("<") for name in named), named


def test_the_trace_holds_every_step_and_the_layers_by_name(trained, logs) -> None:
    names = [str(event.get("name")) for event in events_of(folder_of(logs))]

    assert sum(name.startswith("ProfilerStep#") for name in names) == STEPS
    assert names.count("layer 0") == STEPS
    assert "[memory]" in names


def test_the_trace_is_what_the_trace_event_format_asks_for(trained, logs) -> None:
    """By the document that Perfetto's importer and chrome://tracing go by.

    "Trace Event Format", https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU:
    the JSON object format holds ``traceEvents``; every event has ``ph``, ``pid``, ``tid`` and, but
    for metadata, ``ts`` in microseconds; complete events (``X``) have ``dur`` too; metadata (``M``)
    have ``args`` with a name or an order; flow events (``s``, ``f``) pair by ``id``.
    """
    events = events_of(folder_of(logs))

    assert {event["ph"] for event in events} <= {"X", "M", "i", "s", "f", "t", "C"}
    for event in events:
        assert isinstance(event["name"], str)
        assert {"pid", "tid"} <= event.keys()
        if event["ph"] != "M":
            assert isinstance(event["ts"], (int, float))
        if event["ph"] == "X":
            assert event["dur"] >= 0
    named = [event for event in events if event["ph"] == "M" and event["name"] == "process_name"]
    assert named
    assert all(isinstance(event["args"]["name"], str) for event in named)
    ids = {way: {e["id"] for e in events if e["ph"] == way} for way in "sf"}
    assert ids["f"] <= ids["s"]


def overlaps(events: list[dict[str, Any]], slack: float) -> list[tuple[str, str]]:
    """Pairs of complete events of one thread that neither hold one another nor are apart."""
    found = []
    threads: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for event in events:
        if event["ph"] == "X":
            threads.setdefault((event["pid"], event["tid"]), []).append(event)
    for some in threads.values():
        inside: list[tuple[float, str]] = []
        for event in sorted(some, key=lambda one: (one["ts"], -one["dur"])):
            end = event["ts"] + event["dur"]
            while inside and inside[-1][0] <= event["ts"] + slack:
                inside.pop()
            if inside and end > inside[-1][0] + slack:
                found.append((inside[-1][1], event["name"]))
            inside.append((end, event["name"]))
    return found


def test_complete_events_of_a_thread_are_properly_nested(trained, logs) -> None:
    """Slices of a thread form a stack; what overlaps is dropped (same document, on ``X``)."""
    events = events_of(folder_of(logs))
    frames = [event for event in events if event.get("cat") == "python_function"]
    others = [event for event in events if event.get("cat") != "python_function"]

    # Times are rounded to a thousandth of a microsecond.
    assert overlaps(others, slack=0.002) == []
    assert overlaps(frames, slack=0.002) == []
    # Only --stacks has frames, and a range begins within the call that begins it: torch's own way.
    assert frames


def test_events_that_overlap_are_found() -> None:
    def event(name: str, ts: float, dur: float) -> dict[str, Any]:
        return {"ph": "X", "pid": 1, "tid": 1, "name": name, "ts": ts, "dur": dur}

    nested = [event("a", 0, 10), event("b", 1, 4), event("c", 5, 5), event("d", 10, 1)]
    assert overlaps(nested, 0.0) == []
    assert overlaps([*nested, event("e", 9, 3)], 0.0) != []


def test_the_layers_add_up_and_every_part_of_the_step_is_there(trained) -> None:
    layers = {row["layer"]: row for row in trained["layers"]}
    seconds = sum(row["time_s"] for row in layers.values()) + sum(trained["outside_s"].values())

    assert seconds == pytest.approx(trained["sum_s"])
    assert trained["sum_s"] - trained["clocks_s"] + trained["residual_s"] == pytest.approx(
        trained["end_to_end_s"]
    )
    assert set(trained["outside_s"]) == {"before forward", "loss", "optimizer", "after"}
    convolutions = [row for row in layers.values() if row["type"] == "Conv2d"]
    assert len(convolutions) == 2
    assert all(row["forward_s"] > 0 and row["backward_s"] > 0 for row in convolutions)


def test_macs_are_those_of_the_static_analysis(trained) -> None:
    # Every layer twice more in the backward pass, but the first without its input's gradient.
    first = 6 * 28 * 28 * 3 * 25
    assert sum(row["macs"] for row in trained["layers"]) == 3 * 651_720 - first


def test_a_layer_names_what_ran_in_it(trained) -> None:
    kernels = {row["layer"]: row["kernel"] for row in trained["layers"]}

    assert kernels["0"].startswith("convolution ")
    # The operator that took longest by itself; of the two that pooling consists of, either may.
    assert kernels["2"] in {"aten::max_pool2d_with_indices", "aten::max_pool2d"}


def test_folded_stacks_are_root_first_with_a_weight(trained, logs) -> None:
    lines = (folder_of(logs) / "stacks.folded").read_text(encoding="utf8").splitlines()

    assert lines
    assert all(line.rpartition(" ")[2].isdecimal() and ";" in line for line in lines[-20:])


def test_the_memory_curve_is_kept_in_both_forms(trained, logs) -> None:
    curve = json.loads((folder_of(logs) / "memory.json").read_text(encoding="utf8"))
    lines = (folder_of(logs) / "memory.csv").read_text(encoding="utf8").splitlines()

    assert len(curve) == len(lines) - 1 > 10
    assert max(point["held_bytes"] for point in curve) == trained["memory_peak_bytes"] > 0
    times = [point["time_s"] for point in curve]
    assert times == sorted(times)


@pytest.fixture(scope="module")
def tensorboard(trained, logs: Path) -> Iterator[str]:
    """The address of a TensorBoard that shows the profile."""
    pytest.importorskip("tensorboard")
    pytest.importorskip("torch_tb_profiler")
    log = logs.parent / "tensorboard.log"
    with log.open("wb") as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--host",
             "127.0.0.1", "--port", "0"],
            stdout=errors, stderr=errors,
        )  # fmt: skip
    try:
        yield _address(server, log) + "/data/plugin/pytorch_profiler"
    finally:
        server.terminate()
        server.wait(30)


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(600):
        for word in log.read_text(encoding="utf8", errors="replace").split():
            if word.startswith("http://127.0.0.1:"):
                return word.rstrip("/")
        assert server.poll() is None, log.read_text(encoding="utf8", errors="replace")
        time.sleep(0.1)
    raise AssertionError("TensorBoard did not start")


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        body = answer.read()
    # Some answers are compressed, whether that was asked for or not.
    return json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)


def test_tensorboard_shows_runs_overview_and_operators(tensorboard: str, logs: Path) -> None:
    name = folder_of(logs).name
    for _ in range(300):  # it reads the directory in the background
        found = get(f"{tensorboard}/runs")
        if name in found["runs"] and not found["loading"]:
            break
        time.sleep(0.1)
    assert found["runs"] == [name]

    (worker,) = get(f"{tensorboard}/workers?run={name}&view=Overview")
    (span,) = get(f"{tensorboard}/spans?run={name}&worker={worker}")
    where = f"run={name}&worker={worker}&span={span}"
    overview = get(f"{tensorboard}/overview?{where}")
    table = get(f"{tensorboard}/operation/table?{where}&group_by=Operation")

    steps = overview["steps"]["rows"]
    assert len(steps) == STEPS
    calls = {row["name"]: row["calls"] for row in table["data"]}
    assert calls["aten::mkldnn_convolution"] == 2 * STEPS


def test_tensorboard_shows_the_tree_of_modules(tensorboard: str, logs: Path) -> None:
    name = folder_of(logs).name
    for _ in range(300):
        if name in get(f"{tensorboard}/runs")["runs"]:
            break
        time.sleep(0.1)
    assert "Module" in get(f"{tensorboard}/views?run={name}")
    (worker,) = get(f"{tensorboard}/workers?run={name}&view=Module")
    (span,) = get(f"{tensorboard}/spans?run={name}&worker={worker}")
    found = get(f"{tensorboard}/module?run={name}&worker={worker}&span={span}")

    def names(rows: list[dict[str, Any]]) -> set[str]:
        return {one for row in rows for one in (row["name"], *names(row.get("children") or []))}

    assert {"Conv2d_0", "Linear_0"} <= names(found["data"])


def test_a_network_of_the_users_own_in_bfloat16(tmp_path: Path) -> None:
    data = profiled(
        tmp_path / "own", "bad_networks:fine", "--input", "3x16x16", "--mode", "amp=bf16"
    )

    assert data["layers"]
    assert data["raw"]["trace"]["operators"]
    assert "bad_networks:fine" in data["spec"]


def test_the_memory_curve_starts_with_the_last_step_and_knows_its_device() -> None:
    def change(at: float, size: int, device: int = 0) -> dict[str, Any]:
        return {"name": "[memory]", "ts": at, "args": {"Bytes": size, "Device Type": device}}

    events = [
        {"name": "ProfilerStep#2", "ts": 0.0, "dur": 10.0},
        {"name": "ProfilerStep#3", "ts": 10.0, "dur": 10.0},
        change(5, 1000), change(16, -4), change(12, 8), change(13, 99, device=1), change(21, 7),
    ]  # fmt: skip

    assert memory_curve(events, 0) == [(2000.0, 8), (6000.0, 4)]
    assert memory_curve(events, 1) == [(3000.0, 99)]
    assert memory_curve([], 0) == []


def test_static_costs_are_counted_with_the_workloads_own_optimizer(monkeypatch) -> None:
    asked: list[str] = []
    answers: list[Any] = []
    analyze = analysis.analyze

    def heard(*given: Any, **more: Any) -> Any:
        asked.append(more["optimizer"])
        return analyze(*given, **more)

    monkeypatch.setattr(analysis, "analyze", heard)
    talk = SimpleNamespace(enter=lambda phase: None, answer=answers.append)
    request = CountLayers(spec="lenet/training-adamw-b1-3x32x32/eager/cpu-t1", seed=0)
    layer_costs(request, talk)  # type: ignore[arg-type]

    assert asked == ["adamw"]
    assert any(cost.backward_macs for cost in answers[0])


def test_kernels_count_for_the_module_whose_forward_launched_them() -> None:
    def event(name: str, parent: Any = None, *kernels: float) -> SimpleNamespace:
        some = [SimpleNamespace(name=f"k{took}", duration=took) for took in kernels]
        return SimpleNamespace(name=name, cpu_parent=parent, kernels=some, self_cpu_time_total=1.0)

    outer = event("layer block")
    inner = event("layer block.conv", outer)
    events = [
        outer, inner, event("aten::conv2d", inner, 6.0, 2.0), event("aten::add", outer, 4.0),
        event("aten::mul", None, 100.0), event("aten::view", inner),
    ]  # fmt: skip

    assert kernel_times(events, steps=2) == {"block.conv": 4000.0, "block": 2000.0}
    assert times_by_layer(events)["block.conv"] == {"k6.0": 6.0, "k2.0": 2.0, "aten::view": 1.0}
