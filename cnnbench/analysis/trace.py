"""The one dispatch pass: every operator is answered on meta, counted, and assigned to its module.

It sees what autograd sends to the device, forward and backward alike. It does not interpret: rows
are raw facts, which ``result`` turns into tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from cnnbench.analysis import operators, rules, shapes
from cnnbench.analysis.blocked import named
from cnnbench.analysis.dynamic import assumed
from cnnbench.analysis.field_table import field_rule
from cnnbench.analysis.liveness import Liveness
from cnnbench.analysis.meta import META
from cnnbench.analysis.scratch import SCRATCH
from cnnbench.analysis.storages import Seen, TakenTensors, seen
from cnnbench.analysis.traffic import TRAFFIC

if TYPE_CHECKING:
    from torch._ops import OpOverload

    from cnnbench.analysis.modules import ModuleStack


@dataclass(frozen=True, slots=True)
class TracePlan:
    """Facts of an operator that are known before a call; created once per process and overload."""

    operator: str
    name: str
    rule: rules.Rule
    shape: Callable[..., Any] | None
    field: Callable[..., Any] | None
    scratch: Callable[..., int | None] | None
    traffic: Callable[[Any, Sequence[Any]], tuple[int, int]] | None
    outs: tuple[str, ...]
    composite: bool


class Raw(NamedTuple):
    """One executed operator; ``reads`` and ``writes`` are storage keys, valid only in order.

    ``unseen`` are those read of storages that were neither declared beforehand nor a result so far:
    constants, which may have been given the key of a storage that is gone.
    ``arguments``, tensors among ``keywords``, and ``results`` are of forward operators only.
    """

    plan: TracePlan
    layer: int
    backward: bool
    macs: int
    bias: int
    flops: int
    read_bytes: int
    written_bytes: int
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    unseen: Sequence[int]
    output: tuple[int, ...] | torch.Size
    arguments: list[Any]
    keywords: list[Seen]
    results: list[Seen]


class OperatorFailed(Exception):
    """An operator could not run; carries its name and the original error."""

    def __init__(self, operator: str, shapes_seen: list[tuple[int, ...]], error: Exception) -> None:
        super().__init__(str(error))
        self.operator = operator
        self.shapes = shapes_seen
        self.error = error


_row: Any = tuple.__new__
# Of rows that have none of something; never written to.
_NONE: list[Any] = []
_IN_PLACE_KINDS = frozenset({"activation", "arithmetic"})


def make_plan(func: OpOverload) -> TracePlan:
    """Look everything up that depends on the operator alone."""
    rule = rules.rule_for(func)
    name = operators.full_name(func)
    base = name.partition(".")[0]
    shape = rule.shape if rules.has_shape_rule(func, rule) else None
    if base.endswith("_") and not base.endswith("__"):
        shape = shapes.in_place if shape is not None and rule.kind in _IN_PLACE_KINDS else None
    composite = rule is rules.UNKNOWN and operators.is_composite(func)
    return TracePlan(
        str(func),
        name,
        rule,
        shape,
        field_rule(func),
        SCRATCH.get(base),
        None if rule.kind == "view" else TRAFFIC.get(base),
        operators.results_given(func),
        composite,
    )


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answer, count and attribute every operator while active.

    Args:
        stack: knows the running module.
        meta: answer with shape rules; otherwise run operators on the tensors they get.
        keep: number of elements that data-dependent operators are assumed to keep.
    """

    def __init__(self, stack: ModuleStack, *, meta: bool, keep: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.stack = stack
        self.live = stack.live = Liveness()
        self.rows: list[Raw] = []
        self.assumed: dict[str, int] = {}
        self.unmodelled: set[str] = set()
        self.on_meta = meta
        self._keep = keep
        self._plans: dict[OpOverload, TracePlan] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch >= 2.12 wraps every call to keep the compiler out, which takes 3 us; nothing
        # compiles inside a trace.
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "profiler":  # ranges that a network names (DataParallel does)
            return func(*args, **kwargs)
        plan = self._plans.get(func)
        if plan is None:
            plan = self._plans[func] = make_plan(func)
        if plan.composite:
            with self:
                return func.decompose(*args, **kwargs)
        out = NotImplemented
        if plan.shape is not None and self.on_meta:
            out = plan.shape(*args, **kwargs)
        if out is NotImplemented:
            out = self._run(func, plan, args, kwargs)
        self._record(plan, args, kwargs, out)
        return out

    def _run(
        self, func: Any, plan: TracePlan, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The stock kernel, or the assumed result; failures name the operator."""
        try:
            if not self.on_meta:
                return func(*args, **kwargs)
            stand_in = assumed(plan.name, args, before=bool(self.assumed))
            if stand_in is not None and _any_meta(args):
                self.assumed[plan.operator] = self.assumed.get(plan.operator, 0) + 1
                return stand_in(self._keep, *args, **kwargs)
            if _is_mixed((*args, *kwargs.values())):  # ``out=`` is a keyword
                args, kwargs = tree_map_only(Tensor, _to_meta, (args, kwargs))
            return func(*args, **kwargs)
        except (RuntimeError, NotImplementedError, IndexError, ValueError, TypeError) as error:
            given = [tuple(item.shape) for item in args if isinstance(item, Tensor)]
            raise OperatorFailed(plan.operator, given, error) from error

    def _record(
        self, plan: TracePlan, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> None:
        rule = plan.rule
        if plan.outs:
            kwargs = {name: value for name, value in kwargs.items() if name not in plan.outs}
        self.live.now = self.stack.now = number = len(self.rows)
        backward = self.stack.in_backward
        taken = TakenTensors()
        arguments, keywords = taken.each(args), _NONE
        if kwargs:
            keywords = [one for one in taken.each(kwargs.values()) if type(one) is Seen]
        unseen = self.live.unseen(taken.keys)
        writes, results, written = self._born(out)
        read_bytes = taken.nbytes
        if rule.kind == "view":
            read_bytes = written = 0
        elif plan.traffic is not None:
            read_bytes, written = plan.traffic(out, args)
        if plan.scratch is not None:
            held = plan.scratch(out, *args, **kwargs)
            if held is None:
                self.unmodelled.add(named(self.stack.modules[self.stack.stack[-1]], args))
            else:
                self.live.scratch(held)
        self.live.now = number + 1
        macs, bias, flops = rule.macs, rule.bias, rule.flops
        facts = (
            plan,
            self.stack.of_backward() if backward else self.stack.stack[-1],
            backward,
            macs(out, *args, **kwargs) if macs is not None else 0,
            bias(out, *args, **kwargs) if bias is not None else 0,
            flops(out, *args, **kwargs) if flops is not None else 0,
            read_bytes,
            written,
            tuple(taken.keys),
            writes,
            unseen,
            results[0].shape if results else (),
            _NONE if backward else arguments,
            _NONE if backward else keywords,
            _NONE if backward else results,
        )
        # What a named tuple does itself, without a call of Python's.
        self.rows.append(_row(Raw, facts))

    def _born(self, out: Any) -> tuple[tuple[int, ...], list[Seen], int]:
        """Keys of the results' storages, the results, and their bytes."""
        if isinstance(out, Tensor):
            storage = out.untyped_storage()
            self.live.born(storage)
            one = seen(out, storage)
            return (one.key,), [one], out.nbytes
        nbytes, results = 0, []
        for item in _tensors_of(out):
            storage = item.untyped_storage()
            self.live.born(storage)
            results.append(seen(item, storage))
            nbytes += item.nbytes
        return tuple([one.key for one in results]), results, nbytes


def _tensors_of(out: Any) -> list[Tensor]:
    if isinstance(out, (tuple, list)):
        return [item for item in out if isinstance(item, Tensor)]
    return []


def _any_meta(args: Any) -> bool:
    return any(
        item.is_meta if isinstance(item, Tensor) else _any_meta(item)
        for item in args
        if isinstance(item, (Tensor, list, tuple))
    )


def _is_mixed(args: tuple[Any, ...]) -> bool:
    """Whether real tensors, made without a device inside ``forward``, meet meta ones."""
    real = meta = False
    for item in args:
        for tensor in item if isinstance(item, (list, tuple)) else (item,):
            if isinstance(tensor, Tensor):
                real = real or not tensor.is_meta
                meta = meta or tensor.is_meta
    return real and meta


def _to_meta(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_meta else tensor.to(META)
