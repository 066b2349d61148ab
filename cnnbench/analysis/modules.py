"""Which module is running: a stack kept by process-wide hooks, so that no module is changed.

Backward operators find their module through autograd's sequence numbers: every node remembers when
it was created, and that moment is inside the call of one innermost module.
"""

from __future__ import annotations

import bisect
import inspect
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.modules.conv import _ConvNd

from cnnbench.analysis.places import Places
from cnnbench.analysis.storages import Seen, seen
from cnnbench.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.analysis.liveness import Liveness


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


# Sequence numbers from here on are autograd's own (UINT64_MAX, read as signed or not).
_ACCUMULATION = 1 << 62


@dataclass(frozen=True, slots=True)
class Inventory:
    """The parts of a network, collected in one walk; each once by identity.

    A module reachable by several paths is listed by its first, as ``named_modules`` does;
    ``further`` holds the other paths.
    """

    names: list[str]
    modules: list[nn.Module]
    parameters: list[nn.Parameter]
    buffers: list[Tensor]
    further: list[str]


def take_inventory(module: nn.Module) -> Inventory:
    """Walk a network once instead of once each for parameters, buffers and modules."""
    inventory = Inventory([], [], [], [], [])
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
        if child is None:
            continue
        if id(child) in seen:
            found.further.append(prefix + key)
        else:
            _walk(child, prefix + key, found, seen)


def set_training(module: nn.Module, *, training: bool) -> None:
    """Training or inference mode, in place; an exported network has one already.

    Raises:
        Unsupported: it is to be trained and has been exported.
    """
    try:
        if _takes_a_mode(module):
            module.train(training)
        else:
            nn.Module.train(module, training)
    except NotImplementedError:
        if training:
            raise Unsupported("an exported network cannot be trained; give the module") from None


def has_one_mode(module: nn.Module) -> bool:
    """Whether it was exported, which fixed its mode; its flag ``training`` says nothing."""
    return isinstance(module, torch.fx.GraphModule) and "train" in vars(module)


def _takes_a_mode(module: nn.Module) -> bool:
    """Whether ``train`` is what ``nn.Module`` means by it, and not a loop that fits or a flag."""
    try:
        inspect.signature(module.train).bind(True)
    except (TypeError, ValueError):
        return False
    return True


class ModuleStack:
    """The place of the innermost running module, and the inputs and outputs of each place.

    Attributes:
        places: the paths by which modules are called; every list is by their number.
        stack: the places at work, outermost first.
        calls: of the forward pass.
        inputs, outputs: shapes of the first tensor of the last call.
        in_backward: modules that run now do so again, for a checkpoint.
    """

    def __init__(self, inventory: Inventory) -> None:
        self.places = Places(inventory.names, inventory.modules, shared=bool(inventory.further))
        self.names, self.modules = self.places.names, self.places.modules
        self.stack = [0]
        self.calls: list[int] = []
        self.inputs: list[Sequence[int] | None] = []
        self.outputs: list[Sequence[int] | None] = []
        self.output_bytes: list[int] = []
        self.output_seen: list[Seen | None] = []
        self.output_op: list[int] = []
        self._make_room()
        self.now = 0
        self.in_backward = False
        self._moments: list[int] = []
        self._owners: list[int] = []
        self._failed: tuple[BaseException | None, int] = (None, 0)
        self._handles: list[Any] = []
        # Of the trace that this is of, which knows the storages.
        self.live: Liveness | None = None

    def _make_room(self) -> None:
        more = len(self.names) - len(self.calls)
        for counts in (self.calls, self.output_bytes, self.output_op):
            counts += [0] * more
        self.output_seen += [None] * more
        for shapes in (self.inputs, self.outputs):
            shapes += [None] * more

    def __enter__(self) -> ModuleStack:
        self._handles = [
            torch_module.register_module_forward_pre_hook(self._entered),
            torch_module.register_module_forward_hook(
                self._left, with_kwargs=True, always_call=True
            ),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
            # Torch leaves this behind, and would warn whoever compiles a module later.
            torch_module._global_forward_hooks_with_kwargs.pop(handle.id, None)  # noqa: SLF001

    def _entered(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        place = self.places.of(module, self.stack)
        if place is not None and place >= len(self.calls):
            self._make_room()
        self.stack.append(self.stack[-1] if place is None else place)
        self._mark()
        if place is None or self.in_backward:
            return
        self.calls[place] += 1
        first = args[0] if args and isinstance(args[0], Tensor) else first_tensor(args)
        if first is not None:
            self.inputs[place] = first.shape

    def _left(self, module: nn.Module, args: Any, kwargs: Any, output: Any = None) -> None:
        """After every call; after one that raised, torch passes neither keywords nor a result."""
        place = self.stack.pop() if len(self.stack) > 1 else 0
        if output is None:
            self._note_failure(place)
        self._mark()
        if self.in_backward or not self.places.knows(module):
            return
        if kwargs and not args and (given := first_tensor(kwargs)) is not None:
            self.inputs[place] = given.shape
        tensor = output if isinstance(output, Tensor) else first_tensor(output)
        if tensor is not None:
            self.outputs[place] = tensor.shape
            self.output_bytes[place] = tensor.nbytes
            view = seen(tensor)
            # Of a constant that no operator made nothing is known by its key.
            constant = self.live is not None and self.live.unseen([view.key])
            self.output_seen[place] = None if constant else view
            self.output_op[place] = self.now

    def _note_failure(self, place: int) -> None:
        error = sys.exception()
        if error is not None and error is not self._failed[0]:
            self._failed = error, place

    def failed_in(self, error: BaseException) -> int:
        """The innermost place that an exception left."""
        return self._failed[1] if error is self._failed[0] else self.stack[-1]

    def begin_backward(self) -> None:
        """From now on modules run only because a checkpoint calls them again."""
        self.in_backward = True
        self.stack[1:] = []

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
        """The place whose forward call created the autograd node that is running.

        A checkpoint runs modules again inside its node: then it is the innermost of them.
        """
        if len(self.stack) > 1:
            return self.stack[-1]
        node = torch._C._current_autograd_node()  # noqa: SLF001
        number = -1 if node is None else node._sequence_nr()  # noqa: SLF001
        # Accumulating gradients has its own number, beyond every call.
        if not 0 <= number < _ACCUMULATION:
            return 0
        place = bisect.bisect_right(self._moments, number) - 1
        owner = self._owners[place] if place >= 0 else 0
        if torch.is_grad_enabled():
            self._hand_over(owner)
        return owner

    def _hand_over(self, owner: int) -> None:
        """What a checkpointed function creates while it runs again belongs to the same place."""
        if self._owners and self._owners[-1] != owner:
            moment = torch._C._autograd._get_sequence_nr() - 1  # noqa: SLF001
            self._moments.append(max(moment, self._moments[-1]))
            self._owners.append(owner)
