"""The table that answers first: a row per network, what fits, and what the marks say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cnnbench import choice
from cnnbench.facts import Check
from cnnbench.report import terminal
from cnnbench.report.budget import Budget
from cnnbench.report.overview import opening, overview
from cnnbench.report.selection import Selection
from tests import made
from tests.report.conftest import WORK, named, of

MODES = ("eager", "channels_last", "amp=bf16", "compile")


def titles(table) -> list[str]:
    return [column.title for column in table.columns]


def rows(table) -> list[list[str]]:
    return [[str(value).strip() for value in row] for row in table.rows]


def gained(model: str, mode: str, *times: float, **more):
    """Eager takes 10 ms in every round; the mode what is given."""
    eager = made.record(f"{model}/{WORK}/eager/cpu-t2", [[10] * 3] * len(times), ensemble=model)
    other = made.record(
        f"{model}/{WORK}/{mode}/cpu-t2", [[time] * 3 for time in times], ensemble=model, **more
    )
    return eager, other


def test_models_are_rows_and_modes_are_columns() -> None:
    found = of(*gained("resnet18", "compile", 5, 5.1, 4.9), *gained("lenet", "compile", 20, 20, 20))

    table = overview(found)

    assert titles(table)[:6] == ["model", "top-1", "eager", "compile", "gain", "memory"]
    assert [row[:6] for row in rows(table)] == [
        ["resnet18", "69.8", "10.0 ms", "5.00 ms", "2.00x ±5 % +", "3.00 MiB"],
        ["lenet", "-", "10.0 ms", "20.0 ms", "0.500x ±0 % -", "3.00 MiB"],
    ]
    assert table.notes[0] == "+ clearly faster, - clearly slower"


@pytest.mark.parametrize(
    ("other", "time", "gain"),
    [
        (gained("resnet18", "compile", 5), "5.00 ms o", "2.00x o"),
        (gained("resnet18", "compile", 9, 10, 11.5), "10.0 ms ~", "0.989x ±32 %"),
        (gained("resnet18", "compile", 1, 10, 90), "10.0 ms ~", "1.04x wide"),
        (gained("resnet18", "compile", 5, 5, 5, check=Check("wrong", 1, 1, 0, "no")),
         "5.00 ms W", "2.00x ±0 %"),
        (gained("resnet18", "compile", 5, 5, 5, check=Check("unchecked", None, None, None, "no")),
         "5.00 ms ?", "2.00x ±0 % +"),
    ],
)  # fmt: skip
def test_marks_say_how_far_a_figure_can_be_relied_on(other, time: str, gain: str) -> None:
    table = overview(of(*other, *gained("lenet", "compile", 5, 5, 5)))

    shown = dict(zip(titles(table), rows(table)[0], strict=True))
    assert (shown["compile"], shown["gain"]) == (time, gain)


def test_where_modes_do_not_fit_the_best_other_one_stands_in_their_place() -> None:
    records = [
        named(model, mode, time)
        for model in ("resnet18", "mobilenet_v3_small")
        for mode, time in zip(MODES, (10, 9, 20, 5), strict=True)
    ]

    narrow, wide = overview(of(*records)), overview(of(*records), width=200)

    assert titles(narrow)[:4] == ["model", "top-1", "eager", "best other"]
    assert [row[3] for row in rows(narrow)] == ["compile", "compile"]
    assert {*MODES} <= {*titles(wide)}
    for line in terminal.render(narrow, width=80).splitlines():
        assert len(line) <= 80


def test_a_single_network_has_a_row_per_mode() -> None:
    table = overview(of(*(named("resnet18", mode, 10) for mode in MODES)))

    assert [row[0] for row in rows(table)] == [*MODES]
    assert titles(table)[-1] == "output"


def test_what_differs_between_rows_has_a_column() -> None:
    small = named("resnet18", "eager", 10)
    large = made.record(small.id.replace("-b1-", "-b8-"), [[80] * 3] * 3)

    table = overview(of(small, large))

    assert titles(table)[:2] == ["model", "batch"]


def test_the_conclusions_stand_below_and_warnings_stand_out() -> None:
    found = of(*gained("resnet18", "compile", 5, 5, 5), *gained("resnet50", "compile", 5))

    notes = overview(found).notes

    assert any(note.startswith("compile: faster in 1 of 2 workloads") for note in notes)
    assert "not repeated in 1" in " ".join(notes)
    assert any(note.startswith("! The run is") for note in notes)


def test_rows_of_which_the_same_is_said_are_counted() -> None:
    several = [
        named("resnet18", mode, 10, notes=(f"took {number} s",))
        for number, mode in enumerate(MODES)
    ]
    found = of(*several, named("lenet", "eager", 1, notes=("alone",)))

    notes = overview(found).notes

    assert f"4 rows, such as resnet18/{WORK}/eager/cpu-t2: took 0 s" in notes
    assert f"lenet/{WORK}/eager/cpu-t2: alone" in notes


def pictured(model: str, mode: str, milliseconds: float, right: float | None, agree: float):
    """On the user's own 200 pictures."""
    check = Check("ok", 0.0, 1e-7, agree, top1_pictures=200, accuracy_top1=right)
    one = named(model, mode, milliseconds, check=check)
    return replace(one, id=one.id.replace(f"/{mode}/", f"-images=%2Fmine/{mode}/"))


