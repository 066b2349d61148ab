"""Runs the Triton kernels on random problems and prints their errors against float64 as JSON.

Started by ``test_triton_kernels.py`` in a process of its own, because Triton's interpreter must be
chosen before Triton is imported:
``TRITON_INTERPRET=1 python -m tests.implementations.triton_cases``.
"""

from __future__ import annotations

import json
import random
import sys

import torch
from torch.nn import functional

from cnnbench.implementations.kernels import depthwise, implicit_gemm

# name: x, weight, stride, padding, dilation, groups
EDGES = {
    "plain": ((1, 3, 6, 7), (5, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    "depth multiplier": ((1, 4, 6, 5), (12, 1, 3, 3), (1, 2), (1, 1), (1, 1), 4),
    "asymmetric": ((2, 5, 9, 6), (4, 5, 1, 4), (2, 3), (0, 2), (1, 2), 1),
    "one column": ((1, 2, 8, 6), (3, 2, 3, 6), (1, 2), (0, 0), (1, 1), 1),
    "stride beyond kernel": ((1, 4, 9, 9), (3, 4, 1, 1), (3, 2), (0, 0), (1, 1), 1),
    "grouped": ((1, 6, 5, 5), (9, 2, 3, 3), (1, 1), (1, 1), (1, 1), 3),
    "many tiles": ((2, 20, 5, 9), (40, 20, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    "depthwise": ((2, 70, 7, 11), (70, 1, 3, 3), (1, 1), (1, 1), (1, 1), 70),
    "depthwise dilated": ((1, 3, 11, 12), (3, 1, 5, 2), (2, 1), (3, 0), (2, 3), 3),
}


def random_case(seed: int):
    draw = random.Random(seed)
    groups = draw.choice([1, 1, 2, 3])
    channels, out = groups * draw.randint(1, 5), groups * draw.randint(1, 5)
    if draw.random() < 0.4:
        groups, out = channels, channels * draw.randint(1, 2)
    kernel = (draw.randint(1, 4), draw.randint(1, 4))
    stride = (draw.randint(1, 3), draw.randint(1, 3))
    padding = (draw.randint(0, 3), draw.randint(0, 3))
    dilation = (draw.randint(1, 2), draw.randint(1, 2))
    size = [
        max(1, dilation[i] * (kernel[i] - 1) + 1 - 2 * padding[i]) + draw.randint(0, 5)
        for i in (0, 1)
    ]
    x = (draw.randint(1, 2), channels, *size)
    return x, (out, channels // groups, *kernel), stride, padding, dilation, groups


def cases(count: int):
    yield from EDGES.items()
    yield from ((f"random {seed}", random_case(seed)) for seed in range(count))


def errors(device: str, count: int) -> list[dict]:
    found = []
    for index, (name, case) in enumerate(cases(count)):
        # The interpreter is slow, and a device compiles each of them: narrow types and the other
        # layout on the first few only.
        thorough = index < 3
        for dtype in ("float32", "float16", "bfloat16") if thorough else ("float32",):
            for last in (False, True) if thorough else (index % 2 == 0,):
                found += measure(device, case, getattr(torch, dtype), last, f"{name} {dtype}")
    return found


def measure(device: str, case: tuple, dtype: torch.dtype, last: bool, name: str) -> list[dict]:
    shape, weights, stride, padding, dilation, groups = case
    generator = torch.Generator().manual_seed(1)
    layout = torch.channels_last if last else torch.contiguous_format
    x, w = (
        torch.randn(size, generator=generator).to(device, dtype).contiguous(memory_format=layout)
        for size in (shape, weights)
    )
    # Every other problem has a bias.
    b = torch.randn(weights[0], generator=generator).to(device, dtype) if weights[0] % 2 else None
    geometry = {"stride": stride, "padding": padding, "dilation": dilation}
    exact = functional.conv2d(
        x.double().cpu(), w.double().cpu(), None if b is None else b.double().cpu(),
        groups=groups, **geometry,
    )  # fmt: skip
    got = {"implicit_gemm": implicit_gemm.convolve(x, w, b, groups=groups, **geometry)}
    if groups == shape[1]:
        got["depthwise"] = depthwise.convolve(x, w, b, **geometry)
    return [
        {
            "kernel": kernel,
            "case": f"{name} {'channels_last' if last else 'contiguous'}",
            "error": float((y.double().cpu() - exact).norm() / exact.norm()),
            "unit": torch.finfo(dtype).eps,
            "form": y.shape == exact.shape
            and y.dtype == dtype
            and y.is_contiguous(memory_format=layout),
        }
        for kernel, y in got.items()
    ]


if __name__ == "__main__":
    print(json.dumps(errors("cpu", int(sys.argv[1]))))
