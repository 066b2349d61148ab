"""What each word of a mode does to a network, and the only place that sets global flags.

One table per axis; its keys are the values of ``spec.WORDS`` (a test compares them).
"""

from __future__ import annotations

import contextlib
import functools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn
from torch.utils import _pytree as pytree

from cnnbench import deployment, implementations, machine
from cnnbench.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cnnbench.spec import Device, Mode


# Arguments of a network, nested in any way.
Inputs = TypeVar("Inputs")


@dataclass(frozen=True)
class Precision:
    """What a precision means.

    Attributes:
        dtype: of weights and floating-point inputs; ``None`` leaves the network's own.
        autocast: the dtype that autocast chooses for contractions, if it is used.
        tf32: float32 contractions may use TF32 matrix units (CUDA): those of cuDNN, which are
            convolutions and recurrent layers, and unless ``ieee_matmul`` those of cuBLAS.
        ieee_matmul: products of matrices do not, as torch has it where nobody sets anything.
        roundoff: unit roundoff: the largest relative error of rounding to nearest, 2**-p for
            numbers of p significant bits. The leading one is not stored, so bfloat16 with its 7
            stored bits has p = 8, float16 and TF32 have 11, float32 has 24.
    """

    dtype: torch.dtype | None = None
    autocast: torch.dtype | None = None
    tf32: bool = False
    ieee_matmul: bool = False
    roundoff: float = 2.0**-24


PRECISIONS: dict[str, Precision] = {
    "fp32": Precision(),
    "tf32": Precision(tf32=True, roundoff=2.0**-11),
    "tf32=cudnn": Precision(tf32=True, ieee_matmul=True, roundoff=2.0**-11),
    "amp=bf16": Precision(autocast=torch.bfloat16, roundoff=2.0**-8),
    "amp=fp16": Precision(autocast=torch.float16, roundoff=2.0**-11),
    "bf16": Precision(dtype=torch.bfloat16, roundoff=2.0**-8),
    "fp16": Precision(dtype=torch.float16, roundoff=2.0**-11),
    # Of 256 steps between the ends of a tensor; a runtime quantises, the module stays as it is.
    "int8": Precision(roundoff=2.0**-8),
    # No words for users: the precisions that the others are checked against.
    "float32": Precision(dtype=torch.float32),
    "fp64": Precision(dtype=torch.float64, roundoff=2.0**-53),
}

# Memory formats by number of axes; a tensor with another number of axes stays as it is.
MEMORY_FORMATS: dict[str, dict[int, torch.memory_format]] = {
    "contiguous": {},
    "channels_last": {4: torch.channels_last, 5: torch.channels_last_3d},
}

# Whether torch's compiler makes constants of the weights, which it can then fold and pack.
FREEZING: dict[str, bool] = {"off": False, "on": True}

