from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import store
from cnnbench.facts import Check
from cnnbench.report import usability
from cnnbench.report.conclusions import conclusions
from cnnbench.report.entry import entries
from cnnbench.report.table import tidy
from cnnbench.slices import Slice, Slices
from tests import made
from tests.report.conftest import of

if TYPE_CHECKING:
    from cnnbench.record import Record
    from cnnbench.report.usability import Usability


def judge(*records: Record) -> Usability:
    found = usability.judge(of(*records))
    assert found is not None
    return found


def waiting(record: Record) -> Record:
    """The same times, half of which the process had no core."""
    runs = [
        replace(run, slices=Slices.of(
            Slice(turn, 2, (round(2e6 * time * 1e3),) * 3, run_delay_ns=round(3e9 * time))
            for turn, time in zip(run.slices.turn, run.slices.seconds, strict=True)
        ))
        for run in record.runs
    ]  # fmt: skip
    return replace(record, runs=tuple(runs))


def test_clean_rows_are_usable_and_need_no_remedy(eager, twice_as_fast) -> None:
    assert judge(eager, twice_as_fast).text == "usable: 2 of 2 times are clean"


def test_disturbed_times_leave_gains_that_are_clear(eager, twice_as_fast) -> None:
    found = judge(waiting(eager), waiting(twice_as_fast))

    assert found.use == "usable for gains only"
    assert (
        found.why
        == "1 of 1 gain is clear or within 10 %, but 2 of 2 times are too disturbed to be used"
    )
    assert found.remedy == (
        "for times, measure when the machine is quiet (--wait 10m);"
        " with --threads 1 the waiting can be taken out"
    )


def test_a_gain_is_clear_here_where_its_sign_says_so() -> None:
    def took(mode: str, *milliseconds: float) -> Record:
        rounds = [[one] * 3 for one in milliseconds]
        return waiting(made.record(f"{made.WORKLOAD}/{mode}/cpu-t2", rounds, ensemble="e"))

    eager, gain = took("eager", 10, 10, 10), took("bf16", 8.0, 8.5, 9.0)
    others = [took(mode, 6, 14, 9) for mode in ("fp16", "amp=bf16", "channels_last")]

    # By itself its interval excludes no change; as one of four that share the error, it does not.
    assert judge(eager, gain).why.startswith("1 of 1 gain is clear")
    assert "0 of 4 gains are clear" in judge(eager, gain, *others).why


def test_a_gpu_that_is_disturbed_has_a_remedy_of_its_own(eager) -> None:
    hot = [
        replace(run, slices=Slices.of(
            replace(one, device={"throttle": ["thermal_hardware"]}) for one in run.slices
        ))
        for run in eager.runs
    ]  # fmt: skip

    found = judge(replace(eager, runs=tuple(hot)))

    assert found.use == "not usable"
    assert found.remedy == (
        "measure when the GPU is cool and nobody else uses it, as nvidia-smi shows"
    )


def test_disturbed_times_without_gains_worth_using_are_not_usable(eager, noisy) -> None:
    found = judge(waiting(eager), waiting(noisy))

    assert found.use == "not usable"
    assert found.why.endswith("too disturbed to be used, and 0 of 1 gain is clear or within 10 %")
    assert judge(waiting(eager)).use == "not usable"


def test_one_round_is_never_usable_and_two_are_said(eager, twice_as_fast) -> None:
    once, twice = (
        [replace(one, runs=one.runs[:count]) for one in (eager, twice_as_fast)] for count in (1, 2)
    )

    assert judge(*once).use == "not usable"
    assert "2 of 2 times are of one round, which has no interval" in judge(*once).why
    assert "--rounds 5" in judge(*once).remedy
    assert judge(*twice).text.endswith("from 2 rounds only")


