"""Small networks for the pretended device, and some that break in the ways that a GPU can."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn

ASSERTION = (
    "../aten/src/ATen/native/cuda/Indexing.cu:1369: indexSelectSmallIndex: block: [0,0,0], thread:"
    " [5,0,0] Assertion `srcIndex < srcSelectDimSize` failed.\n"
)


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).relu().mean((2, 3)))


class Greedy(Tiny):
    """Wants more than any device has."""

    def forward(self, x):
        y = super().forward(x)
        if y.device.type != "meta":
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 1024.00 GiB. GPU 0 has a total capacity of"
                " 8.00 GiB"
            )
        return y


class Asserting(Tiny):
    """A kernel's assertion fails: the driver says which, and torch that one did."""

    def forward(self, x):
        y = super().forward(x)
        if y.device.type != "meta":
            os.write(2, ASSERTION.encode())
            raise RuntimeError(
                "CUDA error: device-side assert triggered\nCUDA kernel errors might be"
                " asynchronously reported at some other API call"
            )
        return y


class Losing(Tiny):
    """The GPU goes away while it computes."""

    def forward(self, x):
        y = super().forward(x)
        if y.device.type != "meta":
            uuid = torch.cuda.get_device_properties(0).uuid
            with Path(os.environ["PRETENDED_CUDA_LOST"]).open("a", encoding="utf8") as file:
                file.write(f"{uuid}\n")
            raise RuntimeError("CUDA error: unspecified launch failure")
        return y


class Placed(Tiny):
    """Writes down on which cores it was built, and beside which GPU."""

    def __init__(self) -> None:
        super().__init__()
        uuid = torch.cuda.get_device_properties(0).uuid
        with Path(os.environ["PRETENDED_CUDA_PLACED"]).open("a", encoding="utf8") as file:
            file.write(f"{uuid} {sorted(os.sched_getaffinity(0))}\n")


class Deciding(Tiny):
    """Reads a value on the host, which no graph can capture."""

    def forward(self, x):
        return super().forward(x if x.device.type == "meta" or x.sum().item() > -1e30 else -x)


def deciding():
    return Deciding()


def tiny():
    return Tiny()


def losing():
    return Losing()


def placed():
    return Placed()


def greedy():
    return Greedy()


def asserting():
    return Asserting()
