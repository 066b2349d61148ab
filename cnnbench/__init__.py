"""cnnbench: trustworthy CNN benchmarks on your own machine.

``run`` measures a grid of models and modes and ``load`` reads runs back; ``measure`` and ``cost``
take a module object. What they raise on purpose descends from ``CnnbenchError``. Importing this
package imports no torch; ``measure`` and ``cost`` do, on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cnnbench import version

if TYPE_CHECKING:
    from cnnbench.api import cost, load, measure, run
    from cnnbench.errors import (
        CnnbenchError,
        Incomparable,
        Inconclusive,
        Interrupted,
        Regressed,
        SchemaError,
        SomeFailed,
        StoreError,
        UnknownName,
        Unsupported,
        UsageError,
        WorkerDied,
        WorkerError,
        WorkerRaised,
        WorkerTimeout,
    )
    from cnnbench.results import Results

__version__ = version.VERSION

__all__ = [
    "CnnbenchError",
    "Incomparable",
    "Inconclusive",
    "Interrupted",
    "Regressed",
    "Results",
    "SchemaError",
    "SomeFailed",
    "StoreError",
    "UnknownName",
    "Unsupported",
    "UsageError",
    "WorkerDied",
    "WorkerError",
    "WorkerRaised",
    "WorkerTimeout",
    "__version__",
    "cost",
    "load",
    "measure",
    "run",
]

_HOMES = dict.fromkeys(("cost", "load", "measure", "run"), "cnnbench.api")
_HOMES["Results"] = "cnnbench.results"


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562), so that importing the package costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'cnnbench' has no attribute '{name}'")
    home = _HOMES.get(name, "cnnbench.errors")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
