"""The top of the page: cards, the plot per mode, the order of the table, the heading, remedies."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from cnnbench.report import page
from cnnbench.report.budget import Budget, fits
from cnnbench.report.page.heading import heading
from cnnbench.report.page.measurements import measurements
from cnnbench.report.page.offers import offers
from cnnbench.report.picks import picks
from cnnbench.report.remedies import remedies
from cnnbench.report.selection import Selection
from cnnbench.report.table import summary
from tests import made
from tests.report.conftest import named, of


def once(record):
    return replace(record, runs=record.runs[:1])


@pytest.fixture
def some():
    """An accurate one in one round, a slow one beaten by a fast one, a small and inaccurate one."""
    times = {"convnext_base": 5, "resnet50": 40, "regnet_y_8gf": 20, "alexnet": 4}
    records = [named(name, mode, time / gain) for name, time in times.items()
               for mode, gain in (("eager", 1), ("compile", 2))]  # fmt: skip
    return of(*(once(one) if "convnext" in one.id else one for one in records))


def model(entry) -> str:
    return entry.record.spec.workload.model


def test_cards_name_what_fits_and_the_rival_says_what_was_not_repeated(some) -> None:
    (offer,) = offers(some)

    assert [card.lines[0] for card in offer.cards] == ["regnet_y_8gf, compile"] * 3
    assert offer.cards[0].lines[1:3] == ("top-1 82.828 %", "10.0 ms [10.0 ms, 10.0 ms]")
    who = "convnext_base, compile, top-1 84.062 %, 2.50 ms [one round]"
    assert offer.rival == f"Not picked: {who}: one round only."


def test_within_a_budget_the_best_the_fastest_and_the_smallest_are_picked(some) -> None:
    (fit,) = fits(some, Budget(seconds=0.003))
    found = picks(fit)
    (nothing,) = fits(some, Budget(seconds=1e-6))

    assert {entry and model(entry) for entry in found.values()} == {"alexnet"}
    assert list(found) == ["Most accurate", "Fastest within 1 point", "Smallest within 1 point"]
    assert set(picks(nothing).values()) == {None}


def test_the_fastest_within_a_point_may_be_less_accurate() -> None:
    # 80.858 % and 80.058 %.
    found = of(named("resnet50", "eager", 30), named("regnet_x_3_2gf", "eager", 10))
    (fit,) = fits(found, Budget())

    chosen = {heading: one and model(one) for heading, one in picks(fit).items()}

    assert chosen["Fastest within 1 point"] == "regnet_x_3_2gf"


def test_a_plot_per_mode_has_every_network_once_and_names_the_front(some) -> None:
    (offer,) = offers(some)

    plots = dict(offer.plots)
    assert list(plots) == ["", "eager", "compile"]
    for plot in plots.values():
        assert sum(not one.spare for one in plot.points) == 4
        assert {one.label for one in plot.points} == {"", "regnet_y_8gf", "alexnet"}
        assert [
            one.hollow for one in plot.points if "convnext" in one.tip[0] and not one.spare
        ] == [True]
    data = [dict(one.data) for one in plots[""].points if not one.spare]
    assert sum(one.spare for one in plots[""].points) == 4
    assert {one["o"] for one in data if "w" not in one} == {"compile"}
    assert [one["w"] for one in data if one["n"] == "convnext_base"] == ["one round only"]


def test_networks_without_a_published_accuracy_are_no_offer() -> None:
    assert offers(of(named("net1", "eager", 1), named("net2", "eager", 1))) == []
    assert offers([]) == []


def test_the_table_begins_with_the_front_and_has_the_accuracy(some) -> None:
    table = measurements(some, Selection())

    names = [column.name for column in table.columns]
    rows = [(row[0], row[names.index("mode")], row[names.index("top1")]) for row in table.rows]
    assert names[0] == "model"
    assert rows[:2] == [("alexnet", "compile", 56.522), ("regnet_y_8gf", "compile", 82.828)]
    assert len(rows) == 8


def test_wishes_for_order_and_columns_are_obeyed(some) -> None:
    table = measurements(some, Selection(columns=("mode", "model"), sort=("-model",)))

    assert [column.name for column in table.columns] == ["mode", "model"]
    assert [row[1] for row in table.rows][:2] == ["resnet50"] * 2


def test_a_column_without_a_value_is_left_out() -> None:
    table = measurements(of(named("net1", "eager", 1)), Selection())

    assert "top1" not in {column.name for column in table.columns}


def test_the_title_is_in_words_and_names_what_all_share(some) -> None:
    found = heading(some)

    assert found.title == "4 networks on A Processor, 2 cores, batch 1, inference"
    assert found.dates == "2 January 2026"
    assert found.origin == ("run a-run", f"environment {made.ENVIRONMENT.fingerprint}")
    assert (found.badge, found.mark) == ("not usable", "bad")


def test_what_differs_is_not_in_the_title_and_days_are_a_span(some) -> None:
    other = replace(some[0].record, id=some[0].record.id.replace("-b1-", "-b8-"),
                    measured_at="2026-01-05T00:00:00+00:00")  # fmt: skip

    found = heading([*some, *of(other)])

    assert found.title.endswith("2 cores, inference")
    assert found.dates == "2 January 2026 to 5 January 2026"


def test_a_moment_that_is_none_is_no_date_and_no_records_have_no_title(some) -> None:
    assert heading(of(replace(some[0].record, measured_at="yesterday"))).dates == ""
    assert heading([]).title == "cnnbench: no records"


def test_what_seems_best_but_is_uncertain_gets_a_command_that_exists(some, cnnbench_cli) -> None:
    found = [one for one in remedies(some) if one.command.startswith("cnnbench run")]

    words = shlex.split(found[0].command)
    assert len(found) == 1
    assert "convnext_base" in words[words.index("--models") + 1]
    done = cnnbench_cli(*words[1:], "--dry-run", "--executor", "fake")
    assert done.exit_code == 0, done.output


def test_a_remedy_measures_again_what_is_doubted_as_it_was_measured_and_no_more(
    cnnbench_cli,
) -> None:
    work = "-b1-3x224x224-weights=random/"
    found = of(*(
        replace(record, id=record.id.replace("-b1-3x224x224/", work))
        for record in (once(named("alexnet", "channels_last", 2)),
                       once(named("resnet50", "compile", 5)))
    ))  # fmt: skip

    commands = [one.command for one in remedies(found) if one.command.startswith("cnnbench run")]

    asked = [shlex.split(one) for one in commands]
    modes = {
        words[words.index("--models") + 1]: words[words.index("--modes") + 1] for words in asked
    }
    assert modes == {"alexnet": "eager,channels_last", "resnet50": "eager,compile"}
    for words in asked:
        assert words[words.index("--weights") + 1] == "random"
        done = cnnbench_cli(*words[1:], "--dry-run", "--executor", "fake")
        assert done.exit_code == 0, done.output


def test_clean_numbers_and_made_up_ones_need_no_remedy() -> None:
    clean = of(named("resnet18", "eager", 10), named("resnet50", "eager", 20))
    fake = [replace(one, environment=replace(one.environment, hard={"fake": True}))
            for one in of(once(named("resnet18", "eager", 10)))]  # fmt: skip

    assert [one.command for one in remedies(clean)] == ["cnnbench doctor"]  # it has no compiler
    assert remedies(fake) == []


def test_rows_carry_what_limits_compare_whichever_columns_are_shown() -> None:
    slow = made.record(made.EAGER, [[10]] * 3)
    cuda = replace(slow, id=slow.id.replace("cpu-t2", "cuda-t2"))

    table = measurements(of(slow, cuda), Selection(columns=("model",)))
    text = page.render(of(slow, cuda), table)

    # On a GPU, the peak on the CPU is not the memory that a limit is about.
    cpu, gpu = (dict(one) for one in table.data)
    assert cpu == {"o": "eager", "t": "0.01", "m": str(3 << 20)}
    assert gpu == {"o": "eager", "t": "0.01"}
    assert f'<tr data-o="eager" data-t="0.01" data-m="{3 << 20}">' in text


def test_the_page_carries_how_near_is_nearly_as_accurate(some, monkeypatch) -> None:
    monkeypatch.setattr("cnnbench.report.page.document.WITHIN", 2.5)

    assert '<section id="budget" data-near="2.5">' in page.render(some, summary(some))
