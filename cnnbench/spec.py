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

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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


DeviceKind = Literal["cpu", "cuda"]
DEVICE_KINDS: tuple[DeviceKind, ...] = ("cpu", "cuda")


@dataclass(frozen=True)
class Word:
    """One word of a mode.

    Attributes:
        text: how it is written; words join with ``+``.
        axis: the field of ``Mode`` that it sets.
        value: what it sets it to.
        kinds: device kinds on which it exists.
        meaning: one line for help texts.
    """

    text: str
    axis: str
    value: str
    kinds: tuple[str, ...]
    meaning: str


# The one table of mode words. The first word of an axis is its default and is left out of a mode's
# text. What a word does to a network stands in worker/modes.py under the same value.
WORDS = (
    Word("eager", "compiler", "eager", DEVICE_KINDS, "no compiler"),
    Word("compile", "compiler", "default", DEVICE_KINDS, "torch.compile"),
    Word("compile=reduce-overhead", "compiler", "reduce-overhead", DEVICE_KINDS, "CUDA graphs"),
    Word("compile=max-autotune", "compiler", "max-autotune", DEVICE_KINDS, "autotuned kernels"),
    Word("graph", "compiler", "graph", ("cuda",), "not compiled; one CUDA graph per call"),
    Word("contiguous", "memory_format", "contiguous", DEVICE_KINDS, "NCHW"),
    Word("channels_last", "memory_format", "channels_last", DEVICE_KINDS, "NHWC strides"),
    Word("fp32", "precision", "fp32", DEVICE_KINDS, "the network's own: float32, TF32 off"),
    Word("tf32", "precision", "tf32", ("cuda",), "float32 with TF32 matrix units"),
    Word("tf32=cudnn", "precision", "tf32=cudnn", ("cuda",), "torch's default: TF32 by cuDNN only"),
    Word("amp=bf16", "precision", "amp=bf16", DEVICE_KINDS, "autocast to bfloat16"),
    Word("amp=fp16", "precision", "amp=fp16", DEVICE_KINDS, "autocast to float16"),
    Word("bf16", "precision", "bf16", DEVICE_KINDS, "weights and input in bfloat16"),
    Word("fp16", "precision", "fp16", DEVICE_KINDS, "weights and input in float16"),
)

# Short forms: (text, device kind) -> word. On CUDA "amp" must say which precision it means.
_SHORT: dict[tuple[str, str], str] = {("compile=default", kind): "compile" for kind in DEVICE_KINDS}
_SHORT["amp", "cpu"] = "amp=bf16"

MODE_AXES = ("compiler", "memory_format", "precision")

# What ``--modes all`` stands for; max-autotune on CUDA, which takes minutes, must be asked for.
SENSIBLE_MODES: Mapping[str, tuple[str, ...]] = {
    "cpu": (
        "eager", "channels_last", "amp=bf16", "channels_last+amp=bf16",
        "compile", "compile+channels_last", "compile+channels_last+amp=bf16",
    ),
    "cuda": (
        "eager", "tf32=cudnn", "tf32", "channels_last", "amp=fp16", "amp=bf16", "compile",
        "channels_last+amp=fp16", "compile=reduce-overhead", "compile+channels_last+amp=fp16",
    ),
}  # fmt: skip


# A mode word that names an implementation of a convolution, on an axis of its own. For a whole
# network it says for which layers: ``impl=im2col@64x56x56-k64-3x3-p1;mec@…``.
_NAME = r"[a-z][a-z0-9_]*"
_AT_LAYER = rf"{_NAME}@[0-9][a-z0-9-]*"
_IMPLEMENTATION = re.compile(rf"impl=({_NAME}|{_AT_LAYER}(?:;{_AT_LAYER})*)")


@dataclass(frozen=True)
class Mode:
    """Compiler x memory format x precision, and for a convolution its implementation.

    Attributes:
        compiler, memory_format, precision: values of ``WORDS``.
        implementation: empty for the library's own choice; for a network a name per layer.
    """

    compiler: str = "eager"
    memory_format: str = "contiguous"
    precision: str = "fp32"
    implementation: str = ""

    @cached_property
    def text(self) -> str:
        """The mode's words in their fixed order; the default of every axis is left out."""
        chosen = [word.text for word in WORDS if getattr(self, word.axis) == word.value]
        spoken = [text for text in chosen if text not in _DEFAULTS]
        if self.implementation:
            spoken.insert(0, f"impl={self.implementation}")
        return "+".join(spoken) or "eager"

    @property
    def compiles(self) -> bool:
        """Whether it uses ``torch.compile``."""
        return self.compiler not in {"eager", "graph"}

    @property
    def replacements(self) -> dict[str, str]:
        """Layer of a network with its input -> the implementation that computes it."""
        if "@" not in self.implementation:
            return {}
        pairs = (part.partition("@") for part in self.implementation.split(";"))
        return {layer: name for name, _, layer in pairs}

    @classmethod
    def parse(cls, text: str, kind: str) -> Mode:
        """Read words joined by ``+`` for a device kind.

        Raises:
            UnknownName: a word that no table holds.
            UsageError: two words set one axis, or a word does not exist on the device.
        """
        chosen: dict[str, Word] = {}
        for token in text.strip().split("+"):
            word = _word(token.strip(), kind, text)
            before = chosen.setdefault(word.axis, word)
            if before != word:
                raise UsageError(
                    f"mode '{text}' contradicts itself: '{before.text}' and '{word.text}'"
                    f" both set the {word.axis.replace('_', ' ')}; keep one"
                )
        return cls(**{axis: word.value for axis, word in chosen.items()})


_DEFAULTS = frozenset(next(word.text for word in WORDS if word.axis == axis) for axis in MODE_AXES)


def _word(text: str, kind: str, mode: str) -> Word:
    if (match := _IMPLEMENTATION.fullmatch(text)) is not None:
        return Word(text, "implementation", match[1], DEVICE_KINDS, "")
    words = {word.text: word for word in WORDS}
    if text == "amp" and (text, kind) not in _SHORT:
        raise UsageError(f"mode '{mode}': on {kind}, amp needs a precision: amp=fp16 or amp=bf16")
    word = words.get(_SHORT.get((text, kind), text))
    if word is None:
        raise UnknownName("mode word", text, words, f"(in mode '{mode}')")
    if kind not in word.kinds:
        raise UsageError(f"mode '{mode}': '{text}' exists on {', '.join(word.kinds)} only")
    return word


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
