"""What each word of a mode does to a network, and the only place that sets global flags.

One table per axis; its keys are the values of ``spec.WORDS`` (a test compares them).
"""

from __future__ import annotations

import contextlib
import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree

from cnnbench import implementations, machine
from cnnbench.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import nn

    from cnnbench.spec import Device, Mode


@dataclass(frozen=True)
class Precision:
    """What a precision means.

    Attributes:
        dtype: of weights and floating-point inputs.
        autocast: the dtype that autocast chooses for contractions, if it is used.
        tf32: float32 contractions may use TF32 matrix units (CUDA).
        roundoff: unit roundoff: the largest relative error of rounding to nearest, 2**-p for
            numbers of p significant bits. The leading one is not stored, so bfloat16 with its 7
            stored bits has p = 8, float16 and TF32 have 11, float32 has 24.
    """

    dtype: torch.dtype = torch.float32
    autocast: torch.dtype | None = None
    tf32: bool = False
    roundoff: float = 2.0**-24


PRECISIONS: dict[str, Precision] = {
    "fp32": Precision(),
    "tf32": Precision(tf32=True, roundoff=2.0**-11),
    "amp=bf16": Precision(autocast=torch.bfloat16, roundoff=2.0**-8),
    "amp=fp16": Precision(autocast=torch.float16, roundoff=2.0**-11),
    "bf16": Precision(dtype=torch.bfloat16, roundoff=2.0**-8),
    "fp16": Precision(dtype=torch.float16, roundoff=2.0**-11),
    # Not a word for users: the precision that the others are checked against.
    "fp64": Precision(dtype=torch.float64, roundoff=2.0**-53),
}

# Memory formats by number of axes; a tensor with another number of axes stays as it is.
MEMORY_FORMATS: dict[str, dict[int, torch.memory_format]] = {
    "contiguous": {},
    "channels_last": {4: torch.channels_last, 5: torch.channels_last_3d},
}

# Arguments of torch.compile; None means that the module is left alone.
COMPILERS: dict[str, dict[str, Any] | None] = {
    "eager": None,
    "default": {},
    "reduce-overhead": {"mode": "reduce-overhead"},
    "max-autotune": {"mode": "max-autotune"},
}


def set_flags(mode: Mode, threads: int, *, cudnn_benchmark: bool = False) -> dict[str, Any]:
    """Set every global flag that a measurement depends on, and return the state of all of them.

    Called first in a worker, before anything is built.

    Args:
        mode: whose precision decides about TF32.
        threads: of operators.
        cudnn_benchmark: let cuDNN time its algorithms on the first call and keep the best, instead
            of choosing by its own rules; the choice may differ from process to process.
    """
    torch.set_num_threads(threads)
    fp32 = "tf32" if PRECISIONS[mode.precision].tf32 else "ieee"
    torch.backends.cuda.matmul.fp32_precision = fp32
    torch.backends.cudnn.conv.fp32_precision = fp32  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn.fp32_precision = fp32  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = cudnn_benchmark
    # Implementations of single layers of a network have no flags of their own.
    name = "" if mode.replacements else mode.implementation
    _set_switches(implementations.implementation(name).flags)
    return flags()


# Flags that an implementation of a convolution may set -> owner and attribute.
SWITCHES: dict[str, tuple[Any, str]] = {
    "mkldnn": (torch.backends.mkldnn, "enabled"),
    "cudnn_benchmark": (torch.backends.cudnn, "benchmark"),
    "cudnn_deterministic": (torch.backends.cudnn, "deterministic"),
    "cudnn_depthwise_kernel": (torch.backends.cudnn, "depthwise_kernel"),
}
# The earlier values of the flags that are switched now. A mode that does not mention a flag leaves
# it as it is; the caller of ``cnnbench.measure`` may have set it.
_found: dict[str, Any] = {}


def _set_switches(wanted: Mapping[str, object]) -> None:
    """Switch the flags of this mode, and restore those that an earlier mode switched."""
    for name, (owner, attribute) in SWITCHES.items():
        if name in wanted:
            _found.setdefault(name, getattr(owner, attribute))
            setattr(owner, attribute, wanted[name])
        elif name in _found:
            setattr(owner, attribute, _found.pop(name))


