"""A spec: workload x mode x device, one cell of the grid.

``Spec.id`` is its text and its only key::

    resnet50/inference-b8-3x224x224/compile+channels_last/cpu-t2
    └ architecture ┘└ phase, batch, sample shape ┘└ mode ┘└ device, threads ┘

A training phase may name another optimizer than the usual one: ``training-adamw-b8-3x224x224``.
Settings that are not the usual ones follow the shape: ``inference-b8-3x9x9-weights=pretrained``;
which settings there are is the business of ``axes``.

Values only: knows nothing of catalogues, files or torch.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args
from urllib.parse import quote, unquote

from cnnbench.errors import UnknownName, UsageError
from cnnbench.mode import DEVICE_KINDS, MODE_AXES, SENSIBLE_MODES, WORDS, DeviceKind, Mode

if TYPE_CHECKING:
    from collections.abc import Iterable

# A mode is part of a spec, so whoever asks for specs finds its names here.
__all__ = [
    "DEVICE_KINDS", "LAYER_PREFIX", "MODE_AXES", "OPTIMIZERS", "PHASES", "SENSIBLE_MODES", "WORDS",
    "Device", "DeviceKind", "Mode", "Optimizer", "Phase", "Spec", "Workload", "arguments_of",
    "is_layer", "one_of",
]  # fmt: skip

Phase = Literal["inference", "training", "finetune"]
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)

# What updates the weights in a training step. The first is the default and is left out of ids; what
# each of them is stands in worker/optimizers.py under the same name.
Optimizer = Literal["momentum", "sgd", "adam", "adamw", "rmsprop"]
OPTIMIZERS: Final[tuple[Optimizer, ...]] = get_args(Optimizer)

Name = TypeVar("Name", bound=str)


def one_of(kind: str, text: str, names: tuple[Name, ...]) -> Name:
    """The name that a text is.

    Raises:
        UnknownName: it is none of them.
    """
    found = next((name for name in names if name == text), None)
    if found is None:
        raise UnknownName(kind, text if isinstance(text, str) else type(text).__name__, names)
    return found


@dataclass(frozen=True)
class Device:
    """A device kind with an index: ``cpu``, ``cuda:0``."""

    kind: str = "cpu"
    index: int = 0

    @property
    def text(self) -> str:
        """The text as torch writes it."""
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"

    @classmethod
    def parse(cls, text: str) -> Device:
        """Read ``cpu``, ``cuda`` or ``cuda:1``.

        Raises:
            UsageError: anything else.
        """
        match = re.fullmatch(r"([a-z]+)(?::(\d+))?", text.strip())
        if match is None or match[1] not in DEVICE_KINDS or (match[1] == "cpu" and match[2]):
            raise UsageError(f"unknown device '{text}'; use cpu, cuda or cuda:INDEX")
        return cls(match[1], int(match[2] or 0))


# The architecture of a single convolution begins with this; the layer follows.
LAYER_PREFIX = "conv:"


def is_layer(architecture: str) -> bool:
    """Whether an architecture is a single convolution, or a substitute for one."""
    return architecture.startswith(LAYER_PREFIX)


@dataclass(frozen=True)
class Workload:
    """An architecture and what it has to do.

    Attributes:
        architecture: a catalogue name, ``timm:NAME`` or ``package.module:factory``.
        batch: samples per call.
        input: shape of one sample, e.g. ``(3, 224, 224)``.
        phase: one of ``PHASES``.
        arguments: keyword arguments of the builder, each value as canonical JSON text.
        optimizer: one of ``OPTIMIZERS``; only a training phase has a choice.
        settings: further axes by name, each with its value as text; only what is not the usual.
    """

    architecture: str
    batch: int
    input: tuple[int, ...]
    phase: Phase = "inference"
    arguments: tuple[tuple[str, str], ...] = ()
    optimizer: Optimizer = OPTIMIZERS[0]
    settings: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        one_of("phase", self.phase, PHASES)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        if self.phase == "inference" and self.optimizer != OPTIMIZERS[0]:
            raise UsageError(
                f"inference has no optimizer; leave '{self.optimizer}' out or choose"
                " phase training or finetune"
            )
        if self.batch < 1 or not self.input or min(self.input) < 1:
            raise UsageError(
                f"batch {self.batch} and input {self.shape_text} must be positive numbers"
            )
        names = [name for name, _ in self.settings]
        if sorted(set(names)) != names or not all(value for _, value in self.settings):
            raise UsageError(f"settings {self.settings} must be sorted, each once and with a value")

    @cached_property
    def shape_text(self) -> str:
        """``3x224x224``."""
        return "x".join(map(str, self.input))

    @property
    def is_layer(self) -> bool:
        """Whether it is a single convolution, or a substitute for one, and not a network."""
        return is_layer(self.architecture)

    @property
    def group(self) -> Workload:
        """The workload that this one is compared with: itself, or the layer that it replaces.

        A name may say after a tilde what stands in for the layer before it:
        ``conv:k64-3x3-p1~ghost``. Workloads of one group are measured side by side.
        """
        name, tilde, _ = self.architecture.partition("~")
        return replace(self, architecture=name) if tilde else self

    @cached_property
    def model(self) -> str:
        """Architecture and its arguments as one name, safe between slashes."""
        name = quote(self.architecture, safe=":.-_~@,")
        pairs = [f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in self.arguments]
        return name + ("?" + "&".join(pairs) if pairs else "")

    @cached_property
    def id(self) -> str:
        """The workload's part of a spec id."""
        optimizer = "" if self.optimizer == OPTIMIZERS[0] else f"-{self.optimizer}"
        settings = "".join(f"-{name}={quote(value, safe='')}" for name, value in self.settings)
        return f"{self.model}/{self.phase}{optimizer}-b{self.batch}-{self.shape_text}{settings}"

    def setting(self, name: str, default: str) -> str:
        """The value of a further axis."""
        return dict(self.settings).get(name, default)

    @property
    def keywords(self) -> dict[str, Any]:
        """The builder's keyword arguments as values."""
        return {key: json.loads(value) for key, value in self.arguments}


