"""The paths by which modules are called, each with a number.

A module that is registered once has one. One that several parents share has a place under each of
them that calls it, and so have the modules inside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


class Places:
    """Numbered paths; more are added when a shared module is called by another path.

    Args:
        names: of the modules by their first path, the network itself first.
        modules: in the same order.
        shared: whether any module has several paths.
    """

    def __init__(self, names: Sequence[str], modules: Sequence[nn.Module], *, shared: bool) -> None:
        self.names, self.modules = list(names), list(modules)
        self._first = {id(module): place for place, module in enumerate(modules)}
        self._numbers = {name: place for place, name in enumerate(names)}
        self._shared = shared
        self._inside: dict[int, dict[int, str]] = {}

    def knows(self, module: nn.Module) -> bool:
        """Whether the module is part of the network."""
        return id(module) in self._first

    def of(self, module: nn.Module, running: Sequence[int]) -> int | None:
        """The place of a call: under the innermost running module that contains the called one.

        ``None`` for a module that is not part of the network.
        """
        first = self._first.get(id(module))
        if first is None or not self._shared:
            return first
        for place in reversed(running):
            path = self._paths_inside(place).get(id(module))
            if path is not None:
                return self._below(place, path)
        return first

    def _paths_inside(self, place: int) -> dict[int, str]:
        module = self.modules[place]
        if id(module) not in self._inside:
            self._inside[id(module)] = {id(one): name for name, one in module.named_modules()}
        return self._inside[id(module)]

    def _below(self, place: int, path: str) -> int:
        for key in path.split(".") if path else ():
            name = f"{self.names[place]}.{key}" if place else key
            if name not in self._numbers:
                self._numbers[name] = len(self.names)
                self.modules.append(self.modules[place].get_submodule(key))
                self.names.append(name)
            place = self._numbers[name]
        return place

    def first_name(self, place: int) -> str:
        """The first path of a place's module, as ``named_modules`` has it."""
        return self.names[self._first[id(self.modules[place])]]

    def in_order(self) -> list[int]:
        """Every place as a walk through the registered modules comes to it."""
        return sorted(range(len(self.names)), key=self._position)

    def _position(self, place: int) -> list[int]:
        if not self._shared:
            return [place]
        module, position = self.modules[0], []
        for key in self.names[place].split(".") if place else ():
            position.append(list(module._modules).index(key))  # noqa: SLF001
            module = module.get_submodule(key)
        return position
