"""The environment of a measurement."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cnnbench.errors import SchemaError

# The fields that reports read: their type, and the type of the items of a list.
_ENVIRONMENT: dict[str, tuple[Any, Any]] = {
    "torch": (Mapping, object),
    "gpus": ((list, tuple), Mapping),
    "gpu_places": ((list, tuple), Mapping),
    "gpus_sharing": ((list, tuple), Mapping),
    "variables": (Mapping, object),
    "flags": (Mapping, object),
    "load": ((list, tuple), (int, float)),
    "cores_usable": (int, object),
    "cpu_quota": ((int, float), object),
    "memory_available_bytes": (int, object),
    "libc": (str, object),
}


@dataclass(frozen=True)
class Environment:
    """Where a measurement ran: a hard part that decides comparability, a soft part that explains.

    Attributes:
        hard: processor, memory, GPU, driver, torch build and libraries, relevant variables.
        soft: kernel, load, clocks, host name hash; changes without making numbers incomparable.
    """

    hard: Mapping[str, Any]
    soft: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (kind, inner) in _ENVIRONMENT.items():
            value = (self.hard if name in self.hard else self.soft).get(name)
            inside = value if isinstance(value, (list, tuple)) else ()
            fits = isinstance(value, kind) and all(isinstance(one, inner) for one in inside)
            if value is not None and not fits:
                raise SchemaError(f"{name}: unexpected value for an environment")

    @property
    def gpus(self) -> list[str]:
        """The names of its GPUs; of alike ones that shared the work their number and one name."""
        names = [str(one.get("name")) for one in self.hard.get("gpus") or []]
        sharing = len(self.soft.get("gpus_sharing") or [])
        return [f"{sharing} x {name}" for name in names] if sharing > 1 else names

    def differing(self, other: Environment) -> list[str]:
        """Names of the hard facts in which another environment differs."""
        names = sorted({*self.hard, *other.hard})
        return [name for name in names if self.hard.get(name) != other.hard.get(name)]

    @cached_property
    def fingerprint(self) -> str:
        """A short hash of the hard part."""
        text = json.dumps(self.hard, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]
