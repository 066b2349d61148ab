"""Random numbers of our own, the same in every version of torch and on every processor.

What a network's builder draws from torch's generator is another thing in another version of torch,
and everything after a layer that is added. Here each draw depends on nothing but its kind, its
shape and how many of those came before, so that a layer gets its numbers whatever it is called and
whatever stands before it. The distribution is the builder's: its mean, its deviation, its bounds.
"""

from __future__ import annotations

import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt

    Words = npt.NDArray[np.uint64]
    Numbers = npt.NDArray[np.float64]
    Known = Mapping[str, Any]

# Numbers that are drawn; a larger tensor repeats them. Prime, so that no two rows are alike.
_BLOCK = 65_521


def words(seed: int, start: int, count: int) -> Words:
    """(count,): 64 random bits per place, SplitMix64 (Steele, Lea, Flood 2014, OOPSLA)."""
    places = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        mixed = places * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed % 2**64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def uniform(seed: int, count: int) -> Numbers:
    """(count,): uniform in the open interval from 0 to 1."""
    return ((words(seed, 0, count) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normal(seed: int, count: int) -> Numbers:
    """(count,): of mean 0 and variance 1 (Box and Muller 1958)."""
    half = (count + 1) // 2
    first, second = np.split(uniform(seed, 2 * half), 2)
    radius, angle = np.sqrt(-2 * np.log(first)), 2 * np.pi * second
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]


class OwnDraws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, what is drawn on the CPU are numbers of ours."""

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seed = seed
        self._drawn: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call an operator; what it would have drawn are other numbers."""
        del types
        given = kwargs or {}
        name = func.overloadpacket.__name__
        kind = _KINDS.get(name)
        if kind is None:
            return func(*args, **given)
        names = [one.name for one in func._schema.arguments]  # noqa: SLF001 - its only description
        known = dict(zip(names, args, strict=False)) | given
        # What is only filled need not be drawn before; and a chance is not to be written over.
        fills = name in _FILLED and args[0].device.type == "cpu"
        result = args[0] if fills else func(*args, **given)
        if isinstance(result, Tensor) and result.device.type == "cpu" and result.numel():
            key = f"{name} {tuple(result.shape)}"
            self._drawn[key] += 1
            seed = zlib.crc32(f"{key} {self._drawn[key]}".encode()) + (self._seed << 32)
            with torch.no_grad():
                kind(seed, result, known)
        return result


def tiled(block: Tensor, like: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The numbers of a contiguous tensor in parts, and as much of a block beside each."""
    flat = like.view(-1)
    for start in range(0, len(flat), len(block)):
        part = flat[start : start + len(block)]
        yield part, block[: len(part)]


def _put(block: Numbers, into: Tensor) -> None:
    """Fill a tensor with a block again and again."""
    to = into if into.is_contiguous() else into.contiguous()
    for part, numbers in tiled(torch.from_numpy(block).to(into.dtype), to):
        part.copy_(numbers)
    if to is not into:
        into.copy_(to)


def _uniform(seed: int, into: Tensor) -> Numbers:
    return uniform(seed, min(into.numel(), _BLOCK))


def _normal(seed: int, into: Tensor, given: Known) -> None:
    numbers = normal(seed, min(into.numel(), _BLOCK))
    mean, std = given.get("mean", 0.0), given.get("std", 1.0)
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        _put(numbers, into)
        into.mul_(std).add_(mean)
    else:
        _put(numbers * std + mean, into)


def _between(seed: int, into: Tensor, given: Known) -> None:
    low, high = given.get("from", 0.0), given.get("to", 1.0)
    _put(low + (high - low) * _uniform(seed, into), into)


def _unit(seed: int, into: Tensor, _: Known) -> None:
    _put(_uniform(seed, into), into)


def _whole(seed: int, into: Tensor, given: Known) -> None:
    low = given.get("low", given.get("from")) or 0
    high = given.get("high", given.get("to"))
    _put(
        np.floor(low + (_USUAL_WHOLE if high is None else high - low) * _uniform(seed, into)), into
    )


def _coins(seed: int, into: Tensor, given: Known) -> None:
    chance = given.get("p", None if into is given["self"] else given["self"])
    if isinstance(chance, Tensor):
        numbers = torch.empty(into.shape, dtype=torch.float64)
        _put(_uniform(seed, into), numbers)
        into.copy_(numbers < chance)
    else:
        heads = _uniform(seed, into) < (0.5 if chance is None else chance)
        _put(heads.astype(np.float64), into)


def _order(seed: int, into: Tensor, _: Known) -> None:
    into.copy_(torch.from_numpy(np.argsort(uniform(seed, into.numel()), kind="stable")))


def _exponential(seed: int, into: Tensor, given: Known) -> None:
    _put(-np.log(_uniform(seed, into)) / given.get("lambd", 1.0), into)


# What torch draws below where no bound is given depends on the type; this is exact in any.
_USUAL_WHOLE = 256
_FILLED = frozenset({"normal_", "uniform_", "random_", "exponential_"})
# ATen's name of what draws -> how a tensor is filled instead.
_KINDS: dict[str, Callable[[int, Tensor, Known], None]] = {
    "normal_": _normal,
    "normal": _normal,
    "randn": _normal,
    "randn_like": _normal,
    "uniform_": _between,
    "rand": _unit,
    "rand_like": _unit,
    "randint": _whole,
    "randint_like": _whole,
    "random_": _whole,
    "bernoulli_": _coins,
    "bernoulli": _coins,
    "randperm": _order,
    "exponential_": _exponential,
}
