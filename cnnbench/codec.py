"""Frozen dataclasses <-> plain JSON, driven by their type annotations; strict in what it reads.

Knows nothing of what the values mean. A field that is unknown, has the wrong type, or is missing
without a default raises an error that names its path, so that a foreign file is refused and never
read in part.

Decoding has two stages. Readers that are built once per type read data that fits, without tracking
their position. Data that they refuse is read again by the slower general method, which names the
place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from itertools import chain
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
    except _MisfitError:
        result = _decode(kind, data, path or kind.__name__)
    return result


class _MisfitError(Exception):
    """A reader refuses the data; the general method says why, or accepts it."""


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
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return _reader_of_list(inner[0])
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return _reader_of_mapping(inner[1])
    known = dataclasses.is_dataclass(kind)
    return _reader_of_dataclass(typing.cast("type", kind)) if known else _refuse


def _refuse(data: Any) -> Any:
    raise _MisfitError(type(data))


def _reader_of_plain(kind: type) -> _Reader:
    def read(data: Any) -> Any:
        if type(data) is kind:
            return data
        if kind is float and type(data) is int:
            return float(data)
        raise _MisfitError

    return read


def _reader_of_union(kind: Any) -> _Reader:
    first, *others = [_reader(part) for part in _alternatives(kind)]
    if not others:
        return lambda data: None if data is None else first(data)

    def read(data: Any) -> Any:
        for read_one in (first, *others):
            with contextlib.suppress(_MisfitError):
                return None if data is None else read_one(data)
        raise _MisfitError

    return read


def _alternatives(kind: Any) -> list[Any]:
    """What a union may be beside nothing."""
    return [part for part in typing.get_args(kind) if part is not type(None)]


def _reader_of_list(inner: Any) -> _Reader:
    read_one, wanted = _reader(inner), _plain_types(inner)
    wanted_within = _plain_types(_item(inner))

    def read(data: Any) -> Any:
        if type(data) is not list:
            raise _MisfitError
        # Long lists of numbers, and lists of those: the common case, without a call per number.
        if wanted and wanted.issuperset(map(type, data)):
            return tuple(data)
        lists = wanted_within and _LIST.issuperset(map(type, data))
        if lists and wanted_within.issuperset(map(type, chain.from_iterable(data))):
            return tuple(map(tuple, data))
        return tuple([read_one(part) for part in data])

    return read


_LIST = {list}


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
            raise _MisfitError
        if inner is Any or not data or (plain and wanted.issuperset(map(type, data.values()))):
            return data.copy()
        return {key: read_one(part) for key, part in data.items()}

    return read


def _reader_of_dataclass(kind: type) -> _Reader:
    fields = dataclasses.fields(kind)
    start = {item.name: None if _required(item) else item.default for item in fields}
    check = getattr(kind, "__post_init__", None)
    # The handling of an object's fields depends only on their names and types, so it is determined
    # once per such shape: a file holds the same few shapes a million times.
    shapes: dict[tuple[Any, ...], _Fillers] = {}

    def read(data: Any) -> Any:
        if type(data) is not dict:
            raise _MisfitError
        shape = (*data, *map(type, data.values()))
        fillers = shapes.get(shape)
        if fillers is None:
            fillers = shapes[shape] = _fillers(kind, data)
        values = start | data
        for name, fill in fillers:
            values[name] = fill(values[name])
        # Fields are set as copying does it, because the __init__ of a frozen class sets them one by
        # one.
        found: Any = object.__new__(kind)
        object.__setattr__(found, "__dict__", values)
        if check is not None:
            try:
                check(found)
            except SchemaError:
                raise _MisfitError from None
        return found

    return read


# Names of fields whose value differs from the JSON value, and their conversions.
_Fillers = tuple[tuple[str, _Reader], ...]


def _fillers(kind: type, data: dict[str, Any]) -> _Fillers:
    hints = _hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}
    if not data.keys() <= fields.keys():
        raise _MisfitError
    found: list[tuple[str, _Reader]] = [
        (n, _reader(hints[n])) for n, part in data.items() if type(part) is not _usual(hints[n])
    ]
    for name in fields.keys() - data.keys():
        make = fields[name].default_factory
        if make is not _MISSING:
            found.append((name, _made_by(make)))
        elif _required(fields[name]) and type(None) not in typing.get_args(hints[name]):
            raise _MisfitError
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


def _decode(kind: Any, data: Any, path: str) -> Any:
    origin = typing.get_origin(kind)
    if kind is Any:
        return data
    if origin in _UNIONS:
        return _decode_union(kind, data, path)
    if origin is tuple:
        return _decode_tuple(kind, data, path)
    if origin is not None and issubclass(origin, Mapping):
        return _decode_mapping(kind, data, path)
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(typing.cast("type", kind), data, path)
    return _decode_plain(kind, data, path)


def _decode_plain(kind: Any, data: Any, path: str) -> Any:
    # JSON has one number type, so an int is accepted as a float. A bool is not accepted as an int.
    fits = isinstance(data, (int, float)) if kind is float else isinstance(data, kind)
    if not fits or (isinstance(data, bool) and kind is not bool):
        raise SchemaError(f"{path}: expected {kind.__name__}, found {type(data).__name__}")
    return float(data) if kind is float else data


def _decode_union(kind: Any, data: Any, path: str) -> Any:
    if data is None:
        return None
    *others, last = _alternatives(kind)
    for part in others:
        with contextlib.suppress(SchemaError):
            return _decode(part, data, path)
    return _decode(last, data, path)


def _decode_tuple(kind: Any, data: Any, path: str) -> Any:
    if not isinstance(data, list):
        raise SchemaError(f"{path}: expected a list, found {type(data).__name__}")
    inner = typing.get_args(kind)
    if len(inner) == 2 and inner[1] is Ellipsis:
        if inner[0] is int and all(type(part) is int for part in data):
            return tuple(data)  # long lists of samples: the common case, without a call per number
        inner = (inner[0],) * len(data)
    if len(inner) != len(data):
        raise SchemaError(f"{path}: expected {len(inner)} items, found {len(data)}")
    parts = enumerate(zip(inner, data, strict=True))
    return tuple(_decode(part, item, f"{path}[{index}]") for index, (part, item) in parts)


def _decode_mapping(kind: Any, data: Any, path: str) -> Any:
    if not isinstance(data, dict):
        raise SchemaError(f"{path}: expected an object, found {type(data).__name__}")
    _, inner = typing.get_args(kind)
    return {key: _decode(inner, part, f"{path}.{key}") for key, part in data.items()}


def _decode_dataclass(kind: type, data: Any, path: str) -> Any:
    if not isinstance(data, dict):
        raise SchemaError(f"{path}: expected an object, found {type(data).__name__}")
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for name in data:
        if name not in fields:
            raise SchemaError(f"{path}.{name}: no such field; was it written by a newer cnnbench?")
    for name, item in fields.items():
        needed = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        hint = _hints(kind)[name]
        if needed and name not in data and type(None) not in typing.get_args(hint):
            raise SchemaError(f"{path}.{name}: missing")
    hints = _hints(kind)
    values = {name: _decode(hints[name], part, f"{path}.{name}") for name, part in data.items()}
    absent = {name for name in fields if name not in values and _required(fields[name])}
    try:
        return kind(**values, **dict.fromkeys(absent))
    except SchemaError as error:
        raise SchemaError(f"{path}: {error}") from None


def _required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
