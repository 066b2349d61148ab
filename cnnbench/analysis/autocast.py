"""Autocast for tensors on meta, which torch's own leaves alone: it looks at the device of a tensor.

The casts have to happen above autograd and inside composite operators, as torch's do, so they are
registered with the dispatcher, under the autocast key of a backend that torch itself has no kernels
for. What is cast to what is that of a CPU, and which operators are concerned torch is asked for.
Whether casts happen is up to torch's own state, so that regions inside of networks count too.

Source: torch, ``aten/src/ATen/autocast_mode.cpp``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from cnnbench.analysis.stand_ins import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEVICE = "cpu"
_KEY, _BACKEND = "AutocastIPU", "ipu"

# Operators whose arguments become the lower precision, by name with or without overload. Of the
# others that autocast treats, these take the widest type among their arguments, and all further
# ones float32.
LOWER = frozenset(
    {
        "conv1d", "conv1d.padding", "conv2d", "conv2d.padding", "conv3d", "conv3d.padding", "bmm",
        "mm", "linalg_vecdot", "baddbmm", "addmm", "_addmm_activation", "addbmm", "linear",
        "_convolution.deprecated", "matmul", "conv_tbc", "mkldnn_rnn_layer", "conv_transpose1d",
        "conv_transpose2d.input", "conv_transpose3d.input", "prelu",
        "scaled_dot_product_attention", "_native_multi_head_attention",
    }
)  # fmt: skip
WIDEST = frozenset({"stack", "cat", "index_copy"})


class _Casts:
    """Casts of one region; those of float32 parameters are made once and kept until its end."""

    def __init__(self) -> None:
        # The source is kept too, or another tensor could take its identity.
        self._cached: dict[int, tuple[Tensor, Tensor]] = {}

    def forget(self) -> None:
        """Let go of what was kept."""
        self._cached.clear()

    def to(self, value: Any, dtype: torch.dtype) -> Any:
        """Arguments in which every floating-point tensor but float64 has this type."""
        return tree_map_only(Tensor, lambda tensor: self._one(tensor, dtype), value)

    def _one(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        if not _eligible(tensor) or tensor.dtype is dtype:
            return tensor
        if not (tensor.dtype is torch.float32 and dtype is not torch.float32 and _is_kept(tensor)):
            return tensor.to(dtype)
        if id(tensor) not in self._cached:
            self._cached[id(tensor)] = (tensor, tensor.to(dtype))
        return self._cached[id(tensor)][1]


def _eligible(tensor: Tensor) -> bool:
    return tensor.is_meta and tensor.is_floating_point() and tensor.dtype is not torch.float64


def _is_kept(tensor: Tensor) -> bool:
    return (
        tensor.requires_grad
        and tensor.is_leaf
        and not tensor._is_view()  # noqa: SLF001
        and torch.is_autocast_cache_enabled()
    )


def _lower(_: Any) -> torch.dtype:
    return torch.get_autocast_dtype(DEVICE)


def _single(_: Any) -> torch.dtype:
    return torch.float32


def _widest(value: Any) -> torch.dtype:
    wide = any(
        isinstance(one, Tensor) and _eligible(one) and one.dtype is torch.float32
        for one in tree_leaves(value)
    )
    return torch.float32 if wide else torch.get_autocast_dtype(DEVICE)


def lowered(value: Any) -> Any:
    """What an operator gets whose arguments become the lower precision, in a region on meta."""
    inside = torch.is_autocast_enabled(DEVICE) and torch.is_autocast_enabled(_BACKEND)
    return _Casts().to(value, _lower(value)) if inside else value


def treated() -> tuple[str, ...]:
    """The operators that torch's autocast treats on this device, without their namespace."""
    names: list[str] = torch._C._dispatch_get_all_op_names()  # noqa: SLF001
    has = torch._C._dispatch_has_kernel_for_dispatch_key  # noqa: SLF001
    return tuple(
        name.removeprefix("aten::")
        for name in names
        if name.startswith("aten::") and has(name, "AutocastCPU")
    )


def _policy(name: str) -> Callable[[Any], torch.dtype]:
    return _lower if name in LOWER else _widest if name in WIDEST else _single


def _kernel(name: str, casts: _Casts) -> Callable[..., Any]:
    packet, _, overload = name.partition(".")
    operator = getattr(getattr(torch.ops.aten, packet), overload or "default")
    policy, key = _policy(name), torch._C.DispatchKeySet(_key())  # noqa: SLF001

    def cast(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(key):  # noqa: SLF001
            if torch.is_autocast_enabled(DEVICE):  # a network may leave the region for a while
                args, kwargs = casts.to((args, kwargs), policy((args, kwargs)))
            return operator(*args, **kwargs)

    return cast


def _key() -> Any:
    return getattr(torch._C.DispatchKey, _KEY)  # noqa: SLF001


class Followed:
    """Whether a trace has been in a region of autocast, and the kernels that it got there."""

    def __init__(self) -> None:
        self.used = False
        self.casts = _Casts()
        self._libraries: list[Any] = []

    def synchronise(self) -> None:
        """Turn the casts on or off as torch's own are, which networks may change."""
        inside = torch.is_autocast_enabled(DEVICE)
        if inside and not self.used:
            self.used = True
            self._register()
        torch.set_autocast_enabled(_BACKEND, inside and self.used)
        torch._C._dispatch_tls_set_dispatch_key_included(_key(), inside)  # type: ignore[attr-defined]  # noqa: SLF001

    def _register(self) -> None:
        """Kernels under the borrowed key; operators without one pass as if it were not there."""
        make: Any = torch.library.Library
        self._libraries = [make(name, "IMPL") for name in ("_", "aten")]
        others, own = self._libraries
        others.fallback(torch.library.fallthrough_kernel, _KEY)
        for name in treated():
            own.impl(name, _kernel(name, self.casts), _KEY)

    def close(self) -> None:
        """Leave nothing in torch."""
        torch.set_autocast_enabled(_BACKEND, False)
        torch._C._dispatch_tls_set_dispatch_key_included(_key(), False)  # type: ignore[attr-defined]  # noqa: SLF001
        self.casts.forget()
        for library in reversed(self._libraries):
            library._destroy()  # noqa: SLF001


def _known(device_type: Any) -> Any:
    """The device by whose rules is computed: networks ask for that of their input."""
    return DEVICE if device_type == "meta" else device_type


def _renaming(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        named = {name: _known(value) for name, value in kwargs.items()}
        return original(*(_known(value) for value in args), **named)

    return call


def _then(original: Callable[..., Any], after: Callable[[], None]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        after()
        return result

    return call


@contextlib.contextmanager
def followed() -> Iterator[Followed]:
    """Tensors on meta are cast where torch would cast those of a CPU, around it or in a network."""
    state, region = Followed(), torch.autocast
    asked = ("is_autocast_enabled", "get_autocast_dtype")
    try:
        state.synchronise()
        with replaced(
            (region, "__init__", _renaming(region.__init__)),
            (region, "__enter__", _then(region.__enter__, state.synchronise)),
            (region, "__exit__", _then(region.__exit__, state.synchronise)),
            (torch, "clear_autocast_cache", _then(torch.clear_autocast_cache, state.casts.forget)),
            (torch.amp, "is_autocast_available", _renaming(torch.amp.is_autocast_available)),
            *((torch, name, _renaming(getattr(torch, name))) for name in asked),
        ):
            yield state
    finally:
        state.close()
