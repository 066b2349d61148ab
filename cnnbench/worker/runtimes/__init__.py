"""Runtimes that networks are deployed in, beside torch itself.

One file and one row per runtime; ``deployed`` makes a step of any of them, ``protocol`` says what
one is, ``deployment.NEEDS`` what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.worker.runtimes.aoti import AotInductor
from cnnbench.worker.runtimes.onnxruntime import OnnxRuntime
from cnnbench.worker.runtimes.openvino import OpenVino

if TYPE_CHECKING:
    from cnnbench.worker.runtimes.protocol import Runtime

# One row per value of ``mode.RUNTIMES``. Making one imports nothing.
TABLE: dict[str, Runtime] = {
    "aoti": AotInductor(),
    "onnxruntime": OnnxRuntime(),
    "openvino": OpenVino(),
}
