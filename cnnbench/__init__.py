"""cnnbench: true numbers about convolutional networks on your machine.

``run`` measures a grid of models and modes and ``load`` reads runs back; ``measure`` and ``cost``
take a module object. Importing this package imports no torch; the last two do, on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench import version

if TYPE_CHECKING:
    from cnnbench.api import Results, cost, load, measure, run

__version__ = version.VERSION

__all__ = ["Results", "__version__", "cost", "load", "measure", "run"]


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562), so that importing the package costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'cnnbench' has no attribute '{name}'")
    from cnnbench import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted(__all__)
