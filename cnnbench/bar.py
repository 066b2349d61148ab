"""The progress of the Python API: a bar of tqdm, on terminals and in notebooks."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

from cnnbench import metrics, units
from cnnbench.inert import line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.record import Record


class Bar:
    """A watcher of a run. Elsewhere than on a terminal and in a notebook it says nothing."""

    def __init__(self) -> None:
        self._bar: Any = None

    def working(self, what: str, done: int, total: int) -> None:
        """Show what is being done now."""
        if self._bar is None:
            self._bar = _made()
        self._bar.total, self._bar.n = total, done
        self._bar.set_description(line(what))
        if done >= total:
            self.close()

    def first(self, records: Sequence[Record]) -> None:
        """Ignored: better times follow soon."""

    def finished(self, record: Record) -> None:
        """Show the last result beside it."""
        time = metrics.shown(record)
        if self._bar is not None and time is not None:
            self._bar.set_postfix_str(f"{line(record.id)} {units.seconds(time.point)}")

    def close(self) -> None:
        """Leave it as it is."""
        if self._bar is not None:
            self._bar.close()


def _made() -> Any:
    with warnings.catch_warnings():
        # Without ipywidgets it is a line of text, which is good enough.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    # The standard error of a notebook's kernel is no terminal either, and is read.
    return tqdm(unit="step", leave=False, disable=False if "ipykernel" in sys.modules else None)
