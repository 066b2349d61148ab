"""Facts of the host, read from the operating system.

Cores, quota, memory, instruction sets, compiler.

Standard library only, no torch, milliseconds. Values that cannot be read are ``None``; nothing is
guessed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_CGROUP = Path("/sys/fs/cgroup")
_CACHES = Path("/sys/devices/system/cpu")

# Instruction sets that decide which convolution kernels exist; the other flags do not matter.
_INSTRUCTION_SETS = (
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "amx_bf16", "amx_int8", "amx_fp16", "asimd", "sve", "bf16", "i8mm",
)  # fmt: skip

# Environment variables that change what torch runs or how memory is allocated. Only these names are
# ever recorded.
_PREFIXES = (
    "OMP_", "KMP_", "GOMP_", "MKL_", "DNNL_", "ONEDNN_", "OPENBLAS_", "ATEN_", "TORCH", "PYTORCH_",
    "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_TF32_OVERRIDE", "MALLOC_", "LD_PRELOAD", "GLIBC_TUNABLES",
)  # fmt: skip

# Which of the machine's GPUs are seen, by number or UUID: another one of the same kind, as the next
# container gets, computes as fast. What kind they are is a fact of its own.
_CHOICES = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")

# Paths of files, which do not affect computation; two users of one machine differ in these.
_PLACES = ("_HOME", "_DIR", "_PATH")

# Results are published.
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")


def read_text(path: str | Path) -> str | None:
    """A small text file of the system, stripped, or ``None`` if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf8", errors="replace").strip()
    except OSError:
        return None


def largest_cache() -> int:
    """Bytes of the largest cache that a core has a part in; of one that is not stated, 64 MiB."""
    found = [_cache_bytes(path) for path in _CACHES.glob("cpu[0-9]*/cache/index*/size")]
    return max(found, default=0) or 64 << 20


def _cache_bytes(path: Path) -> int:
    """A size as the kernel states it: ``32768K``."""
    text = (read_text(path) or "").strip()
    unit = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:], 1)
    number = text.rstrip("KM")
    return int(number) * unit if number.isdecimal() else 0


def usable_cores() -> int:
    """Cores this process may run on (affinity)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def physical_cores() -> list[tuple[int, ...]]:
    """The cores this process may use, in tuples of those that are hyperthreads of one."""
    if not hasattr(os, "sched_getaffinity"):
        return [(core,) for core in range(usable_cores())]
    usable = os.sched_getaffinity(0)
    found: dict[tuple[int, ...], None] = {}
    for core in sorted(usable):
        text = read_text(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        siblings = {core, *core_list(text or "")} & usable
        found[tuple(sorted(siblings))] = None
    return list(found)


def core_list(text: str) -> tuple[int, ...]:
    """The numbers in a list of the kernel's such as ``0-3,8``; none if it is no such list."""
    found: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            return ()
        found += range(int(first), int(last if dash else first) + 1)
    return tuple(found)


def cores_near(slot: str) -> tuple[int, ...]:
    """The cores next to a PCI device, ``0000:3b:00.0``; none if that is not known."""
    return core_list(read_text(f"/sys/bus/pci/devices/{slot}/local_cpulist") or "")


def cpu_quota() -> float | None:
    """CPU quota of the control group in cores, if there is a limit."""
    text = read_text(_CGROUP / "cpu.max")
    if text is not None:
        limit, _, period = text.partition(" ")
        return None if limit == "max" else int(limit) / int(period)
    quota, period_us = (
        read_text(_CGROUP / "cpu/cpu.cfs_quota_us"),
        read_text(_CGROUP / "cpu/cpu.cfs_period_us"),
    )
    if quota is None or period_us is None or int(quota) < 0:
        return None
    return int(quota) / int(period_us)


def default_threads() -> int:
    """Threads that can run at the same time: cores, or the quota if that is less."""
    quota = cpu_quota()
    cores = usable_cores()
    return cores if quota is None else threads_for(min(cores, quota))


def threads_for(cores: float) -> int:
    """The number of threads that this much core time is enough for."""
    return max(1, int(cores))


def _kibibytes(path: str, key: str) -> int | None:
    for line in (read_text(path) or "").splitlines():
        name, _, rest = line.partition(":")
        if name == key:
            return int(rest.split()[0]) << 10
    return None


def memory_total() -> int | None:
    """Bytes of memory: the machine's, or the control group's limit if that is less."""
    found = [_kibibytes("/proc/meminfo", "MemTotal"), _cgroup_bytes("memory.max")]
    known = [value for value in found if value is not None]
    return min(known, default=None)


def memory_available() -> int | None:
    """Bytes that can be allocated now without swapping, within the control group's limit."""
    free = _kibibytes("/proc/meminfo", "MemAvailable")
    limit, used = _cgroup_bytes("memory.max"), _cgroup_bytes("memory.current")
    left = None if limit is None or used is None else limit - used
    known = [value for value in (free, left) if value is not None]
    return min(known, default=None)


