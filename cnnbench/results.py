"""What the Python API returns: records of runs, as tables, frames and plots.

Short where a notebook shows it: the whole is in ``frame()``, ``report()`` and ``records``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnbench import reading, units
from cnnbench.errors import UnknownName, UsageError
from cnnbench.report import FOR_PEOPLE, notebook, render
from cnnbench.report.entry import entries
from cnnbench.report.overview import overview
from cnnbench.report.plots import plotted
from cnnbench.report.remarks import remarks, with_remarks
from cnnbench.report.table import summary, tidy
from cnnbench.report.variables import ROWS, TABLES, records_of
from cnnbench.store import StoredRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    from matplotlib.figure import Figure

    from cnnbench.record import Record
    from cnnbench.report.entry import Entry
    from cnnbench.report.table import Table


@dataclass(frozen=True)
class Results:
    """Records of one or more runs, and their tables.

    Those of ``load`` are read when they are asked for: ``each`` and ``frame`` hold one run at a
    time, everything else keeps what it has read.

    Attributes:
        runs: as they are on disk; of a part, with its records only.
        whole: the runs that these are a part of: a part keeps what its records are compared with,
            and the verdict on its whole run; empty where these are whole.
    """

    runs: Sequence[StoredRun]
    whole: Sequence[StoredRun] = ()

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __getitem__(self, key: str | int | slice | tuple[str, ...]) -> Results:
        """The part whose model, mode or id is ``key``; of several keys the part that has them all.

        A number or a slice chooses by place, as in ``records``.

        Raises:
            UnknownName: there is none.
            IndexError: there are fewer.
        """
        if isinstance(key, int | slice):
            chosen = self.records[key]
            places = {id(one) for one in (chosen if isinstance(chosen, tuple) else (chosen,))}
            return self._having(lambda one: id(one) in places)
        found, wanted = self, (key,) if isinstance(key, str) else key
        for one in wanted:
            found = found._part(one)
        return found

    def _having(self, wanted: Callable[[Record], bool]) -> Results:
        runs = tuple(
            replace(run, records=some)
            for run in self.runs
            if (some := tuple(one for one in run.records if wanted(one)))
        )
        return Results(runs, self._whole)

    def _part(self, key: str) -> Results:
        found = self._having(lambda one: key in _names(one))
        if not found.runs:
            known = dict.fromkeys(name for one in self.records for name in _names(one)[:2])
            raise UnknownName("model or mode", key, list(known))
        return found

    @property
    def record(self) -> Record:
        """The only record.

        Raises:
            UsageError: there are more, or none.
        """
        if len(self) != 1:
            raise UsageError(
                f"there are {len(self)} records; choose one, as by results['MODEL', 'MODE'].record"
            )
        return self.records[0]

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record, run after run; one that two of them hold comes once."""
        copies = reading.Copies()
        every = (record for run in self.runs for record in run.records)
        return tuple(record for record in every if not copies.has(record))

    @property
    def entries(self) -> list[Entry]:
        """Every record with its context, as a report that is filtered has them."""
        places = {id(one) for one in self.records}
        return [entry for entry in entries(self._whole) if id(entry.record) in places]

    @property
    def _whole(self) -> Sequence[StoredRun]:
        return self.whole or self.runs

    def each(self) -> Iterator[Results]:
        """The results of one run after another; nothing is kept of a run that was passed.

        Raises:
            StoreError: a run cannot be read; when it is reached.
        """
        if self.whole:
            wholes = {run.path: run for run in self.whole}
            return (Results((run,), (wholes[run.path],)) for run in self.runs)
        return (Results((run,)) for run in reading.passing(self.runs))

    def _with_remarks(self, table: Table) -> Table:
        """The table with what must be known of the runs beside it."""
        return with_remarks(table, remarks(self._whole))

    def frame(self, table: str = "records") -> pd.DataFrame:
        """Every record, or every slice, as a row of a tidy frame, failed ones too.

        The columns are those of the data dictionary (``cnnbench export --format dictionary``), in
        base units; the first ones are those of the CSV report. No more than one of the runs that
        are not read yet is held at a time.

        Args:
            table: ``records`` or ``slices``.

        Raises:
            UnknownName: no such table.
            StoreError: a run cannot be read.
        """
        from cnnbench.report.variables import frames

        if table not in TABLES:
            raise UnknownName("table", table, TABLES)
        stored = records_of(reading.passing(self._whole, reports=True))
        if self.whole:
            ids = {id(one) for one in self.records}
            stored = (row for row in stored if id(row.record) in ids)
        return frames.frame(TABLES[table], ROWS[table](stored))

    def pivot(self, field: str = "mode", metric: str = "latency") -> str:
        """Markdown with one row per workload and one column per value of ``field``."""
        from cnnbench.report.pivot import pivot

        return render(pivot(self.entries, field, metric), "markdown")

    def report(self, kind: str = "table") -> str:
        """The report in a format: ``table``, ``markdown``, ``latex``, ``csv`` or ``json``."""
        if kind not in FOR_PEOPLE:
            return render(tidy(self.entries), kind)
        return render(self._with_remarks(summary(self.entries)), kind)

    def plot(self, what: str | None = None) -> Figure:
        """A figure of Matplotlib, which notebooks show (``pip install cnnbench[pictures]``).

        Args:
            what: ``accuracy`` against latency, ``size`` (work against latency), ``modes`` (where
                each pays) or ``speedups`` (of every network in every mode); the first of these
                that the records can show without it.

        Raises:
            UnknownName: no such plot.
            UsageError: these records have nothing of the kind, or Matplotlib is missing.
        """
        return plotted(self.entries, what)

    def __str__(self) -> str:
        return self.report()

    def __repr__(self) -> str:
        return notebook.as_text(self._with_remarks(overview(self.entries, single=False)))

    def _repr_html_(self) -> str:
        return notebook.as_html(
            self._with_remarks(overview(self.entries, width=None, single=False))
        )


def _names(record: Record) -> tuple[str, ...]:
    """What a record goes by: model, mode, id."""
    spec = record.spec
    return units.readable(spec.workload.model), spec.mode.text, spec.workload.architecture, spec.id
