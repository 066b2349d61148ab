"""Commands of cnnbench as a user types them, where it is known what must come out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.device.place import Done, Place, by_mode, records, row
from cnnbench import flaws, metrics
from cnnbench.errors import WorkerError
from cnnbench.record import Record

OWN, PRETENDED = "bench.device.networks", "pretended_nets"
CUDA = ("--device", "cuda")
SMALL = ("--input", "3x32x32")
# A CPU takes long for the probes of a GPU's ceilings; a pretended device has no tensor so large.
NO_CEILINGS = {"PRETENDED_CUDA_LARGEST": str(16 << 20)}


def _models(*names: str) -> str:
    """Networks of ``networks.py``."""
    return ",".join(f"{OWN}:{name}" for name in names)


def _run(
    place: Place, *words: str, batch: str = "1", rounds: int = 1, slices: int = 4,
    limit: str = "60s", out: str = "run",
) -> Done:  # fmt: skip
    """One run; not of what is usual on CUDA: two batches, halved where they do not fit."""
    effort = ("--rounds", str(rounds), "--slices", str(slices), "--timeout", limit, "--quiet")
    threads = place.pick((), ("--threads", "1"))
    return place.cnnbench(
        "run", *words, "--batch", batch, *CUDA, *threads, *effort, "--out", str(place.folder / out)
    )


def _rows(place: Place) -> dict[str, Any]:
    """Rows of the run by network and mode."""
    return {
        f"{one.spec.workload.architecture.rpartition(':')[2]} {one.spec.mode.text}": row(one)
        for one in records(place.folder / "run")
    }


def modes(place: Place) -> dict[str, Any]:
    """A network in the modes that need no compiler."""
    what = place.pick(("resnet18",), (f"{PRETENDED}:tiny", *SMALL))
    done = _run(place, "--models", *what, "--modes", "eager,tf32,channels_last+amp=fp16,bf16")
    return {"exit": done.code, "rows": _rows(place)}


def injected_fault(place: Place) -> dict[str, Any]:
    """A network that is wrong in every mode but the reference's."""
    done = _run(
        place, "--models", _models("faulty"), *SMALL, "--modes",
        "eager,channels_last,tf32,amp=fp16", batch="4", slices=2,
    )  # fmt: skip
    return {"exit": done.code, "rows": _rows(place)}


def loss_scale(place: Place) -> dict[str, Any]:
    """Training steps in float16 and float32."""
    what = place.pick(("resnet18",), (f"{PRETENDED}:tiny", *SMALL))
    done = _run(
        place, "--models", *what, "--phase", "training", "--modes", "eager,amp=fp16",
        batch=place.pick("16", "4"),
    )  # fmt: skip
    found = by_mode(place.folder / "run")
    flags = {mode: dict(one.runs[0].flags) if one.runs else {} for mode, one in found.items()}
    keep = ("loss_scale", "steps_skipped", "loss")
    return {
        "exit": done.code, "rows": _rows(place),
        "flags": {mode: {name: some.get(name) for name in keep} for mode, some in flags.items()},
    }  # fmt: skip


def out_of_memory(place: Place) -> dict[str, Any]:
    """Networks that want too much, one that wants most of the device, and one that wants little."""
    names = _models("crowding", "small")
    greedy = place.pick(_models("greedy"), f"{PRETENDED}:greedy")
    done = _run(
        place, "--models", f"{greedy},{names}", *SMALL, "--modes", "eager,channels_last",
        slices=2,
    )  # fmt: skip
    ensembles: dict[str, list[str]] = {}
    for one in records(place.folder / "run"):
        ensembles.setdefault(one.spec.workload.architecture.rpartition(":")[2], []).extend(
            run.ensemble for run in one.runs
        )
    after = place.python("-c", "import torch; print(torch.ones(9, device='cuda').sum().item())")
    return {
        "exit": done.code, "rows": _rows(place), "ensembles": ensembles, "after": after.out.strip()
    }  # fmt: skip


def faults(place: Place) -> dict[str, Any]:
    """Networks that break on the device, beside one that does not."""
    broken = place.pick(_models("asserting", "mixed"), f"{PRETENDED}:asserting")
    done = _run(
        place, "--models", f"{broken},{_models('small')}", *SMALL, "--modes", "eager",
        slices=2,
    )  # fmt: skip
    return {"exit": done.code, "rows": _rows(place)}


def hang(place: Place) -> dict[str, Any]:
    """A network that keeps the device at work for minutes, and one after it."""
    done = _run(
        place, "--models", _models("hanging", "small"), *SMALL, "--modes", "eager", slices=2,
        limit="15s",
    )  # fmt: skip
    return {"exit": done.code, "rows": _rows(place)}


def launch_bound(place: Place) -> dict[str, Any]:
    """A small network at batch 1 and at a batch that fills the device."""
    what = place.pick(("mobilenet_v3_small",), (f"{PRETENDED}:tiny", *SMALL))
    done = _run(
        place, "--models", *what, "--modes", "eager", batch=place.pick("1,256", "1,8"), rounds=2
    )
    found = records(place.folder / "run")
    batches = {str(one.spec.workload.batch): _busy(one) for one in found}
    return {
        "exit": done.code,
        "batches": batches,
    }