@pytest.mark.parametrize("labelled", [True, False])
def test_answers_to_the_users_own_pictures_stand_in_the_overview(labelled: bool) -> None:
    found = of(
        *(
            pictured(model, mode, time, right if labelled else None, agree)
            for model, right in (("resnet18", 0.65), ("resnet50", 0.8))
            for mode, time, agree in (("eager", 9, 1.0), ("amp=bf16", 5, 0.96))
        )
    )

    narrow, wide = (overview(found, width=width) for width in (80, None))

    title, other = ("your top-1", "top-1") if labelled else ("top-1", "your top-1")
    for table in (narrow, wide):
        assert title in titles(table)
        assert other not in titles(table)
        shown = dict(zip(titles(table), rows(table)[0], strict=True))
        assert shown["agreement"] == "96.0 %"
        assert shown[title].startswith("65.0 [58, 71]" if labelled else "69.8")
        told = " ".join(table.notes)
        assert "of the mode beside eager" in told
        assert ("right answers to your 200 pictures" in told) is labelled
        assert ("published 80.9 %" in told) is labelled
    assert max(map(len, terminal.render(narrow, width=80).splitlines())) <= 80


def test_failures_come_first_and_many_lines_are_cut() -> None:
    words = "abcdefghij"
    found = of(*(named(f"net{one}", "eager", 1, notes=(f"note {one}",)) for one in words),
               made.failed(made.BF16))  # fmt: skip

    notes = overview(found).notes

    said = [note for note in notes if "note " in note or "cpu-t2: failed:" in note]
    assert "failed: first call: ValueError: made up" in said[0]
    assert notes[-1] == "and 3 more lines (--wide)"


def test_what_fits_a_budget_is_listed_the_most_accurate_first() -> None:
    found = of(named("resnet18", "eager", 9), named("resnet50", "eager", 30),
               named("mobilenet_v2", "eager", 12), named("vgg11", "eager", 15))  # fmt: skip

    table = overview(found, within=Budget(seconds=0.020))

    assert titles(table) == ["model", "mode", "latency", "top-1", "memory", "front"]
    assert [(row[0], row[-1]) for row in rows(table)] == [
        ("mobilenet_v2", "front"), ("resnet18", "front"), ("vgg11", ""),
    ]  # fmt: skip


def test_nothing_that_fits_leaves_no_table() -> None:
    table = overview(of(named("resnet18", "eager", 9)), within=Budget(seconds=0.001))

    assert (table.columns, table.rows) == ((), ())
    assert "nothing that was reliably measured fits" in " ".join(table.notes)


def test_markdown_has_every_row_after_the_answers() -> None:
    found = of(*gained("resnet18", "compile", 5, 5, 5), *gained("resnet50", "compile", 5))

    first, every = opening(found, Selection(sort=("-latency",)), kind="markdown")

    assert titles(first)[0] == "model"
    assert len(every.rows) == len(found)
    assert every.captions[0] == "Every row with every figure:"
    assert not {*first.captions} & {*every.captions}


def test_nothing_at_all_is_a_table_too() -> None:
    assert overview(of()).rows == ()


def test_the_mode_that_came_nearest_is_found_once_however_many_cells_name_it(monkeypatch) -> None:
    found = of(*(named(model, mode, 10) for model in ("resnet18", "resnet50")
                 for mode in ("eager", "channels_last", "compile")))  # fmt: skip
    asked, ratio = [], choice._ratio
    monkeypatch.setattr(choice, "_ratio", lambda *pair: asked.append(pair) or ratio(*pair))

    overview(found, width=None, said=False)
    few = len(asked)
    asked.clear()
    overview(found, width=1, said=False)

    assert few
    assert len(asked) == few
