"""How long reports of many records take: ``python -m bench.report_page [RECORDS [FORMAT…]]``.

The whole command in a process of its own: start, reading the run, statistics, the text. Prints
processor time, and beside it that of a fixed piece of Python right before and after, because on a
busy machine processor time too is longer, by caches and threads shared with others.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import made

MODES = ("eager", "channels_last", "compile", "amp=bf16", "compile+channels_last")
FORMATS = ("html", "csv", "json", "markdown")


def made_up(path: Path, count: int) -> Path:
    """A run of so many records: five rounds with six slices each, five modes to a network."""
    rounds = [[10 + number / 10] * 6 for number in range(5)]
    records = [
        made.record(f"net{index // 5}/inference-b8-3x32x32/{MODES[index % 5]}/cpu-t2", rounds)
        for index in range(count)
    ]
    return made.directory(path, records)


def canary() -> float:
    """Processor seconds of the same work every time: objects, texts, a sort."""
    start = time.process_time()
    found = {str(number): (number, 2 * number) for number in range(400_000)}
    sorted(found.values(), key=lambda pair: -pair[1])
    return time.process_time() - start


def processor(words: list[str]) -> float:
    """Processor seconds of a command, its children included."""
    before = os.times()
    subprocess.run(words, check=True)
    after = os.times()
    old, new = (one.children_user + one.children_system for one in (before, after))
    return new - old


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("records", type=int, nargs="?", default=10_000)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", default=FORMATS)
    given = parser.parse_args()
    count = given.records
    with tempfile.TemporaryDirectory() as folder:
        run = made_up(Path(folder) / "run", count)
        for kind in given.formats:
            out = Path(folder) / kind
            words = [sys.executable, "-m", "cnnbench", "report", str(run), "--format", kind]
            first = canary()
            seconds = processor([*words, "-o", str(out)])
            print(
                f"{count} records, {kind}: {seconds:.1f} s of processor,"
                f" {out.stat().st_size / 1e6:.1f} MB (canary {first:.2f} and {canary():.2f} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
