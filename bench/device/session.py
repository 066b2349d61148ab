"""Checks one after the other, each in a process of its own, within a time that is kept.

Nothing that a check does may cost another its turn: it may break, hang, die or write rubbish. What
is still alive of it when its time is over is killed, by a mark in the environment that all of its
processes inherit.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.device.check import NOT_SHOWN, Check, Verdict, judge
from bench.device.child import FACTS
from bench.device.place import ROOT

SITE = ROOT / "tests" / "pretended" / "site"
# Inherited by every process of a check.
_MARK = "CNNBENCH_DEVICE_CHECK"
# On a pretended device CPUs do all the work, and others may be at work on them.
_PRETENDED = 20
# What a check is given to end by itself, and what of its time must be left for it to be begun.
_GRACE_SECONDS, _ENOUGH = 3.0, 0.5

Clock = Callable[[], float]


@dataclass(frozen=True)
class Session:
    """How checks are run.

    Attributes:
        folder: the checks' own folders of evidence are made in it.
        seconds: for all of them together.
        pretended: on a pretended device.
    """

    folder: Path
    seconds: float
    pretended: bool = False

    def verdicts(self, checks: Sequence[Check]) -> Iterator[tuple[Check, Verdict]]:
        """Every check's verdict, in order; what there is no time for has one too."""
        end = time.monotonic() + self.seconds
        for check in checks:
            left = end - time.monotonic()
            if self.pretended and not check.dry:
                why = f"not shown here: {check.unpretended}; not run"
                yield check, Verdict(check.name, NOT_SHOWN, why)
            elif left < _ENOUGH * check.seconds:
                why = f"no time left: {max(0.0, left):.0f} of {check.seconds:g} s"
                yield check, Verdict(check.name, NOT_SHOWN, why)
            else:
                seconds = check.seconds * (_PRETENDED if self.pretended else 1)
                limit = min(seconds, max(left - _GRACE_SECONDS, _ENOUGH * left))
                yield check, self._one(check, limit)

    def _one(self, check: Check, limit: float) -> Verdict:
        folder = self.folder / check.name
        folder.mkdir(parents=True)
        began = time.monotonic()
        ending = _run(check, folder, limit, self.pretended)
        taken = time.monotonic() - began
        if ending:
            return Verdict(check.name, NOT_SHOWN, ending, "", taken, broken=True)
        return _verdict(check, folder, taken, pretended=self.pretended)


def _verdict(check: Check, folder: Path, taken: float, *, pretended: bool) -> Verdict:
    """The verdict on what a check has left."""
    try:
        found = json.loads((folder / FACTS).read_text(encoding="utf8"))
        ((kind, said),) = found.items()
    except (OSError, ValueError, AttributeError) as error:
        why = f"what the check left cannot be read: {error}"
        return Verdict(check.name, NOT_SHOWN, why, "", taken, broken=True)
    if kind == "facts" and isinstance(said, dict):
        return judge(check, said, taken, pretended=pretended)
    broken = kind != "not_shown"
    why = f"the check broke: {said}" if broken else str(said)
    return Verdict(check.name, NOT_SHOWN, why, "", taken, broken=broken)


def _run(check: Check, folder: Path, limit: float, pretended: bool) -> str:
    """Run it and let nothing of it live on; why it has no result, empty if it may have one."""
    command = [sys.executable, "-m", "bench.device.child", check.run, str(folder)]
    env = environment(pretended=pretended) | {_MARK: str(folder)}
    with (folder / "stdout.txt").open("wb") as out, (folder / "stderr.txt").open("wb") as err:
        process = subprocess.Popen(
            [*command, *(["--pretend"] if pretended else [])], cwd=ROOT, env=env,
            stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(limit)
            ending = "" if code == 0 else f"the check ended with {_ending(code)}"
        except subprocess.TimeoutExpired:
            ending = f"the check was stopped after {limit:.0f} s"
        finally:
            alive = _end(process, str(folder))
    return f"{ending or 'the check ended'}, and {alive} lives on" if alive else ending


def _ending(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {-code} ({signal.Signals(-code).name})"


def _end(process: subprocess.Popen[bytes], mark: str) -> str:
    """End the check's process, in its own way if it can, and then all that it has started.

    Returns:
        What cannot be ended, as a process in the driver may be.
    """
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    end = time.monotonic() + _GRACE_SECONDS
    while marked := _marked(mark):
        if time.monotonic() > end:
            return f"process {', '.join(map(str, marked))}"
        for pid in marked:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"process {process.pid}"
    return ""


def _marked(mark: str) -> list[int]:
    """Living processes that inherited the mark."""
    wanted, found = f"{_MARK}={mark}".encode(), []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
        except OSError:
            continue  # ended meanwhile, or another user's
    return found


def environment(*, pretended: bool) -> dict[str, str]:
    """Of every check: this checkout is what is imported, and a pretended device if there is one."""
    paths = [*([str(SITE)] if pretended else []), str(ROOT), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUNBUFFERED": "1"}
    return env | ({"OMP_WAIT_POLICY": "PASSIVE"} if pretended else {})


def sees_a_device() -> bool:
    """Whether torch sees a CUDA device, asked in another process; not, if it does not answer."""
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=False, timeout=120,
            env=environment(pretended=False), cwd=ROOT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
