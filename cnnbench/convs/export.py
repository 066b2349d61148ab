"""The table of implementations as text: ``convs.json``, what can be listed without torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cnnbench.convs.registry import IMPLEMENTATIONS

if TYPE_CHECKING:
    from cnnbench.convs.implementation import Implementation


def row(implementation: Implementation) -> dict[str, Any]:
    """Return the fields of ``cnnbench.convcatalogue.Entry``."""
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


def text() -> str:
    """Return the whole of ``convs.json``: in the table's order, a line per row."""
    rows = [json.dumps(row(one), ensure_ascii=False) for one in IMPLEMENTATIONS.values()]
    return "[\n" + ",\n".join(rows) + "\n]\n"
