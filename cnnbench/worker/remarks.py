"""What a mode did not do: a compiler that compiled nothing, a format or precision without effect.

And what a network made necessary beside it.

Asked after the slices, in the process that was sampled. A mode that did what its words say gets no
remark.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from cnnbench.asking import INPUT_FACTORY
from cnnbench.worker import modes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cnnbench.spec import Mode, Spec
    from cnnbench.worker.build import Step


# What disables the compiler in the environment.
_SWITCHES = ("TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE")


# Counters of ``torch._dynamo.utils``: what they are about -> name -> how often.
Counters = dict[str, dict[str, int]]


def remarks(spec: Spec, step: Step, before: Counters | None = None) -> list[str]:
    """A line for every word of the mode that changed nothing, or less than it says.

    ``before`` is what the compiler had counted when the step was built (``compiled_so_far``).
    """
    parts: tuple[Callable[[], list[str]], ...] = (
        lambda: compiler(spec.mode, before or {}),
        lambda: memory_format(spec.mode, step),
        lambda: precision(spec, step),
        lambda: device(spec),
        step.unusual,
        lambda: global_flags(step),
        lambda: batch(spec, step),
    )
    found: list[str] = []
    for part in parts:
        try:
            found += part()
        except Exception:  # noqa: BLE001, S112 - a network may fail when it is looked at; no remark
            continue
    return found


def global_flags(step: Step) -> list[str]:
    """What code of the network has changed of the flags that the row promises."""
    built, called = step.changed, modes.put_back()
    found = [f"the network's code set {', '.join(built)}, which was set back"] if built else []
    if called:
        found.append(
            f"the network sets {', '.join(called)} whenever it is called, so its times are not"
            " those of what the row says"
        )
    return found


def batch(spec: Spec, step: Step) -> list[str]:
    """Whether any input has a row per sample, where a function of the user's made them."""
    count = spec.workload.batch
    if not spec.workload.setting(INPUT_FACTORY, ""):
        return []
    if any(count in tensor.shape[:2] for tensor in step.given.tensors):
        return []
    return [f"no input has {count} rows: samples/s still count {count} per call"]


def compiled_so_far() -> Counters:
    """What the compiler has counted in this process; nothing if it was not imported."""
    utils = sys.modules.get("torch._dynamo.utils")
    return {} if utils is None else {name: dict(one) for name, one in utils.counters.items()}


def _since(before: Counters) -> Counters:
    now = compiled_so_far()
    return {
        name: {
            key: count - before.get(name, {}).get(key, 0)
            for key, count in one.items()
            if count > before.get(name, {}).get(key, 0)
        }
        for name, one in now.items()
    }


def compiler(mode: Mode, before: Counters) -> list[str]:
    """What the compiler left out, by what its counters say since ``before``."""
    if modes.COMPILERS[mode.compiler] is None:
        return []
    from torch._dynamo import config

    # torch reads the second where it compiles, and the first as its own setting.
    off = [name for name in _SWITCHES if os.environ.get(name) == "1"]
    if config.disable and not off:
        off = ["torch._dynamo.config.disable"]
    return compiler_words(mode.compiler, _since(before), disabled=", ".join(off))