def _busy(record: Record) -> dict[str, Any]:
    time, step = record.latency, record.structure
    device = None if step is None else step.device_ns
    share = None if time is None or device is None else device / 1e9 / time.point
    return row(record) | {
        "busy": share, "launch_bound": metrics.gpu.launch_bound(record),
        "flaw": getattr(flaws.flaw(record), "name", None),
    }  # fmt: skip


def lab(place: Place) -> dict[str, Any]:
    """Layers by the library, by our own kernels and by plain products."""
    layers = place.pick(
        ("n8c64h56w56-k64-3x3-p1", "n8c96h28w28-k96-3x3-p1-g96"), ("n1c4h8w8-k4-3x3-p1",)
    )
    ours = place.pick("triton_gemm,triton_depthwise,cudnn_benchmark,im2col", "im2col")
    done = place.cnnbench(
        "conv", *[word for layer in layers for word in ("--layer", layer)], "--impl", ours,
        "--modes", "eager", *CUDA, "--rounds", "1", "--slices", "3", "--timeout", "60s", "--quiet",
        "--out", str(place.folder / "run"), *place.pick((), ("--threads", "1")),
        env=NO_CEILINGS if place.pretended else None,
    )  # fmt: skip
    found = records(place.folder / "run")
    return {
        "exit": done.code,
        "rows": {one.id: row(one) for one in found},
        "refused": [one.id for one in found if one.refused],
    }  # fmt: skip


def cuda_graphs(place: Place) -> dict[str, Any]:
    """A network that CUDA graphs can hold and one that they cannot."""
    done = _run(
        place, "--models", _models("small", "on_the_host"), *SMALL, "--modes",
        "eager,compile=reduce-overhead", slices=3,
    )  # fmt: skip
    return {"exit": done.code, "rows": _rows(place)}


def unchanged(place: Place) -> dict[str, Any]:
    """A mode against itself."""
    what = place.pick(("resnet18", "--batch", "16"), (f"{PRETENDED}:tiny", *SMALL))
    return _ab(place, "mode:eager", "mode:eager", "--models", *what)


def slowdown(place: Place) -> dict[str, Any]:
    """Twenty equal layers against twenty-two: a tenth more work, by construction."""
    base, head = (f"model:{OWN}:{name}" for name in ("twenty", "twenty_two"))
    width, shape = place.pick(("512", "3x64x64"), ("8", "3x16x16"))
    return _ab(place, base, head, "--model-arg", f"width={width}", "--input", shape)


def _ab(place: Place, *words: str) -> dict[str, Any]:
    done = place.cnnbench(
        "ab", *words, *CUDA, "--slices", "4", "--timeout", "60s", "--budget", "25s", "--json",
        "--pairs", place.pick("3..5", "2..2"), "--out", str(place.folder / "run"), "--quiet",
        *place.pick((), ("--threads", "1")),
    )  # fmt: skip
    (found,) = (one for one in done.json() if one["metric"] == "latency")
    if found["verdict"] == "failed":
        raise WorkerError(found["reason"])
    return {"exit": done.code, "latency": found}


def profile(place: Place) -> dict[str, Any]:
    """The layers of a step and the step."""
    what = place.pick(("resnet18", "--batch", "32"), (f"{PRETENDED}:tiny", *SMALL))
    done = place.cnnbench(
        "profile", *what, *CUDA, "--seconds", place.pick("4s", "0.2s"), "--steps", "2", "--no-roof",
        "--timeout", "60s", "--out", str(place.folder / "profile"),
        *place.pick((), ("--threads", "1")),
    )  # fmt: skip
    text = (place.folder / "profile" / "profile.json").read_text(encoding="utf8")
    wanted = ("end_to_end_s", "sum_s", "clocks_s", "residual_share", "residual_half_share",
              "not_usable", "failed", "notes")  # fmt: skip
    return {"exit": done.code, **{name: json.loads(text)[name] for name in wanted}}


def report(place: Place) -> dict[str, Any]:
    """The page of the run of ``modes``."""
    page = place.folder / "report.html"
    run = place.run_of("modes")
    done = place.cnnbench("report", str(run), "--format", "html", "-o", str(page))
    text = page.read_text(encoding="utf8") if page.exists() else ""
    (gpu, *_) = json.loads((run / "environment.json").read_text(encoding="utf8"))["hard"]["gpus"]
    return {
        "exit": done.code, "bytes": len(text), "gpu": gpu["name"], "named": gpu["name"] in text,
        "ends": text.rstrip().endswith("</html>"),
    }  # fmt: skip


def stability(place: Place) -> dict[str, Any]:
    """The same measurement twice."""
    what = place.pick(("resnet18",), (f"{PRETENDED}:tiny", *SMALL))
    times = []
    for name in ("first", "second"):
        _run(
            place, "--models", *what, "--modes", "eager", batch=place.pick("32", "1"),
            rounds=place.pick(3, 2), out=name,
        )  # fmt: skip
        times.append(_interval(place.folder / name))
    return {"times": times}


def _interval(run: Path) -> dict[str, Any]:
    (record,) = records(run)
    time = record.latency
    if time is None:
        raise WorkerError(record.reason)
    return row(record) | {"low": time.low, "point": time.point, "high": time.high}
