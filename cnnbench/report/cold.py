"""What a fresh process takes from its start to its first answer, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import metrics, units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.record import Record
    from cnnbench.report.entry import Entry

# More rows than this are a table, which report.csv has.
_MOST = 8
_PARTS = (("cold_import", "import"), ("cold_load", "load"), ("cold_first", "first call"))


def lines(found: Sequence[Entry]) -> list[str]:
    """A line per row whose cold start was measured; of many, the columns that hold them."""
    known = [one for one in found if one.record.cold_start is not None]
    if len(known) > _MOST:
        return [
            f"Cold starts of {units.number(len(known), 'row')}: the columns cold_start_s,"
            " cold_import_s, cold_load_s and cold_first_s of report.csv."
        ]
    return [
        f"Cold start of {one.record.spec.workload.model} in {one.mode}:"
        f" {_seconds('cold_start', one.record)} ({_parts(one.record)})."
        for one in known
    ]


def _parts(record: Record) -> str:
    return ", ".join(f"{title} {_seconds(name, record)}" for name, title in _PARTS)


def _seconds(name: str, record: Record) -> str:
    known = metrics.metric(name).of(record)
    return "-" if known is None else units.seconds(known.point)