def compiler_words(
    name: str, counters: Mapping[str, Mapping[str, int]], *, disabled: str = ""
) -> list[str]:
    """The same from given counters of ``torch._dynamo.utils``, and by what it is disabled."""
    word = "compile" if name == "default" else f"compile={name}"
    graphs = counters.get("stats", {}).get("unique_graphs", 0)
    breaks, refused = counters.get("graph_break", {}), counters.get("unimplemented", {})
    frames = counters.get("frames", {})
    left = frames.get("total", 0) - frames.get("ok", 0)
    found = []
    if disabled:
        found.append(f"{word} compiled nothing: the compiler is disabled by {disabled}")
    elif not graphs:
        found.append(f"{word} compiled nothing: 0 graphs")
    count = sum(breaks.values())
    if count:
        reasons = "; ".join(_first_line(text) for text in breaks)
        found.append(f"{word} is interrupted by {_number(count, 'graph break')}: {reasons}")
    if skips := counters.get("inductor", {}).get("cudagraph_skips", 0):
        found.append(
            f"{word} means CUDA graphs, but the compiler made none for {_number(skips, 'graph')}"
        )
    if any("recompile limit" in text for text in (*breaks, *refused)):
        found.append(f"{word} reached torch's limit of recompilations; later calls run without it")
    elif left > 0:
        # Errors are suppressed, or there would be no call to look at.
        found.append(f"{word} failed on {_number(left, 'frame')}, which run without it")
    return found


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in lines if line), "no reason given")


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def memory_format(mode: Mode, step: Step) -> list[str]:
    """Whether any weight has as many axes as the format is for."""
    formats = modes.MEMORY_FORMATS[mode.memory_format]
    # An implementation of a layer keeps its weights as it needs them; the format is its input's.
    if (
        not formats
        or mode.implementation
        or any(tensor.dim() in formats for tensor in step.module.parameters())
    ):
        return []
    return [f"{mode.memory_format} changed no weight: the network has no 2-d or 3-d convolution"]


# From this generation of GPUs on there are units for TF32 and bfloat16 (Ampere).
_AMPERE = (8, 0)


def device(spec: Spec) -> list[str]:
    """What the GPU or the environment of its libraries keeps from being what the mode says."""
    if spec.device.kind != "cuda":
        return []
    name, found = spec.mode.precision, []
    chosen, now = modes.PRECISIONS[name], torch.cuda.get_device_capability(spec.device.index)
    gpu = f"the GPU is of compute capability {now[0]}.{now[1]}"
    if chosen.tf32 and now < _AMPERE:
        found.append(f"{name} changed nothing: {gpu}, and TF32 begins with 8.0")
    elif chosen.tf32 and os.environ.get(_NO_TF32) == "0":
        found.append(f"{name} changed nothing: {_NO_TF32}=0 forbids TF32 to NVIDIA's libraries")
    if torch.bfloat16 in (chosen.dtype, chosen.autocast) and now < _AMPERE:
        found.append(f"{name} is emulated: {gpu}, and units for bfloat16 begin with 8.0")
    return found + [f"{switch}: {what}" for switch, what in _SLOWING.items() if _is_on(switch)]


_NO_TF32 = "NVIDIA_TF32_OVERRIDE"
# Variables for debugging, forgotten in many a shell, and what they do to times.
_SLOWING = {
    "CUDA_LAUNCH_BLOCKING": "the host waited for every kernel before it launched the next",
    "PYTORCH_NO_CUDA_MEMORY_CACHING": "every tensor was allocated by the driver, which is slow",
}


def _is_on(switch: str) -> bool:
    return os.environ.get(switch, "0") not in ("", "0")


def precision(spec: Spec, step: Step) -> list[str]:
    """Whether any weight, or under autocast any operator, has the type of the mode."""
    name = spec.mode.precision
    chosen = modes.PRECISIONS[name]
    if chosen.autocast is not None:
        return [] if _computes_in(chosen.autocast, spec, step) else [
            f"{name} changed nothing: no operator of the network runs in"
            f" {_dtype(chosen.autocast)} under autocast"
        ]  # fmt: skip
    if chosen.dtype is None:
        return []
    own = step.types["own_dtype"]
    if own == _dtype(chosen.dtype):
        return [f"{name} changed nothing: the network's own weights are {own}"]
    if not own:
        return [f"{name} changed no weight: the network has none in floating point"]
    return []


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _computes_in(dtype: torch.dtype, spec: Spec, step: Step) -> bool:
    """Whether one pass of the module that is not compiled yields any tensor of a type."""
    seen = _Types()
    with torch.no_grad(), modes.autocast(spec.mode, spec.device), seen:
        step.given.to(step.module)
    return dtype in seen.types


class _Types(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the types of what operators yield."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.types: set[torch.dtype] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        self.types |= {leaf.dtype for leaf in pytree.tree_leaves(found) if isinstance(leaf, Tensor)}
        return found
