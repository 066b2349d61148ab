"""What is special about OpenVINO."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cnnbench.deployment import installed
from cnnbench.mode import Mode
from cnnbench.worker.runtimes.openvino import settings
from cnnbench.worker.runtimes.protocol import Order


@pytest.mark.parametrize(
    ("precision", "hint"), [("fp32", "f32"), ("amp=bf16", "bf16"), ("int8", "f32")]
)
def test_precision_and_threads_are_always_said(precision: str, hint: str) -> None:
    said = settings(Order(Mode(compiler="openvino", precision=precision), 3, [(1, 3, 8, 8)]))

    assert said["INFERENCE_PRECISION_HINT"] == hint
    assert said["INFERENCE_NUM_THREADS"] == 3
    assert said["ENABLE_CPU_PINNING"] is False


@pytest.mark.skipif("openvino" not in installed(), reason="needs the extra cnnbench[openvino]")
def test_nothing_is_reported_to_its_makers() -> None:
    code = (
        "from cnnbench.worker.runtimes.openvino import OpenVino\n"
        "OpenVino().version()\n"
        "from openvino.tools.ovc import telemetry_utils\n"
        "print(telemetry_utils.tm.__name__)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub", done.stderr
