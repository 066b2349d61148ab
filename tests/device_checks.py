"""Checks of a device session that go wrong in every way, and some that do not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

from bench.device.check import NotShown
from bench.device.place import Place


def good(place: Place) -> dict[str, Any]:
    (place.folder / "notes.txt").write_text("kept\n", encoding="utf8")
    return {"figure": 3, "pretended": place.pretended}


def hangs(place: Place) -> dict[str, Any]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (place.folder / "begun.txt").write_text("begun\n", encoding="utf8")
    while True:
        time.sleep(60)


def dies(place: Place) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def leaves(place: Place) -> dict[str, Any]:
    os._exit(3)


def rubbish(place: Place) -> dict[str, Any]:
    os.write(1, b"\xff\x00{]\n" * 1000)
    (place.folder / "facts.json").write_bytes(b"\xff{]")
    os._exit(0)


def no_object(place: Place) -> dict[str, Any]:
    (place.folder / "facts.json").write_text("[1, 2]", encoding="utf8")
    os._exit(0)


def raises(place: Place) -> dict[str, Any]:
    raise ValueError("a fault\nof two lines")


def no_facts(place: Place) -> Any:
    return [1, 2]


def other_facts(place: Place) -> dict[str, Any]:
    return {"something": "else"}


def cannot_say(place: Place) -> dict[str, Any]:
    raise NotShown("there is nothing to compare with")


def refuting(place: Place) -> dict[str, Any]:
    return {"figure": 4}


def leaves_a_process(place: Place) -> dict[str, Any]:
    """In a session of its own, so that no signal to a group reaches it."""
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    return {"figure": 3, "pid": subprocess.Popen(command, start_new_session=True).pid}
