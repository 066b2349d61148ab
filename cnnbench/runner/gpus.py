"""Which GPUs of the host share the work, how many at once, and which cores each of them gets.

Values in, choices out: starts nothing and measures nothing.

Only GPUs that are alike share work, because then it makes no difference which of them answers. What
is compared within a group is always measured on one. Network and Python run on the host, and at a
small batch the host's time is what is measured. So every GPU that is at work gets cores that no
other has, whole ones with all their hyperthreads, near it where the system knows which are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnnbench import machine, units
from cnnbench.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.environment import Environment
    from cnnbench.spec import Spec

# Memory of the host per worker: a guess on the safe side, Python with torch and CUDA's libraries
# and what a step keeps on the host. It decides only how many GPUs are at work at once.
_WORKER_BYTES = 2 << 30


@dataclass(frozen=True)
class Gpu:
    """A GPU of the host.

    Attributes:
        index: torch's number of it.
        uuid: its own name.
        near: cores next to it; empty if that is not known.
        visible: its name for ``CUDA_VISIBLE_DEVICES``, so that a process sees it alone; empty if
            processes see no other in any case.
    """

    index: int
    uuid: str
    near: tuple[int, ...] = ()
    visible: str = ""

    @property
    def text(self) -> str:
        """``cuda:2``."""
        return f"cuda:{self.index}"


@dataclass(frozen=True)
class Lane:
    """A GPU at work, with the cores that its workers are kept on; none if they are not."""

    gpu: Gpu
    cores: tuple[int, ...] = ()


@dataclass(frozen=True)
class GpuShare:
    """The GPUs that share work.

    Attributes:
        lanes: those at work, at the same time; none where there is no GPU, as in a dry run.
        idle: those that are not, and why.
        why: empty if all are at work.
    """

    lanes: tuple[Lane, ...] = ()
    idle: tuple[Gpu, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Host:
    """What of the host the GPUs at work divide among them.

    Attributes:
        cores: tuples of hyperthreads of one core; empty if none are to be divided.
        quota: core time of the control group, if there is a limit.
        memory: bytes available, if known.
    """

    cores: tuple[tuple[int, ...], ...] = ()
    quota: float | None = None
    memory: int | None = None

    @classmethod
    def here(cls) -> Host:
        """What this process may use of its machine."""
        cores = tuple(machine.physical_cores())
        return cls(cores, machine.cpu_quota(), machine.memory_available())


def found(environment: Environment, like: Mapping[str, Any] | None = None) -> tuple[Gpu, ...]:
    """The GPUs that workers see, all of them alike.

    Args:
        environment: as a worker described it.
        like: the kind that a run was begun on; others are passed over.

    Raises:
        Unsupported: they are of several kinds, or torch does not tell them apart.
    """
    kinds = environment.hard.get("gpus") or []
    places = environment.soft.get("gpu_places") or []
    here = [
        (_gpu(index, place, alone=len(places) == 1), kind)
        for index, (place, kind) in enumerate(zip(places, kinds or places, strict=False))
    ]
    if like is not None:
        here = [(gpu, kind) for gpu, kind in here if kind == like]
    if kinds and any(kind != here[0][1] for _, kind in here):
        raise Unsupported(
            f"--device cuda:all: the GPUs are not alike ({_listed(here)}), so it would matter which"
            " of them measures what; let CUDA_VISIBLE_DEVICES leave one kind, or use --device"
            f" {here[0][0].text}"
        )
    if len(here) > 1 and not all(gpu.uuid for gpu, _ in here):
        raise Unsupported(
            "--device cuda:all: torch does not say the UUIDs of the GPUs, so they cannot be shared"
            f" out; use --device {here[0][0].text}"
        )
    return tuple(gpu for gpu, _ in here)


def _gpu(index: int, place: Mapping[str, Any], *, alone: bool) -> Gpu:
    uuid = str(place.get("uuid") or "")
    # Torch leaves the prefix out. An instance (MIG) has another, and is always alone.
    named = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
    return Gpu(index, uuid, tuple(place.get("cores_near") or ()), "" if alone else named)


def _listed(here: Sequence[tuple[Gpu, Mapping[str, Any]]]) -> str:
    """The GPUs by kind; two kinds of one name differ in memory or driver."""
    return ", ".join(f"{gpu.text} {kind.get('name')}" for gpu, kind in here)


def share(gpus: Sequence[Gpu], host: Host, specs: Sequence[Spec]) -> GpuShare:
    """The GPUs that work at once, each with cores of its own; the others stay idle.

    Args:
        gpus: alike.
        host: what they divide.
        specs: all that is to be measured.
    """
    threads = max((spec.threads for spec in specs), default=1)
    limits = (
        (_by_cores(len(gpus), host, threads), _few_cores(host, threads)),
        (_by_memory(len(gpus), host, specs), "the host has no memory for more workers"),
    )
    fewest, reason = min(limits)
    count = min(len(gpus), max(1, fewest))
    why = "" if count == len(gpus) else reason
    return GpuShare(_with_cores(gpus[:count], host.cores), tuple(gpus[count:]), why)


def _by_cores(gpus: int, host: Host, threads: int) -> int:
    """How many GPUs find as many cores of their own as a spec has threads, and one at least."""
    if not host.cores:
        return gpus
    most = gpus if host.quota is None else min(gpus, int(host.quota / threads))
    fewest = min(map(len, host.cores))
    fitting = (n for n in range(most, 0, -1) if len(host.cores) // n * fewest >= threads)
    return next((n for n in fitting if n <= len(host.cores)), 0)


def _few_cores(host: Host, threads: int) -> str:
    quota = "" if host.quota is None else f" and a quota of {host.quota:g}"
    cores = units.number(len(host.cores), "core")
    return f"{cores}{quota} for {units.number(threads, 'thread')} each"


def _by_memory(gpus: int, host: Host, specs: Sequence[Spec]) -> int:
    """How many GPUs may have all workers of an ensemble alive at once."""
    if host.memory is None:
        return gpus
    sizes: dict[object, int] = {}
    for spec in specs:
        key = (spec.workload.group, spec.device)
        sizes[key] = sizes.get(key, 0) + 1
    return min(gpus, host.memory // (_WORKER_BYTES * max(sizes.values(), default=1)))


def _with_cores(gpus: Sequence[Gpu], cores: Sequence[tuple[int, ...]]) -> tuple[Lane, ...]:
    """Equal numbers of whole cores for each, first those near it."""
    if not cores or not gpus:
        return tuple(map(Lane, gpus))
    each, free = max(1, len(cores) // len(gpus)), list(cores)
    taken: dict[int, list[tuple[int, ...]]] = {gpu.index: [] for gpu in gpus}
    for near in (True, False):
        for gpu in gpus:
            mine = taken[gpu.index]
            wanted = [one for one in free if not near or {*one} <= {*gpu.near}]
            mine += wanted[: each - len(mine)]
            free = [one for one in free if one not in mine]
    return tuple(Lane(gpu, tuple(sorted(sum(taken[gpu.index], ())))) for gpu in gpus)


def seen_by_each(environment: Environment, chosen: GpuShare) -> Environment:
    """The environment of shared work: of the GPUs, the kind, which is all that a worker sees.

    So a run may go on with another number of them. Which they were is among the soft facts.
    """
    kinds = environment.hard.get("gpus") or []
    first = chosen.lanes[0].gpu.index if chosen.lanes else 0
    hard = {**environment.hard, "gpus": [kinds[first]]} if kinds else environment.hard
    sharing = [
        {"index": one.gpu.index, "uuid": one.gpu.uuid, "cores": list(one.cores)}
        for one in chosen.lanes
    ]
    return replace(environment, hard=hard, soft={**environment.soft, "gpus_sharing": sharing})
