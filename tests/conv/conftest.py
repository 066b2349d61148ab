from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cnnbench.facts import Algorithm, Ceilings, Check, Structure
from cnnbench.record import Failure
from tests import made

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.record import Record

LAYER = "conv:k8-3x3-p1"
PLACE = "inference-b1-8x16x16"


@pytest.fixture
def way() -> Callable[..., Record]:
    """A layer in a mode that takes some milliseconds in three rounds that hardly differ."""

    def make(mode: str, milliseconds: float, status: str = "ok", *, name: str = LAYER,
             macs: int = 147_456) -> Record:  # fmt: skip
        rounds = [[milliseconds * (1 + 0.001 * number)] * 3 for number in range(3)]
        return made.record(
            f"{name}/{PLACE}/{mode}/cpu-t1",
            rounds,
            check=Check(
                status, 0.0, 1e-7, reason="" if status == "ok" else "error above its bound"
            ),
            cost=replace(made.COST, macs=macs, params=584),
            algorithm=Algorithm(
                "x",
                macs,
                40_000,
                1000,
                0,
                1024,
                (5_000, 7_000, 6_000),
                "a book",
                (4000, 4100),
                (1000, 1025),
                "glibc 2.36",
            ),
            structure=Structure(kernels={"convolution brg f32": 1}, reorders=0),
            ceilings=(Ceilings({"float32 matmul": 1e11}, {"65536": 1e10}, 1000, 1),),
        )

    return make


@pytest.fixture
def refused() -> Record:
    """A way that does not apply."""
    name = f"{LAYER}/{PLACE}/impl=matmul_1x1/cpu-t1"
    reason = Failure("plan", "unsupported", "matmul_1x1 needs a 1x1 kernel, not 3x3")
    return replace(made.record(name, []), failure=reason, memory=None, cost=None)


@pytest.fixture
def lab(way, refused) -> list[Record]:
    """A slow default, a fast memory format, faster weights, a fast but wrong way, a substitute."""
    return [
        way("eager", 10),
        way("channels_last", 5),
        way("impl=im2col", 8),
        way("impl=prepacked+channels_last", 4),
        way("impl=winograd_f4", 1, "wrong"),
        refused,
        way("eager", 2, name=f"{LAYER}~depthwise", macs=18_432),
    ]
