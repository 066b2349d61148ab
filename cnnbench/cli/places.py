"""Run directories among and directly below the places that a command is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import store
from cnnbench.errors import StoreError
from cnnbench.gate.outcomes import ROLES
from cnnbench.runner.ab import verdicts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def runs(places: Iterable[Path]) -> list[Path]:
    """Run directories among and directly below the places; of a paired comparison, its head.

    The base is older code that was measured again, so it is no point of a series.

    Raises:
        StoreError: a place is neither a run directory nor contains any.
    """
    found: dict[Path, None] = {}
    for place in places:
        inner = [place] if (place / store.MANIFEST).exists() else []
        inner += sorted(path.parent for path in place.glob(f"*/{store.MANIFEST}"))
        inner += sorted(path.parent for path in place.glob(f"*/head/{store.MANIFEST}"))
        inner = [one for one in inner if one == place or not _is_base(one)]
        if not inner:
            raise StoreError(f"{place} is neither a run directory nor contains any")
        found |= dict.fromkeys(inner)
    return list(found)


def _is_base(path: Path) -> bool:
    return path.name == ROLES[0] and (path.parent / verdicts.FILE).exists()
