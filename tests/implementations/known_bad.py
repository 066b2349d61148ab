"""Whether the library is as bad as ``conv.known_bad`` says, and what torch refuses to compute.

The list is held to strictly: a case that is not bad where it should be is a failure too, so that a
fix upstream is noticed and the case is closed (with the version that fixed it).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from cnnbench.conv.known_bad import KnownBad
from cnnbench.conv.problem import ConvProblem
from cnnbench.implementations import implementation
from tests.implementations.loops import by_torch, computed, data, error

ROOT = Path(__file__).resolve().parents[2]
_TRIES = 10


@dataclass(frozen=True)
class Refusal:
    """Something that torch does not do on the CPU, which is why an implementation refuses it."""

    name: str
    refused: str
    dtype: str
    call: Callable[[], object]
    error: type[Exception]


def is_wrong(text: str, compute: Callable[..., torch.Tensor] = computed) -> bool:
    """Whether the default is beyond ten times its tolerance for any of some seeds.

    What reads memory that nobody wrote differs from call to call.
    """
    problem, how = ConvProblem.parse(text), implementation("")
    for seed in range(_TRIES):
        tensors = data(problem, seed)
        found = error(compute(how, tensors, problem), tensors, problem)
        if not found <= 10 * how.tolerance(problem):
            return True
    return False


# In a process of its own, which must not leave a core file behind.
_COMPUTE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import torch
from cnnbench.conv.problem import ConvProblem
from cnnbench.implementations import implementation
from tests.implementations.loops import computed, data
torch.set_num_threads(1)
for text in sys.argv[1:]:
    problem = ConvProblem.parse(text)
    print(text, computed(implementation(""), data(problem, 0), problem).shape, flush=True)
"""


def kills(*texts: str) -> bool:
    """Whether a process that lets the default compute some layers, one by one, gets a SIGSEGV."""
    done = subprocess.run(
        [sys.executable, "-c", _COMPUTE, *texts],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode in {0, -signal.SIGSEGV}, done.stderr
    return done.returncode != 0


def bad(case: KnownBad, text: str) -> bool:
    """Whether a layer shows a case's symptom here and now."""
    return kills(text) if case.symptom == "died" else is_wrong(text)


_BF16 = torch.ones(4, 4, dtype=torch.bfloat16)
REFUSALS = (
    Refusal("FFT of bf16", "fft", "bf16", lambda: torch.fft.rfft2(_BF16), RuntimeError),
    Refusal(
        "sparse product in bf16",
        "toeplitz_sparse",
        "bf16",
        lambda: torch.mv(_BF16.to_sparse_csr(), _BF16[0]),
        RuntimeError,
    ),
)


def planted(how: object, tensors: tuple[torch.Tensor, ...], problem: ConvProblem) -> torch.Tensor:
    """A library with a bug: one output pixel is not what it should be."""
    y = by_torch(tensors, problem)  # type: ignore[arg-type]
    y[0, 0, 0, 0] += 1
    return y
