"""Kernels that torch's compiler makes for the CPU, by name and by the modules that they come from.

Without this, the profiler sees a compiled network as one call. The compiler can be told to announce
each of its kernels to the profiler, and knows of every kernel which operations of the graph are in
it; these know the module that called them. What it generates is otherwise the same.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnbench.spec import Device, Mode

# How the compiler finds the network: as itself, or as the function that calls it.
_SELF = re.compile(r"^L\['\w+'\]\.?")
# "_modules['layer1']._modules['0']" of some versions is "layer1.0" of others.
_INDEXED = re.compile(r"_?modules\['([^']+)'\]|_modules\[(\d+)\]")


class FusedKernels:
    """Modules by kernel, as the profiler is told of it, in the order that the compiler met them."""

    def __init__(self) -> None:
        self._modules: dict[str, dict[str, None]] = {}

    def add(self, kernel: str, modules: list[str]) -> None:
        """A kernel that computes operations of these modules, among others perhaps."""
        self._modules.setdefault(kernel, {}).update(dict.fromkeys(modules))

    def modules(self, event: str) -> tuple[str, ...]:
        """Paths of the modules that are in what the profiler calls so; empty if it is no kernel."""
        return tuple(self._modules.get(event, ()))


@contextmanager
def named(mode: Mode, device: Device) -> Iterator[FusedKernels]:
    """Have the compiler announce its kernels while a step is compiled.

    Nothing that was compiled before is used, because it announces nothing.
    """
    found = FusedKernels()
    if not mode.compiles or device.kind != "cpu":
        yield found
        return
    from torch._functorch import config as functorch
    from torch._inductor import config
    from torch._inductor.codegen.cpp import CppScheduling
    from torch._inductor.virtualized import V

    scheduling: Any = CppScheduling
    original = scheduling.define_kernel

    def define_kernel(self: Any, source: str, nodes: Any, *more: Any, **others: Any) -> Any:
        name = original(self, source, nodes, *more, **others)
        # Every graph of a network counts its kernels from 0.
        number = V.graph.graph_id
        found.add(f"{name}" if number is None else f"graph_{number}_{name}", _modules(nodes))
        return name

    scheduling.define_kernel = define_kernel
    try:
        told = {"cpp.enable_kernel_profile": True, "fx_graph_cache": False}
        with config.patch(told), functorch.patch({"enable_autograd_cache": False}):
            yield found
    finally:
        scheduling.define_kernel = original


def _modules(nodes: Any) -> list[str]:
    """The innermost modules of the operations in a kernel, as they were called."""
    origins = [
        origin
        for node in nodes
        if (of := getattr(node, "node", None)) is not None
        for origin in of.get_origins()
    ]
    # They come as a set; the graph has an order.
    graphs = {origin.graph for origin in origins}
    place = {one: number for graph in graphs for number, one in enumerate(graph.nodes)}
    stacks = [
        one.meta.get("nn_module_stack") or {} for one in sorted(origins, key=place.__getitem__)
    ]
    return [path(str([*stack.values()][-1][0])) for stack in stacks if stack]


def path(text: str) -> str:
    """A module's path, of an expression that gets it from the network."""
    plain = _INDEXED.sub(lambda found: found[1] or found[2], text)
    return _SELF.sub("", plain)
