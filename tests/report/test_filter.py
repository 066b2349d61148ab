from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.errors import UsageError
from cnnbench.report.filter import NOTHING, Condition, parse
from cnnbench.report.table import Column
from cnnbench.stats import Estimate

COLUMNS = {
    "mode": Column("mode", "mode"),
    "error": Column("error", "error"),
    "latency": Column("latency_median_s", "latency", "seconds"),
    "latency_median_s": Column("latency_median_s", "latency", "seconds"),
    "batch": Column("batch", "batch", "whole"),
    "params": Column("params", "params", "count"),
    "peak": Column("peak", "peak", "bytes"),
    "speedup": Column("speedup", "speedup", "ratio"),
    "share": Column("share", "share", "fraction"),
    "top1": Column("top1", "top-1 %", "number"),
    "faults": Column("faults", "faults/call", "number"),
}


def holds(text: str, value: object) -> bool:
    (one,) = parse(text, COLUMNS)
    return one.holds(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("mode=compile", "compile", True),
        ("mode=compile", "compile+channels_last", False),
        ("mode~COMPILE", "compile+channels_last", True),
        ("mode!~compile", "eager", True),
        ("mode!=eager", "eager", False),
        ("mode=eager,compile", "compile", True),
        ("mode=amp=bf16", "amp=bf16", True),
        ("mode = 'a b'", "a b", True),
        ('mode="it\'s, here"', "it's, here", True),
        ("error=-", "", True),
        ("error=-", None, True),
        ("error!=-", "died", True),
        ("latency<5ms", 0.004999, True),
        ("latency<5ms", 0.005, False),
        ("latency<=5ms", 0.005, True),
        ("latency>200µs", 0.0003, True),
        ("latency>200us", 0.0001, False),
        ("latency<1s", 0.5, True),
        ("latency<5ms", None, False),
        ("latency>5ms", None, False),
        ("latency=-", None, True),
        ("latency!=-", 0.1, True),
        ("latency<5ms", Estimate(0.004, 0.001, 0.009), True),
        ("batch=8", 8, True),
        ("batch=1,8", 2, False),
        ("batch!=8", 8, False),
        ("params>=25.5M", 25_557_032, True),
        ("peak<1GiB", (1 << 30) - 1, True),
        ("peak<1GB", 10**9, False),
        ("speedup>1.2x", 1.3, True),
        ("share<5%", 0.04, True),
        ("top1>72%", 72.2, True),
        ("top1>72", 72.2, True),
        ("top1>=72.5%", 72.2, False),
        ("speedup>-1", 0.5, True),
        ("speedup>1e-3", 0.5, True),
    ],
)
def test_a_condition_holds_or_not(text: str, value: object, expected: bool) -> None:
    assert holds(text, value) is expected


def test_conditions_are_separated_by_any_space() -> None:
    found = parse("  mode~compile\tlatency < 5ms \n batch=8 ", COLUMNS)

    assert [one.column for one in found] == ["mode", "latency_median_s", "batch"]


def test_an_empty_filter_has_no_conditions() -> None:
    assert parse("  ", COLUMNS) == ()


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("mod=eager", 1, "unknown column 'mod'; did you mean mode"),
        ("mode=eager latncy<3", 12, "unknown column 'latncy'"),
        ("mode", 5, "expected one of = != ~ !~ < <= > >= after 'mode'"),
        ("mode eager", 6, "expected one of"),
        ("mode=", 6, "expected a value"),
        ("mode=a,", 8, "expected a value"),
        ("mode='a", 6, "the quotation mark ' is never closed"),
        ("mode='a'b", 9, "expected a space between two conditions"),
        ("mode<eager", 6, "'mode' is text; use = != ~ !~"),
        ("latency~5", 9, "'latency_median_s' is a number; use"),
        ("latency<5mms", 9, "'5mms' is not a number with one of ns us"),
        ("latency<", 9, "expected a value"),
        ("batch=eight", 7, "'eight' is not a number"),
        ("faults<5%", 8, "'5%' is not a number"),
        ("latency<-", 9, "'-' is not a number"),
        ("=3", 1, "expected a column"),
        ("__import__('os')", 1, "expected a column"),
    ],
)
def test_a_mistake_is_one_line_that_shows_where(text: str, where: int, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, COLUMNS)

    message = str(caught.value)
    assert f"at character {where}: " in message
    assert what in message
    assert f"{text[: where - 1]}»{text[where - 1 :]}" in message


VALUES = st.text(min_size=1).filter(lambda text: not {"'", '"'} <= set(text))
TEXTS = st.builds(
    Condition,
    st.sampled_from(["mode", "error"]),
    st.sampled_from(["=", "!=", "~", "!~"]),
    st.lists(VALUES, min_size=1, max_size=3).map(tuple),
)
NUMBERS = st.builds(
    Condition,
    st.sampled_from(["latency_median_s", "batch", "params"]),
    st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=3).map(tuple),
)


def written(value: str | float | None, unit: str = "") -> str:
    if value is None:
        return NOTHING
    if isinstance(value, float):
        return f"{value!r}{unit}"
    quote = '"' if "'" in value else "'"
    return f"{quote}{value}{quote}"


@given(st.lists(TEXTS | NUMBERS, max_size=4).map(tuple))
def test_every_filter_is_read_as_it_was_written(conditions: tuple[Condition, ...]) -> None:
    text = " ".join(
        f"{one.column}{one.symbol}"
        + ",".join(written(value, "s" * (one.column == "latency_median_s")) for value in one.values)
        for one in conditions
    )

    assert parse(text, COLUMNS) == conditions


@given(st.text(max_size=30))
def test_any_text_is_a_filter_or_one_clear_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(parse(text, COLUMNS), tuple)


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_comparisons_agree_with_arithmetic(value: float, limit: float) -> None:
    for symbol, expected in (("<", value < limit), (">=", value >= limit)):
        assert holds(f"latency{symbol}{limit!r}s", value) is expected
        assert holds(f"latency{symbol}{limit!r}s", Estimate(value)) is expected


@given(TEXTS | NUMBERS, st.none() | st.text() | st.floats(0, 1e6))
def test_a_negation_is_the_opposite(one: Condition, value: object) -> None:
    opposite = {"=": "!=", "~": "!~"}
    if one.symbol in opposite:
        other = Condition(one.column, opposite[one.symbol], one.values)
        assert other.holds(value) is not one.holds(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["latency<20", "latency=0.005,1", "latency_median_s>=2"])
def test_a_time_needs_a_unit_and_the_error_says_which(text: str) -> None:
    with pytest.raises(UsageError, match=r"a time needs a unit, such as \S+ms"):
        parse(text, COLUMNS)


def test_a_size_needs_a_unit_and_zero_does_not() -> None:
    with pytest.raises(UsageError, match=r"a size needs a unit, such as peak<200MB"):
        parse("peak<200", COLUMNS)
    assert holds("peak>0", 1)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("latency<5ms", [0.2, 0.006, None, Estimate(0.1)], 0.006),
        ("mode=bf16", ["eager", "amp=bf16"], "amp=bf16"),
        ("mode=chanels_last", ["eager", "channels_last"], "channels_last"),
        ("mode=eager", [None, ""], None),
        ("batch=3", [1, 8], 1),
    ],
)
def test_the_nearest_value_is_known(text: str, values: list[object], expected: object) -> None:
    (condition,) = parse(text, COLUMNS)

    assert condition.nearest(values) == expected
