"""What was timed on a machine, and the file of it: JSON lines, only ever added to.

The first line says of which environment; every other is an operator that was timed, or a network
that was measured to fit a model on. A file is data wherever it comes from: nothing in it is
imported or run. A later line about the same call or network counts in place of an earlier one, and
a line that a killed writer left incomplete is skipped.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import statistics
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from cnnbench import files, units
from cnnbench.codec import decode, encode
from cnnbench.environment import Environment
from cnnbench.errors import SchemaError, StoreError, UsageError
from cnnbench.prediction.operators import OperatorCall
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from pathlib import Path

_SCHEMA = 1
# A machine is not so many times slower, or faster, than it usually is.
_ODD = 20.0
_HEAD, _OPERATOR, _NETWORK = "cnnbench_operators", "operator", "network"


@dataclass(frozen=True)
class TimedOperator:
    """A call of an operator that was timed alone.

    Attributes:
        call: the text of an ``OperatorCall``.
        threads: of the process.
        seconds, pace: as ``OperatorTime`` has them.
        macs: multiply-accumulates of it.
        written_bytes: bytes of its results.
    """

    call: str
    threads: int
    seconds: float
    macs: int = 0
    written_bytes: int = 0
    pace: float | None = None

    def at(self, usual: float | None) -> TimedOperator:
        """The same when the machine is at its usual pace, where both are known."""
        if usual is None or self.pace is None or usual == self.pace:
            return self
        return replace(self, seconds=self.seconds * usual / self.pace, pace=usual)

    def __post_init__(self) -> None:
        _pace(self.pace)
        if not (self.seconds >= 0 and math.isfinite(self.seconds)):
            raise SchemaError(f"seconds is {self.seconds}, which is no time")
        if self.threads < 1 or self.macs < 0 or self.written_bytes < 0:
            raise SchemaError("threads, macs and written_bytes are counts")


@dataclass(frozen=True)
class MeasuredNetwork:
    """A network that was measured, with what a model looks at (``model.Terms``).

    Attributes:
        spec: its id.
        family: of architectures.
        seconds: of one pass.
        alone: seconds of its operators, each timed alone.
        calls: of operators, light ones included.
        held_bytes: of parameters and buffers that they read.
        moved_bytes: of activations that they read and write.
        pace: at which ``seconds`` and ``alone`` are; ``None`` if it is not known.
    """

    spec: str
    family: str
    seconds: float
    alone: float
    calls: int
    held_bytes: int
    moved_bytes: int
    pace: float | None = None

    def at(self, usual: float | None) -> MeasuredNetwork:
        """The same when the machine is at its usual pace, where both are known."""
        if usual is None or self.pace is None or usual == self.pace:
            return self
        times = usual / self.pace
        return replace(self, seconds=times * self.seconds, alone=times * self.alone, pace=usual)

    def __post_init__(self) -> None:
        _pace(self.pace)
        _positive("seconds", self.seconds)
        _positive("alone", self.alone)
        if min(self.calls, self.held_bytes, self.moved_bytes) < 0:
            raise SchemaError("calls, held_bytes and moved_bytes are counts")
        Spec.parse(self.spec)


@dataclass(frozen=True)
class OperatorTable:
    """What was timed in an environment.

    Attributes:
        environment: of all of it.
        operators: by text of the call and threads.
        networks: by id of the spec.
        problems: lines for people about what could not be read.
    """

    environment: Environment
    operators: Mapping[tuple[str, int], TimedOperator] = field(default_factory=dict)
    networks: Mapping[str, MeasuredNetwork] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    # By threads, what many networks of a choice ask for.
    _timed: dict[int, Mapping[str, TimedOperator]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def usual_pace(self, threads: int) -> float | None:
        """The middle of the paces at which operators were timed; ``None`` if none is known."""
        rows = self.operators.values()
        paces = [one.pace for one in rows if one.threads == threads and one.pace is not None]
        return statistics.median(paces) if paces else None

    def timed(self, threads: int) -> Mapping[str, TimedOperator]:
        """The operators that were timed with a number of threads, by text of the call.

        They are at the usual pace, so that what was timed in different moments adds up.
        """
        if threads not in self._timed:
            usual, rows = self.usual_pace(threads), self.operators.values()
            found = {one.call: one.at(usual) for one in rows if one.threads == threads}
            self._timed[threads] = found
        return self._timed[threads]

    def measured(self, mode: str, threads: int) -> list[MeasuredNetwork]:
        """The networks that were measured in a mode with a number of threads, at the usual pace."""
        specs = {name: Spec.parse(name) for name in self.networks}
        usual = self.usual_pace(threads)
        return [
            one.at(usual)
            for name, one in self.networks.items()
            if (specs[name].mode.text, specs[name].threads) == (mode, threads)
        ]


def file_name(environment: Environment) -> str:
    """The name of an environment's table."""
    return f"{environment.fingerprint}.jsonl"


def read(path: Path) -> OperatorTable:
    """Read a table.

    Raises:
        StoreError: it cannot be read, or is none.
        SchemaError: it is of another version.
    """
    try:
        with files.opened(path) as file:
            return _table(path, file)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def _refuse_other(path: Path, environment: Environment) -> None:
    """Refuse a table of another environment, before anything is written to it."""
    with files.opened(path) as file:
        found = _table(path, islice(file, 1)).environment
    if found.fingerprint != environment.fingerprint:
        differing = ", ".join(found.differing(environment))
        raise StoreError(
            f"{path}: timed in another environment ({differing}); move it away, and predict from it"
            " by --table"
        )


