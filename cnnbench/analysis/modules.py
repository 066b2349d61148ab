"""Which module is running: a stack kept by process-wide hooks, so that no module is changed.

Backward operators find their module through autograd's sequence numbers: every node remembers when
it was created, and that moment is inside the call of one innermost module.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.modules.conv import _ConvNd

from cnnbench.analysis.storages import Seen, seen

if TYPE_CHECKING:
    from collections.abc import Sequence


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor of a module's output, whatever holds it."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        found = (first_tensor(item) for item in value)
        return next((tensor for tensor in found if tensor is not None), None)
    return None


@dataclass(frozen=True, slots=True)
class Inventory:
    """The parts of a network, collected in one walk; each once by identity.

    A module reachable by several paths is listed by its first, as ``named_modules`` does.
    """

    names: list[str]
    modules: list[nn.Module]
    parameters: list[nn.Parameter]
    buffers: list[Tensor]


def take_inventory(module: nn.Module) -> Inventory:
    """Walk a network once instead of once each for parameters, buffers and modules."""
    inventory = Inventory([], [], [], [])
    _walk(module, "", inventory, set())
    return inventory


def _walk(module: nn.Module, name: str, found: Inventory, seen: set[int]) -> None:
    seen.add(id(module))
    found.names.append(name)
    found.modules.append(module)
    for space, tensors in (
        (module._parameters, found.parameters),  # noqa: SLF001
        (module._buffers, found.buffers),  # noqa: SLF001
    ):
        for tensor in space.values():
            if tensor is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                tensors.append(tensor)  # type: ignore[arg-type]
    prefix = name + "." if name else ""
    for key, child in module._modules.items():  # noqa: SLF001
        if child is not None and id(child) not in seen:
            _walk(child, prefix + key, found, seen)


def is_on_meta(parts: Inventory) -> bool:
    """Whether there are tensors and every one of them is on meta."""
    tensors = [*parts.parameters, *parts.buffers]
    return bool(tensors) and all(tensor.is_meta for tensor in tensors)


class ModuleStack:
    """The path of the innermost running module, and the inputs and outputs of each module."""

    def __init__(self, inventory: Inventory) -> None:
        named = self.names = inventory.names
        self.modules = inventory.modules
        self._index = {id(child): index for index, child in enumerate(inventory.modules)}
        self.stack = [0]
        self.calls = [0] * len(named)
        self.inputs: list[Sequence[int] | None] = [None] * len(named)
        self.outputs: list[Sequence[int] | None] = [None] * len(named)
        self.output_bytes = [0] * len(named)
        self.output_seen: list[Seen | None] = [None] * len(named)
        self.output_op = [0] * len(named)
        self.now = 0
        self._moments: list[int] = []
        self._owners: list[int] = []
        self._handles: list[Any] = []

    def __enter__(self) -> ModuleStack:
        self._handles = [
            torch_module.register_module_forward_pre_hook(self._entered),
            torch_module.register_module_forward_hook(self._left),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _entered(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        index = self._index.get(id(module), self.stack[-1])
        self.stack.append(index)
        self._mark()
        if args:
            first = args[0] if isinstance(args[0], Tensor) else first_tensor(args)
            if first is not None:
                self.inputs[index] = first.shape

    def _left(self, module: nn.Module, args: Any, output: Any) -> None:
        del args
        index = self._index.get(id(module))
        if index is None:
            if len(self.stack) > 1:
                self.stack.pop()
            return
        # If the network caught an exception of a module, the module's entry is still there: drop it
        # too.
        while len(self.stack) > 1 and self.stack.pop() != index:
            pass
        self._mark()
        self.calls[index] += 1
        tensor = output if isinstance(output, Tensor) else first_tensor(output)
        if tensor is not None:
            self.outputs[index] = tensor.shape
            self.output_bytes[index] = tensor.nbytes
            self.output_seen[index] = seen(tensor)
            self.output_op[index] = self.now

    def unbatched(self, axes: int) -> bool:
        """Whether a convolution took an input of that many axes, of which none was the batch."""
        return any(
            isinstance(module, _ConvNd) and shape is not None and len(shape) == axes
            and axes == len(module.kernel_size) + 1
            for module, shape in zip(self.modules, self.inputs, strict=True)
        )  # fmt: skip

    def _mark(self) -> None:
        if torch.is_grad_enabled():
            self._moments.append(torch._C._autograd._get_sequence_nr())  # noqa: SLF001
            self._owners.append(self.stack[-1])

    def of_backward(self) -> int:
        """The module whose forward call created the autograd node that is running."""
        node = torch._C._current_autograd_node()  # noqa: SLF001
        if node is None:
            return 0
        place = bisect.bisect_right(self._moments, node._sequence_nr()) - 1  # noqa: SLF001
        # Gradient accumulation has its own number, beyond every call.
        return self._owners[place] if 0 <= place < len(self._moments) - 1 else 0
