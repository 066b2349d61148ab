"""Frozen dataclasses <-> plain JSON, driven by their type annotations; strict in what it reads.

Knows nothing of what the values mean. A field that is unknown, has the wrong type, or is missing
without a default raises an error that names its path, so that a foreign file is refused and never
read in part. Where unknown fields are expected, ``without_unknown`` leaves them out first.

Readers are built once per type and do not keep track of where they are: a refusal collects its
place on the way out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import chain, repeat
from typing import Any, TypeVar

from cnnbench.errors import SchemaError

T = TypeVar("T")

_MISSING = dataclasses.MISSING


def encode(value: Any) -> Any:
    """A value of dataclasses, mappings and tuples as plain JSON types.

    ``None`` fields are left out.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((item.name, getattr(value, item.name)) for item in dataclasses.fields(value))
        return {name: encode(part) for name, part in pairs if part is not None}
    if isinstance(value, Mapping):
        return {str(key): encode(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(part) for part in value]
    return value


def decode(kind: type[T], data: Any, path: str = "") -> T:
    """Read JSON data as a value of ``kind``.

    Raises:
        SchemaError: the data does not fit; the message names the place.
    """
    try:
        result: T = _reader(typing.cast("Any", kind))(data)
    except _MisfitError as error:
        raise SchemaError(f"{path or kind.__name__}{error.place}: {error.why}") from None
    return result


def without_unknown(kind: Any, data: Any) -> Any:
    """JSON data without the fields that ``kind`` does not have, at any depth.

    For what another revision wrote. Data that does not fit is left for ``decode`` to refuse, and
    so are unions of several types, because which of them is meant is not known yet.
    """
    inner = typing.get_args(kind)
    if typing.get_origin(kind) in _UNIONS:
        others = _alternatives(kind)
        return without_unknown(others[0], data) if len(others) == 1 else data
    if isinstance(data, Mapping):
        if dataclasses.is_dataclass(kind):
            known = _hints(typing.cast("type", kind))
            hints = {one.name: known[one.name] for one in dataclasses.fields(kind)}
        else:
            hints = dict.fromkeys(data, inner[-1] if inner else Any)
        return {name: without_unknown(hints[name], data[name]) for name in data if name in hints}
    if isinstance(data, list) and inner:
        kinds = repeat(inner[0]) if inner[-1] is Ellipsis else chain(inner, repeat(Any))
        return [without_unknown(one, part) for one, part in zip(kinds, data, strict=False)]
    return data


class _MisfitError(Exception):
    """The data does not fit: why, and where."""

    def __init__(self, why: str, place: str = "") -> None:
        super().__init__()
        self.why = why
        self.place = place

    def within(self, place: str) -> _MisfitError:
        """The same error, with the place in the outer value."""
        return _MisfitError(self.why, place + self.place)


def _expected(what: str, data: Any) -> _MisfitError:
    return _MisfitError(f"expected {what}, found {type(data).__name__}")


_Reader = Callable[[Any], Any]
_UNIONS = (types.UnionType, typing.Union)
_PLAIN = (int, float, str, bool)


@cache
def _reader(kind: Any) -> _Reader:
    """The reader of a type; it refuses unusual data."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return lambda data: data
    if kind in _PLAIN:
        return _reader_of_plain(kind)
    if origin in _UNIONS:
        return _reader_of_union(kind)
    if origin is typing.Literal:
        return _reader_of_names(inner)
    if origin is tuple:
        return _reader_of_list(inner[0]) if inner[-1] is Ellipsis else _reader_of_tuple(inner)
    if dataclasses.is_dataclass(kind):
        return _reader_of_dataclass(typing.cast("type", kind))
    return _reader_of_mapping(inner[1])


def _reader_of_plain(kind: type) -> _Reader:
    def read(data: Any) -> Any:
        if type(data) is int and data not in _WHOLE:
            raise _MisfitError(_TOO_LARGE)
        if type(data) is kind:
            return data
        if kind is float and type(data) is int:
            return float(data)
        raise _expected(kind.__name__, data)

    return read


def _reader_of_names(names: tuple[str, ...]) -> _Reader:
    def read(data: Any) -> Any:
        if data in names:
            return data
        raise _MisfitError(f"expected one of {', '.join(names)}, found {data!r}")

    return read


def _reader_of_union(kind: Any) -> _Reader:
    *others, last = [_reader(part) for part in _alternatives(kind)]

    def read(data: Any) -> Any:
        if data is None:
            return None
        for read_one in others:
            with contextlib.suppress(_MisfitError):
                return read_one(data)
        return last(data)

    return read


def _alternatives(kind: Any) -> list[Any]:
    """The alternatives of a union, without ``None``."""
    return [part for part in typing.get_args(kind) if part is not type(None)]


def _reader_of_list(inner: Any) -> _Reader:
    read_one, wanted = _reader(inner), _plain_types(inner)
    wanted_within = _plain_types(_item(inner))

    def read(data: Any) -> Any:
        if type(data) is not list:
            raise _expected("a list", data)
        # Long lists of numbers, and lists of those: the common case, without a call per number.
        if wanted and _plain(data, wanted):
            return tuple(data)
        if wanted_within and _LIST.issuperset(map(type, data)):
            flat = list(chain.from_iterable(data))
            if _plain(flat, wanted_within):
                return tuple(map(tuple, data))
        return _read_items(repeat(read_one), data)

    return read


def _reader_of_tuple(inner: tuple[Any, ...]) -> _Reader:
    readers = [_reader(part) for part in inner]

    def read(data: Any) -> Any:
        if type(data) is not list:
            raise _expected("a list", data)
        if len(data) != len(readers):
            raise _MisfitError(f"expected {len(readers)} items, found {len(data)}")
        return _read_items(readers, data)

    return read


def _read_items(readers: Iterable[_Reader], data: list[Any]) -> tuple[Any, ...]:
    found: list[Any] = []
    try:
        for read_one, part in zip(readers, data, strict=False):
            found.append(read_one(part))
    except _MisfitError as error:
        raise error.within(f"[{len(found)}]") from None
    return tuple(found)


_LIST = {list}

# Whole numbers of 64 bits, which is what clocks and counters have; a larger one is no float either.
_WHOLE = range(-(2**63), 2**64)
_TOO_LARGE = "expected a whole number of 64 bits, found a larger one"


def _plain(data: list[Any], wanted: set[type]) -> bool:
    """Whether values are of these types, and their whole numbers small enough to compute with."""
    kinds = set(map(type, data))
    if not kinds <= wanted:
        return False
    if int not in kinds:
        return True
    numbers = data if kinds == {int} else [one for one in data if type(one) is int]
    return min(numbers) in _WHOLE and max(numbers) in _WHOLE


def _item(kind: Any) -> Any:
    """The item type of a tuple of any length; ``Any`` for other types."""
    inner = typing.get_args(kind)
    listed = typing.get_origin(kind) is tuple and len(inner) == 2 and inner[1] is Ellipsis
    return inner[0] if listed else Any


def _plain_types(kind: Any) -> set[type]:
    """The types that JSON gives for a number, text or nothing as they are; none for others."""
    union = typing.get_origin(kind) in _UNIONS
    parts = set(typing.get_args(kind)) if union else {kind}
    return parts if parts - {type(None)} <= set(_PLAIN) else set()


def _reader_of_mapping(inner: Any) -> _Reader:
    read_one, wanted, plain = _reader(inner), {inner}, inner in _PLAIN

    def read(data: Any) -> Any:
        if type(data) is not dict:
            raise _expected("an object", data)
        if inner is Any or not data or (plain and _plain([*data.values()], wanted)):
            return data.copy()
        return {key: _read_part(read_one, part, key) for key, part in data.items()}

    return read


def _read_part(read_one: _Reader, part: Any, name: str) -> Any:
    try:
        return read_one(part)
    except _MisfitError as error:
        raise error.within(f".{name}") from None


def _reader_of_dataclass(kind: type) -> _Reader:
    fields = dataclasses.fields(kind)
    start = {item.name: None if _required(item) else item.default for item in fields}
    check = getattr(kind, "__post_init__", None)
    # The handling of an object's fields depends only on their names and types, so it is determined
    # once per such shape: a file holds the same few shapes a million times.
    shapes: dict[tuple[Any, ...], _Fillers] = {}

    def read(data: Any) -> Any:
        if type(data) is not dict:
            raise _expected("an object", data)
        shape = (*data, *map(type, data.values()))
        fillers = shapes.get(shape)
        if fillers is None:
            fillers = shapes[shape] = _fillers(kind, data)
        values = start | data
        for name, fill in fillers:
            values[name] = _read_part(fill, values[name], name)
        # As copying does it: the __init__ of a frozen class sets field after field.
        found: Any = object.__new__(kind)
        object.__setattr__(found, "__dict__", values)
        if check is not None:
            try:
                check(found)
            except SchemaError as error:
                raise _MisfitError(str(error)) from None
        return found

    return read


# Names of fields whose value differs from the JSON value or may be too large, and their readers.
_Fillers = tuple[tuple[str, _Reader], ...]


def _fillers(kind: type, data: dict[str, Any]) -> _Fillers:
    hints = _hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for name in data:
        if name not in fields:
            raise _MisfitError("no such field; was it written by a newer cnnbench?", f".{name}")
    found: list[tuple[str, _Reader]] = [
        (n, _reader(hints[n]))
        for n, part in data.items()
        if type(part) is not _usual(hints[n]) or type(part) is int
    ]
    for name in [name for name in fields if name not in data]:
        make = fields[name].default_factory
        if make is not _MISSING:
            found.append((name, _made_by(make)))
        elif _required(fields[name]) and type(None) not in typing.get_args(hints[name]):
            raise _MisfitError("missing", f".{name}")
    return tuple(found)


def _made_by(make: Callable[[], Any]) -> _Reader:
    return lambda _: make()


def _usual(hint: Any) -> Any:
    """The type whose values JSON represents directly, if any."""
    known = [part for part in typing.get_args(hint) or (hint,) if part is not type(None)]
    origin = typing.get_origin(hint)
    plain = origin in (None, *_UNIONS) and known[0] in _PLAIN
    return known[0] if plain else None


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
