"""How a mode compares with plain eager is said in the same words everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cnnbench import advice, store
from cnnbench.advice import Evidence
from cnnbench.choice import STANDINGS
from cnnbench.facts import Check
from cnnbench.report import answering, answers, conclusions
from cnnbench.report.budget import Budget
from cnnbench.report.entry import Entry, entries
from cnnbench.report.overview import overview
from cnnbench.report.page.sections import sections
from tests import made
from tests.report.conftest import of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.choice import Standing

RESULTS = Path(__file__).parents[2] / "results"
WORK = "inference-b1-3x224x224"
LOOSE = Check("loose", 0.5, 0.5, 0.2, "relative error 0.5")


def twice(model: str, *times: float, **more) -> list:
    """Eager takes 10 ms in every round; compile what is given."""
    plain = made.record(f"{model}/{WORK}/eager/cpu-t1", [[10] * 3] * len(times), ensemble=model)
    name = f"{model}/{WORK}/compile/cpu-t1"
    return [plain, made.record(name, [[one] * 3 for one in times], ensemble=model, **more)]


SYNTHETIC: dict[Standing, list] = {
    "faster": twice("resnet18", 5, 5, 5),
    "slower": twice("resnet34", 20, 20, 20),
    "level": twice("resnet50", 10, 10.01, 10),
    "unclear": twice("vgg11", 9, 10, 11),
    "once": twice("vgg13", 5),
    "unfit": twice("vgg16", 1, 1, 1, check=LOOSE),
}


def standings(found: Sequence[Entry]) -> dict[str, Standing]:
    return {
        one.record.id: how
        for answer in answers.by_mode(found)
        for how, some in answer.standings.items()
        for one in some
    }


def of_advice(found: Sequence[Entry], entry: Entry) -> str:
    """What advice says of a mode where it is not the one to use."""
    records = tuple(one.record for one in found if one.record.spec.plain == entry.record.spec.plain)
    said = [one.text for one in advice.advise(Evidence(records)) if one.kind == "other"]
    return next((text for text in said if text.startswith(f"{entry.mode}: ")), "")


@pytest.mark.parametrize("how", SYNTHETIC)
def test_a_standing_of_each_kind_is_said_alike(how: Standing) -> None:
    found, words = of(*SYNTHETIC[how], *twice("alexnet", 5, 5, 5)), STANDINGS[how]
    entry = found[1]

    assert standings(found)[entry.record.id] == how
    (sentence,) = conclusions.by_mode(found)
    assert f"{words.text} in " in sentence.text
    gain = [str(one).rstrip("x") for one in overview(found[:2], width=None).rows[0]]
    assert any(one.endswith(f" {words.mark}".rstrip()) for one in gain)
    strips = [one for one in sections(found)[0] if one.name == "strips"]
    (title, plot) = strips[0].plots[0]
    assert (f"{words.text} 1" in title or f"{words.text} 2" in title) == (how != "unfit")
    groups = {one.group for one in plot.points}
    assert (words.text in groups) == (how != "unfit")
    assert {row[-1] for row in strips[0].table.rows} == groups
    if how in {"level", "unclear", "once"}:
        assert of_advice(found[:2], entry).endswith(f": {words.text}")


@pytest.mark.parametrize("name", ["all-cpu", "modes-cpu"])
def test_what_was_really_measured_is_counted_alike(name: str) -> None:
    found = entries([store.read(RESULTS / name)])
    counts = {
        (one.mode, STANDINGS[how].text): len(some)
        for one in answers.by_mode(found)
        for how, some in one.standings.items()
        if some
    }

    said = {
        text.partition(":")[0]: text for one in conclusions.by_mode(found) if (text := one.text)
    }
    for (mode, word), count in counts.items():
        if said:
            assert f"{word} in {count}" in said[mode]
    told = {one.name: one for one in sections(found)[0]}
    rows = [(row[0], row[-1]) for row in told["strips"].table.rows]
    drawn = {pair: rows.count(pair) for pair in rows}
    unfit = STANDINGS["unfit"].text
    assert drawn == {pair: count for pair, count in counts.items() if pair[1] != unfit}
    assert all(how in answering.render(found, Budget()) for how in STANDINGS if how != "apart")


def test_no_two_standings_are_said_alike() -> None:
    assert len({words.text for words in STANDINGS.values()}) == len(STANDINGS)


@pytest.mark.parametrize(
    ("hows", "said"),
    [
        (("unclear", "unclear"), "compile: no clear difference in 2 of 2 workloads, 1.00x in"),
        (("unclear", "once"), "no clear difference in 1, not repeated in 1 of 2 workloads, 1.00x"),
        (("unfit", "unfit"), "compile: output wrong or loose in 2 of 2 workloads"),
    ],
)
def test_a_mode_of_which_nothing_is_known_begins_with_what_is_open(
    hows: tuple[Standing, ...], said: str
) -> None:
    models = ("resnet18", "resnet50")
    times = {"unclear": (9, 10, 11), "once": (5,), "unfit": (1, 1, 1)}
    more = {"unfit": {"check": LOOSE}}
    found = of(
        *(
            one
            for model, how in zip(models, hows, strict=True)
            for one in twice(model, *times[how], **more.get(how, {}))
        )
    )

    (sentence,) = conclusions.by_mode(found)

    assert said in sentence.text
    assert "cannot tell" not in sentence.text
    assert all(sentence.text.count(STANDINGS[how].text) == 1 for how in hows)
