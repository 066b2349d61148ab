"""How long a site of many records takes: ``python -m bench.site_pages [RECORDS]``.

Made-up runs of two machines on ten days, of as many networks as the records need. Prints seconds of
CPU, and how many pages that is.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from cnnbench.report import site
from cnnbench.report.site import folder
from tests.report.site import HERE, THERE, networks, run

DAYS, MODES = 10, 2


def main() -> None:
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    names = [f"net{number}" for number in range(max(1, records // (2 * DAYS * MODES)))]
    runs = [
        run(f"{where.fingerprint}-{day}", networks(1 + day / 100, names), where, day)
        for where in (HERE, THERE)
        for day in range(1, DAYS + 1)
    ]
    with tempfile.TemporaryDirectory() as path:
        start = time.process_time()
        files = folder.write(Path(path) / "site", site.pages(runs, "made up"))
        took = time.process_time() - start
    print(f"{sum(len(one.records) for one in runs)} records, {files} files: {took:.1f} s of CPU")


if __name__ == "__main__":
    main()
