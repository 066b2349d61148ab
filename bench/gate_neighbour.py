"""A neighbour that takes a share of one core, in bursts.

    python -m bench.gate_neighbour 0.3

Bursts and pauses have exponential lengths; pauses are as long as it takes to reach the share in the
long run, however much of the core a burst really got. For more than two fifths three processes work
side by side, since one against one gets no more than half. Ends with its parent, and prints the
share it took on SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import time
from types import FrameType

BURST = 0.4


def spin(share: float, seed: int) -> None:
    """Take a share of a core until the parent is gone or somebody says stop."""
    chance, parent = random.Random(seed), os.getppid()
    began, used = time.monotonic(), time.process_time()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        taken = (time.process_time() - used) / (time.monotonic() - began)
        with contextlib.suppress(OSError):  # nobody listens any more
            os.write(1, f"{taken:.4f}\n".encode())
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    while os.getppid() == parent:
        end = time.monotonic() + chance.expovariate(1 / BURST)
        while time.monotonic() < end:
            pass
        due = (time.process_time() - used) / share - (time.monotonic() - began)
        if due > 0:
            time.sleep(min(due, chance.expovariate(1 / due)) if chance.random() < 0.5 else due)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("share", type=float)
    share = parser.parse_args().share
    workers = 1 if share <= 0.4 else 3
    children = []
    for number in range(workers):
        child = os.fork()
        if child == 0:
            spin(share / workers, number)
            os._exit(0)
        children.append(child)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        for child in children:
            os.kill(child, signal.SIGTERM)
        for child in children:
            os.waitpid(child, 0)
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.2)
    stop(0, None)


if __name__ == "__main__":
    main()
