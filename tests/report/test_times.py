"""What is said of times that are not simply the clock's, or that contradict each other."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cnnbench.facts import Structure
from cnnbench.record import Record
from cnnbench.report import cells, render
from cnnbench.report.conclusions import conclusions
from cnnbench.report.overview import overview
from cnnbench.report.pivot import pivot
from cnnbench.report.scaling import scaling
from cnnbench.report.selection import Selection, view
from cnnbench.report.table import Column, summary, tidy
from cnnbench.report.times import remarks as remarks_of
from cnnbench.slices import Slice, Slices
from tests import made
from tests.report.conftest import of

EAGER, OTHER = (name.replace("cpu-t2", "cpu-t1") for name in (made.EAGER, made.CHANNELS_LAST))


def waiting(name: str, share: float, milliseconds: float = 10) -> Record:
    """Computes for that long per call, and waits for a core for a share of the time."""
    own = round(1e6 * milliseconds)
    wall = round(own / (1 - share))
    slices = Slices.of(
        Slice(turn, 1, (wall,) * 3, cpu_ns=3 * own, run_delay_ns=3 * (wall - own))
        for turn in range(3)
    )
    one = made.record(name, [[1]] * 3)
    return replace(one, runs=tuple(replace(run, slices=slices) for run in one.runs))


def remarks(found) -> list[str]:
    return remarks_of(found, summary(found))


def row(found, name: str) -> dict[str, str]:
    table = summary(found)
    texts = cells.texts(table)[[one.record.id for one in found].index(name)]
    return dict(zip((column.name for column in table.columns), texts, strict=True))


def test_a_disturbed_row_of_one_thread_shows_the_awake_latency_with_a_mark() -> None:
    found = of(waiting(EAGER, 0.5))

    shown = row(found, EAGER)
    assert shown["latency"].startswith("10.0 ms*")
    assert shown["measurement"] == "disturbed (no core 50 % of the time)"
    assert shown["throughput"] == "800"
    assert summary(found).notes[1:] == (
        "* 1 row is disturbed: the time that the process waited for a core is taken out of latency,"
        " samples/s and FLOP/s",
    )


def test_a_mark_is_explained_where_it_stands_and_nowhere_else() -> None:
    found = of(waiting(EAGER, 0.5), waiting(OTHER, 0.01))

    for columns, marked in ((("model", "latency"), True), (("model", "samples/s"), False)):
        table = view(found, Selection(columns=columns), people=True)
        assert cells.marked(table) is marked
        assert any(line.startswith("* ") for line in table.notes) is marked
        assert any("1 row is disturbed" in line for line in table.notes)
    for table in (pivot(found, "mode", "params"), scaling(found), summary(found)):
        assert any(line.startswith("* ") for line in table.notes) is cells.marked(table)
    assert not [line for line in conclusions(found) if "*" in line.text]


def test_machines_get_both_latencies() -> None:
    table = tidy(of(waiting(EAGER, 0.5)))
    values = dict(zip((column.name for column in table.columns), table.rows[0], strict=True))

    assert round(values["latency_median_s"], 6) == 0.02
    assert round(values["latency_awake_median_s"], 6) == round(values["cpu_time_s"], 6) == 0.01
    assert values["throughput_per_s"] * values["latency_median_s"] == 8


def test_of_several_threads_nothing_is_taken_out_and_a_note_says_what_would_help() -> None:
    found = of(waiting(made.EAGER, 0.5))

    latency = row(found, made.EAGER)["latency"]
    assert latency.startswith("20.0 ms")
    assert cells.AWAKE not in latency
    _, line = summary(found).notes
    assert "--threads 1 or a quiet machine would help" in line


@pytest.mark.parametrize(
    "name",
    [
        "input:mnist/inference-b8-1x28x28-workers=1/impl=tensor/cpu-t1",
        made.EAGER.replace("cpu-t2", "cuda:0-t2"),
    ],
)
def test_where_fewer_threads_tell_nothing_they_are_no_remedy(name: str) -> None:
    notes = " ".join(summary(of(waiting(name, 0.5))).notes)

    assert "with workers or a GPU the waiting cannot be taken out" in notes
    assert "--threads" not in notes


def test_a_clean_row_has_neither_mark_nor_note() -> None:
    found = of(waiting(EAGER, 0.01))

    assert "*" not in row(found, EAGER)["latency"]
    assert summary(found).notes == ("the run is usable: 1 of 1 time is clean",)


def test_a_speedup_that_contradicts_the_latencies_beside_it_says_why() -> None:
    # Side by side both take 20 ms, but one of them waits for half of that.
    found = of(waiting(EAGER, 0.5), waiting(OTHER, 0.0, 20))

    (line,) = [one for one in remarks(found) if one.startswith(OTHER)]
    assert "side by side 1.00x as fast as eager, by the latencies in this table 0.500x" in line
    assert "waiting for a core is taken out of latencies" in line


def test_a_machine_that_changed_its_speed_is_named_as_the_reason() -> None:
    # In each round twice as fast side by side; the medians are of different slices.
    base = made.record(made.EAGER, [[10, 10, 40, 40, 40]] * 3)
    other = made.record(made.CHANNELS_LAST, [[5, 5, 60, 20, 20]] * 3)

    lines = remarks(of(base, other))

    assert not lines
    slower = made.record(made.CHANNELS_LAST, [[9, 9, 9, 39, 80]] * 3)
    (line,) = remarks(of(base, slower))
    assert "the machine's speed changed between slices" in line


def test_many_contradictions_are_counted() -> None:
    pairs = [
        (waiting(EAGER.replace("b8", f"b{n}"), 0.5), waiting(OTHER.replace("b8", f"b{n}"), 0, 20))
        for n in range(1, 7)
    ]

    lines = remarks(of(*(one for pair in pairs for one in pair)))

    assert lines[-1] == "and 3 more rows whose two ratios differ so"


def test_the_mark_stands_behind_the_number_also_without_an_interval() -> None:
    one = of(waiting(EAGER, 0.5))[0].latency
    assert one is not None

    assert cells.text(Column("", "", "seconds"), replace(one, low=None, high=None)) == (
        "10.0 ms* [one round]"
    )


@pytest.mark.parametrize("kind", ["table", "markdown"])
def test_a_pivot_shows_the_same_latency_as_the_table_and_marks_it(kind: str) -> None:
    found = of(waiting(EAGER, 0.5), waiting(OTHER, 0.01))

    text = render(pivot(found, "mode"), kind).replace("\\*", "*")

    assert "10.0 ms*" in text
    assert "10.1 ms " in text
    assert "1 row is disturbed" in text
    (row,) = json.loads(render(pivot(found, "mode"), "json"))
    assert round(row["latency_median_s:eager"], 6) == 0.01


def test_the_page_says_of_which_disturbed_rows_the_waiting_is_taken_out() -> None:
    found = of(waiting(EAGER, 0.5), waiting(made.EAGER, 0.5))

    texts = [one.text for one in conclusions(found)]

    assert (
        "2 of these 2 measurements were disturbed: the waiting for a core is taken out of the"
        " latency of 1; the time of the other one is too long."
    ) in texts


def test_disturbed_measurements_and_times_too_disturbed_to_be_used_add_up() -> None:
    names = [EAGER.replace("-b8-", f"-b{n}-") for n in (1, 2, 3)]
    found = of(*(waiting(name, 0.5) for name in names), waiting(made.EAGER, 0.5))

    texts = " ".join(one.text for one in conclusions(found))

    assert "4 of these 4 measurements were disturbed" in texts
    assert "taken out of the latency of 3; the time of the other one is too long" in texts
    assert "1 of 4 times is too disturbed to be used" in texts


def test_two_kinds_of_time_that_differ_much_are_named_although_both_say_faster() -> None:
    # Side by side 2.5 times as fast; without the waiting of the reference mode 1.3 times.
    base, other = waiting(EAGER, 0.5, 13), waiting(OTHER, 0.0, 10.4)
    wide = replace(
        other,
        runs=tuple(
            replace(run, slices=waiting(OTHER, 0.0, time).runs[0].slices)
            for run, time in zip(other.runs, (4, 10.4, 27), strict=True)
        ),
    )

    (line,) = [one for one in remarks(of(base, wide)) if one.startswith(OTHER)]
    assert "side by side 2.50x as fast as eager, by the latencies in this table 1.25x" in line


def on_gpu(milliseconds: float, device_ms: float) -> Record:
    one = made.record("lenet/inference-b8-3x32x32/eager/cuda:0-t2", [[milliseconds] * 3] * 3)
    return replace(one, structure=Structure(device_ns=round(1e6 * device_ms)))


def test_launch_bound_rows_are_said_and_marked() -> None:
    found = of(on_gpu(10, 1), on_gpu(10, 4), on_gpu(10, 9))
    waits, works = overview(of(on_gpu(10, 1))), overview(of(on_gpu(10, 9)))

    (line,) = [one for one in remarks(found) if "launch-bound" in one]
    assert line.startswith(
        "2 rows are launch-bound: the GPU had work for 10.0 % to 40.0 % of a step and waited"
    )
    assert any("launch-bound" in one.text for one in conclusions(found))
    assert [column.title for column in summary(found).columns].count("GPU busy") == 1
    assert any(str(cell).endswith(" H") for cell in waits.rows[0])
    assert "H launch-bound" in " ".join(waits.notes)
    assert "launch-bound" not in " ".join(works.notes)
    assert remarks(of(on_gpu(10, 9))) == []


def test_rows_are_sorted_by_the_latency_that_they_show() -> None:
    # By the clock 20 ms and 12 ms, without waiting 10 ms and 12 ms.
    found = of(waiting(OTHER, 0.0, 12), waiting(EAGER, 0.5))

    table = view(found, Selection(columns=("mode", "latency"), sort=("latency",)), people=True)

    assert [row[0] for row in table.rows] == ["eager", "channels_last"]
    tidied = view(found, Selection(columns=("mode",), sort=("latency_median_s",)), people=False)
    assert [row[0] for row in tidied.rows] == ["channels_last", "eager"]


@pytest.mark.parametrize(("name", "amount"), [
    ("throughput", 8), ("effective_flops", 2 * made.COST.macs),
])  # fmt: skip
def test_rates_are_those_of_the_latency_beside_them(name: str, amount: float) -> None:
    found = of(waiting(EAGER, 0.5))

    ((shown, rate),) = view(found, Selection(columns=("latency", name)), people=True).rows
    assert getattr(rate, "point", rate) == pytest.approx(amount / shown.point)
    column = {"throughput": "throughput_per_s", "effective_flops": "effective_flops_per_s"}[name]
    ((clock, rate),) = view(
        found, Selection(columns=("latency_median_s", column)), people=False
    ).rows
    assert rate == pytest.approx(amount / clock)
    assert shown.point == pytest.approx(clock / 2)
