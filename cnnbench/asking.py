"""How values of an axis are asked for, and how each kind of value is read from a text.

What a user types and what ``cnnbench.run`` is given end here as the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnbench import units
from cnnbench.errors import UsageError
from cnnbench.inputs import TypedInput
from cnnbench.spec import Device


@dataclass(frozen=True)
class Asking:
    """How values of an axis are asked for, on the command line and in ``cnnbench.run``.

    Attributes:
        option: on the command line.
        field: of ``suite.Grid`` that holds them; empty for an axis that is a setting.
        read: a value from its text; raises ``UsageError``. For a setting, ``str`` of it is a text.
        metavar: one value in help texts.
        help: one line.
        usual: what holds if nothing is asked for, as text; ``None`` if that depends.
        several: whether a list makes as many specs; if not, a comma is part of the value, as in the
            path of a file.
        shaped: a value is numbers joined by x, and in Python a tuple of them.
        repeated: the option may be given again; everything together is one value of the axis.
        commas: a comma is part of a value; several are asked for by giving the option again.
    """

    option: str
    field: str
    read: Callable[[str], Any]
    metavar: str
    help: str
    usual: str | None = None
    several: bool = True
    shaped: bool = False
    repeated: bool = False
    commas: bool = False

    @property
    def argument(self) -> str:
        """The name of the argument of ``cnnbench.run``."""
        return self.option.removeprefix("--").replace("-", "_")

    def values(self, given: Any) -> tuple[Any, ...]:
        """Read every value once, from a comma-separated text, one value, or several values.

        Raises:
            UsageError: no value, an invalid one, or several where one is allowed.
        """
        parts = [text.strip() for text in self._texts(given)]
        if not parts or not all(parts):
            raise UsageError(f"a value is missing in '{','.join(parts)}'")
        if self.repeated:
            return tuple(map(self.read, parts))
        found = tuple(dict.fromkeys(map(self.read, parts)))
        if len(found) > 1 and not self.several:
            raise UsageError(f"takes one value, not {len(found)}")
        return found

    def held(self, given: Any) -> Any:
        """What a grid holds: every value, or the only one of a field that takes one.

        Raises:
            UsageError: as ``values``.
        """
        found = self.values(given)
        return found if self.several or self.repeated or not self.field else found[0]

    def _texts(self, given: Any) -> list[str]:
        if isinstance(given, str):
            listed = self.repeated or (self.several and not self.commas)
            return given.split(",") if listed else [given]
        ones = [*given] if isinstance(given, Iterable) else [given]
        if self.shaped and isinstance(given, Iterable) and all(isinstance(n, int) for n in ones):
            ones = [tuple(ones)]
        return [_text(one) for one in ones]


def _text(value: Any) -> str:
    if isinstance(value, TypedInput):
        return value.text
    return units.shape(value) if isinstance(value, tuple) else str(value)


def positive(text: str) -> int:
    """Read a positive whole number.

    Raises:
        UsageError: it is not one.
    """
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"'{text}' is not a positive whole number")
    return int(text)


def shape(text: str, example: str, lengths: Iterable[int]) -> tuple[int, ...]:
    """Read whole numbers joined by x.

    Raises:
        UsageError: the text has another form, or another number of them.
    """
    parts = text.split("x")
    good = all(part.isdecimal() and int(part) > 0 for part in parts)
    if not good or len(parts) not in tuple(lengths):
        raise UsageError(f"'{text}' is not of the form {example}")
    return tuple(map(int, parts))


def size(text: str) -> tuple[int, int]:
    """Read a height and width, or one number for both."""
    found = shape(text, "224 or 224x192", (1, 2))
    return found[0], found[-1]


@dataclass(frozen=True)
class AllGpus(Device):
    """As it is asked for, never of a spec: every GPU of the host, all of them alike.

    They share the work, and each of its workers sees one of them only, as ``cuda:0``. That is the
    device of the specs, whichever GPU measures one: alike GPUs answer the same question, so how
    many there are makes no spec another. A record says which of them it was.
    """

    kind: str = "cuda"

    @property
    def text(self) -> str:
        """``cuda:all``."""
        return ALL_GPUS


ALL_GPUS = "cuda:all"
# Why a list of devices is no axis like the others: on each of them something else is usual.
ONE_DEVICE = (
    f"it takes one device; {ALL_GPUS} shares the work among all GPUs, and to measure everything on"
    " one device after the other takes a run for each, such as --device {}"
)


def device(text: str) -> Device:
    """Read ``cpu``, ``cuda``, ``cuda:1`` or ``cuda:all``.

    Raises:
        UsageError: anything else, also several.
    """
    if text.strip() == ALL_GPUS:
        return AllGpus()
    if "," in text:
        raise UsageError(ONE_DEVICE.format(text.partition(",")[0].strip()))
    return Device.parse(text)


# Weights of a network that are no file; see worker/weights.py.
CALIBRATED, RANDOM, PRETRAINED = "calibrated", "random", "pretrained"


def weights(text: str) -> str:
    """One of the kinds, or a path, which is kept whole: workers may run elsewhere."""
    if text in {CALIBRATED, RANDOM, PRETRAINED}:
        return text
    path = Path(text).expanduser()
    if not path.is_file():
        raise UsageError(
            f"--weights '{text}' is neither {CALIBRATED}, {RANDOM}, {PRETRAINED} nor a file"
        )
    return str(path.resolve())


# Settings that say what a network is called with; see worker/inputs.py.
INPUTS, INPUT_FACTORY = "inputs", "input_factory"

# The setting that says how many regions of an image go into a network that takes regions, and the
# usual number; see architectures/tasks.py.
REGIONS, USUAL_REGIONS = "regions", 16

# No pictures of the user's, at most how many of them are used, and how long a mode looks at them.
NO_IMAGES = "none"
MOST_IMAGES = 1000
IMAGES_SECONDS = 120


def images(text: str) -> str:
    """The folder's path, which is kept whole: workers may run elsewhere."""
    if text == NO_IMAGES:
        return text
    path = Path(text).expanduser()
    if not path.is_dir():
        raise UsageError(f"'{text}' is not a directory; give one that holds pictures")
    return str(path.resolve())