# Arguments of torch.compile; None means that the module is left alone.
COMPILERS: dict[str, dict[str, Any] | None] = {
    "eager": None,
    "graph": None,  # see graphed.py
    # Not compiled but exported: see runtimes/.
    "aoti": None,
    "onnxruntime": None,
    "openvino": None,
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
    _set_fp32(PRECISIONS[mode.precision])
    _set_freezing(frozen=FREEZING[mode.freezing])
    torch.backends.cudnn.benchmark = cudnn_benchmark
    # Implementations of single layers of a network have no flags of their own.
    name = "" if mode.replacements else mode.implementation
    _set_switches(implementations.implementation(name).flags)
    found = flags()
    _last[:] = [(mode, threads, cudnn_benchmark, found)]
    return found


# What ``set_flags`` was last asked for, and what the flags were then.
_last: list[tuple[Mode, int, bool, dict[str, Any]]] = []


def put_back() -> list[str]:
    """Set the flags again that code of a network has changed since ``set_flags``.

    Returns:
        What had been changed: ``threads 1 -> 7``.
    """
    if not _last:
        return []
    mode, threads, cudnn_benchmark, before = _last[0]
    now = flags()
    changed = [f"{name} {before[name]} -> {now[name]}" for name in now if now[name] != before[name]]
    if changed:
        torch.use_deterministic_algorithms(before["deterministic"])
        torch.set_flush_denormal(before["flush_denormal"])
        torch.backends.mkldnn.enabled = before["mkldnn"]  # type: ignore[assignment]
        set_flags(mode, threads, cudnn_benchmark=cudnn_benchmark)
    return changed


def _set_fp32(precision: Precision) -> None:
    """What float32 means in contractions on CUDA.

    Torch's older flags say the same, or reading them would raise an error: code of a network does
    that wherever it enters ``torch.backends.cudnn.flags``, and so does ``torch.export``.
    """
    matmul = precision.tf32 and not precision.ieee_matmul
    for older, allowed in zip(_OLDER_FLAGS, (matmul, precision.tf32), strict=True):
        older.allow_tf32 = allowed
    for owner, allowed in zip(_FP32_OWNERS, (matmul, precision.tf32, precision.tf32), strict=True):
        owner.fp32_precision = "tf32" if allowed else "ieee"


def _set_freezing(*, frozen: bool) -> None:
    """A flag of the compiler's, which is imported only where something compiles."""
    if not frozen and "torch._inductor.config" not in sys.modules:
        return
    from torch._inductor import config

    config.freezing = frozen


_OLDER_FLAGS: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
_FP32_OWNERS: tuple[Any, ...] = (
    torch.backends.cuda.matmul,
    torch.backends.cudnn.conv,  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn,  # type: ignore[attr-defined]
)

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
        "cudnn_rnn_fp32": torch.backends.cudnn.rnn.fp32_precision,  # type: ignore[attr-defined]
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
    older = [_read(owner) for owner in _OLDER_FLAGS]
    before = [owner.fp32_precision for owner in _FP32_OWNERS]
    benchmark = torch.backends.cudnn.benchmark
    compiler: Any = sys.modules.get("torch._inductor.config")
    freezing = compiler is not None and bool(compiler.freezing)
    try:
        yield
    finally:
        _last.clear()
        _set_freezing(frozen=freezing)
        torch.set_num_threads(threads)
        _set_switches({})
        torch.backends.cudnn.benchmark = benchmark
        for owner, allowed in zip(_OLDER_FLAGS, older, strict=True):
            if allowed is not None:
                owner.allow_tf32 = allowed
        for owner, value in zip(_FP32_OWNERS, before, strict=True):
            owner.fp32_precision = value


def _read(owner: Any) -> bool | None:
    """One of torch's older flags; ``None`` where the caller's contradict each other."""
    try:
        return bool(owner.allow_tf32)
    except RuntimeError:
        return None


def _flushes_denormals() -> bool:
    """Whether subnormal results become zero; torch can set this but not report it."""
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)
    return bool((smallest / 2 == 0).item())


def cast(value: Any, dtype: torch.dtype | None, device: str | None) -> Any:
    """Inputs on the device, floating-point ones in the given dtype, if any of these is given."""

    def move(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(device, dtype if tensor.is_floating_point() else None)

    return pytree.tree_map_only(torch.Tensor, move, value)


def refuse_impossible(mode: Mode, device: Device) -> None:
    """Refuse a mode where torch would silently do something else.

    Raises:
        Unsupported: the mode is not available here; the message says why.
    """
    if reason := deployment.refusal(mode):
        raise Unsupported(f"{mode.text}: {reason}")
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
    mode: Mode, device: Device, module: nn.Module, inputs: Inputs
) -> tuple[nn.Module, Inputs]:
    """Module and inputs on the device in the mode's memory format; not yet compiled.

    They keep the types that they have, unless the mode's precision is one.

    Raises:
        Unsupported: the mode would not do on this device what its words say.
    """
    refuse_impossible(mode, device)
    # Its own method, which may move more than parameters; whatever it returns, it works in place.
    module.to(device.text)
    return converted(mode, module, cast(inputs, None, device.text))


