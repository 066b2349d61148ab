"""What worker processes import before they are needed, and what of it waits.

Half of the seconds that a comparison takes on two cores are imports, and half of an import of
torchvision is torch's compiler: ``torchvision.ops.roi_align`` asks ``torch._dynamo.utils`` at its
head for one function that it calls on CUDA only. Processes that compile nothing do without.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

_UTILS = "torch._dynamo.utils"
_DEFERRED = "is_compile_supported"
_THREADS = "TORCHINDUCTOR_COMPILE_THREADS"


def torchvision() -> None:
    """Import torchvision, without torch's compiler unless something is asked of it."""
    if "torchvision" in sys.modules or _UTILS in sys.modules:
        return
    # torch itself first: it must not meet the stand-in.
    importlib.import_module("torch")
    sys.modules[_UTILS] = _StandIn(_UTILS)
    try:
        importlib.import_module("torchvision")
    finally:
        if isinstance(sys.modules.get(_UTILS), _StandIn):
            del sys.modules[_UTILS]


class _StandIn(ModuleType):
    """Stands for a module of the compiler while torchvision is imported."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == _DEFERRED:
            return _is_compile_supported
        # A later torchvision asks for more; it gets the real thing.
        return getattr(_real(), name)


def _is_compile_supported(device_type: Any) -> Any:
    """``torch._dynamo.utils.is_compile_supported``, imported when it is called."""
    return getattr(_real(), _DEFERRED)(device_type)


def _real() -> ModuleType:
    if isinstance(sys.modules.get(_UTILS), _StandIn):
        del sys.modules[_UTILS]
    return importlib.import_module(_UTILS)


def compiler() -> None:
    """Import torch's compiler, for workers to come that are forked from this process.

    It must not begin processes of its own, which a fork does not take along; where the user's
    environment wants those, each worker imports it for itself.
    """
    if os.environ.get(_THREADS, "1") != "1":
        return
    config: Any = importlib.import_module("torch._inductor.config")
    before, config.compile_threads = config.compile_threads, 1
    try:
        importlib.import_module("torch._inductor.compile_fx")
    finally:
        config.compile_threads = before
