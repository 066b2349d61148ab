from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cnnbench.errors import WorkerDied, WorkerRaised, WorkerTimeout
from cnnbench.plan import Plan
from cnnbench.record import Failure, Run
from cnnbench.requests import MeasureLatency
from cnnbench.runner.ensemble import Ensemble, Lost, failure
from cnnbench.runner.fake import FakeWorker
from cnnbench.runner.process import StarterDied
from tests.runner.conftest import Heard, Trouble, specs

if TYPE_CHECKING:
    from cnnbench.spec import Spec

THREE = specs("eager", "channels_last", "amp=bf16")


def measure(trouble: Trouble, seed: int = 0, order: str = "0/lenet", slices: int = 8) -> Any:
    def request(spec: Spec) -> MeasureLatency:
        return MeasureLatency.planned(spec, Plan(), round=0, ensemble="e")

    with trouble.open(None) as pool:
        plan = Plan(seed=seed, slices=slices)
        return Ensemble(pool, plan, order).measure(THREE, request)


def order_of_turns(trouble: Trouble) -> list[tuple[int, str]]:
    return [(heard.turn, heard.mode) for heard in trouble.heard if heard.what == "slice"]


def when(what: str, mode: str, error: Exception, turn: int | None = None):
    def raises(heard: Heard) -> Exception | None:
        return error if (heard.what, heard.mode, heard.turn) == (what, mode, turn) else None

    return raises


def test_every_spec_gets_a_run_with_every_turn() -> None:
    outcomes = measure(Trouble())

    assert set(outcomes) == {spec.id for spec in THREE}
    for run in outcomes.values():
        assert isinstance(run, Run)
        assert [one.turn for one in run.slices] == list(range(8))


def test_all_are_prepared_before_the_first_turn_and_finished_after_the_last() -> None:
    trouble = Trouble()
    measure(trouble)

    assert [heard.what for heard in trouble.heard] == [
        *["measure"] * 3, *["slice"] * 24, *["finish"] * 3,
    ]  # fmt: skip


def test_in_every_turn_each_works_once() -> None:
    trouble = Trouble()
    measure(trouble)

    turns = order_of_turns(trouble)
    assert [turn for turn, _ in turns] == [turn for turn in range(8) for _ in THREE]
    assert len(set(turns)) == len(turns)


def test_the_order_is_new_in_every_turn() -> None:
    trouble = Trouble()
    measure(trouble, slices=40)

    turns = order_of_turns(trouble)
    orders = [tuple(mode for _, mode in turns[i : i + 3]) for i in range(0, len(turns), 3)]
    assert len(set(orders)) == 6


def test_the_order_is_a_matter_of_seed_and_place_only() -> None:
    first, again, other_seed, other_place = Trouble(), Trouble(), Trouble(), Trouble()

    measure(first, seed=1)
    measure(again, seed=1)
    measure(other_seed, seed=2)
    measure(other_place, seed=1, order="1/lenet")

    assert order_of_turns(first) == order_of_turns(again)
    assert order_of_turns(first) != order_of_turns(other_seed)
    assert order_of_turns(first) != order_of_turns(other_place)


def test_one_that_raises_while_being_prepared_is_out_and_the_others_go_on() -> None:
    error = WorkerRaised("ValueError: x", "error", "Traceback …")
    trouble = Trouble(when("measure", "channels_last", error))

    outcomes = measure(trouble)

    assert outcomes[THREE[1].id] == Failure("measure", "error", "ValueError: x", "Traceback …")
    assert [type(outcomes[THREE[i].id]) for i in (0, 2)] == [Run, Run]
    assert "channels_last" not in {mode for _, mode in order_of_turns(trouble)}


def test_one_that_dies_in_a_turn_is_not_asked_again() -> None:
    trouble = Trouble(when("slice", "eager", WorkerDied("killed by SIGKILL"), turn=2))

    outcomes = measure(trouble)

    assert outcomes[THREE[0].id] == Failure("slice", "died", "killed by SIGKILL")
    asked = [turn for turn, mode in order_of_turns(trouble) if mode == "eager"]
    assert asked == [0, 1, 2]
    assert len(outcomes[THREE[1].id].slices) == 8


def test_one_that_hangs_at_the_end_is_a_timeout() -> None:
    trouble = Trouble(when("finish", "amp=bf16", WorkerTimeout("no answer within 5 s")))

    assert measure(trouble)[THREE[2].id] == Failure("finish", "timeout", "no answer within 5 s")


def test_whoever_goes_down_with_the_pool_is_lost_and_not_failed() -> None:
    trouble = Trouble(lambda heard: StarterDied("gone") if heard.turn == 1 else None)

    assert set(measure(trouble).values()) == {Lost("gone")}


def test_a_worker_that_cannot_be_started_is_lost() -> None:
    trouble = Trouble(on_start=lambda pool: StarterDied("no worker process can be started"))

    outcomes = measure(trouble)

    assert set(outcomes.values()) == {Lost("no worker process can be started")}
    assert len(outcomes) == 3


def test_a_failure_keeps_what_the_process_wrote() -> None:
    error = WorkerDied("killed by SIGSEGV")
    error.add_note("Fatal Python error: Segmentation fault")

    assert failure(error) == Failure(
        "start", "died", "killed by SIGSEGV", "Fatal Python error: Segmentation fault"
    )


@pytest.mark.parametrize(
    ("phase", "said"),
    [("check again", "no check after the measurement: "),
     ("parts", "lost in 'parts' after the measurement: ")],
)  # fmt: skip
def test_a_worker_that_is_lost_after_its_last_slice_keeps_its_slices(
    monkeypatch, phase: str, said: str
) -> None:
    whole = measure(Trouble())
    ask = FakeWorker.ask

    def dies(self: FakeWorker, message: dict[str, Any], timeout: float) -> Any:
        answer = ask(self, message, timeout)
        if message.get("do") == "finish" and "channels_last" in self._request.spec:
            self.kept, self.phase = answer | {"check": {"status": "ok"}}, phase
            raise WorkerDied("the worker process was killed by SIGKILL")
        return answer

    monkeypatch.setattr(FakeWorker, "ask", dies)
    outcomes = measure(Trouble())

    for name, run in outcomes.items():
        assert isinstance(run, Run)
        assert len(run.slices) == len(whole[name].slices)
        lost = "channels_last" in name
        assert run.check is not None
        assert run.check.status == "unchecked"
        assert (run.check.reason == f"{said}the worker process was killed by SIGKILL") is lost
