"""What in an environment will spoil a measurement.

How to fix it without being root. Values in, values out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench import allocator, machine, units

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.environment import Environment
    from cnnbench.quiet import CoreUse


@dataclass(frozen=True)
class MachineFinding:
    """One thing that spoils measuring.

    Attributes:
        name: stable, for scripts.
        what: what was found, with its number.
        fix: what to do about it.
    """

    name: str
    what: str
    fix: str


# Two real cores slow each other down too, by clock and memory; by less than this.
_SHARED = 0.85


@dataclass(frozen=True)
class Beside:
    """A core beside a busy one.

    Attributes:
        core, other: their numbers.
        speed: of the first while the second works, as a share of what it is otherwise.
    """

    core: int
    other: int
    speed: float

    @property
    def shared(self) -> bool:
        """Whether they can only be two halves of one."""
        return self.speed < _SHARED


# A fifth of a core is four of the kernel's ticks in a sample; less may be the system's own work.
_SHORT = 0.2
# What the system's own work may take of each core of a large machine.
_BACKGROUND = 0.02
# With a core left for every thread, neighbours still share caches, memory and clock.
_CROWDED = 0.25
# What a run of one's own leaves behind is at most one per core.
_LOAD_PER_CORE = 1.5


def findings(environment: Environment, now: CoreUse | None = None) -> tuple[MachineFinding, ...]:
    """Everything that the table of checks finds.

    Args:
        environment: where something is, or was, measured.
        now: how busy it is at this moment; decides in place of the load average, which lags.
    """
    found = [check(environment) for check in CHECKS]
    if now is not None:
        found = [
            busy(now, machine.threads_for(now.limit)),
            *(one for one in found if not _lags(one)),
        ]
    return tuple(finding for finding in found if finding is not None)


def _lags(found: MachineFinding | None) -> bool:
    return found is not None and found.name == "busy"


def quick(now: CoreUse | None, threads: int) -> MachineFinding | None:
    """What other processes do to this number of threads at the moment, if anything."""
    return busy(now, threads) or _too_many(now, threads)


def busy(now: CoreUse | None, threads: int) -> MachineFinding | None:
    """Whether other work leaves too few cores, or shares what lies beside them.

    Args:
        now: how busy the cores are; ``None`` finds nothing.
        threads: that are to work at the same time; more than can be had are no one else's fault.
    """
    if now is None:
        return None
    threads = min(threads, machine.threads_for(now.limit))
    if threads - now.free > max(_SHORT, _BACKGROUND * now.cores):
        hard, less = _HARDSHIP[threads > 1]
        return MachineFinding("busy", f"{_taken(now)}, so expect {hard}", f"{_WAIT}{less}")
    if now.busy > _CROWDED * now.cores:
        hard = "times a little too long, because caches, memory and clock are shared"
        return MachineFinding("busy", f"{_taken(now)}, so expect {hard}", _WAIT)
    return None


_WAIT = "--wait 10m waits for quiet before measuring"
# Whether there are several threads -> what to expect, and what else helps. A thread without a core
# holds up the others, so that a call takes as long as the unluckiest of them.
_HARDSHIP = {
    False: ("times a little too long, even where waiting for a core is taken out", ""),
    True: (
        "times too long and wide intervals",
        "; started anew with --threads 1, the waiting can be taken out",
    ),
}


def _taken(now: CoreUse) -> str:
    if now.cores - now.busy > now.free:
        return f"other work takes {now.limit - now.free:.1f} of the {_cores(now.limit)} allowed"
    return f"other work keeps {now.busy:.1f} of {_cores(now.cores)} busy"


def _too_many(now: CoreUse | None, threads: int) -> MachineFinding | None:
    if now is None or threads <= now.limit:
        return None
    what = f"{threads} threads share {_cores(now.limit)}, so expect long and uneven times"
    fix = f"start anew with --threads {machine.threads_for(now.limit)}"
    return MachineFinding("too_many", what, fix)


def _cores(count: float) -> str:
    return units.number(count, "core")


def shared_core(found: Beside | None) -> MachineFinding | None:
    """What it means if the first core is no core of its own; that is measured, not described."""
    if found is None or not found.shared:
        return None
    core, other = found.core, found.other
    what = (
        f"core {core} is {100 * found.speed:.0f} % as fast while core {other} works: they are"
        " hyperthreads of one"
    )
    fix = (
        f"leave core {other} idle and stay on {core} (ab --core {core}, or taskset -c {core} before"
        " any command); whatever comes and goes there changes every time measured here"
    )
    return MachineFinding("shared_core", what, fix)


def _quota(environment: Environment) -> MachineFinding | None:
    quota, cores = environment.hard.get("cpu_quota"), environment.hard.get("cores_usable")
    if quota is None or cores is None or quota >= cores:
        return None
    what = f"the control group allows {quota:g} cores of time, but threads may run on {cores}"
    return MachineFinding(
        "quota", what, f"use --threads {max(1, int(quota))}, or work is throttled in bursts"
    )


def _single_core(environment: Environment) -> MachineFinding | None:
    if environment.hard.get("cores_usable") != 1:
        return None
    what = "only one core is usable, so the measuring process and everything else share it"
    return MachineFinding("single_core", what, "stop other work; expect wide intervals")


def _load(environment: Environment) -> MachineFinding | None:
    load, cores = environment.soft.get("load"), environment.hard.get("cores_usable")
    if not load or not cores or load[0] < _LOAD_PER_CORE * cores:
        return None
    on = _cores(cores)
    what = f"the load of the last minute is {load[0]:.1f} on {on}: more work than cores"
    return MachineFinding(
        "busy", what, "stop it, or wait (--wait 10m); times are too long beside it"
    )


def _governor(environment: Environment) -> MachineFinding | None:
    governor = environment.soft.get("governor")
    if governor in {None, "performance"}:
        return None
    what = f"the frequency governor is '{governor}'"
    return MachineFinding("governor", what, "ask for 'performance', or compare only within one run")


def _hypervisor(environment: Environment) -> MachineFinding | None:
    if not environment.soft.get("hypervisor"):
        return None
    what = "this is a virtual machine: other guests share caches and cores unseen"
    return MachineFinding(
        "virtual", what, "trust speed-ups and intervals over rounds, not one absolute time"
    )


def _compiler(environment: Environment) -> MachineFinding | None:
    # Who imported a result or wrote before this was asked did not look.
    if "compiler" not in environment.soft or environment.soft["compiler"]:
        return None
    what = "there is no C++ compiler, so torch.compile modes fail on the CPU"
    return MachineFinding("compiler", what, "install g++, or leave the compile modes out")


def _memory(environment: Environment) -> MachineFinding | None:
    available = environment.soft.get("memory_available_bytes")
    if available is None or available >= 4 << 30:
        return None
    what = f"only {available / (1 << 30):.1f} GiB of memory are free"
    return MachineFinding("memory", what, "large networks will fail with out_of_memory; free some")


def _onednn(environment: Environment) -> MachineFinding | None:
    if (environment.hard.get("torch") or {}).get("onednn", True):
        return None
    what = "this torch has no oneDNN; its convolutions are many times slower"
    return MachineFinding("onednn", what, "install a torch build with oneDNN")


def _variables(environment: Environment) -> MachineFinding | None:
    named = environment.hard.get("variables") or {}
    threads = [name for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in named]
    if not threads:
        return None
    what = f"{', '.join(f'{name}={named[name]}' for name in threads)} is set"
    return MachineFinding(
        "variables", what, "unset it and say --threads, which is recorded with every row"
    )


def _allocator(environment: Environment) -> MachineFinding | None:
    """Above 32 MiB, the most that its threshold grows to, glibc maps every block anew."""
    libc, named = environment.soft.get("libc") or "", environment.hard.get("variables") or {}
    if not libc.startswith("glibc") or any(name.startswith(machine.ALLOCATOR) for name in named):
        return None
    what = "glibc takes blocks over 32 MiB from the system and clears them in every call"
    fix = (
        "the column minor_faults_per_call shows it; --allocator kept, the default, keeps them, and"
        f" where the network runs {allocator.words('kept')} or LD_PRELOAD of jemalloc or tcmalloc"
    )
    return MachineFinding("allocator", what, fix)


def _denormals(environment: Environment) -> MachineFinding | None:
    if not (environment.soft.get("flags") or {}).get("flush_denormal"):
        return None
    what = "subnormal numbers become zero here, so networks that have them look faster than usual"
    return MachineFinding(
        "denormals", what, "leave torch.set_flush_denormal and -ffast-math code out"
    )


# One line per check.
CHECKS: tuple[Callable[[Environment], MachineFinding | None], ...] = (
    _quota,
    _single_core,
    _load,
    _governor,
    _hypervisor,
    _compiler,
    _memory,
    _onednn,
    _variables,
    _allocator,
    _denormals,
)
