"""A baseline file: the essence of a run, kept so that later measurements can be judged.

Small JSON, laid out so that a review in git reads well: one line per fact of the machine, per part
of a spec and per round. Single samples are not kept, only each slice's count, quartiles and CPU
time; a ``Record`` made of them has the same medians as the run had.

Schema history: 1, the first; 2, with the values of the outputs.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cnnbench import files, metrics
from cnnbench.codec import decode, encode
from cnnbench.environment import Environment
from cnnbench.errors import Incomparable, SchemaError, StoreError
from cnnbench.facts import Check, Structure, Values
from cnnbench.gate import layout
from cnnbench.gate.changes import Side
from cnnbench.gate.noise import Noise, PastPairs, between_sessions, joined
from cnnbench.record import Cost, Memory, Record, Run
from cnnbench.slices import Slice, Slices
from cnnbench.spec import Spec
from cnnbench.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cnnbench.store import StoredRun

KIND = "cnnbench baseline"
SCHEMA = 2

# Soft facts that explain a difference; load and free memory would only make the file restless.
_SOFT = ("system", "kernel", "libc", "hypervisor", "governor", "turbo", "transparent_huge_pages",
         "compiler", "host", "flags")  # fmt: skip


@dataclass(frozen=True)
class Source:
    """The code that was measured, so that it can be measured again.

    Attributes:
        revision: git commit of the user's repository, ``None`` outside of one.
        dirty: it had changes that were not committed.
        python, torch, cnnbench: versions.
    """

    revision: str | None = None
    dirty: bool | None = None
    python: str | None = None
    torch: str | None = None
    cnnbench: str = VERSION


@dataclass(frozen=True)
class Round:
    """The kept data of one worker process.

    Attributes:
        session: the run it belongs to.
        slices: per slice: calls per sample, samples, then nanoseconds: median, first and third
            quartile of its samples, CPU time of the whole slice (-1 if it was not measured).
    """

    session: str
    slices: tuple[tuple[int, int, int, int, int, int], ...]


@dataclass(frozen=True)
class BaselineEntry:
    """The kept data of one spec; ``past`` is what earlier comparisons with it have shown."""

    cost: Cost | None = None
    structure: Structure | None = None
    memory: Memory | None = None
    check: Check | None = None
    values: Values | None = None
    noise: Noise = field(default_factory=Noise)
    past: tuple[PastPairs, ...] = ()
    rounds: tuple[Round, ...] = ()


@dataclass(frozen=True)
class Baseline:
    """The content of a baseline file.

    Attributes:
        created: UTC, ISO 8601.
        fingerprint: of the hard facts.
        hard, soft: facts of the environment, as in ``Environment``.
        source: what was measured.
        plan: how, as options of the runner.
        sessions: names of the runs it was made of, oldest first.
        specs: spec id -> what is kept.
    """

    created: str
    fingerprint: str
    hard: Mapping[str, Any]
    soft: Mapping[str, Any]
    source: Source
    plan: Mapping[str, Any]
    sessions: tuple[str, ...]
    specs: Mapping[str, BaselineEntry]
    kind: str = KIND
    schema: int = SCHEMA

    @property
    def environment(self) -> Environment:
        """The environment of the measurement."""
        return Environment(self.hard, self.soft)

    @property
    def timed(self) -> bool:
        """Whether it holds times; else any machine may have made it, and may renew it."""
        return any(entry.rounds for entry in self.specs.values())

    def records(self) -> dict[str, Record]:
        """The specs as records, with the data that the file keeps."""
        return {name: _record(name, entry, self) for name, entry in self.specs.items()}


def side(baseline: Baseline, name: str) -> Side:
    """A baseline file as a side of a comparison, with its learnt noise."""
    return Side(
        name=name,
        environment=baseline.environment,
        records=baseline.records(),
        sessions={
            spec: max(1, len({one.session for one in entry.rounds}))
            for spec, entry in baseline.specs.items()
        },
        noise={
            spec: entry.noise.sessions
            for spec, entry in baseline.specs.items()
            if entry.noise.sessions is not None
        },
    )


def of_run(run: StoredRun, source: Source) -> Baseline:
    """The baseline file of a run; failed specs are left out.

    Args:
        run: whose own revision counts, where it is known.
        source: what is checked out now.

    Raises:
        StoreError: the run has nothing to keep.
    """
    name, what = run.manifest.run, run.manifest
    if what.revision is not None:
        source = replace(source, revision=what.revision, dirty=what.dirty)
    return of_records(run.records, run.environment, source, run.manifest.plan, name)


def of_records(
    records: Iterable[Record],
    environment: Environment,
    source: Source,
    plan: Mapping[str, Any],
    session: str,
) -> Baseline:
    """The baseline file of records; failed ones are left out.

    Raises:
        StoreError: there is nothing to keep.
    """
    good = [record for record in records if record.failure is None]
    if not good:
        raise StoreError(f"{session}: no spec was measured completely, so there is nothing to keep")
    torch = (environment.hard.get("torch") or {}).get("version")
    return Baseline(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        fingerprint=environment.fingerprint,
        hard=environment.hard,
        soft={name: environment.soft[name] for name in _SOFT if name in environment.soft},
        source=replace(source, python=environment.hard.get("python"), torch=torch),
        # How much memory is free is of the moment, not of the plan.
        plan={key: value for key, value in plan.items() if key != "memory_limit"},
        sessions=(session,),
        specs={record.id: _entry(record, session) for record in good},
    )


def updated(old: Baseline, new: Baseline, *, replace_all: bool = False) -> Baseline:
    """A baseline file with one more run.

    Specs that do the same as before keep their earlier rounds, so that the noise between sessions
    is learnt; what changed is replaced. The revision is that of the run if it has timed all that
    the file has times of, else it stays.

    Raises:
        Incomparable: the new run is from another environment.
    """
    if replace_all:
        # An accepted change makes a benchmark no noisier than it was.
        fresh = {name: _with_past(old.specs.get(name), one) for name, one in new.specs.items()}
        return replace(new, specs={**old.specs, **fresh} if _alike(old, new) else fresh)
    renewed = old.specs.keys() <= new.specs.keys() and not old.timed and not new.timed
    if not _alike(old, new) and not renewed:
        raise Incomparable(
            "the run is from another environment than the baseline file; rounds of different"
            " machines cannot be combined; use --replace, or save a separate baseline file"
        )
    specs = dict(old.specs)
    for name, entry in new.specs.items():
        specs[name] = _joined(specs.get(name), entry)
    sessions = tuple(dict.fromkeys([*old.sessions, *new.sessions]))
    return replace(new, source=_source(old, new), sessions=sessions, specs=specs)


def _source(old: Baseline, new: Baseline) -> Source:
    """The revision of the times: a later one, measured beside current code, would hide changes."""
    timed = {name for name, one in old.specs.items() if one.rounds}
    again = {name for name, one in new.specs.items() if one.rounds}
    return new.source if timed <= again else old.source


def only_values(old: Baseline, new: Baseline) -> bool:
    """Whether of another environment's look at the same networks the outputs alone are of use."""
    return not _alike(old, new) and all(
        name in new.specs and new.specs[name].cost == entry.cost
        for name, entry in old.specs.items()
    )


