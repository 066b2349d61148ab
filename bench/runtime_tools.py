"""Do we time a deployed network as the runtimes' own tools do?

``python -m bench.runtime_tools [--models NAME,…] [--rounds N] [--seconds S]`` times each network by
us, by a plain loop over ``InferenceSession.run`` as ONNX Runtime's documentation writes it, and by
OpenVINO's ``benchmark_app``, in turns on one thread, and prints the ratios of medians. Both sides
load the same artefact. Needs ``cnnbench[runtimes]`` and an idle machine.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, compiling, modes, sampling
from cnnbench.worker.devices import Cpu

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = "resnet18,mobilenet_v3_small,efficientnet_b0"
_MEDIAN = re.compile(r"Median:\s+([\d.]+) ms")


def ours(call: Callable[[], Any], seconds: float) -> float:
    """Seconds per call, as a slice of ``cnnbench run`` has it."""
    estimate = sampling.steady([sampling.timed(call, Cpu())[0] for _ in range(5)])
    count = sampling.calls_per_sample(estimate, 0.06)
    return sampling.take_slice(call, Cpu(), 0, count, seconds, estimate).seconds


def onnxruntime(place: Path, given: Any, seconds: float) -> float:
    """Seconds per call of a plain loop."""
    import onnxruntime as library

    options = library.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = library.InferenceSession(str(place), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: given.numpy()}
    taken = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(taken) < 10:
        began = time.perf_counter()
        session.run(None, feed)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[len(taken) // 5 :])


def openvino(place: Path, _given: Any, seconds: float) -> float:
    """Seconds per call, as ``benchmark_app`` says."""
    done = subprocess.run(
        [sys.executable, "-c", "from openvino.tools.benchmark.main import main; main()",
         "-m", str(place), "-d", "CPU", "-api", "sync", "-hint", "none", "-nstreams", "1",
         "-nthreads", "1", "-infer_precision", "f32", "-t", str(max(1, round(seconds)))],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = _MEDIAN.search(done.stdout)
    assert found, done.stdout
    return float(found[1]) / 1e3


TOOLS = {"onnxruntime": ("model.onnx", onnxruntime), "openvino": ("model.xml", openvino)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.models.split(","):
        for runtime, (file, tool) in TOOLS.items():
            with tempfile.TemporaryDirectory() as folder:
                compiling.compile_cache(str(Path(folder) / "kept"))
                mode = Mode(compiler=runtime)
                modes.set_flags(mode, 1)
                spec = Spec(Workload(name, 1, (3, 224, 224)), mode, Device(), 1)
                step = build.built(spec, 0)
                step.call()
                place = Path(folder) / "kept" / "artefact" / file
                tensor = step.given.tensors[0]
                pairs = [
                    (ours(step.call, given.seconds), tool(place, tensor, given.seconds))
                    for _ in range(given.rounds)
                ]
            ratios = sorted(mine / other for mine, other in pairs)
            print(json.dumps({
                "model": name, "runtime": runtime, "ratio": statistics.median(ratios),
                "ratios": ratios, "ours_s": [one for one, _ in pairs],
                "tool_s": [one for _, one in pairs],
            }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
