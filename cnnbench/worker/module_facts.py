"""What every module of a step is and does, found without a clock: the reasons for a change of time.

Three passes in a process of its own, never timed: what modules return, which operators the profiler
sees in each, which primitives oneDNN runs in each. One that fails costs its own part only.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from cnnbench.clocked import ModuleFacts, StepFacts
from cnnbench.spec import Spec
from cnnbench.worker import events, modes, onednn
from cnnbench.worker.devices import open_device
from cnnbench.worker.layer_times import built
from cnnbench.worker.primitives import MARK, read_log
from cnnbench.worker.profile import RANGE, layer_of, ranges
from cnnbench.worker.scopes import Scopes, Swap, Teller
from cnnbench.worker.structure import described

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cnnbench.requests import DescribeModules
    from cnnbench.worker.build import Step
    from cnnbench.worker.devices import Kind
    from cnnbench.worker.scopes import Forward
    from cnnbench.worker.talk import Talk

_WARM_CALLS = 2


def module_facts(request: DescribeModules, talk: Talk) -> None:
    """The task: facts of a spec's modules.

    Raises:
        Unsupported: the mode leaves no modules.
    """
    spec = Spec.parse(request.spec)
    modes.set_flags(spec.mode, spec.threads, cudnn_benchmark=request.cudnn_benchmark)
    device = open_device(spec.device)
    talk.enter("build")
    step = built(spec, request.seed)
    for _ in range(_WARM_CALLS):
        step.call()
    talk.enter("modules")
    talk.answer(facts(step, device))


def facts(step: Step, device: Kind) -> StepFacts:
    """Facts of every module that runs, in order of registration."""
    scopes = Scopes(step.module)
    missing: dict[str, str] = {}

    def tried(name: str, part: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return part()
        except Exception as error:  # noqa: BLE001 - a network may fail under a profiler in any way
            missing[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            return otherwise

    outputs, calls = tried("outputs", lambda: _returned(step, scopes), ({}, {}))
    operators = tried("operators", lambda: _operators(step, device), {})
    kernels: Mapping[str, Counter[str]] = {}
    if device.kind == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        kernels = tried("kernels", lambda: _primitives(step, scopes), {})
    found = []
    for name, module in zip(scopes.names, scopes.modules, strict=True):
        own = operators.get(name, Counter()), kernels.get(name, Counter())
        if not calls or name in calls:
            found.append(_facts(name, module, calls.get(name, 1), outputs.get(name, ""), *own))
    return StepFacts(tuple(found), missing)


def _facts(
    name: str,
    module: nn.Module,
    calls: int,
    output: str,
    operators: Mapping[str, tuple[int, float]],
    kernels: Mapping[str, int],
) -> ModuleFacts:
    own = list(module.parameters(recurse=False))
    try:
        geometry = module.extra_repr()
    except Exception:  # noqa: BLE001 - the user's code
        geometry = ""
    return ModuleFacts(
        name=name,
        type=type(module).__name__,
        calls=calls,
        geometry=geometry,
        params=sum(one.numel() for one in own),
        dtype=str(own[0].dtype).removeprefix("torch.") if own else "",
        output=output,
        operators={name: count for name, (count, _) in operators.items()},
        heaviest=tuple(sorted(operators, key=lambda one: -operators[one][1])),
        kernels=dict(kernels),
    )


def _returned(step: Step, scopes: Scopes) -> tuple[dict[str, str], dict[str, int]]:
    """What modules returned last, by path, and how often each was called."""
    outputs: dict[str, str] = {}
    calls: Counter[str] = Counter()

    def make(index: int, original: Forward) -> Forward:
        name = scopes.names[index]

        def forward(*args: Any, **keywords: Any) -> Any:
            result = original(*args, **keywords)
            calls[name] += 1
            leaves = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
            outputs[name] = _with_format(leaves[0]) if leaves else ""
            return result

        return forward

    with Swap(scopes.modules, make):
        step.call()
    return outputs, dict(calls)


def _with_format(tensor: Tensor) -> str:
    """``float32[1,64,56,56]``, and its memory format where that is not the usual one."""
    text = described(tensor)
    if tensor.layout is not torch.strided or tensor.is_contiguous():
        return text
    last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return f"{text} {'channels_last' if last else 'strided'}"


def _operators(step: Step, device: Kind) -> dict[str, dict[str, tuple[int, float]]]:
    """Path -> operator -> calls and microseconds by itself, nested ones too, forward pass only."""
    with ranges(step.module), events.profiler(device) as profile:
        step.call()
        device.synchronize()
    found: dict[str, dict[str, tuple[int, float]]] = {}
    for event in profile.function_events or ():
        layer = layer_of(event)
        if layer is None or event.name.startswith((RANGE, "[memory]", "ProfilerStep")):
            continue
        table = found.setdefault(layer, {})
        count, spent = table.get(event.name, (0, 0.0))
        kernels = sum(kernel.duration for kernel in event.kernels)
        table[event.name] = count + 1, spent + event.self_cpu_time_total + kernels
    return found


def _primitives(step: Step, scopes: Scopes) -> dict[str, Counter[str]]:
    """Path -> primitive of oneDNN, as its log names it -> calls, both passes."""
    libc = ctypes.CDLL(None)
    teller = Teller(scopes, lambda place: libc.puts(f"{MARK}{place}".encode()), step.optimizer)

    def call() -> None:
        with teller:
            teller.begin()
            step.call()

    found: dict[str, Counter[str]] = {}
    for place, one in read_log(onednn.lines_of(call)):
        index, _ = (None, "") if place is None else scopes.place(place)
        if index is not None:
            found.setdefault(scopes.names[index], Counter())[one.name] += 1
    return found
