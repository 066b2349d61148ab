from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cnnbench import store
from cnnbench.facts import Algorithm, Ceilings, Structure
from cnnbench.prediction.contenders import ChoiceLimits, Contender
from cnnbench.prediction.kept import KeptChoice
from cnnbench.record import Failure
from cnnbench.report.entry import Entry, entries
from cnnbench.report.table import Column, Table
from cnnbench.stats import Estimate
from cnnbench.store import StoredRun
from tests import made
from tests.report.opened import EVIL, KNOWN, MODES, Opened, written

# What a model, an exception or a processor's name may hold.
HOSTILE = 'a|b\n<script>alert(1)</script>`x`*y*_z_ \x1b[31m\u202e[t](http://e) "q", =cmd()'


WORK = "inference-b1-3x224x224"


def named(model: str, mode: str, milliseconds: float, **more):
    """A record of an ImageNet network at its usual size."""
    name = f"{model}/{WORK}/{mode}/cpu-t2"
    return made.record(name, [[milliseconds] * 3] * 3, ensemble=model, **more)


CEILINGS = Ceilings({"float32 matmul": 2e11}, {"32768": 2e11, "268435456": 2e10}, 5000, 2)


@pytest.fixture
def everything() -> list[Entry]:
    """Records that every section has something to say about."""
    structure = Structure(allocated_bytes=1 << 20)
    records = [
        named(model, mode, time, ceilings=(CEILINGS,), structure=structure)
        for model, slow in (("resnet18", 1), ("resnet50", 3))
        for mode, time in (("eager", 10 * slow), ("compile", 6 * slow))
    ]
    large = [replace(one, id=one.id.replace("-b1-", "-b8-")) for one in records]
    lab = [
        named("conv:k64-3x3", mode, time, ceilings=(CEILINGS,),
              algorithm=Algorithm("im2col", 10**9, 10**7, 0, 0))
        for mode, time in (("eager", 2), ("impl=im2col", 4))
    ]  # fmt: skip
    failed = made.failed(made.BF16, "RuntimeError: no such thing", "out_of_memory")
    found = of(*records, *large, *lab, failed)
    contender = Contender(records[0].id, 69.758, seconds=0.011, low=0.010, high=0.012)
    choice = KeptChoice(ChoiceLimits(0.02), {contender.spec: contender})
    return [replace(one, choice=lambda: choice) for one in found]


@pytest.fixture
def found(eager, twice_as_fast, failed) -> list[Entry]:
    """A baseline, one twice as fast, a failure, and a single round of another batch."""
    other = made.record(made.EAGER.replace("b8", "b1"), [[2, 2, 2]])
    return of(eager, twice_as_fast, failed, other)


def of(*records, run: str = "a-run") -> list[Entry]:
    what = replace(store.manifest(run, [one.id for one in records], {}, "fake"), created="")
    return entries([StoredRun(Path(run), what, made.ENVIRONMENT, tuple(records))])


TRAINED = ("lenet/training{}-b8-3x32x32/{}/cpu-t2", "", "-adamw")


def trained(run: str = "a-run"):
    """One network trained by two optimizers; what is faster by one is slower by the other."""
    text, *optimizers = TRAINED
    return of(
        *(
            made.record(text.format(optimizer, mode), [[time] * 3] * 3, ensemble=optimizer)
            for optimizer, times in zip(optimizers, ((10, 5), (20, 40)), strict=True)
            for mode, time in zip(("eager", "channels_last"), times, strict=True)
        ),
        run=run,
    )


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


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as driver:
        # Without a graphics card, and without asking anybody for updates.
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        one = driver.chromium.launch(executable_path=path, args=quiet)
        yield one
        one.close()


@pytest.fixture(scope="module")
def eighty() -> list[Entry]:
    """Eighty networks in six modes, in a run with a hostile name; one measured in one round."""
    names = [*KNOWN, "resnet9", *(f"net{n}" for n in range(73))]
    records = [
        named(name, mode, (10 + 3 * i) / (1 + j))
        for i, name in enumerate(names)
        for j, mode in enumerate(MODES)
    ]
    once = [named("convnext_tiny", mode, 30) for mode in MODES]
    once = [type(one)(**{**vars(one), "runs": one.runs[:1]}) for one in once]
    return of(*records, *once, run=EVIL)


@pytest.fixture(scope="module")
def address(tmp_path_factory, eighty) -> str:
    return written(tmp_path_factory.mktemp("page") / "report.html", eighty)


@pytest.fixture(scope="module", params=[(1400, 900), (420, 800)], ids=["wide", "phone"])
def opened(request, browser, address):
    """Opened once: loading it anew for every test is most of the time on a busy machine."""
    wide, high = request.param
    context = browser.new_context(viewport={"width": wide, "height": high})
    yield Opened(context, address)
    context.close()
