"""Made pictures with the spectrum of photographs, as files in memory or as arrays.

Amplitudes of photographs fall with the frequency as 1/f (Field 1987), and colours go together. Such
noise compresses like photographs do: at 500x375 and JPEG quality 90 a file has about as many bytes
as the mean one of ImageNet, so that decoding has as much to do. They are held in memory: what a
disk or a network file system takes is not measured.
"""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import numpy.typing as npt

    from cnnbench.recipes import PictureSource

# Different pictures of a size; a batch goes round them. Making a large one takes 50 ms.
_LARGE, _SMALL = 12, 256
_QUALITY = 90
# Of a full range of 1: the mean, the contrast, and how much each colour has of its own.
_MEAN, _CONTRAST, _OWN = 0.45, 0.2, 0.3


@functools.lru_cache(maxsize=4)
def scenes(source: PictureSource, seed: int) -> tuple[bytes | npt.NDArray[np.uint8], ...]:
    """Pictures of a source: JPEG files, or arrays (H, W, C) of bytes, (H, W) of one channel."""
    draw = np.random.default_rng(seed)
    count = _LARGE if source.encoded else _SMALL
    made = [_scene(source.shape, draw) for _ in range(count)]
    return tuple(map(_encoded, made)) if source.encoded else tuple(made)


def _scene(shape: tuple[int, int, int], draw: np.random.Generator) -> npt.NDArray[np.uint8]:
    channels, height, width = shape
    common = _field(height, width, draw)
    planes = [common + _OWN * _field(height, width, draw) for _ in range(channels)]
    values = np.stack([plane / plane.std() for plane in planes], axis=-1)
    found = np.clip(255 * (_MEAN + _CONTRAST * values), 0, 255).astype(np.uint8)
    return found if channels > 1 else found[..., 0]


def _field(height: int, width: int, draw: np.random.Generator) -> npt.NDArray[np.float64]:
    """Noise of zero mean and unit variance whose amplitude falls as 1/f."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    noise = np.fft.rfft2(draw.standard_normal((height, width)))
    plane = np.fft.irfft2(noise / frequency, s=(height, width))
    return np.asarray(plane / plane.std())


def _encoded(picture: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
