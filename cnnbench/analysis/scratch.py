"""Memory that a library holds inside one operator, out of sight of any dispatcher."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SCRATCH: dict[str, Callable[..., int]] = {}
