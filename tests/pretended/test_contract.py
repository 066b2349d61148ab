"""The pretended device does what the real one does, as far as anybody here relies on it."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.pretended import contract
from tests.pretended.conftest import ROOT, SITE


def loaded(name: str) -> ModuleType:
    """A module of the pretended device, without installing it."""
    spec = importlib.util.spec_from_file_location(f"looked_at_{name}", SITE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parameters(function) -> list[str]:
    return list(inspect.signature(function).parameters)


PRETENDED = loaded("pretended_cuda")
DRIVER = {
    name: one for name, one in vars(loaded("pynvml")).items() if name.startswith("nvml")
}  # fmt: skip


@pytest.mark.parametrize("function", PRETENDED.FUNCTIONS, ids=lambda one: one.__name__)
def test_every_function_is_one_of_torch_and_takes_what_that_takes(function) -> None:
    real = getattr(torch.cuda, function.__name__)

    assert parameters(function) == parameters(real)[: len(parameters(function))]


def test_events_have_the_methods_of_torchs() -> None:
    real = torch.cuda.Event
    own = [name for name, one in vars(PRETENDED.Event).items() if inspect.isfunction(one)]

    for name in set(own) - {"__init__"}:
        assert parameters(vars(PRETENDED.Event)[name]) == parameters(getattr(real, name))
    made = parameters(real.__new__) if "__new__" in vars(real) else parameters(real)
    assert set(parameters(PRETENDED.Event)) <= {*made, "enable_timing", "blocking", "interprocess"}


def test_the_drivers_functions_are_those_of_the_package() -> None:
    pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")

    for name, function in DRIVER.items():
        real = getattr(pynvml, name)
        assert len(parameters(function)) <= len(parameters(inspect.unwrap(real)))


@pytest.fixture(scope="module")
def held() -> dict[str, str]:
    """What is wrong with the pretended device, check by check."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.pretended.contract"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(SITE), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda one: one.__name__)
def test_the_pretended_device_keeps_the_contract(held: dict[str, str], check) -> None:
    assert held[check.__name__] == ""


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda one: one.__name__)
def test_a_real_device_keeps_the_contract(check) -> None:
    assert contract.broken(check) == ""


def test_nothing_of_it_is_left_in_this_process() -> None:
    assert torch.cuda.Event is not PRETENDED.Event
    assert Path(inspect.getfile(torch.cuda.is_available)).parent.name == "cuda"
