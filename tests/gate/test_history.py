from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cnnbench import store
from cnnbench.environment import Environment
from cnnbench.errors import UnknownName
from cnnbench.gate import history
from cnnbench.plan import Plan
from cnnbench.store import StoredRun
from tests import made
from tests.report.test_times import EAGER, waiting


def run(number: int, milliseconds: float, environment: Environment = made.ENVIRONMENT) -> StoredRun:
    what = replace(
        store.manifest(f"run-{number}", [made.EAGER], Plan(), "fake"),
        created=f"2026-01-{number + 1:02}T00:00:00+00:00",
    )
    record = made.record(made.EAGER, [[milliseconds]] * 3)
    return StoredRun(Path(f"run-{number}"), what, environment, (record,))


TIMES = [10, 10.1, 9.9, 10, 10.1, 10, 9.9, 12, 12.1, 11.9, 12, 12]
SHAS = [f"{number:040x}" for number in range(1, 30)]
LINE = {sha: place for place, sha in enumerate(SHAS)}


def at(one: StoredRun, revision: str | None, dirty: bool | None = False) -> StoredRun:
    return replace(one, manifest=replace(one.manifest, revision=revision, dirty=dirty))


def followed(runs: list[StoredRun], line: dict[str, int] | None = None) -> history.Series:
    (one,) = history.series(runs, "latency", lambda _: True, line)
    return one


def test_a_series_is_in_order_of_time_with_its_steps() -> None:
    one = followed([run(n, time) for n, time in reversed(list(enumerate(TIMES)))])

    assert [point.run for point in one.points] == [f"run-{n}" for n in range(12)]
    (step,) = one.steps
    assert (step.before, step.index, step.run, step.after) == (6, 7, "run-7", 5)
    assert step.ratio.point == pytest.approx(1.2, abs=0.01)
    assert 1.15 < step.ratio.low < step.ratio.point < step.ratio.high < 1.25
    assert not step.young


@pytest.mark.parametrize(("after", "young"), [(1, None), (2, True), (3, False)])
def test_a_step_of_the_newest_two_runs_is_young(after: int, young: bool | None) -> None:
    one = followed([run(n, time) for n, time in enumerate([*TIMES[:7], 10, 10.1, *[12] * after])])

    assert [step.young for step in one.steps] == ([] if young is None else [young])
    assert (one.newest is None) == (young is not None)


def test_another_environment_is_never_a_step_and_hides_none() -> None:
    other = Environment(hard={"cpu": "B"})
    moved = [run(n, 10 + n % 3 / 10) for n in range(10)]
    moved += [run(n, 20 + n % 3 / 10, other) for n in range(10, 22)]
    both = [run(2 * n, time) for n, time in enumerate(TIMES)]
    both += [run(2 * n + 1, 30 + n % 3 / 10, other) for n in range(12)]

    assert followed(moved).steps == ()
    (step,) = followed(both).steps
    # The neighbours of its own environment, not those of the list.
    assert (step.before, step.index) == (12, 14)


def test_runs_are_in_the_order_of_their_commits() -> None:
    old = [at(run(n, time), SHAS[2 * n]) for n, time in enumerate(TIMES)]
    # An old commit that is measured again today stands with its neighbours.
    again = at(run(20, 10.05), SHAS[5])
    one = followed([*old, again], LINE)

    assert one.moved
    assert [point.place for point in one.points] == sorted([*range(0, 24, 2), 5])
    (step,) = one.steps
    assert [one.points[n].place for n in (step.before, step.index)] == [12, 14]
    assert not followed(old, LINE).moved
    # Without the repository time decides, and the old commit is the newest run.
    assert followed([*old, again]).points[-1].run == "run-20"


def test_commits_beside_the_line_are_shown_and_take_no_part() -> None:
    runs = [at(run(2 * n, time), SHAS[n]) for n, time in enumerate(TIMES)]
    branch = [at(run(n, 40), "f" * 40) for n in (7, 9, 11)]
    one = followed([*runs, *branch], LINE)

    assert [point.aside for point in one.points].count(True) == 3
    (step,) = one.steps
    assert [one.points[n].revision for n in (step.before, step.index)] == SHAS[6:8]
    # The line of a repository that none of the runs is of says nothing.
    assert not any(point.aside for point in followed(branch, LINE).points)


def test_around_a_step_are_commits_and_not_what_was_never_committed() -> None:
    def around(*wrong: tuple[int, str | None, bool]) -> tuple[str, str] | None:
        runs = [at(run(n, time), SHAS[n]) for n, time in enumerate(TIMES)]
        for number, revision, dirty in wrong:
            runs[number] = at(runs[number], revision, dirty)
        (clean,) = followed(runs, LINE).clean
        return clean and (clean[0].revision, clean[1].revision)

    assert around() == (SHAS[6], SHAS[7])
    assert around((6, SHAS[6], True), (7, None, False)) == (SHAS[5], SHAS[8])
    assert around((7, SHAS[6], False)) is None
    assert around(*[(n, SHAS[n], True) for n in range(7, 12)]) is None


def test_values_that_were_planned_and_are_missing_are_counted() -> None:
    runs = [run(n, time) for n, time in enumerate(TIMES)]
    failed = replace(run(20, 1), records=(made.failed(made.EAGER),))

    assert followed([*runs, failed]).lacking == 1
    assert followed(runs).lacking == 0


def test_only_what_is_wanted_and_measured_is_followed() -> None:
    runs = [run(n, 10) for n in range(2)]

    assert history.series(runs, "latency", lambda _: False) == []
    assert history.series(runs, "cuda_memory", lambda _: True) == []
    with pytest.raises(UnknownName, match="did you mean latency"):
        history.series(runs, "latncy", lambda _: True)


def test_a_metric_that_is_zero_has_no_steps() -> None:
    runs = [run(n, 10) for n in range(12)]

    (one,) = history.series(runs, "error", lambda _: True)

    assert (len(one.points), one.steps) == (12, ())


def test_a_series_does_not_mix_two_kinds_of_time() -> None:
    times = [(0.5, 10.0), (0.0, 10.0), (0.04, 10.0)]
    runs = [replace(run(number, 1), records=(waiting(EAGER, *one),))
            for number, one in enumerate(times)]  # fmt: skip
    # Of two threads, the waiting is not known.
    unknown = [replace(one, records=(replace(one.records[0], id=made.EAGER),)) for one in runs]

    for metric, factor in (("latency", 0.001), ("throughput", None)):
        (awake,) = history.series(runs, metric, lambda _: True)
        (clock,) = history.series(unknown, metric, lambda _: True)

        expected = 10 * factor if factor else 8 / 0.01
        assert [one.seen.point for one in awake.points] == pytest.approx([expected] * 3, rel=1e-4)
        assert [one.seen for one in clock.points] == [one.estimate for one in clock.points]
