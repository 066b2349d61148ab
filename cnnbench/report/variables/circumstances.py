"""Where, when and how a record was measured: environment, revision and plan of its run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnbench.report.variables.variable import NEVER, Type, Variable, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.report.variables.variable import StoredEntry

_ENVIRONMENT, _MANIFEST = "environment of the run", "manifest of the run"
_UNKNOWN = "the environment does not say it, as an imported one"

# Type of values -> what of a file is one.
_KINDS: dict[Type, tuple[type, ...]] = {
    "text": (str, int, float), "integer": (int,), "number": (int, float), "truth": (bool,),
}  # fmt: skip


def _fact(
    name: str, kind: Type, unit: str, meaning: str, of: Callable[[StoredEntry], Any],
    empty: str = _UNKNOWN,
) -> Variable:  # fmt: skip
    return Variable(name, kind, unit, meaning, _ENVIRONMENT, empty,
                    lambda row: plain(of(row), *_KINDS[kind]))  # fmt: skip


def _gpu(row: StoredEntry) -> dict[str, Any]:
    """The GPU that measured; of alike ones that shared the work the one that all are like."""
    device, gpus = row.record.spec.device, row.hard.get("gpus") or ()
    if device.kind == "cpu" or not gpus:
        return {}
    return dict(gpus[device.index if device.index < len(gpus) else 0])


_NO_GPU = "the device is a CPU"


def _load(row: StoredEntry) -> Any:
    found = row.soft.get("load") or ()
    return found[0] if found else None


def _instruction_sets(row: StoredEntry) -> str:
    found = plain(row.hard.get("instruction_sets"), list, tuple) or ()
    return ",".join(one for one in found if isinstance(one, str))


def _environment() -> list[Variable]:
    return [
        _fact("cpu", "text", "", "model of the processor", lambda row: row.hard.get("cpu")),
        _fact("cpu_family", "text", "", "the processor's numbers: family/model/stepping",
              lambda row: row.hard.get("cpu_family")),
        _fact("processor_architecture", "text", "", "instruction set architecture, e.g. x86_64",
              lambda row: row.hard.get("architecture")),
        Variable("instruction_sets", "text", "",
                 "instruction sets of use to convolutions, separated by commas",
                 _ENVIRONMENT, _UNKNOWN, _instruction_sets),
        _fact("cores_total", "integer", "1", "cores of the host",
              lambda row: row.hard.get("cores_total")),
        _fact("cores_usable", "integer", "1", "cores that the process may use",
              lambda row: row.hard.get("cores_usable")),
        _fact("cpu_quota_cores", "number", "1", "share of the cores that a container may use",
              lambda row: row.hard.get("cpu_quota"), "there is no quota"),
        _fact("host_memory_bytes", "integer", "byte", "memory of the host, to whole GiB",
              lambda row: _gib(row.hard.get("memory_gib"))),
        _fact("hypervisor", "truth", "", "whether the host is a virtual machine",
              lambda row: row.soft.get("hypervisor")),
        _fact("kernel", "text", "", "version of the operating system's kernel",
              lambda row: row.soft.get("kernel")),
        _fact("libc", "text", "", "C library, whose malloc is used",
              lambda row: row.soft.get("libc")),
        _fact("host", "text", "", "short hash of the host's name",
              lambda row: row.soft.get("host")),
        _fact("load_1min", "number", "1", "load of the host when the run began, over a minute",
              _load),
        _fact("governor", "text", "", "how the processor's frequency is governed",
              lambda row: row.soft.get("governor"), "the kernel does not tell"),
        _fact("python", "text", "", "version of Python", lambda row: row.hard.get("python")),
        _fact("torchvision", "text", "", "version of torchvision",
              lambda row: row.torch.get("torchvision")),
        _fact("torch_git", "text", "", "commit that torch was built from",
              lambda row: row.torch.get("git")),
        _fact("torch_cpu_capability", "text", "", "instruction set of torch's own CPU kernels",
              lambda row: row.torch.get("cpu_capability")),
        _fact("cuda_version", "text", "", "version of CUDA that torch was built with",
              lambda row: row.torch.get("cuda"), "torch was built without CUDA"),
        _fact("cudnn_version", "text", "", "version of cuDNN", lambda row: row.torch.get("cudnn"),
              "no CUDA device was there"),
        _fact("gpu", "text", "", "model of the GPU that measured",
              lambda row: _gpu(row).get("name"), _NO_GPU),
        _fact("gpu_memory_bytes", "integer", "byte", "memory of that GPU",
              lambda row: _gpu(row).get("memory_bytes"), _NO_GPU),
        _fact("gpu_multiprocessors", "integer", "1", "multiprocessors of that GPU",
              lambda row: _gpu(row).get("multiprocessors"), _NO_GPU),
        _fact("gpu_compute_capability", "text", "", "compute capability of that GPU",
              lambda row: _gpu(row).get("compute_capability"), _NO_GPU),
        _fact("gpu_driver", "text", "", "version of the GPU's driver",
              lambda row: _gpu(row).get("driver"), _NO_GPU),
        Variable("fake", "truth", "", "whether every number is made up, by the fake executor",
                 _ENVIRONMENT, NEVER, lambda row: bool(row.hard.get("fake"))),
    ]  # fmt: skip


def _gib(found: Any) -> int | None:
    known = plain(found, int, float)
    size = None if known is None else plain(known * (1 << 30), int, float)
    return None if size is None else round(size)


# Field of a plan -> type, unit, meaning.
_PLAN: dict[str, tuple[Type, str, str]] = {
    "rounds": ("integer", "1", "fresh starts of all workers"),
    "slices": ("integer", "1", "turns of each worker in a round"),
    "slice_seconds": ("number", "s", "length of a turn"),
    "turn_budget": ("number", "s", "time of slices per spec and round"),
    "warm_up_calls": ("integer", "1", "calls of the warm-up, at least"),
    "warm_up_seconds": ("number", "s", "length of the warm-up, at least"),
    "warm_up_limit": ("number", "s", "length of the warm-up, at most"),
    "seed": ("integer", "", "seed of weights, inputs and the order of turns"),
    "precision": ("number", "1", "width of intervals, either way, at which rounds end"),
    "budget": ("number", "s", "time of the whole run"),
    "timeout": ("number", "s", "limit of any one step of a worker"),
    "memory_limit": ("integer", "byte", "memory that a worker may get"),
    "ceilings": ("truth", "", "whether the machine's ceilings were probed"),
    "l2": ("text", "", "caches before a sample: warm or cold"),
    "cudnn_benchmark": ("truth", "", "whether cuDNN timed its algorithms first"),
    "energy": ("truth", "", "whether energy was measured"),
    "cold_start": ("truth", "", "whether cold starts were measured"),
}
_UNITS_IN_NAMES = {"s": "_s", "byte": "_bytes"}


def _planned(field: str) -> Variable:
    kind, unit, meaning = _PLAN[field]
    name = f"plan_{field.removesuffix('_seconds')}{_UNITS_IN_NAMES.get(unit, '')}"
    return Variable(name, kind, unit, f"plan of the run: {meaning}", _MANIFEST,
                    "the plan says nothing of it",
                    lambda row: plain(row.manifest.plan.get(field), *_KINDS[kind]))  # fmt: skip


def _run() -> list[Variable]:
    return [
        Variable("run_created", "text", "", "UTC time at which the run began, ISO 8601", _MANIFEST,
                 NEVER, lambda row: row.manifest.created),
        Variable("executor", "text", "", "who measured: process, fake, or another tool", _MANIFEST,
                 NEVER, lambda row: row.manifest.executor),
        Variable("cnnbench_version", "text", "", "version of cnnbench", _MANIFEST, NEVER,
                 lambda row: row.manifest.version),
        Variable("revision", "text", "", "git commit of the repository that was measured",
                 _MANIFEST, "there was no repository, or merged runs are of several",
                 lambda row: row.manifest.revision),
        Variable("dirty", "truth", "", "whether it had changes that were not committed", _MANIFEST,
                 "the revision is not known", lambda row: row.manifest.dirty),
        Variable("shard", "text", "", "which part of a grid the run is, such as 2/8", _MANIFEST,
                 "the run is a whole grid", lambda row: row.manifest.shard),
        Variable("grid", "text", "", "name for the whole of that grid", _MANIFEST,
                 "the run is a whole grid", lambda row: row.manifest.grid),
        Variable("record_schema", "integer", "", "schema that the record is read as", "record",
                 NEVER, lambda row: row.record.schema),
    ]  # fmt: skip


def variables() -> list[Variable]:
    """The variables in order."""
    return [*_environment(), *_run(), *map(_planned, _PLAN)]
