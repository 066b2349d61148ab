from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.codec import decode, encode, without_unknown
from cnnbench.errors import SchemaError
from cnnbench.record import Record


@dataclass(frozen=True)
class Inner:
    count: int
    share: float = 0.5


@dataclass(frozen=True)
class Outer:
    name: str
    flag: bool
    note: str | None
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    pair: tuple[int, str] = (0, "")
    counts: Mapping[str, int] = field(default_factory=dict)
    free: Mapping[str, Any] = field(default_factory=dict)
    samples: tuple[int, ...] = ()
    sparse: tuple[int | None, ...] | None = None
    nested: tuple[tuple[int, ...], ...] = ()
    tables: tuple[Mapping[str, int], ...] = ()
    kind: Literal["a", "b"] = "a"


# What a clock or a counter can hold.
WHOLE = st.integers(-(2**63), 2**64 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
INNER = st.builds(Inner, WHOLE, st.floats(allow_nan=False, allow_infinity=False))
OUTER = st.builds(
    Outer,
    name=st.text(),
    flag=st.booleans(),
    note=st.none() | st.text(),
    inner=st.none() | INNER,
    many=st.lists(INNER, max_size=3).map(tuple),
    pair=st.tuples(WHOLE, st.text()),
    counts=st.dictionaries(st.text(), WHOLE, max_size=3),
    free=st.dictionaries(st.text(), JSON, max_size=3),
    samples=st.lists(WHOLE, max_size=5).map(tuple),
    sparse=st.none() | st.lists(st.none() | WHOLE, max_size=5).map(tuple),
    nested=st.lists(st.lists(WHOLE, max_size=3).map(tuple), max_size=3).map(tuple),
    tables=st.lists(st.dictionaries(st.text(), WHOLE), max_size=3).map(tuple),
    kind=st.sampled_from(["a", "b"]),
)
FULL: dict[str, Any] = {"name": "a", "flag": True, "note": "b"}


@given(OUTER)
def test_values_survive_the_way_through_json_text(value: Outer) -> None:
    text = json.dumps(encode(value))

    assert decode(Outer, json.loads(text)) == value


def read(data: Any) -> tuple[Outer | None, str]:
    """The value, or what the refusal says."""
    try:
        return decode(Outer, data), ""
    except SchemaError as error:
        return None, str(error)


@given(JSON)
def test_any_json_is_read_or_refused_with_a_schema_error(data: Any) -> None:
    value, message = read(data)

    assert isinstance(value, Outer) or message.startswith("Outer")


@given(
    st.sampled_from(
        ["name", "flag", "inner", "many", "pair", "counts", "samples", "sparse", "nested", "tables"]
    ),
    JSON,
)
def test_a_field_of_any_json_is_read_whole_or_refused_by_its_path(name: str, data: Any) -> None:
    value, message = read(FULL | {name: data})

    assert message.startswith(f"Outer.{name}") or read(encode(value)) == (value, "")


@pytest.mark.parametrize("data", [{"count": 1.0}, {"count": 1, "share": True}, {}, {"x": 1}, [], 3])
def test_nothing_is_read_in_part(data: Any) -> None:
    with pytest.raises(SchemaError, match="Inner"):
        decode(Inner, data)


def test_a_whole_record_is_read(eager) -> None:
    data = json.loads(json.dumps(encode(eager)))

    assert decode(Record, data) == eager


@dataclass(frozen=True)
class Padded:
    padding: tuple[int, ...] | str | None


@given(st.builds(Padded, st.none() | st.text() | st.lists(WHOLE).map(tuple)))
def test_a_field_may_be_one_of_several_types(value: Padded) -> None:
    assert decode(Padded, {"padding": None} | json.loads(json.dumps(encode(value)))) == value


def test_what_is_none_of_several_types_is_refused_as_the_last() -> None:
    with pytest.raises(SchemaError, match=r"^Padded\.padding: expected str, found float$"):
        decode(Padded, {"padding": 1.5})


def test_none_is_left_out() -> None:
    assert "note" not in encode(Outer("a", True, None))


def test_a_missing_optional_field_is_none() -> None:
    assert decode(Outer, {"name": "a", "flag": False}).note is None


def test_a_whole_number_is_a_fine_float() -> None:
    value = decode(Inner, {"count": 1, "share": 2})

    assert type(value.share) is float


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 1}, "Outer.name: expected str, found int"),
        ({"flag": 1}, "Outer.flag: expected bool, found int"),
        ({"name": None}, "Outer.name: expected str, found NoneType"),
        ({"inner": []}, "Outer.inner: expected an object, found list"),
        ({"inner": {"count": True}}, "Outer.inner.count: expected int, found bool"),
        ({"inner": {"count": 1.0}}, "Outer.inner.count: expected int, found float"),
        ({"inner": {}}, "Outer.inner.count: missing"),
        ({"many": [{"count": 1}, {}]}, "Outer.many[1].count: missing"),
        ({"pair": [1]}, "Outer.pair: expected 2 items, found 1"),
        ({"counts": {"a": "b"}}, "Outer.counts.a: expected int, found str"),
        ({"samples": [1, True]}, "Outer.samples[1]: expected int, found bool"),
        ({"samples": 3}, "Outer.samples: expected a list, found int"),
        ({"kind": "c"}, "Outer.kind: expected one of a, b, found 'c'"),
        ({"kind": []}, "Outer.kind: expected one of a, b, found []"),
        ({"extra": 1}, "Outer.extra: no such field; was it written by a newer cnnbench?"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_path(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        decode(Outer, FULL | change)

    assert str(caught.value) == message


def test_a_missing_field_is_named() -> None:
    with pytest.raises(SchemaError, match=r"^record\.name: missing$"):
        decode(Outer, {"flag": True}, "record")


@pytest.mark.parametrize(
    "field",
    [
        {"samples": [1, 2**64]},
        {"sparse": [None, -(2**63) - 1]},
        {"nested": [[1], [10**400]]},
        {"counts": {"a": 2**64}},
        {"pair": [2**64, ""]},
        {"inner": {"count": 2**64, "share": 0.5}},
        {"inner": {"count": 1, "share": 10**400}},
    ],
)
def test_whole_numbers_that_no_counter_holds_are_refused(field: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="expected a whole number of 64 bits, found a larger one"):
        decode(Outer, FULL | field)


def test_unknown_fields_are_left_out_wherever_a_type_says_what_is_known() -> None:
    inner = {"count": 1, "later": 2}
    known = FULL | {"inner": {"count": 1}, "many": [{"count": 1}], "counts": {"later": 3}}

    found = without_unknown(Outer, known | {"inner": inner, "many": [inner], "later": {}})

    assert found == known
    assert decode(Outer, found).inner == Inner(1)


@pytest.mark.parametrize(
    "wrong",
    [{"inner": [1]}, {"many": {"count": 1}}, {"pair": [0, "", {}]}, {"counts": 1}, {"name": [{}]}],
)
def test_leaving_out_unknown_fields_hides_no_wrong_type(wrong: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match=f"{next(iter(wrong))}.*: expected"):
        decode(Outer, without_unknown(Outer, FULL | wrong))
