"""Modules on the meta device: shapes without storage, built without running any initialisation.

Knows nothing of counting. Value-free factories (``empty``, ``zeros``, ``rand`` …) are sent to meta;
``arange``, ``linspace`` and ``tensor`` stay real while the module is built, because architectures
compute their widths and schedules with them.
"""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.nn.modules import batchnorm, conv
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from cnnbench.analysis.copies import modules_of, refusal, tensors_of, twin_of
from cnnbench.analysis.untouched import detach
from cnnbench.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

META = torch.device("meta")

_VALUE_FREE = frozenset(
    {
        torch.empty,
        torch.zeros,
        torch.ones,
        torch.full,
        torch.rand,
        torch.randn,
        torch.empty_strided,
        torch.normal,
    }
)


def _skip(*args: Any, **kwargs: Any) -> Any:
    """Replaces an initialiser: returns its tensor untouched."""
    return args[0] if args else kwargs.get("tensor")


# Public initialisers and the private ones behind them, which "from torch.nn.init import …" still
# reaches.
_INITIALISERS = tuple(
    name
    for name in dir(init)
    if name.endswith("_") and not name.startswith("__") and callable(getattr(init, name))
)


def _no_fans(*_: Any, **__: Any) -> tuple[int, int]:
    """Replaces fan-in and fan-out, which only scale an initialisation that does not run."""
    return 1, 1


# Tables that do not determine shapes (Swin's position indices) are larger than this; widths and
# schedules of a network are smaller.
_LARGE = 1 << 14

_register_buffer = nn.Module.register_buffer


def _register_on_meta(
    module: nn.Module, name: str, tensor: Tensor | None, persistent: bool = True
) -> None:
    """Register a buffer; large ones go to meta at once, or they would fill the memory."""
    sized = tensor is not None and not is_lazy(tensor)
    if tensor is not None and sized and tensor.numel() > _LARGE and not tensor.is_meta:
        tensor = on_meta(tensor)
    _register_buffer(module, name, tensor, persistent)


# Other functions that only prepare or fill values; layers with their own method keep it.
_PATCHES: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    *((init, name, _skip) for name in _INITIALISERS),
    (init, "_calculate_fan_in_and_fan_out", _no_fans),
    (conv._ConvNd, "reset_parameters", _skip),  # noqa: SLF001
    (nn.Linear, "reset_parameters", _skip),
    (nn.Module, "register_buffer", _register_on_meta),
    (batchnorm._NormBase, "reset_parameters", _skip),  # noqa: SLF001
    (batchnorm._NormBase, "reset_running_stats", _skip),  # noqa: SLF001
)


