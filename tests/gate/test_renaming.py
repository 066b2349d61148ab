from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cnnbench import store
from cnnbench.errors import Incomparable, UsageError
from cnnbench.facts import Sketch, Structure, Values
from cnnbench.gate import Side, baseline, compare, renaming
from cnnbench.gate.baseline import Baseline, Source
from cnnbench.record import Record
from tests import made

TIMES = [[10, 10, 10]] * 3
REST = made.EAGER.removeprefix("lenet")
VALUES = Values((Sketch("", 2, 5.0, (3.0, 4.0)),), None, "calibrated", 2, "float64")


def record(model: str, **more: object) -> Record:
    return made.record(model + REST, TIMES, **more)


def side(*records: Record) -> Side:
    return Side("s", made.ENVIRONMENT, {one.id: one for one in records})


@pytest.fixture
def kept(tmp_path) -> Baseline:
    records = [record("nets:a"), record("nets:a?width=2"), record("nets:b")]
    run = store.read(made.directory(tmp_path / "run", records))
    return baseline.of_run(run, Source("abc"))


def models(what: Baseline) -> list[str]:
    return [name.removesuffix(REST) for name in what.specs]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("nets:b=nets:c", ["nets:a", "nets:a?width=2", "nets:c"]),
        ("nets:a=nets:c", ["nets:c", "nets:c?width=2", "nets:b"]),
        ("nets:a?width=2=nets:c?depth=3", ["nets:a", "nets:c?depth=3", "nets:b"]),
    ],
)
def test_a_new_name_keeps_everything_else(kept, word: str, expected: list[str]) -> None:
    found = renaming.renamed(kept, [word])

    assert models(found) == expected
    assert [*found.specs.values()] == [*kept.specs.values()]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nets:b", "needs the form OLD=NEW"),
        ("nets:x=nets:y", "has no such network; it has nets:a, nets:a?width=2, nets:b"),
        ("nets:b=", "has no such network"),
        ("nets:b=nets:a", "already"),
        ("nets:b=a/b", "is not a spec id"),
    ],
)
def test_a_name_that_cannot_be_is_refused(kept, word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        renaming.renamed(kept, [word])


def test_what_is_removed_is_gone(kept) -> None:
    assert models(renaming.without(kept, ["nets:b"])) == ["nets:a", "nets:a?width=2"]
    assert models(renaming.without(kept, ["nets:a"])) == ["nets:b"]
    assert models(renaming.without(kept, ["*width*", "nets:b" + REST])) == ["nets:a"]


@pytest.mark.parametrize(
    ("name", "said"), [("nets:x", "no such network"), ("*", "nothing would be left")]
)
def test_what_cannot_be_removed_is_refused(kept, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        renaming.without(kept, [name])


def test_the_same_network_is_recognised() -> None:
    assert renaming.twins(side(record("old")), side(record("new"))) == {"old": "new"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"cost": replace(made.COST, params=1)}),
        ({}, {"cost": None}),
        ({"structure": Structure({"relu": 1})}, {"structure": Structure({"relu": 2})}),
        (
            {"values": VALUES},
            {"values": replace(VALUES, outputs=(Sketch("", 2, 5.0, (4.0, 3.0)),))},
        ),
    ],
)
def test_another_network_is_not(old: dict[str, object], new: dict[str, object]) -> None:
    assert renaming.twins(side(record("old", **old)), side(record("new", **new))) == {}


def test_of_several_the_closest_name_is_it() -> None:
    new = side(record("nets:other"), record("nets:small"))

    assert renaming.twins(side(record("nets:smal")), new) == {"nets:smal": "nets:small"}


def test_a_network_that_fails_now_may_be_another_that_does_not() -> None:
    failing = made.failed("old" + REST, "'nets' has no 'old'")
    old, new = side(record("old")), side(failing, record("new"))

    found = renaming.accepted(compare(old, new), old, new, Path("b.json"), None)

    assert found.rows[0].remedy == "if it is: cnnbench baseline update b.json --rename old=new"


def test_without_a_common_spec_there_must_be_a_twin() -> None:
    other = record("new", cost=replace(made.COST, params=1))

    assert compare(side(record("old")), side(record("new"))).rows[0].state == "missing"
    with pytest.raises(Incomparable):
        compare(side(record("old")), side(other))


def test_the_rows_of_a_comparison() -> None:
    odd = replace(made.COST, params=1)
    old = side(record("both"), record("gone", cost=odd), record("old"))
    new = side(record("both"), record("new"), record("fresh", cost=replace(odd, macs=3)))

    found = renaming.accepted(compare(old, new), old, new, Path("b c.json"), Path("run"))

    told = {row.spec.removesuffix(REST): row for row in found.rows}
    assert told["old"].remedy == "if it is: cnnbench baseline update 'b c.json' --rename old=new"
    assert "new has the same structure and outputs" in told["old"].reason
    assert "--remove gone" in told["gone"].remedy
    assert told["fresh"].remedy == "to keep it: cnnbench baseline update 'b c.json' run"
    assert (told["new"].remedy, told["both"].remedy) == ("", "")


def test_a_network_that_is_no_longer_there_is_gone() -> None:
    assert renaming.is_gone("static cost: 'nets:tiny': 'nets' has no 'tiny'")
    assert renaming.is_gone("static cost: 'nets:tiny': no module 'nets'; run where")
    assert not renaming.is_gone("first call: ValueError: made up")