def _table(path: Path, lines: Iterable[bytes]) -> OperatorTable:
    environment: Environment | None = None
    operators: dict[tuple[str, int], TimedOperator] = {}
    networks: dict[str, MeasuredNetwork] = {}
    problems = []
    for number, line in enumerate(lines, start=1):
        place = f"{path}:{number}"
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            if environment is None:
                break
            problems.append(f"{place}: incomplete line skipped")
            continue
        if environment is None:
            environment = _environment(data, place)
            if environment is None:
                break
            continue
        try:
            if isinstance(data, dict) and data.keys() == {_OPERATOR}:
                operator = _operator(data[_OPERATOR], place)
                operators[operator.call, operator.threads] = operator
            elif isinstance(data, dict) and data.keys() == {_NETWORK}:
                network = _read(MeasuredNetwork, data[_NETWORK], place)
                networks[network.spec] = network
            else:
                problems.append(f"{place}: line skipped: neither an operator nor a network")
        except SchemaError as error:
            problems.append(f"{place}: line skipped: {str(error).removeprefix(f'{place}: ')}")
    if environment is None:
        raise StoreError(
            f"{path}: no operator table; drop --table to make one here; in the folder of --tables,"
            " move it away"
        )
    found = OperatorTable(environment, operators, networks, tuple(problems))
    return _without_odd_paces(found, str(path))


def _without_odd_paces(found: OperatorTable, path: str) -> OperatorTable:
    """A table without rows whose pace is none that a machine can have beside its usual one."""
    usual = {one.threads: found.usual_pace(one.threads) for one in found.operators.values()}

    def is_odd(pace: float | None, threads: int) -> bool:
        middle = usual.get(threads)
        if pace is None or middle is None:
            return False
        return not 1 / _ODD < pace / middle < _ODD

    operators = {key: one for key, one in found.operators.items() if not is_odd(one.pace, key[1])}
    networks = {
        name: one
        for name, one in found.networks.items()
        if not is_odd(one.pace, Spec.parse(name).threads)
    }
    left = len(found.operators) + len(found.networks) - len(operators) - len(networks)
    if not left:
        return found
    why = f"{path}: {units.number(left, 'row')} skipped: the pace is over {_ODD:g} times off"
    return OperatorTable(found.environment, operators, networks, (*found.problems, why))


def _environment(data: Any, place: str) -> Environment | None:
    if not isinstance(data, dict) or _HEAD not in data:
        return None
    if data[_HEAD] != _SCHEMA:
        raise SchemaError(f"{place}: schema {data[_HEAD]!r} is not known to this version")
    return _read(Environment, data.get("environment"), place)


Row = TypeVar("Row", Environment, TimedOperator, MeasuredNetwork)


def _read(kind: type[Row], data: Any, place: str) -> Row:
    try:
        return decode(kind, data, kind.__name__)
    except UsageError as error:
        raise SchemaError(f"{place}: {error}") from None


def _operator(data: Any, place: str) -> TimedOperator:
    if not isinstance(data, dict):
        raise SchemaError(f"{place}: neither an operator nor a network")
    try:
        # Written again, so that equal calls have equal texts whoever wrote the file.
        call = OperatorCall.parse(json.dumps(data.get("call"))).text
    except SchemaError as error:
        raise SchemaError(f"{place}: {error}") from None
    return _read(TimedOperator, data | {"call": call}, place)


class TableWriter:
    """Adds rows to a table's file, each flushed to the disk; ``adding`` makes one."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file = file

    def add(self, rows: Iterable[TimedOperator | MeasuredNetwork]) -> None:
        """Add rows with one write.

        Raises:
            StoreError: the disk does not take them.
        """
        self._write("".join(f"{_line(row)}\n" for row in rows).encode())

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error

    def begin(self, environment: Environment) -> None:
        """Write the first line, or end one that a killed writer left open."""
        size = os.fstat(self._file).st_size
        if not size:
            head = {_HEAD: _SCHEMA, "environment": encode(Environment(environment.hard))}
            self._write(f"{json.dumps(head, separators=(',', ':'))}\n".encode())
        elif os.pread(self._file, 1, size - 1) != b"\n":
            self._write(b"\n")


def _line(row: TimedOperator | MeasuredNetwork) -> str:
    data = encode(row)
    if isinstance(row, TimedOperator):
        data["call"] = json.loads(row.call)
    kind = _OPERATOR if isinstance(row, TimedOperator) else _NETWORK
    return json.dumps({kind: data}, separators=(",", ":"))


@contextmanager
def adding(path: Path, environment: Environment) -> Iterator[TableWriter]:
    """A writer of a table, which is made if it is missing; one at a time.

    Raises:
        StoreError: it cannot be written, is no table or one of another environment, or another
            process writes to it.
        SchemaError: it is of another version.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = files.appending(path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(
                f"{path}: another cnnbench is adding to this table; wait until it has ended"
            ) from None
        if os.fstat(file).st_size:
            _refuse_other(path, environment)
        writer = TableWriter(path, file)
        writer.begin(environment)
        yield writer
    finally:
        os.close(file)


def _pace(pace: float | None) -> None:
    if pace is not None:
        _positive("pace", pace)


def _positive(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise SchemaError(f"{name} is {value}, which is no time")