def test_waiting_that_is_taken_out_and_wrong_outputs_are_counted(eager) -> None:
    alone = replace(eager, id=eager.id.replace("-t2", "-t1"))
    wrong = replace(
        eager, runs=tuple(replace(run, check=Check("wrong", 0.4)) for run in eager.runs)
    )

    assert judge(waiting(alone)).text == (
        "usable: 1 of 1 time is clean (1 once the waiting for a core is taken out)"
    )
    assert judge(wrong).text == "usable: 1 of 1 time is clean; 1 row with a wrong output"


def test_one_row_in_five_may_be_unfit_and_is_counted(eager) -> None:
    others = [replace(eager, id=eager.id.replace("-b8-", f"-b{n}-")) for n in range(1, 5)]

    assert (
        judge(waiting(eager), *others).text
        == "usable: 4 of 5 times are clean, 1 too disturbed to be used"
    )
    assert judge(waiting(eager), *others[1:]).use == "not usable"


def test_without_a_time_nothing_was_measured(failed) -> None:
    assert judge(failed).text == "not usable: nothing was measured"
    assert judge().use == "not usable"


TIMES = st.lists(st.lists(st.floats(0.1, 100), min_size=1, max_size=3), max_size=4)


@given(st.lists(st.tuples(TIMES, st.booleans()), max_size=4))
def test_there_is_exactly_one_verdict_on_any_records_and_one_round_is_never_usable(
    rows: list[tuple[list[list[float]], bool]],
) -> None:
    names = [made.EAGER, made.CHANNELS_LAST, made.BF16, made.EAGER.replace("-b8-", "-b1-")]
    records = [made.record(name, times) for name, (times, _) in zip(names, rows, strict=False)]
    some = [waiting(one) if slow else one for one, (_, slow) in zip(records, rows, strict=True)]

    found = judge(*some)

    assert found.use in {"usable", "usable for gains only", "not usable"}
    assert found.why
    if all(len(one.runs) < 2 for one in some):
        assert found.use == "not usable"


def test_what_is_made_up_has_no_verdict(fake_run) -> None:
    assert usability.judge(fake_run.entries) is None
    assert usability.lines(fake_run.entries) == []


@pytest.mark.parametrize("kind", ["table", "markdown", "json", "csv"])
def test_every_format_tells_it_whichever_rows_are_shown(
    cnnbench_cli, tmp_path, eager, twice_as_fast, kind: str
) -> None:
    run = made.directory(tmp_path / "a-run", [waiting(eager), waiting(twice_as_fast)])

    result = cnnbench_cli("report", run, "--format", kind, "--filter", "mode=eager")

    assert result.stdout.count("usable for gains only") == 1


def test_each_of_several_runs_has_a_verdict_and_a_mark_on_the_page(tmp_path, eager) -> None:
    runs = [
        store.read(made.directory(tmp_path / name, [one]))
        for name, one in (("good", eager), ("bad", waiting(eager)))
    ]
    found = entries(runs)

    said = {one.text: one.mark for one in conclusions(found) if "usable" in one.text}
    assert [(text.split(":")[0], mark) for text, mark in said.items()] == [
        ("Run good is usable", "good"), ("Run bad is not usable", "bad"),
    ]  # fmt: skip
    place = [column.name for column in tidy(found).columns].index("usability")
    assert [row[place] for row in tidy(found).rows] == ["usable", "not usable"]


def test_the_verdict_uses_the_words_of_its_rows(cnnbench_cli, tmp_path) -> None:
    one = waiting(
        made.record(made.EAGER.replace("cpu-t2", "cpu-t1"), [[5] * 3, [10] * 3, [20] * 3])
    )
    run = made.directory(tmp_path / "a-run", [one])

    text = made.flat(cnnbench_cli("report", run, "--wide").stdout)

    assert "disturbed (no core" in text
    assert (
        "1 of 1 time is too disturbed to be used; measure when the machine is quiet (--wait 10m)"
        in text
    )
    assert "noisy" not in text
