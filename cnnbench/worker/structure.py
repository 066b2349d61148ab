"""The structure of one step, counted and not timed: operators, kernels, layouts, graphs.

Every value comes from a separate call. If one is not available, the reason goes into ``missing``
and the others are unaffected. Judges nothing; two structures that differ do different work.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from cnnbench.facts import Structure
from cnnbench.worker import events, onednn

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping

    from cnnbench.spec import Mode
    from cnnbench.worker.build import Step
    from cnnbench.worker.devices import Kind

# torch's own convolutions, which it uses where oneDNN is expected to be slower: e.g. for 1x1 on one
# thread (ATen/native/Convolution.cpp).
_OWN_CONVOLUTION = re.compile(r"aten::_?(slow_conv|conv_depthwise)\w*")
# cuDNN's conversions of layout are kernels of these names.
_CONVERSION = re.compile("nchwToNhwc|nhwcToNchw", re.IGNORECASE)

_REPLAYED = "a graph is replayed without calling operators"
_ELSEWHERE = "a deployment runtime runs operators of its own"
_FUSED = "in compiled code only library calls are counted; fused loops have no name"


def take(step: Step, device: Kind, mode: Mode) -> Structure:
    """The structure of a step.

    Args:
        step: warm; it is called a few more times.
        device: where it runs.
        mode: of the step.
    """
    missing: dict[str, str] = {}
    found: dict[str, Any] = {}
    parts: tuple[tuple[str, Callable[[], Mapping[str, Any]]], ...] = (
        ("outputs", lambda: _outputs(step, device)),
        ("operators", lambda: _profiled(step, device)),
        ("kernels", lambda: _primitives(step, found) if device.kind == "cpu" else {}),
        ("graphs", lambda: compiler_counts(missing) if mode.compiles else {}),
    )
    if mode.runtime:  # neither torch's profiler nor its oneDNN sees what it does
        parts = parts[:1]
        missing = dict.fromkeys(("operators", "kernels", "reorders", "allocations"), _ELSEWHERE)
    for name, part in parts:
        try:
            found |= part()
        except Exception as error:  # noqa: BLE001 - a network may fail under a profiler in any way
            missing[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    if mode.compiler != "eager" and not mode.runtime:
        missing.setdefault("operators", _FUSED if mode.compiles else _REPLAYED)
    if device.kind == "cpu" and "reorders" not in found and not mode.runtime:
        missing.setdefault("reorders", missing.get("kernels", "oneDNN did not say"))
    return Structure(**found, missing=missing)


def _outputs(step: Step, device: Kind) -> dict[str, Any]:
    result = step.call()
    device.synchronize()
    leaves = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
    return {"outputs": tuple(map(described, leaves))}


def described(tensor: Tensor) -> str:
    """``float32[1,1000]``."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    return f"{dtype}[{','.join(map(str, tensor.shape))}]"


def _profiled(step: Step, device: Kind) -> dict[str, Any]:
    """Operators, allocations, and the kernels that the profiler sees."""
    seen = events.of_call(step.call, device)
    given = [change for _, change in events.memory_changes(seen, device.kind) if change > 0]
    facts: dict[str, Any] = {
        "operators": dict(events.operators(seen)),
        "allocations": len(given),
        "allocated_bytes": sum(given),
    }
    if device.kind == "cpu":
        return facts | {"kernels": _own_convolutions(seen)}
    kernels = events.device_kernels(seen)
    conversions = sum(n for name, n in kernels.items() if _CONVERSION.search(name))
    busy = events.busy_ns(seen) if kernels else None
    return facts | {"kernels": dict(kernels), "reorders": conversions, "device_ns": busy}


def _own_convolutions(seen: list[events.Event]) -> dict[str, int]:
    every: Counter[str] = events.every_operator(seen)
    return {name: n for name, n in every.items() if _OWN_CONVOLUTION.fullmatch(name)}


def _primitives(step: Step, found: Mapping[str, Any]) -> dict[str, Any]:
    """The primitives of oneDNN, added to the kernels that are known already."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        raise NotImplementedError("torch was built without oneDNN")
    counts, reorders = onednn.primitives(onednn.lines_of(step.call))
    return {"kernels": {**found.get("kernels", {}), **counts}, "reorders": reorders}


def compiler_counts(missing: dict[str, str]) -> dict[str, Any]:
    """The compiler's counters since the process began; in a worker, they belong to its one step."""
    from torch._dynamo import convert_frame
    from torch._dynamo.utils import counters

    per_frame = getattr(convert_frame, "FRAME_COMPILE_COUNTER", None)
    if per_frame is None:
        missing["recompiles"] = "this version of torch does not count compilations per frame"
    return {
        "graphs": counters["stats"]["unique_graphs"],
        "graph_breaks": {_reason(text): n for text, n in counters["graph_break"].items()},
        "recompiles": None if per_frame is None else sum(n - 1 for n in per_frame.values()),
    }


def _reason(text: str) -> str:
    """The first line with content; the following lines are advice and file positions."""
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in lines if line), "no reason given")
