"""One bad factory is one row, whatever it does; alone it is one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cnnbench import store

if TYPE_CHECKING:
    from pathlib import Path

FACTORIES = """
import ctypes, os, sys, time
from torch import nn

def fine(): return nn.Conv2d(3, 4, 3)
def number(): return 3
def needs(width): return fine()
def raises(): raise ValueError("at build")
def no_meta(): nn.Conv2d(3, 4, 3).weight.detach().numpy(); return fine()
def leaves(): sys.exit(0)
def ends(): os._exit(0)
def crashes(): ctypes.string_at(0)
def hangs(): time.sleep(1000)
def prints(): print("{}" * 1000, flush=True); return fine()
def forks(): os.fork(); return fine()
def hogs(): return bytearray(1 << 40) and fine()
"""
AT_IMPORT = {
    "bad_syntax": "def f(:",
    "leaves_early": "raise SystemExit(3)",
    "raises_early": "raise ValueError('at import')",
    "ends_early": "import os; os._exit(7)",
}
SAID = {
    "ways:number": "returned int, not a torch.nn.Module",
    "ways:needs": "missing a required argument: 'width'",
    "ways:raises": "build: ValueError: at build",
    "ways:leaves": "SystemExit: 0",
    "ways:ends": "exited with status 0 without an answer",
    "ways:crashes": "killed by SIGSEGV",
    "ways:hangs": "no answer within",
    "ways:hogs": "MemoryError",
    "ways:absent": "'ways' has no 'absent'",
    "bad_syntax:f": "import: SyntaxError",
    "leaves_early:f": "import: SystemExit: 3",
    "raises_early:f": "import: ValueError: at import",
    "ends_early:f": "import: the worker process exited with status 7",
    "no_module_here:f": "no module 'no_module_here'",
}
QUICK = ("--input", "3x8x8", "--modes", "eager", "--device", "cpu", "--threads", "1",
         "--rounds", "1", "--slices", "1", "--out", "out")  # fmt: skip


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "ways.py").write_text(FACTORIES)
    for name, text in AT_IMPORT.items():
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def test_each_bad_factory_costs_its_row(cnnbench_cli, here: Path) -> None:
    good = ["ways:fine", "ways:prints", "ways:forks", "ways:no_meta"]

    done = cnnbench_cli("run", "--models", ",".join([*good, *SAID]), *QUICK, "--timeout", "12s")

    assert done.exit_code == 3, done.stderr
    records = {one.spec.workload.architecture: one for one in store.read(here / "out").records}
    assert {name for name, one in records.items() if one.status == "ok"} == set(good)
    for name, text in SAID.items():
        assert text in records[name].reason
    assert "14 of 18 specs failed" in done.stderr


def test_a_loss_that_is_not_there_is_one_line(cnnbench_cli, here: Path) -> None:
    done = cnnbench_cli("run", "--models", "ways:fine", "--phase", "training", "--loss",
                        "ways:absent", *QUICK)  # fmt: skip

    assert done.exit_code == 2
    assert done.stderr == "cnnbench: 'ways:absent': 'ways' has no 'absent'\n"
    assert not (here / "out").exists()


@pytest.mark.parametrize("name", ["ways:number", "ways:raises", "ways:leaves"])
def test_a_bad_factory_alone_is_one_line(cnnbench_cli, here: Path, name: str) -> None:
    done = cnnbench_cli("run", "--models", name, *QUICK)

    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert SAID[name] in line
    assert not (here / "out").exists()