class _Building(TorchFunctionMode):
    """Send factories whose values are never read to meta."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _VALUE_FREE:
            if kwargs.get("device") is None:  # torch's own layers pass device=None on
                kwargs["device"] = META
        elif getattr(func, "__module__", None) == init.__name__:
            return _skip(*args, **kwargs)
        return func(*args, **kwargs)


@contextlib.contextmanager
def _no_initialisation() -> Iterator[None]:
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in _PATCHES]
    try:
        for owner, name, stand_in in _PATCHES:
            setattr(owner, name, stand_in)
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Keep the collector from scanning torch's half million objects: half of the build time.

    One region around building and counting spares it what both have made, and is free to nest.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def build_on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """Call ``build`` without allocating weights or running initialisers; every tensor ends on meta.

    Raises:
        Unsupported: the builder reads the values of its weights.
    """
    try:
        with without_collector(), _no_initialisation(), _Building():
            module = build()
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error).lower():
            raise
        module = _built_by_torch(build, error)
    _move_leftovers(module)
    return module


def _built_by_torch(build: Callable[[], nn.Module], error: Exception) -> nn.Module:
    """Where tables of real values meet weights on meta: everything on meta, as torch does it."""
    try:
        with META:
            return build()
    except Exception:  # noqa: BLE001 - the first attempt says more
        raise Unsupported(
            f"this network cannot be built without weights ({_first_line(error)}); "
            "build it with them (--real, or pass the module with real=True)"
        ) from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _move_leftovers(module: nn.Module) -> None:
    """Move what the builder created from values (index buffers, schedules) to meta, in place."""
    memo: dict[int, Tensor] = {}
    for child in modules_of(module):
        spaces: tuple[dict[str, Any], ...] = (child._parameters, child._buffers)  # noqa: SLF001
        for space in spaces:
            for name, value in space.items():
                if value is not None and not value.is_meta:
                    space[name] = _twin(value, memo)
        # Plain attributes that are tensors or hold some; a parameter cannot be one.
        attributes = child.__dict__
        for name, value in attributes.items():
            kind = type(value)
            if kind is Tensor:
                attributes[name] = _twin(value, memo)
            elif (kind is tuple or kind is list) and Tensor in map(type, value):
                attributes[name] = type(value)(
                    _twin(item, memo) if type(item) is Tensor else item for item in value
                )


def _twin(tensor: Tensor, memo: dict[int, Tensor]) -> Tensor:
    if id(tensor) not in memo:
        memo[id(tensor)] = on_meta(tensor)
    return memo[id(tensor)]


def on_meta(tensor: Tensor) -> Tensor:
    """A meta tensor of equal shape, strides, type and ``requires_grad``; a parameter stays one.

    One that waits for its shape still does.
    """
    if is_lazy(tensor):
        kind: Any = type(tensor)
        return kind(requires_grad=tensor.requires_grad, device=META, dtype=tensor.data.dtype)  # type: ignore[no-any-return]
    refuse_unless_dense(tensor)
    if tensor.is_quantized:
        raise Unsupported("a quantised tensor has no meta form; pass real=True (--real)")
    twin = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(twin, requires_grad=tensor.requires_grad)
    return twin.requires_grad_(tensor.requires_grad)


def refuse_unless_dense(tensor: Tensor) -> None:
    """Refuse tensors whose elements do not lie in one storage.

    Raises:
        Unsupported: it is nested or sparse.
    """
    if tensor.is_nested:
        raise Unsupported(
            "a nested tensor cannot be counted; pass a dense one: tensor.to_padded_tensor(0.0)"
        )
    if tensor.layout is not torch.strided:
        raise Unsupported(
            f"a tensor of layout {tensor.layout} cannot be counted; pass a dense one:"
            " tensor.to_dense()"
        )


class Twins(TorchFunctionMode):
    """Make ``copy.deepcopy`` of a tensor return its twin."""

    def __init__(self, twin: Callable[[Tensor], Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._twin = twin

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.__deepcopy__:
            return self._twin(args[0])
        return func(*args, **(kwargs or {}))


def copy_to_meta(module: nn.Module) -> nn.Module:
    """A twin of the module on meta that shares no tensor with it; no weight is copied.

    Raises:
        Unsupported: the module holds something that cannot be copied.
    """
    memo: dict[int, Any] = {}
    with torch.inference_mode(mode=False):
        for tensor in tensors_of(module):
            if id(tensor) not in memo:
                memo[id(tensor)] = on_meta(tensor)
        with Twins(on_meta), _parameters_too():
            return _apart(module, memo)


@contextlib.contextmanager
def _parameters_too() -> Iterator[None]:
    """Copies of parameters that no registration leads to (of modules in a list) are on meta too."""
    original = nn.Parameter.__deepcopy__

    def twin(parameter: nn.Parameter, memo: dict[int, Any]) -> Any:
        if id(parameter) not in memo:
            memo[id(parameter)] = on_meta(parameter)
        return memo[id(parameter)]

    nn.Parameter.__deepcopy__ = twin  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        nn.Parameter.__deepcopy__ = original  # type: ignore[method-assign]


def settled(module: nn.Module, args: Any, kwargs: Any) -> nn.Module:
    """The module; a twin on meta that has seen its input, if some layer waits for one (lazy)."""
    if not any(map(is_lazy, tensors_of(module))):
        return module
    twin = copy_to_meta(module)
    with torch.no_grad():
        twin.eval()(*args, **kwargs)
    return twin


def copy_real(module: nn.Module) -> nn.Module:
    """A twin that can run: parameters alias the originals' values, buffers are copies."""
    memo: dict[int, Any] = {}
    for tensor in tensors_of(module):
        refuse_unless_dense(tensor)
        if isinstance(tensor, nn.Parameter) and id(tensor) not in memo:
            # Autograd does not take tensors of inference mode, but copies of them.
            value = tensor.clone() if tensor.is_inference() else tensor
            memo[id(tensor)] = nn.Parameter(value.detach(), requires_grad=tensor.requires_grad)
    return _apart(module, memo, real=True)


def _apart(module: nn.Module, memo: dict[int, Any], *, real: bool = False) -> nn.Module:
    try:
        twin = twin_of(module, memo)
    except (TypeError, RuntimeError, AttributeError, SystemError) as error:
        raise Unsupported(refusal(type(module).__name__, error)) from error
    detach(twin, memo, real=real)
    return twin
