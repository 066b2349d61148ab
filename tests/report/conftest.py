from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cnnbench import store
from cnnbench.record import Failure
from cnnbench.report.table import Column, Entry, Table, entries
from cnnbench.stats import Estimate
from cnnbench.store import StoredRun
from tests import made

# What a model, an exception or a processor's name may hold.
HOSTILE = 'a|b\n<script>alert(1)</script>`x`*y*_z_ \x1b[31m\u202e[t](http://e) "q", =cmd()'


@pytest.fixture
def found(eager, twice_as_fast, failed) -> list[Entry]:
    """A baseline, one twice as fast, a failure, and a single round of another batch."""
    other = made.record(made.EAGER.replace("b8", "b1"), [[2, 2, 2]])
    return of(eager, twice_as_fast, failed, other)


def of(*records, run: str = "a-run") -> list[Entry]:
    what = replace(store.manifest(run, [one.id for one in records], {}, "fake"), created="")
    return entries([StoredRun(Path(run), what, made.ENVIRONMENT, tuple(records))])


@pytest.fixture
def hostile() -> Table:
    """A table in which every text is hostile."""
    columns = (Column("name", "name"), Column("time", HOSTILE, "seconds"))
    return Table(columns, ((HOSTILE, Estimate(1.0, 0.9, 1.1)),), (HOSTILE,), (HOSTILE,))


@pytest.fixture
def hostile_entries(eager) -> list[Entry]:
    """A record with a hostile architecture, failure and note."""
    name = made.EAGER.replace("lenet", "%3Dcmd%28%29%7C%3Cscript%3E%0A")
    one = replace(eager, id=name, failure=Failure("build", "error", "=1+" + HOSTILE))
    return of(replace(one, notes=(HOSTILE,)))


@pytest.fixture
def every_kind() -> Table:
    """One column of every kind, with a number, with nothing, and with an interval."""
    kinds = ["seconds", "bytes", "count", "rate", "fraction", "ratio", "error", "whole", "number"]
    columns = (Column("name", "name"), *(Column(kind, kind, kind) for kind in kinds))
    return Table(
        columns,
        (
            ("points", 0.0123, 3 << 20, 25_557_032, 123.4, 0.042, 1.432, 3.1e-7, 8, 76.13),
            ("nothing", *[None] * 9),
            ("intervals", *[Estimate(2.0, 1.5, 2.5, 3)] * 9),
            ("one round", *[Estimate(2.0)] * 9),
            ("exact", *[Estimate(2.0, 2.0, 2.0)] * 9),
        ),
        ("what the numbers are numbers of",),
        ("a note",),
    )
