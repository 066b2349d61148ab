"""The types of a network's tensors before it was converted, to be put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


class OwnTypes:
    """Remembers the types of a module's tensors, to be put back after a conversion."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._parameters = [(p, p.dtype) for p in module.parameters()]
        self._buffers = {name: buffer.dtype for name, buffer in module.named_buffers()}

    def restore(self) -> None:
        """Give every tensor its type again; values that a wider type held exactly come back."""
        for parameter, dtype in self._parameters:
            if parameter.dtype is not dtype:
                parameter.data = parameter.data.to(dtype)
        for name, buffer in list(self._module.named_buffers()):
            dtype = self._buffers.get(name, buffer.dtype)
            if buffer.dtype is not dtype:
                owner, _, field = name.rpartition(".")
                setattr(self._module.get_submodule(owner), field, buffer.to(dtype))