def _cgroup_bytes(name: str) -> int | None:
    text = read_text(_CGROUP / name)
    return int(text) if text is not None and text.isdigit() else None


def oom_kills() -> int | None:
    """Out-of-memory kills by the kernel so far, on this host or in the control group."""
    lines = [*(read_text("/proc/vmstat") or "").splitlines(),
             *(read_text(_CGROUP / "memory.events") or "").splitlines()]  # fmt: skip
    counts = [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
    return sum(counts) if counts else None


def _cpuinfo() -> dict[str, str]:
    first = (read_text("/proc/cpuinfo") or "").split("\n\n", maxsplit=1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def emulates_bf16(known: Iterable[str]) -> bool:
    """Whether a processor with these instruction sets computes bfloat16 by other instructions.

    It takes many times as long as float32 then. Where none are known, it may have some for it;
    those that only convert (AVX-NE-CONVERT) do not count.
    """
    found = tuple(known)
    return bool(found) and not any("bf16" in one for one in found)


def instruction_sets(facts: dict[str, str] | None = None) -> tuple[str, ...]:
    """The instruction sets of the processor that matter for convolutions."""
    info = _cpuinfo() if facts is None else facts
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return tuple(name for name in _INSTRUCTION_SETS if name in flags)


def compiler() -> str | None:
    """The C++ compiler that torch.compile would call on CPU."""
    named = os.environ.get("CXX")
    return shutil.which(named) if named else shutil.which("g++") or shutil.which("clang++")


def governor() -> str | None:
    """The frequency governor of the first core."""
    return read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def turbo() -> bool | None:
    """Whether the clock may rise above its base; ``None`` if unknown."""
    text = read_text("/sys/devices/system/cpu/intel_pstate/no_turbo")
    if text is not None:
        return text == "0"
    boost = read_text("/sys/devices/system/cpu/cpufreq/boost")
    return None if boost is None else boost == "1"


def transparent_huge_pages() -> str | None:
    """The chosen setting, e.g. ``madvise``."""
    text = read_text("/sys/kernel/mm/transparent_hugepage/enabled") or ""
    chosen = [word.strip("[]") for word in text.split() if word.startswith("[")]
    return chosen[0] if chosen else None


def hard_facts() -> dict[str, Any]:
    """The facts that decide whether two timings are comparable."""
    info = _cpuinfo()
    return {
        "architecture": platform.machine(),
        "cpu": info.get("model name") or info.get("CPU part") or platform.processor() or None,
        "cpu_family": "/".join(info.get(k, "?") for k in ("cpu family", "model", "stepping")),
        "instruction_sets": list(instruction_sets(info)),
        "cores_usable": usable_cores(),
        "cores_total": os.cpu_count(),
        "cpu_quota": cpu_quota(),
        # To the GiB: the kernel's own share varies by a few MiB from boot to boot.
        "memory_gib": None if (total := memory_total()) is None else round(total / (1 << 30)),
        "python": platform.python_version(),
        "variables": variables(),
    }


# Any of these shows that the allocator has been configured.
ALLOCATOR = ("LD_PRELOAD", "MALLOC_", "GLIBC_TUNABLES")


def allocator() -> str:
    """The allocator: the C library, and every variable that changes it.

    For a preloaded library, only the name of the file, without its folder.
    """
    named = {name: value for name, value in variables().items() if name.startswith(ALLOCATOR)}
    parts = [f"{name}={value.rsplit('/', 1)[-1]}" for name, value in named.items()]
    return " ".join([" ".join(platform.libc_ver()).strip() or platform.system(), *parts])


def soft_facts() -> dict[str, Any]:
    """The facts that explain a timing without making it incomparable."""
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "hypervisor": "hypervisor" in (_cpuinfo().get("flags") or "").split(),
        "governor": governor(),
        "turbo": turbo(),
        "transparent_huge_pages": transparent_huge_pages(),
        "load": list(os.getloadavg()),
        "memory_available_bytes": memory_available(),
        "compiler": compiler(),
        # Enough to see that two runs came from one machine, not enough to identify it.
        "host": hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8],
    }


def variables() -> dict[str, str]:
    """Environment variables that change the measurement, by an allow-list of names.

    Their values at the start of the process, because torch sets some while being imported.
    """
    try:
        parts = Path("/proc/self/environ").read_bytes().decode(errors="replace").split("\0")
        pairs = [part.partition("=")[::2] for part in parts]
    except OSError:
        pairs = list(os.environ.items())
    named = [pair for pair in sorted(pairs) if pair[0].startswith(_PREFIXES)]
    wanted = [pair for pair in named if not pair[0].endswith(_PLACES) and pair[0] not in _CHOICES]
    return {name: value for name, value in wanted if not any(word in name for word in _SECRET)}
