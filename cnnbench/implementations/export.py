"""The tables as text: ``conv/implementations.json``, which can be listed without torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cnnbench.implementations.registry import IMPLEMENTATIONS
from cnnbench.implementations.substitutes import SUBSTITUTES

if TYPE_CHECKING:
    from cnnbench.implementations.implementation import Implementation
    from cnnbench.implementations.substitute import Substitute


def row(implementation: Implementation) -> dict[str, Any]:
    """Return the fields of ``cnnbench.conv.catalogue.Entry``."""
    return {
        "name": implementation.name,
        "meaning": implementation.meaning,
        "source": implementation.source,
        "layout": implementation.layout,
        "kinds": list(implementation.kinds),
        "dtypes": list(implementation.dtypes),
        "exact": list(implementation.exact),
        "flags": sorted(implementation.flags),
    }


def substitute_row(substitute: Substitute) -> dict[str, Any]:
    """Return the fields of ``cnnbench.conv.catalogue.Substitute``."""
    return {
        "name": substitute.name,
        "meaning": substitute.meaning,
        "source": substitute.source,
        "same_function": substitute.same_function,
        "mixing": list(substitute.mixing),
    }


def text() -> str:
    """Return the content of ``conv/implementations.json``: in table order, a line per row."""
    tables = {
        "implementations": [row(one) for one in IMPLEMENTATIONS.values()],
        "substitutes": [substitute_row(one) for one in SUBSTITUTES.values()],
    }
    parts = []
    for name, rows in tables.items():
        lines = ",\n".join(json.dumps(fields, ensure_ascii=False) for fields in rows)
        parts.append(f'"{name}": [\n{lines}\n]')
    return "{" + ",\n".join(parts) + "}\n"
