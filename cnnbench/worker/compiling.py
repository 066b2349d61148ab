"""Where torch's compiler keeps what it made, and in how many processes it works."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench import machine
from cnnbench.worker.modes import COMPILERS

if TYPE_CHECKING:
    from cnnbench.spec import Device, Mode


def compile_cache(folder: str | None) -> str | None:
    """Give the compiler a separate cache per spec; the first round finds it empty.

    Returns:
        ``cold`` or ``warm``; ``None`` without a cache.
    """
    if folder is None:
        return None
    warm = Path(folder).exists()
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    _kept[:] = [Path(folder)]
    # Of the user's own cache torch would take kernels that are compiled already.
    os.environ["TRITON_CACHE_DIR"] = str(Path(folder) / "triton")
    return "warm" if warm else "cold"


# The folder that this process was given.
_kept: list[Path] = []


def kept() -> Path | None:
    """The folder of this process's spec alone, where it may keep what it made, if it has one."""
    return _kept[0] if _kept else None


def _inductor(mode: Mode) -> bool:
    """Whether torch's compiler works for a mode."""
    return COMPILERS[mode.compiler] is not None or mode.compiler == "aoti"


# With these processes the compiler of a CUDA device tries kernels, hundreds of them.
_POOL = 8


def compile_here(mode: Mode, device: Device | None = None) -> None:
    """Have the compiler work in this process, unless the user's environment says otherwise.

    The processes of a pool would still be starting when sampling begins. Where many kernels are
    compiled to find the fastest, for max-autotune on a CUDA ``device``, there is a pool
    nevertheless, which ``done_compiling`` ends.
    """
    if not _inductor(mode) or _THREADS in os.environ:
        return
    from torch._inductor import config

    many = mode.compiler == "max-autotune" and device is not None and device.kind == "cuda"
    # The variable would come too late: torch has read it before this process was forked.
    config.compile_threads = min(_POOL, machine.usable_cores()) if many else 1


_THREADS = "TORCHINDUCTOR_COMPILE_THREADS"


def done_compiling(mode: Mode) -> None:
    """End the pool that the first call compiled with; what follows is compiled here."""
    if COMPILERS[mode.compiler] is None or "torch._inductor.async_compile" not in sys.modules:
        return
    from torch._inductor import async_compile, config

    async_compile.shutdown_compile_workers()
    config.compile_threads = 1
