"""A mode: how a step is run. Compiler or runtime x memory format x precision, in words.

Values only: knows nothing of torch, nor of what a word does (``worker/modes.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from cnnbench.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    Word("aoti", "compiler", "aoti", ("cpu",), "a package of AOTInductor, compiled beforehand"),
    Word("onnxruntime", "compiler", "onnxruntime", ("cpu",), "exported to ONNX Runtime"),
    Word("openvino", "compiler", "openvino", ("cpu",), "converted to OpenVINO"),
    Word("freezing=off", "freezing", "off", DEVICE_KINDS, "weights may change after compiling"),
    Word("freezing", "freezing", "on", ("cpu",), "compiled code holds the weights as constants"),
    Word("contiguous", "memory_format", "contiguous", DEVICE_KINDS, "NCHW"),
    Word("channels_last", "memory_format", "channels_last", DEVICE_KINDS, "NHWC strides"),
    Word("fp32", "precision", "fp32", DEVICE_KINDS, "the network's own: float32, TF32 off"),
    Word("tf32", "precision", "tf32", ("cuda",), "float32 with TF32 matrix units"),
    Word("tf32=cudnn", "precision", "tf32=cudnn", ("cuda",), "torch's default: TF32 by cuDNN only"),
    Word("amp=bf16", "precision", "amp=bf16", DEVICE_KINDS, "autocast to bfloat16"),
    Word("amp=fp16", "precision", "amp=fp16", DEVICE_KINDS, "autocast to float16"),
    Word("bf16", "precision", "bf16", DEVICE_KINDS, "weights and input in bfloat16"),
    Word("fp16", "precision", "fp16", DEVICE_KINDS, "weights and input in float16"),
    Word("int8", "precision", "int8", ("cpu",), "quantised after training, in a runtime"),
)

# Short forms: (text, device kind) -> word. On CUDA "amp" must say which precision it means.
_SHORT: dict[tuple[str, str], str] = {("compile=default", kind): "compile" for kind in DEVICE_KINDS}
_SHORT["amp", "cpu"] = "amp=bf16"

# What others call these words -> the word; offered where it is asked for, never taken silently.
_ELSEWHERE = {
    "ort": "onnxruntime", "onnx": "onnxruntime", "ov": "openvino", "inductor": "compile",
    "torch.compile": "compile", "compiled": "compile", "aot": "aoti", "aotinductor": "aoti",
    "aot_inductor": "aoti", "freeze": "freezing", "frozen": "freezing", "nhwc": "channels_last",
    "nchw": "contiguous", "quantize": "int8", "quantized": "int8", "quantised": "int8",
    "quant": "int8", "ptq": "int8", "pt2e": "int8", "nncf": "openvino+int8", "half": "fp16",
    "float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float": "fp32", "autocast": "amp",
    "cudagraph": "graph", "cudagraphs": "graph", "cuda-graphs": "graph",
}  # fmt: skip

MODE_AXES = ("compiler", "memory_format", "precision", "freezing")

# Compilers that leave an artefact, which something else than the module in Python runs.
RUNTIMES = ("aoti", "onnxruntime", "openvino")

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

# What ``--modes deploy`` stands for, less what is not installed: networks as they are deployed.
DEPLOY_MODES = (
    "eager", "compile+freezing+channels_last", "aoti+freezing", "onnxruntime", "openvino",
    "openvino+amp=bf16", "onnxruntime+int8", "openvino+int8", "aoti+freezing+int8",
)  # fmt: skip


# A mode word that names an implementation of a convolution, on an axis of its own. For a whole
# network it says for which layers: ``impl=im2col@64x56x56-k64-3x3-p1;mec@…``.
_NAME = r"[a-z][a-z0-9_]*"
_AT_LAYER = rf"{_NAME}@[0-9][a-z0-9-]*"
_IMPLEMENTATION = re.compile(rf"impl=({_NAME}|{_AT_LAYER}(?:;{_AT_LAYER})*)")


@dataclass(frozen=True)
class Mode:
    """Compiler x memory format x precision, and for a convolution its implementation.

    Attributes:
        compiler, memory_format, precision, freezing: values of ``WORDS``.
        implementation: empty for the library's own choice; for a network a name per layer.
    """

    compiler: str = "eager"
    memory_format: str = "contiguous"
    precision: str = "fp32"
    freezing: str = "off"
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
        return self.compiler not in {"eager", "graph", *RUNTIMES}

    @property
    def needs_compiler(self) -> bool:
        """Whether torch's compiler works for it, for this process or for an export."""
        return self.compiles or self.compiler == "aoti"

    @property
    def runtime(self) -> str:
        """The deployment runtime that runs an export of the network; empty for torch itself."""
        return self.compiler if self.compiler in RUNTIMES else ""

    @property
    def kept(self) -> bool:
        """Whether what its first call makes is kept for the processes of later rounds."""
        return self.compiles or bool(self.runtime)

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
        meant = _ELSEWHERE.get(text.lower(), "")
        raise UnknownName("mode word", text, words, f"(in mode '{mode}')", meant)
    if kind not in word.kinds:
        raise UsageError(f"mode '{mode}': '{text}' exists on {', '.join(word.kinds)} only")
    return word