def converted(mode: Mode, module: nn.Module, inputs: Inputs) -> tuple[nn.Module, Inputs]:
    """Module and inputs, where they are, in the mode's precision and memory format."""
    precision = PRECISIONS[mode.precision]
    _retype(module, precision.dtype)
    inputs = cast(inputs, precision.dtype, None)
    formats = MEMORY_FORMATS[mode.memory_format]
    if formats:
        inputs = pytree.tree_map_only(torch.Tensor, _restrider(formats), inputs)
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.data = _restrider(formats)(tensor.data)
    return module, inputs


def dtypes(module: nn.Module) -> tuple[torch.dtype, ...]:
    """The floating-point types of a module's parameters, each once, in order of registration."""
    return tuple(dict.fromkeys(p.dtype for p in module.parameters() if p.is_floating_point()))


def coarsest(module: nn.Module) -> torch.dtype:
    """The type of its parameters that rounds most; float32 for a module without any."""
    return max(dtypes(module), key=lambda one: torch.finfo(one).eps, default=torch.float32)


def roundoff(mode: Mode, module: nn.Module) -> float:
    """The unit roundoff of a module that is in a mode: of its words and of its own parameters."""
    chosen, own = PRECISIONS[mode.precision], torch.finfo(coarsest(module)).eps / 2
    follows = chosen.dtype is None and chosen.autocast is None and not chosen.tf32
    return own if follows else max(own, chosen.roundoff)


def described(module: nn.Module) -> str:
    """Its floating-point types as text: ``bfloat16``, ``bfloat16 and float32``; empty without."""
    return " and ".join(str(one).removeprefix("torch.") for one in dtypes(module))


# Complex numbers of the reals that they are computed with; narrower ones have no kernels.
_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


def _retype(module: nn.Module, dtype: torch.dtype | None) -> None:
    """Put a module in a dtype if it has floating-point parameters."""
    if dtype is None or not dtypes(module):
        return
    if any(tensor.is_complex() for tensor in (*module.parameters(), *module.buffers())):
        # ``Module.to`` would make them real and drop the imaginary part.
        convert: Any = functools.partial(_converted, dtype=dtype)
        module._apply(convert)  # type: ignore[no-untyped-call]  # noqa: SLF001
    else:
        nn.Module.to(module, dtype)


def _converted(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if tensor.is_complex():
        return tensor.to(_COMPLEX.get(dtype, torch.complex64))
    return tensor.to(dtype if tensor.is_floating_point() else None)


def _restrider(
    formats: dict[int, torch.memory_format],
) -> Callable[[torch.Tensor], torch.Tensor]:
    def restride(tensor: torch.Tensor) -> torch.Tensor:
        wanted = formats.get(tensor.dim())
        return tensor if wanted is None else tensor.contiguous(memory_format=wanted)

    return restride


def refuse_compiled(module: nn.Module) -> None:
    """Refuse a network that is compiled as a whole: no mode could be what its words say.

    Parts that a network compiles itself are its own affair.

    Raises:
        Unsupported: it is one.
    """
    if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None:
        raise Unsupported(
            "the network is compiled already, so eager would time compiled code;"
            " give the module itself and choose the mode compile"
        )


def nothing_compiled() -> contextlib.AbstractContextManager[Any]:
    """Parts that a network compiles itself run as written meanwhile.

    Compiled code would keep the hooks of the calls in which it was compiled.
    """
    if "torch._dynamo" not in sys.modules:
        return contextlib.nullcontext()
    stance: contextlib.AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def compiled(mode: Mode, module: nn.Module) -> Callable[..., Any]:
    """The module as the mode calls it."""
    arguments = COMPILERS[mode.compiler]
    if arguments is None:
        return module
    # A benchmark has one shape; dynamic shapes would measure something else.
    function: Callable[..., Any] = torch.compile(module, dynamic=False, **arguments)
    return function


def autocast(mode: Mode, device: Device) -> contextlib.AbstractContextManager[Any]:
    """The context in which a forward pass runs; entered anew for every call, as users do."""
    dtype = PRECISIONS[mode.precision].autocast
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(device.kind, dtype=dtype)
