"""A process that is no worker, timed from its start to its first answer."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench.errors import WorkerDied, WorkerTimeout
from cnnbench.runner.endings import ending
from cnnbench.runner.origin import Origin, environment

if TYPE_CHECKING:
    from collections.abc import Mapping

# Run by its path, because it must be the first of ours that is imported.
_SCRIPT = Path(__file__).parents[1] / "worker" / "first_answer.py"


def first_answer(origin: Origin, scratch: Path, order: str, timeout: float) -> Mapping[str, int]:
    """Its nanoseconds by part.

    Args:
        origin: its interpreter and variables, as of a worker.
        scratch: a folder for what it needs.
        order: path of what a worker prepared for it.
        timeout: seconds.

    Raises:
        WorkerTimeout, WorkerDied: there was no answer.
    """
    environ, answer = environment(origin, scratch), Path(order).with_name("answer.json")
    # One that ends without an answer must not leave that of the process before it.
    answer.unlink(missing_ok=True)
    try:
        done = subprocess.run(  # noqa: S603 - an interpreter of the user's, our own file
            [origin.python, "-P", str(_SCRIPT), order, str(time.monotonic_ns())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=origin.folder,
            env=environ,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WorkerTimeout(f"no first answer within {timeout:g} s; raise --timeout") from None
    if done.returncode or not answer.exists():
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise WorkerDied(f"no first answer: {(last or [ending(done.returncode)])[0]}")
    found: Mapping[str, int] = json.loads(answer.read_text(encoding="utf8"))
    return found
