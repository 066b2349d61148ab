"""Tells at every moment of a step which module is at work, without torch's hooks.

A module's ``forward`` is replaced on the instance by one that tells a ``mark`` function when it is
entered and left. That costs half a microsecond a call, a tenth of a pair of hooks, because
``nn.Module`` takes its fast path only without hooks. In-place operations do not interfere.

The backward pass has no modules. Every autograd node is assigned to the module that was at work
when it was created: when a module is left, its outputs lead to all nodes that have no module yet.
The pre-hook of each node then marks whose work begins. Gradients are accumulated right after the
node that made them and count as its work.

``mark`` may do anything: read a clock, record an event, write a line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch.autograd.graph import Node

    Forward = Callable[..., Any]
    Mark = Callable[[int], None]

# Parts of a step outside the network, and time that must not count (assigning nodes).
Outside = Literal["before forward", "loss", "optimizer", "after", "not counted"]
OUTSIDE: tuple[Outside, ...] = ("before forward", "loss", "optimizer", "after", "not counted")


class Scopes:
    """The places of a module's step, by number.

    Module ``i`` of ``names`` is place ``i`` in the forward pass and ``len(names) + i`` in the
    backward pass. The parts of ``OUTSIDE`` follow.
    """

    def __init__(self, module: nn.Module) -> None:
        pairs = list(module.named_modules())
        self.names = [name for name, _ in pairs]
        self.modules = [child for _, child in pairs]

    def backward(self, index: int) -> int:
        """The place of a module's backward pass."""
        return len(self.names) + index

    def outside(self, part: Outside) -> int:
        """The place of a part outside the network."""
        return 2 * len(self.names) + OUTSIDE.index(part)

    def place(self, number: int) -> tuple[int | None, str]:
        """(module's index, ``forward`` or ``backward``), or (``None``, part) outside."""
        count = len(self.names)
        if number >= 2 * count:
            return None, OUTSIDE[number - 2 * count]
        return number % count, "forward" if number < count else "backward"


class Teller:
    """Tells ``mark`` at every change which place begins, while it is entered as a context.

    It may be entered repeatedly. Everything possible is prepared beforehand, so that entering it
    disturbs the caches as little as possible.
    """

    def __init__(
        self,
        scopes: Scopes,
        mark: Mark,
        optimizer: torch.optim.Optimizer | None = None,
        times: int = 1,
    ) -> None:
        """Prepare the replacement of each module's ``forward``.

        Args:
            scopes: places.
            mark: gets a place.
            optimizer: of a training step; without one no backward is expected.
            times: how often every change of place is told; telling twice shows what telling once
                costs.
        """
        self._scopes = scopes
        self._mark = mark
        self._optimizer = optimizer
        self._stack: list[int] = []
        self._left: list[tuple[int, Node]] = []
        self._handles: list[Any] = []
        self._times = times
        self._swap = Swap(scopes.modules, self._wrapped_times)

    def __enter__(self) -> Self:
        self._swap.__enter__()
        if self._optimizer is not None:
            self._handles = self._around(self._optimizer)
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._swap.__exit__()

    def begin(self) -> None:
        """Call right before every step."""
        self._left.clear()
        self._stack[:] = [self._scopes.outside("before forward")]
        self._mark(self._stack[0])

    def _around(self, optimizer: torch.optim.Optimizer) -> list[Any]:
        begins, ends = self._scopes.outside("optimizer"), self._scopes.outside("after")

        # torch takes the return value of a hook as new arguments.
        def before(*_: Any) -> None:
            self._mark(begins)

        def after(*_: Any) -> None:
            self._mark(ends)

        return [
            optimizer.register_step_pre_hook(before),
            optimizer.register_step_post_hook(after),
        ]

    def _wrapped_times(self, index: int, original: Forward) -> Forward:
        for _ in range(self._times):
            original = self._wrapped(index, original)
        return original

    def _wrapped(self, index: int, original: Forward) -> Forward:
        """A forward function that tells when it is entered and left."""
        stack, mark = self._stack, self._mark
        note = self._note if self._optimizer is not None else None

        def forward(*args: Any, **keywords: Any) -> Any:
            outer = stack[-1]
            if note is not None:
                note(outer, args)
            mark(index)
            stack.append(index)
            try:
                result = original(*args, **keywords)
            finally:
                stack.pop()
                mark(outer)
            if note is not None:
                note(index, result)
                if len(stack) == 1:
                    self._hook_backward()
            return result

        return forward

    def _note(self, scope: int, value: Any) -> None:
        """Remember the autograd nodes that a scope has created so far."""
        if isinstance(value, Tensor):
            if value.grad_fn is not None:
                self._left.append((scope, value.grad_fn))
        elif isinstance(value, (tuple, list)):
            for part in value:
                self._note(scope, part)
        elif isinstance(value, dict):
            for part in value.values():
                self._note(scope, part)

    def _hook_backward(self) -> None:
        """The network is done: let every node's pre-hook tell whose backward work begins."""
        self._mark(self._scopes.outside("not counted"))
        for node, scope in owners(self._left).items():
            if scope < len(self._scopes.names):
                for _ in range(self._times):
                    node.register_prehook(_prehook(self._mark, self._scopes.backward(scope)))
        self._left.clear()
        self._mark(self._scopes.outside("loss"))


class Swap:
    """Replaces ``forward`` on these instances while it is entered as a context.

    A module that refuses (a scripted one) is left alone; its time counts towards its parent.
    """

    def __init__(self, modules: list[nn.Module], make: Callable[[int, Forward], Forward]) -> None:
        """Args: make: (number of the module, its own forward) -> the other one."""
        # Modules compiled by TorchScript have no Python forward.
        free = [(i, module) for i, module in enumerate(modules) if not hasattr(module, "_c")]
        self._own = [vars(module) for _, module in free]
        self._before = [own.get("forward") for own in self._own]
        self._other = [make(index, module.forward) for index, module in free]

    def __enter__(self) -> None:
        # Past nn.Module.__setattr__, which would look for parameters first.
        for own, forward in zip(self._own, self._other, strict=True):
            own["forward"] = forward

    def __exit__(self, *_: object) -> None:
        for own, forward in zip(self._own, self._before, strict=True):
            if forward is None:
                del own["forward"]
            else:
                own["forward"] = forward


def _prehook(mark: Mark, place: int) -> Callable[[Any], None]:
    def prehook(_gradients: Any) -> None:
        mark(place)

    return prehook


def owners(left: list[tuple[int, Node]]) -> dict[Node, int]:
    """Autograd node -> scope, from the nodes that scopes created, in order of time.

    A node belongs to the first scope that leads to it. Nodes that accumulate gradients are left
    out: they run right after the node that feeds them.
    """
    owner: dict[Node, int] = {}
    for scope, last in left:
        open_nodes = [last]
        while open_nodes:
            node = open_nodes.pop()
            if node in owner or not node.next_functions:
                continue
            owner[node] = scope
            open_nodes += [before for before, _ in node.next_functions if before is not None]
    return owner