def flags() -> dict[str, Any]:
    """The present values of the global flags."""
    return {
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "cuda_matmul_fp32": torch.backends.cuda.matmul.fp32_precision,
        "cudnn_conv_fp32": torch.backends.cudnn.conv.fp32_precision,  # type: ignore[attr-defined]
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_depthwise_kernel": getattr(torch.backends.cudnn, "depthwise_kernel", None),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "mkldnn": torch.backends.mkldnn.enabled,
        "flush_denormal": _flushes_denormals(),
    }


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Restore the flags that ``set_flags`` changes.

    Needed in the caller's process, which is not ours alone.
    """
    threads = torch.get_num_threads()
    owners = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)  # type: ignore[attr-defined]
    before = [owner.fp32_precision for owner in owners]
    benchmark = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _set_switches({})
        torch.backends.cudnn.benchmark = benchmark
        for owner, value in zip(owners, before, strict=True):
            owner.fp32_precision = value


def _flushes_denormals() -> bool:
    """Whether subnormal results become zero; torch can set this but not report it."""
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)
    return bool((smallest / 2 == 0).item())


def cast(value: Any, dtype: torch.dtype, device: str) -> Any:
    """Inputs on the device, floating-point ones in the given dtype."""

    def move(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(device, dtype if tensor.is_floating_point() else None)

    return pytree.tree_map_only(torch.Tensor, move, value)


def refuse_impossible(mode: Mode, device: Device) -> None:
    """Refuse a mode where torch would silently do something else.

    Raises:
        Unsupported: the mode is not available here; the message says why.
    """
    if device.kind != "cpu" or COMPILERS[mode.compiler] is None:
        return
    if mode.compiler == "reduce-overhead":
        raise Unsupported(
            "compile=reduce-overhead means CUDA graphs, which do not exist on cpu; use compile"
        )
    if machine.compiler() is None:
        raise Unsupported(
            f"{mode.text}: torch.compile needs a C++ compiler on cpu, and none was found;"
            " install g++ or set CXX"
        )


def prepare(
    mode: Mode, device: Device, module: nn.Module, inputs: tuple[Any, ...]
) -> tuple[nn.Module, tuple[Any, ...]]:
    """Module and inputs on the device in the mode's dtype and memory format; not yet compiled.

    Raises:
        Unsupported: the mode would not do on this device what its words say.
    """
    refuse_impossible(mode, device)
    precision = PRECISIONS[mode.precision]
    module = _moved(module, device, precision.dtype)
    inputs = cast(inputs, precision.dtype, device.text)
    formats = MEMORY_FORMATS[mode.memory_format]
    if formats:
        inputs = pytree.tree_map_only(torch.Tensor, _restrider(formats), inputs)
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.data = _restrider(formats)(tensor.data)
    return module, inputs


# Complex numbers of the reals that they are computed with; narrower ones have no kernels.
_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


def _moved(module: nn.Module, device: Device, dtype: torch.dtype) -> nn.Module:
    """A module on the device in a dtype; one without floating-point parameters keeps its own."""
    if any(tensor.is_complex() for tensor in (*module.parameters(), *module.buffers())):
        # ``Module.to`` would make them real and drop the imaginary part.
        convert: Any = functools.partial(_converted, device=device.text, dtype=dtype)
        module._apply(convert)  # type: ignore[no-untyped-call]  # noqa: SLF001
        return module
    floats = any(tensor.is_floating_point() for tensor in module.parameters())
    return module.to(device.text, dtype if floats else None)


def _converted(tensor: torch.Tensor, device: str, dtype: torch.dtype) -> torch.Tensor:
    if tensor.is_complex():
        return tensor.to(device, _COMPLEX.get(dtype, torch.complex64))
    return tensor.to(device, dtype if tensor.is_floating_point() else None)


def _restrider(
    formats: dict[int, torch.memory_format],
) -> Callable[[torch.Tensor], torch.Tensor]:
    def restride(tensor: torch.Tensor) -> torch.Tensor:
        wanted = formats.get(tensor.dim())
        return tensor if wanted is None else tensor.contiguous(memory_format=wanted)

    return restride


def compiled(mode: Mode, module: nn.Module) -> Callable[..., Any]:
    """The module as the mode calls it."""
    arguments = COMPILERS[mode.compiler]
    if arguments is None:
        return module
    # A benchmark has one shape; dynamic shapes would measure something else.
    function: Callable[..., Any] = torch.compile(module, dynamic=False, **arguments)
    return function


def compile_cache(folder: str | None) -> str | None:
    """Give the compiler a separate cache per spec; the first round finds it empty.

    Returns:
        ``cold`` or ``warm``; ``None`` without a cache.
    """
    if folder is None:
        return None
    warm = Path(folder).exists()
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    # Compile in this process: the processes of a pool would still be starting when sampling begins.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    return "warm" if warm else "cold"


def autocast(mode: Mode, device: Device) -> contextlib.AbstractContextManager[Any]:
    """The context in which a forward pass runs; entered anew for every call, as users do."""
    dtype = PRECISIONS[mode.precision].autocast
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(device.kind, dtype=dtype)