def with_values(old: Baseline, new: Baseline) -> Baseline:
    """A baseline file with the outputs of another, which are the same on every machine."""
    specs = {
        # What could not be taken there is not lost here.
        name: replace(entry, values=new.specs[name].values or entry.values)
        for name, entry in old.specs.items()
    }
    return replace(old, specs=specs)


def _alike(old: Baseline, new: Baseline) -> bool:
    return old.fingerprint == new.fingerprint


def _joined(old: BaselineEntry | None, new: BaselineEntry) -> BaselineEntry:
    if old is None:
        return new
    # What only a run measures is not lost by a look without a clock.
    new = _with_past(old, new)
    kept = replace(new, check=new.check or old.check, values=new.values or old.values)
    if (old.cost, old.structure) != (new.cost, new.structure):
        return new
    known = {one.session for one in new.rounds}
    rounds = (*(one for one in old.rounds if one.session not in known), *new.rounds)
    return replace(kept, rounds=rounds, noise=_noise(rounds))


def _with_past(old: BaselineEntry | None, new: BaselineEntry) -> BaselineEntry:
    return new if old is None else replace(new, past=joined(old.past, new.past))


def taught(old: Baseline, past: Mapping[str, PastPairs]) -> Baseline:
    """A baseline file with what one more comparison of its specs has shown."""
    specs = {
        name: replace(one, past=joined(one.past, [past[name]])) if name in past else one
        for name, one in old.specs.items()
    }
    return replace(old, specs=specs)


