"""Where the library itself is known to be wrong or to refuse: each with what triggers it.

A list with strict expectations: a case that is not bad where it should be is a failure too, so that
a fix upstream is noticed and the case is closed (with the version that fixed it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from cnnbench.convproblem import ConvProblem
from cnnbench.convs import implementation
from tests.convs.loops import by_torch, computed, data, error

_TRIES = 10


@dataclass(frozen=True)
class WrongNumbers:
    """The library's default is silently wrong.

    Attributes:
        name: of the case.
        report: where it is known from.
        triggered: layers that it happens to.
        spared: layers one step away, that it does not happen to.
        absent: why it cannot happen on this machine; empty if it must.
    """

    name: str
    report: str
    triggered: tuple[str, ...]
    spared: tuple[str, ...]
    absent: Callable[[], str]


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


def processor_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    lines = [line for line in text.splitlines() if line.startswith("flags")]
    return frozenset(lines[0].split(":")[1].split()) if lines else frozenset()


def _no_amx() -> str:
    if not {"amx_bf16", "amx_tile"} <= processor_flags():
        return "the processor has no AMX"
    if not torch.backends.mkldnn.is_available():
        return "torch has no oneDNN"
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 15):
        return f"seen with torch 2.15; of {torch.__version__} nothing is known"
    return ""


WRONG = (
    WrongNumbers(
        name="bf16, output width 1, horizontal stride over 1 (oneDNN brg_conv_fwd, AMX)",
        report="pytorch#169688 has the same trigger in conv3d",
        triggered=("n1c1h8w6-k1-3x6-s1x2-bf16", "n1c3h9w5-k8-3x5-s1x2-bf16"),
        spared=("n1c1h8w6-k1-3x6-bf16", "n1c1h8w6-k1-3x6-s1x2", "n1c1h8w8-k1-3x6-s1x2-bf16"),
        absent=_no_amx,
    ),
)

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
