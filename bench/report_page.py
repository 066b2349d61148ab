"""How long a page of many records takes to render: ``python -m bench.report_page [RECORDS]``.

Prints wall and processor time; processor time is what a busy machine does not falsify.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from cnnbench import store
from cnnbench.report import PAGES
from cnnbench.report.selection import Selection, view
from cnnbench.report.table import Entry, entries
from cnnbench.store import StoredRun
from tests import made

MODES = ("eager", "channels_last", "compile", "amp=bf16", "compile+channels_last")


def made_up(count: int) -> list[Entry]:
    """So many entries of five rounds with six slices each, five modes to a network."""
    rounds = [[10 + number / 10] * 6 for number in range(5)]
    records = [
        made.record(f"net{index // 5}/inference-b8-3x32x32/{MODES[index % 5]}/cpu-t2", rounds)
        for index in range(count)
    ]
    what = replace(store.manifest("made-up", [], {}, "fake"), created="")
    return entries([StoredRun(Path("made-up"), what, made.ENVIRONMENT, tuple(records))])


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    found = made_up(count)
    wall, processor = time.perf_counter(), time.process_time()
    text = PAGES["html"](found, view(found, Selection(), people=True), ())
    print(
        f"{count} records: {time.perf_counter() - wall:.1f} s,"
        f" {time.process_time() - processor:.1f} s of processor, {len(text) / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
