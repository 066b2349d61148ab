"""What is measured where nothing is asked: by ``run`` on a kind of device, by ``conv``.

Texts and numbers only: knows neither modes nor grids.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usual:
    """What is measured on a kind of device where nothing is asked.

    Attributes:
        modes: mode texts.
        batches: samples per call.
        rounds: fresh starts of all workers.
        halved: a batch that runs out of memory is halved until one fits.
    """

    modes: tuple[str, ...]
    batches: tuple[int, ...]
    rounds: int
    halved: bool = False


# A GPU at batch 1 mostly waits for its host, so the usual batch of training frameworks comes too;
# and a precision that everybody has who sets nothing. Clocks of GPUs are steadier than those of
# shared CPUs, while fresh starts take longer: a context, kernels, compiled graphs.
USUAL = {
    "cpu": Usual(("eager", "channels_last"), (1,), 5),
    "cuda": Usual(
        ("eager", "tf32=cudnn", "channels_last+amp=fp16", "compile=reduce-overhead"),
        (1, 256),
        3,
        halved=True,
    ),
}


def _said(of: str) -> str:
    """A field of the table as help says it."""
    texts = {}
    for kind, usual in USUAL.items():
        value = getattr(usual, of)
        texts[kind] = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"{texts['cpu']}; on CUDA {texts['cuda']}"


# Field -> its defaults in words.
TOLD = {name: _said(name) for name in ("modes", "batches", "rounds")}

# The layer that ``conv`` measures: most of a ResNet's time is spent in its like.
LAYER = "n1c64h56w56-k64-3x3-p1"
# Its implementations beside the library's own: what other libraries do, and torch without oneDNN.
IMPLEMENTATIONS = (
    "prepacked", "native", "im2col", "im2col_nhwc", "winograd_f2", "winograd_f4", "cudnn_benchmark",
)  # fmt: skip
# The same of a backward pass by itself.
BACKWARD: dict[str, tuple[str, ...]] = {
    "backward_data": ("native", "zero_insertion", "col2im", "subpixel", "cudnn_benchmark"),
    "backward_weights": ("native", "im2col", "cudnn_benchmark"),
}
# What a lecture sets beside it, and what networks have in its place.
SUBSTITUTES = ("pointwise", "depthwise", "depthwise_separable", "grouped_4", "bottleneck")
# Slices of a round, seconds of each and of warming up: three rounds, which show a difference, in
# half a minute on two cores. A slower machine has a minute.
LAYER_SLICES, LAYER_SLICE_SECONDS, LAYER_WARM_UP_SECONDS, LAYER_BUDGET = 3, 0.015, 0.03, 60.0
