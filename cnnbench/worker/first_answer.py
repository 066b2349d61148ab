"""A fresh process from its start to its first answer, as one that is deployed takes it.

Run as a file, with the path of an order in JSON and the nanosecond at which it was started: no
package of ours is imported before what is timed. What only a benchmark imports is left out of the
times. Nothing is printed, because a network may print; the answer goes to a file.
"""

import time

_BEGAN = time.monotonic_ns()

import importlib  # noqa: E402 - the first line is what the clock begins with
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402


def main(path: str, started: str) -> None:
    """Carry out the order in a file."""
    order = json.loads(Path(path).read_text(encoding="utf8"))
    sys.path[:] = order["path"]
    os.environ.update(order["environ"])
    # Optional packages that the runtime does without in workers, too.
    sys.modules.update(dict.fromkeys(order["absent"]))
    start = time.monotonic_ns()
    for library in order["libraries"]:
        importlib.import_module(library)
    imported = time.monotonic_ns() - start
    from cnnbench.worker import cold_start

    load = cold_start.loading(order)
    start = time.monotonic_ns()
    call = load()
    loaded = time.monotonic_ns()
    call()
    called = time.monotonic_ns()
    answer = {
        "python_ns": _BEGAN - int(started),
        "import_ns": imported,
        "load_ns": loaded - start,
        "first_ns": called - loaded,
    }
    Path(order["answer"]).write_text(json.dumps(answer), encoding="utf8")


if __name__ == "__main__":
    main(*sys.argv[1:])
