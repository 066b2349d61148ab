"""Structured pictures: what a network is given in place of photographs.

White noise looks the same to every network: averaged over a picture nothing is left, so that
outputs hardly depend on which picture it was. Photographs have structure at every scale, with most
of it in the coarse ones (Field 1987, "Relations between the statistics of natural images and the
response properties of cortical cells"), and each has a brightness and a contrast of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Sides of the squares whose noise is added up, in pixels; the last is the whole picture.
_SCALES = (2, 4, 8, 16, 32, 64, 1 << 20)
# Contrasts lie from here to here plus one; the colours' means have this standard deviation.
_CONTRAST, _MEAN = 0.5, 0.7
_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


class ShapesAlone(torch.Generator):
    """In the place of a generator: what is drawn has shapes alone, on the meta device.

    A static analysis looks at no pixel, and drawing those of a large batch takes longer than it.
    """


def pictures(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Pictures of about zero mean and unit variance over many of them.

    Args:
        batch: how many.
        sample: shape of one, channels first; without spatial axes it is plain noise.
        generator: of the random numbers, on the CPU.

    Returns:
        ``(batch, *sample)``, float32, on the CPU; or on meta, without values (``ShapesAlone``).
    """
    space = sample[1:]
    if len(space) not in _MODES or isinstance(generator, ShapesAlone):
        return white_noise(batch, sample, generator)
    total = torch.zeros((batch, *sample))
    for scale in _SCALES:
        total += _squares(batch, sample, scale, generator)
    axes = tuple(range(1, total.dim()))
    total -= total.mean(axes, keepdim=True)
    total /= total.square().mean(axes, keepdim=True).sqrt().clamp_min(1e-6)
    ones = (1,) * len(space)
    contrast = _CONTRAST + torch.rand((batch, 1, *ones), generator=generator)
    mean = _MEAN * torch.randn((batch, sample[0], *ones), generator=generator)
    return total * contrast + mean


def _squares(batch: int, sample: tuple[int, ...], scale: int, generator: torch.Generator) -> Tensor:
    """Noise that varies from square to square, interpolated in between."""
    channels, *space = sample
    grid = [max(1, -(-side // scale)) for side in space]
    drawn = torch.randn((batch, channels, *grid), generator=generator)
    return functional.interpolate(drawn, size=space, mode=_MODES[len(space)], align_corners=False)


def white_noise(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Noise of zero mean and unit variance; arguments and result as of ``pictures``."""
    if isinstance(generator, ShapesAlone):
        return torch.empty((batch, *sample), device="meta")
    return torch.randn((batch, *sample), generator=generator)


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Numbers from 0 to 1, evenly spread; on meta where shapes alone are asked for."""
    if isinstance(generator, ShapesAlone):
        return torch.empty(shape, device="meta")
    return torch.rand(shape, generator=generator)


def photographs(batch: int, sample: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Pictures with values from 0 to 1, as image files give them."""
    return (pictures(batch, sample, generator) / 4 + 0.5).clamp_(0, 1)
