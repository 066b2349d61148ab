"""Runtimes that networks are deployed in, beside torch itself.

One file and one row per runtime; ``deployed`` makes a step of any of them, ``protocol`` says what
one is, ``deployment.NEEDS`` what it needs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench.deployment import installed
from cnnbench.worker.runtimes.aoti import AotInductor
from cnnbench.worker.runtimes.onnxruntime import OnnxRuntime
from cnnbench.worker.runtimes.openvino import OpenVino
from cnnbench.worker.saying import said

if TYPE_CHECKING:
    from cnnbench.environment import Environment
    from cnnbench.worker.runtimes.protocol import Runtime

# One row per value of ``mode.RUNTIMES``. Making one imports nothing.
TABLE: dict[str, Runtime] = {
    "aoti": AotInductor(),
    "onnxruntime": OnnxRuntime(),
    "openvino": OpenVino(),
}


def described(environment: Environment) -> Environment:
    """An environment with what each installed runtime would do by itself, in words."""
    alone = {name: _alone(TABLE[name]) for name in installed()}
    soft = {**environment.soft, "runtimes_alone": {n: one for n, one in alone.items() if one}}
    return replace(environment, soft=soft)


def _alone(runtime: Runtime) -> str:
    """In words; one that is installed and broken says how, and spoils nothing else."""
    try:
        return runtime.alone()
    except Exception as error:  # noqa: BLE001 - a library may fail in any way while it is imported
        return f"nothing, it cannot be used ({said(error)})"
