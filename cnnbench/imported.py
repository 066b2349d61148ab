"""Results of other tools -> an environment and records, so that they can be compared and gated.

Nothing is invented that the file does not contain: the spec's id begins with ``imported:`` and the
name that the benchmark had; batch, input, mode and threads in it are placeholders; the output is
"unchecked". One file is one process and therefore one round; several files of one machine are
several rounds. Files that ``cnnbench export`` wrote name specs and rounds, which are kept.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from cnnbench import axes, files
from cnnbench.codec import decode, without_unknown
from cnnbench.environment import Environment
from cnnbench.errors import Incomparable, StoreError, UnknownName, UsageError
from cnnbench.facts import Check
from cnnbench.record import Record, Run
from cnnbench.slices import Slice, Slices
from cnnbench.spec import Device, Mode, Spec, Workload

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NOTE = "imported from {}: batch, input, mode and threads of this spec are placeholders"
_NO_SAMPLES = "{} contains no samples, so its median is used"


@dataclass(frozen=True)
class Timed:
    """One benchmark of one file.

    Attributes:
        name: as the tool wrote it.
        rounds: of each, samples in nanoseconds, each of ``iterations`` calls.
        iterations: calls per sample.
        spec: as our own export names it; of other tools ``None``.
        notes: what a reader must know.
    """

    name: str
    rounds: tuple[tuple[int, ...], ...]
    iterations: int
    spec: Spec | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sitting:
    """One file of another tool.

    Attributes:
        machine: what it says of the machine that decides comparability.
        soft: what else it says.
        taken: when, ISO 8601, or empty.
        timed: its benchmarks.
    """

    machine: Mapping[str, Any]
    soft: Mapping[str, Any]
    taken: str
    timed: tuple[Timed, ...] = field(default=())


def read(paths: Sequence[Path], kind: str = "pytest-benchmark") -> (
    tuple[Environment, tuple[Record, ...]]
):  # fmt: skip
    """Read files of one tool and one machine.

    Raises:
        UnknownName: no such format.
        StoreError: a file is not of this format.
        Incomparable: the files come from different machines.
    """
    if kind not in IMPORTS:
        raise UnknownName("import format", kind, IMPORTS)
    sittings = [IMPORTS[kind](_load(path), str(path)) for path in paths]
    first = sittings[0]
    for path, other in zip(paths, sittings, strict=True):
        changed = [k for k in other.machine if other.machine[k] != first.machine.get(k)]
        if changed:
            raise Incomparable(
                f"{path} comes from another machine than {paths[0]} (different:"
                f" {', '.join(changed)}); import each into a separate run"
            )
    environment = Environment({"imported": kind, **first.machine}, first.soft)
    return environment, tuple(_records(sittings, kind, environment.fingerprint))


def _load(path: Path) -> Any:
    try:
        return json.loads(files.read_text(path))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path}: not valid JSON; is it a complete file of that tool?") from error


def _records(sittings: Sequence[Sitting], kind: str, fingerprint: str) -> list[Record]:
    names = dict.fromkeys(timed.name for sitting in sittings for timed in sitting.timed)
    records = []
    for name in names:
        found = [
            (number, timed)
            for number, sitting in enumerate(sittings)
            for timed in sitting.timed
            if timed.name == name
        ]
        notes = [note for _, timed in found for note in timed.notes]
        spec = found[0][1].spec
        if spec is None:
            notes.insert(0, _NOTE.format(kind))
        rounds = [(place, timed, one) for place, timed in found for one in timed.rounds]
        records.append(
            Record(
                id=(spec or spec_of(name)).id,
                environment=fingerprint,
                measured_at=sittings[found[-1][0]].taken,
                runs=tuple(
                    _run(number, samples, timed.iterations, sittings[place], kind)
                    for number, (place, timed, samples) in enumerate(rounds)
                ),
                notes=tuple(dict.fromkeys(notes)),
            )
        )
    return records


def spec_of(name: str) -> Spec:
    """The spec that stands for a benchmark of another tool."""
    return Spec(Workload(f"imported:{name}", 1, (1,)), Mode(), Device(), 1)


def _run(
    number: int, samples: tuple[int, ...], iterations: int, sitting: Sitting, kind: str
) -> Run:
    # A name of its own per file: nothing of another file was measured beside it.
    told = f"{sitting.taken} {samples}".encode("utf8", "replace")
    return Run(
        round=number,
        ensemble=f"imported-{hashlib.sha256(told).hexdigest()[:8]}-{number}",
        slices=Slices.of([Slice(0, iterations, samples)]),
        warmup_ns=(),
        build_ns=0,
        check=Check("unchecked", reason=f"imported from {kind}"),
    )


@dataclass(frozen=True)
class _Cpu:
    """What pytest-benchmark says of a processor, as far as it is used."""

    brand_raw: str | None = None
    brand: str | None = None
    count: int | None = None


@dataclass(frozen=True)
class _Machine:
    """``machine_info`` of pytest-benchmark, as far as it is used."""

    machine: str | None = None
    cpu: _Cpu | None = None
    python_version: str | None = None
    cnnbench_fingerprint: str | None = None
    torch: str | None = None
    system: str | None = None
    release: str | None = None


@dataclass(frozen=True)
class _Commit:
    """``commit_info`` of pytest-benchmark, as far as it is used."""

    id: str | None = None


@dataclass(frozen=True)
class _File:
    """A file of pytest-benchmark, as far as it is used."""

    benchmarks: tuple[Any, ...]
    machine_info: _Machine | None = None
    commit_info: _Commit | None = None
    datetime: str | None = None


def _pytest_benchmark(data: Any, place: str) -> Sitting:
    benchmarks = data.get("benchmarks") if isinstance(data, dict) else None
    if not isinstance(benchmarks, list):
        raise StoreError(f"{place}: not a pytest-benchmark file: it has no 'benchmarks'")
    if not benchmarks:
        raise StoreError(f"{place}: its list of 'benchmarks' is empty; there is nothing to import")
    file = decode(_File, without_unknown(_File, data), place)
    machine = file.machine_info or _Machine()
    cpu = machine.cpu or _Cpu()
    hard = {
        "architecture": machine.machine,
        "cpu": cpu.brand_raw or cpu.brand,
        "cores_usable": cpu.count,
        "python": machine.python_version,
        "fingerprint": machine.cnnbench_fingerprint,
        "torch": {"version": machine.torch} if machine.torch else None,
    }
    soft = {
        "system": machine.system,
        "kernel": machine.release,
        "commit": None if file.commit_info is None else file.commit_info.id,
    }
    known = {key: value for key, value in hard.items() if value is not None}
    timed = tuple(_timed(one, f"{place}: benchmarks[{n}]") for n, one in enumerate(benchmarks))
    return Sitting(known, soft, file.datetime or "", timed)


def _timed(one: Any, place: str) -> Timed:
    try:
        name, stats = str(one["fullname"]), one["stats"]
        name.encode()  # half of a surrogate pair has no place in an id
        iterations = int(stats.get("iterations") or 1)
        data = stats.get("data") or [stats["median"]]
        samples = tuple(round(float(value) * iterations * 1e9) for value in data)
        counts = _own(one, "round_samples", list) or [len(samples)]
        spec = _spec(_own(one, "spec", str))
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        raise StoreError(f"{place}: not a benchmark with a fullname and stats") from None
    if not samples or min(samples) <= 0 or not math.isfinite(sum(samples)) or iterations < 1:
        raise StoreError(f"{place}: a time that is not positive")
    decode(tuple[int, ...], [iterations, *samples], f"{place}: iterations and nanoseconds")
    whole = all(type(count) is int and count > 0 for count in counts)
    if not whole or sum(counts) != len(samples):
        raise StoreError(f"{place}: its rounds do not have as many samples as there are")
    ends = [*accumulate(counts)]
    return Timed(
        name=name,
        rounds=tuple(samples[end - count : end] for end, count in zip(ends, counts, strict=True)),
        iterations=iterations,
        spec=spec,
        notes=() if stats.get("data") else (_NO_SAMPLES.format("the file"),),
    )


def _own(one: Any, key: str, kind: type) -> Any:
    """What only our own export says of a benchmark; ``None`` in other files."""
    extra = one.get("extra_info")
    found = extra.get(key) if isinstance(extra, dict) else None
    return found if isinstance(found, kind) else None


def _spec(text: str | None) -> Spec | None:
    try:
        return None if text is None else axes.understood(Spec.parse(text))
    except UsageError:
        return None


# One line per format: name -> what a file says.
IMPORTS: dict[str, Callable[[Any, str], Sitting]] = {"pytest-benchmark": _pytest_benchmark}