def arguments_of(pairs: Iterable[tuple[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Keyword arguments in the form that ``Workload`` keeps: sorted, canonical JSON."""
    return tuple(
        sorted(
            (key, json.dumps(value, sort_keys=True, separators=(",", ":"))) for key, value in pairs
        )
    )


# A value holds neither "=" nor "/", which are quoted, so the next name ends it.
_SETTING = re.compile(r"-([a-z][a-z0-9_]*)=([^/=]+?)(?=-[a-z][a-z0-9_]*=|\Z)")
_ID = re.compile(
    r"(?P<name>[^/?]+)(?:\?(?P<arguments>[^/]*))?"
    r"/(?P<phase>[a-z]+)(?:-(?P<optimizer>[a-z]+))?-b(?P<batch>\d+)-(?P<input>\d+(?:x\d+)*)"
    r"(?P<settings>(?:-[a-z][a-z0-9_]*=[^/=]+)*)/(?P<mode>[^/]+)/(?P<device>[a-z]+(?::\d+)?)-t(?P<threads>\d+)"
)


@dataclass(frozen=True)
class Spec:
    """One cell of the grid."""

    workload: Workload
    mode: Mode
    device: Device
    threads: int

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise UsageError(f"threads {self.threads} must be at least 1")

    @cached_property
    def id(self) -> str:
        """The spec's text and only key; ``Spec.parse`` reads it back."""
        return f"{self.workload.id}/{self.mode.text}/{self.device.text}-t{self.threads}"

    @property
    def baseline(self) -> Spec:
        """Its group's workload on the same device in plain eager mode: what speed-ups refer to."""
        group = self.workload.group
        return self.plain if group is self.workload else replace(self.plain, workload=group)

    @cached_property
    def plain(self) -> Spec:
        """The same workload in plain eager mode: what outputs are compared with."""
        return replace(self, mode=Mode())

    @property
    def imports_compiler(self) -> bool:
        """Whether its worker imports torch's compiler."""
        return imports_compiler(self.mode, self.workload.phase)

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read an id.

        Raises:
            UsageError: not an id of this form.
        """
        # What is not printable is quoted in an id; a file's may hold commands to a terminal.
        match = _ID.fullmatch(text) if text.isprintable() else None
        if match is None:
            raise UsageError(
                f"'{text}' is not a spec id; one looks like"
                " resnet18/inference-b1-3x224x224/channels_last/cpu-t2"
            )
        device, workload = _device(match["device"]), _workload(*match.group(*_WORKLOAD))
        return cls(workload, _mode(match["mode"], device.kind), device, int(match["threads"]))


# The specs of a grid are combinations of few parts; each is read once and shared.
_device = lru_cache(maxsize=256)(Device.parse)
_mode = lru_cache(maxsize=1024)(Mode.parse)

_WORKLOAD = ("name", "arguments", "phase", "optimizer", "batch", "input", "settings")


@lru_cache(maxsize=4096)
def _workload(
    name: str,
    arguments: str | None,
    phase: str,
    optimizer: str | None,
    batch: str,
    shape: str,
    settings: str,
) -> Workload:
    pairs = [pair.partition("=") for pair in (arguments or "").split("&") if pair]
    return Workload(
        architecture=unquote(name),
        batch=int(batch),
        input=tuple(map(int, shape.split("x"))),
        phase=one_of("phase", phase, PHASES),
        optimizer=one_of("optimizer", optimizer or OPTIMIZERS[0], OPTIMIZERS),
        arguments=tuple((unquote(key), unquote(value)) for key, _, value in pairs),
        settings=tuple(sorted((key, unquote(value)) for key, value in _SETTING.findall(settings))),
    )


def imports_compiler(mode: Mode, phase: str) -> bool:
    """Whether workers in a mode and phase import torch's compiler, as torch's optimizers do too."""
    return mode.needs_compiler or phase != "inference"