def _entry(record: Record, session: str) -> BaselineEntry:
    rounds = tuple(Round(session, tuple(map(_summary, run.slices))) for run in record.runs)
    return BaselineEntry(
        cost=record.cost,
        # Its one figure by the clock would make every baseline another.
        structure=record.structure and replace(record.structure, device_ns=None),
        memory=record.memory,
        check=record.check,
        values=record.values,
        noise=_noise(rounds),
        rounds=rounds,
    )


def _summary(one: Slice) -> tuple[int, int, int, int, int, int]:
    ns = sorted(one.ns)
    first, _, third = statistics.quantiles(ns, n=4, method="inclusive") if len(ns) > 1 else ns * 3
    middle = round(statistics.median(ns))
    cpu = -1 if one.cpu_ns is None else one.cpu_ns
    return (one.iterations, len(ns), middle, round(first), round(third), cpu)


def _noise(rounds: Sequence[Round]) -> Noise:
    logs = defaultdict(list)
    for one in rounds:
        if one.slices:
            logs[one.session].append(math.log(_seconds(one)))
    several = [values for values in logs.values() if len(values) > 1]
    weights = sum(len(values) - 1 for values in several)
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in several)
    between = between_sessions([statistics.median(values) for values in logs.values()])
    return Noise(
        rounds=round(math.sqrt(squares / weights), 6) if weights else None,
        sessions=None if between is None else round(between, 6),
    )


def _seconds(one: Round) -> float:
    return statistics.median(metrics.slice_seconds(_slice(0, kept)) for kept in one.slices)


def _slice(turn: int, kept: tuple[int, int, int, int, int, int]) -> Slice:
    iterations, _, middle, first, third, cpu = kept
    return Slice(turn, iterations, (first, middle, third), None if cpu < 0 else cpu)


def _record(name: str, entry: BaselineEntry, whole: Baseline) -> Record:
    check = entry.check or Check("unchecked", reason="not kept in the baseline file")
    runs = tuple(
        Run(
            round=number,
            # The name of no ensemble that lives now: a stored round is paired with nothing.
            ensemble=f"baseline-{one.session}-{number}",
            slices=Slices.of(_slice(turn, kept) for turn, kept in enumerate(one.slices)),
            warmup_ns=(),
            build_ns=0,
            check=check,
        )
        for number, one in enumerate(entry.rounds)
    )
    return Record(
        id=name,
        environment=whole.fingerprint,
        measured_at=whole.created,
        cost=entry.cost,
        structure=entry.structure,
        memory=entry.memory,
        runs=runs,
        values=entry.values,
    )


def read(path: Path) -> Baseline:
    """Read a baseline file.

    Raises:
        StoreError: the file cannot be read, or is not a baseline file.
        Incomparable: its schema is unknown to this version.
    """
    try:
        data = json.loads(files.read_text(path))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path}: not a baseline file: it is not JSON") from error
    if not isinstance(data, dict) or data.get("kind") != KIND:
        raise StoreError(f"{path}: not a baseline file; make one with 'cnnbench baseline save'")
    # What the second added is optional.
    if data.get("schema") not in range(1, SCHEMA + 1):
        raise Incomparable(
            f"{path}: schema {data.get('schema')} is not known to this version"
            f" (up to {SCHEMA}); save it again, or install the cnnbench that wrote it"
        )
    data["schema"] = SCHEMA
    try:
        found = decode(Baseline, data, str(path))
    except SchemaError as error:
        raise StoreError(str(error)) from None
    for name in found.specs:
        Spec.parse(name)
    return found


def write(path: Path, what: Baseline) -> None:
    """Write a baseline file, whole or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, render(what).encode())
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def render(what: Baseline) -> str:
    """The file's text: stable order, a line per fact, part and round."""
    return layout.text(encode(what), ("kind", "schema"), list(BaselineEntry.__dataclass_fields__))
