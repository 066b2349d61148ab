"""Pair after pair to a verdict: when it stops, confirms, gives up, and what a failure costs."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnbench.codec import encode
from cnnbench.errors import WorkerDied, WorkerTimeout
from cnnbench.facts import Check, Reference
from cnnbench.gate.outcomes import PairedComparison, PairedOutcome
from cnnbench.gate.rule import Decision, SequentialRule
from cnnbench.plan import Plan
from cnnbench.record import Run
from cnnbench.runner.ab.session import PairedSession
from cnnbench.slices import Slice, Slices
from cnnbench.spec import Spec
from tests.runner.conftest import specs

FIVE = SequentialRule(0.05)
NAMES = ("a", "b", "c")


@dataclass
class Noise:
    """An executor whose worker takes as long as a test says: pair, turn -> factor."""

    factor: Callable[[int, int], float] = lambda pair, turn: 1.0
    cpu: Callable[[int, int], float] | None = None
    delay: Callable[[int, int], float] | None = None
    error: Callable[[str, int], Exception | None] = lambda model, pair: None
    asked: list[dict[str, Any]] = field(default_factory=list)
    pools: int = 0
    begun: int = 0
    guest: bool = False
    build_seconds: float = 0.0
    tells: bool = False
    compiling: bool = False
    check: Check = Check("unchecked")  # noqa: RUF009 - frozen
    name: str = "noise"

    @contextmanager
    def open(self, scratch: Path) -> Iterator[Noise]:
        assert scratch.is_dir()
        self.pools += 1
        yield self

    def join(self, pool: object) -> Noise | None:
        assert isinstance(pool, Noise)
        assert pool.pools
        return self if self.guest and pool.guest else None

    def begin(self, *, compiling: bool = False) -> None:
        self.begun += 1
        self.compiling = compiling

    def start(self) -> Worker:
        return Worker(self)


class Worker:
    phase = "build"

    def __init__(self, owner: Noise) -> None:
        self._owner = owner
        self._slices: list[Slice] = []
        self._request: dict[str, Any] = {}

    def ask(self, message: dict[str, Any], timeout: float) -> Any:
        owner = self._owner
        if "task" in message:
            self._request = message
            owner.asked.append(message)
            if message["task"] == "reference":
                return encode(Reference(True, 1e-7, 0.0, nonfinite=False))
            model = Spec.parse(message["spec"]).workload.architecture
            error = owner.error(model, message["round"])
            if error is not None:
                raise error
            return {"estimate": 0.001}
        if message["do"] == "slice":
            pair, turn = self._request["round"], message["turn"]
            wall = round(1e7 * owner.factor(pair, turn))
            cpu = round(3e7 * (owner.cpu or owner.factor)(pair, turn))
            waited = None if owner.delay is None else round(3e7 * owner.delay(pair, turn))
            self._slices.append(Slice(turn, 1, (wall,) * 3, cpu_ns=cpu, run_delay_ns=waited))
            return {"turn": turn, "seconds": wall / 1e9 if owner.tells else None}
        number, name = self._request["round"], self._request["ensemble"]
        built = round(self._owner.build_seconds * 1e9)
        return encode(Run(number, name, Slices.of(self._slices), (1, 1), built, owner.check))

    def close(self, *, force: bool = False) -> int | None:
        return 0


@dataclass
class Ear:
    confirmed: list[str] = field(default_factory=list)
    outcomes: list[PairedOutcome] = field(default_factory=list)
    undecided: list[int] = field(default_factory=list)
    looks: list[Decision] = field(default_factory=list)

    def pair(self, number: int, undecided: int, total: int) -> None:
        self.undecided.append(undecided)

    def working(self, comparison: PairedComparison, number: int, *, confirming: bool) -> None:
        if confirming and number == 1:
            self.confirmed.append(comparison.base.workload.architecture)

    def looked(self, comparison: PairedComparison, decision: Decision) -> None:
        self.looks.append(decision)

    def judged(self, outcome: PairedOutcome) -> None:
        self.outcomes.append(outcome)


def comparisons(*models: str, rule: SequentialRule = FIVE) -> list[PairedComparison]:
    return [PairedComparison(spec, spec, rule) for spec in specs("eager", models=models or ("a",))]


def measured(
    head: Noise,
    *models: str,
    base: Noise | None = None,
    rule: SequentialRule = FIVE,
    budget: float = math.inf,
    ear: Ear | None = None,
) -> list[PairedOutcome]:
    executors = {"base": base or Noise(), "head": head}
    plan = Plan(slices=6, timeout=5)
    return list(
        PairedSession(executors, plan, budget, ear or Ear()).measure(
            comparisons(*models, rule=rule)
        )
    )


def slower(*by: float) -> Callable[[int, int], float]:
    """A pair's factor; the last holds for all later ones."""
    return lambda pair, turn: 1 + by[min(pair, len(by) - 1)]


def test_identical_code_is_unchanged_after_three_pairs() -> None:
    (found,) = measured(Noise(slower(0.001, -0.002, 0.001)))

    assert (found.verdict, found.decision.pairs) == ("unchanged", 3)
    assert found.confirmation == ()
    assert [len(runs) for runs in found.runs.values()] == [3, 3]


def test_a_regression_is_measured_again_before_it_is_reported() -> None:
    ear = Ear()
    (found,) = measured(Noise(slower(0.100, 0.102, 0.098, 0.081, 0.079, 0.080)), ear=ear)

    assert found.verdict == "regression"
    assert (len(found.pairs), len(found.confirmation)) == (3, 3)
    assert found.decision.estimate == pytest.approx(0.08, abs=1e-3)
    assert ear.confirmed == ["a"]
    assert [run.round for run in found.runs["head"]] == list(range(6))


def test_a_regression_that_does_not_come_back_is_no_regression_and_not_unchanged() -> None:
    (found,) = measured(Noise(slower(0.100, 0.102, 0.098, 0.001, 0.0, -0.001)))

    assert found.verdict == "inconclusive"
    assert "not confirmed by a second" in found.decision.reason
    assert "+10.0 %" in found.decision.reason


def test_an_improvement_needs_no_second_look() -> None:
    (found,) = measured(Noise(slower(-0.100, -0.102, -0.098)))

    assert (found.verdict, found.confirmation) == ("improvement", ())


def noisy(spread: float, **more: Any) -> Noise:
    chance = random.Random(1)
    return Noise(slower(*[chance.gauss(0, spread) for _ in range(20)]), **more)


def test_noise_ends_in_inconclusive_after_the_most_pairs() -> None:
    (found,) = measured(noisy(0.03))

    assert (found.verdict, found.decision.pairs) == ("inconclusive", 10)
    assert found.decision.resolvable is not None
    assert found.decision.resolvable > 0.05


def test_noise_in_which_no_number_of_pairs_would_tell_ends_it_early() -> None:
    (found,) = measured(noisy(0.1))

    assert (found.verdict, found.decision.pairs) == ("inconclusive", 5)
    assert found.decision.reason == "too noisy: even 10 such pairs would not decide"


def restless(spread: float, *, tells: bool = True) -> Noise:
    """Turns of one pair that are apart."""
    chance = random.Random(2)
    return Noise(lambda pair, turn: math.exp(chance.gauss(0, spread)), tells=tells)


def test_a_pair_whose_turns_are_apart_takes_more_of_them_and_a_restful_one_does_not() -> None:
    (quiet,) = measured(restless(0.005), base=Noise(tells=True))
    (loud,) = measured(restless(0.2), base=Noise(tells=True))

    assert {len(run.slices) for run in quiet.runs["head"]} == {6}
    # Four times as many and no more, whatever they say.
    assert {len(run.slices) for run in loud.runs["head"]} == {24}


def test_a_worker_that_does_not_tell_its_times_takes_the_turns_that_were_planned() -> None:
    for told in (restless(0.2, tells=False), restless(0.2)):
        (found,) = measured(told)

        assert {len(run.slices) for run in found.runs["head"]} == {6}


def test_turns_that_agree_upon_a_slowdown_are_not_taken_again() -> None:
    (found,) = measured(Noise(slower(*[0.3] * 40), tells=True), base=Noise(tells=True))

    assert found.verdict == "regression"
    assert {len(run.slices) for run in found.runs["head"]} == {6}


def test_a_budget_ends_it_but_not_before_the_first_look() -> None:
    (found,) = measured(noisy(0.03), budget=1e-9)

    assert (found.verdict, found.decision.pairs) == ("inconclusive", 3)


def test_building_and_compiling_are_no_part_of_the_budget() -> None:
    (found,) = measured(noisy(0.03, build_seconds=1000.0), budget=100.0)

    assert (found.verdict, found.decision.pairs) == ("inconclusive", 10)


def test_a_side_that_warms_up_gets_twice_the_warm_up_and_the_pair_is_measured_again() -> None:
    def cold(pair: int, turn: int) -> float:
        return 1.2 if warm_ups(head) < 2 and turn < 2 else 1.0

    def warm_ups(of: Noise) -> int:
        return len({request["warm_up"]["seconds"] for request in of.asked})

    head = Noise(cold)
    (found,) = measured(head)

    assert found.verdict == "unchanged"
    assert [request["warm_up"]["seconds"] for request in head.asked] == [0.25, 0.5, 0.5, 0.5]
    assert len(found.runs["head"]) == 3


def test_wall_clock_and_cpu_time_must_agree() -> None:
    waits = Noise(slower(0.100, 0.102, 0.098), cpu=slower(0.0))
    (found,) = measured(waits)

    assert found.verdict == "inconclusive"
    assert "disagree" in found.decision.reason


def neighbour(pair: int, turn: int) -> float:
    """The time without a core, in calls: between none and as long as a call takes."""
    return ((7 * pair + 3 * turn) % 10) / 10


def beside(neighbour: Callable[[int, int], float], slower: float = 0.0) -> Noise:
    """A side that shares its core with a neighbour, and the kernel says how long it waited."""
    return Noise(
        lambda pair, turn: 1 + slower + neighbour(pair, turn),
        cpu=lambda pair, turn: 1 + slower,
        delay=neighbour,
    )


@pytest.mark.parametrize(("slower", "verdict"), [(0.0, "unchanged"), (0.06, "regression")])
def test_a_neighbour_on_the_core_does_not_blind(slower: float, verdict: str) -> None:
    base = beside(lambda pair, turn: neighbour(pair + 1, turn + 2))

    (outcome,) = measured(beside(neighbour, slower), base=base)

    assert outcome.verdict == verdict
    assert outcome.waited == len(outcome.runs["base"]) > 0
    assert outcome.decision.estimate == pytest.approx(slower, abs=1e-6)


def test_where_hardly_anybody_waits_the_wall_clock_counts() -> None:
    quiet = Noise(delay=lambda pair, turn: 0.005)

    (outcome,) = measured(replace(quiet, factor=slower(0.06)), base=quiet)

    assert outcome.verdict == "regression"
    assert outcome.waited == 0


def test_the_waiting_of_one_of_several_threads_is_not_taken_out() -> None:
    spec = replace(specs("eager")[0], threads=2)
    executors = {"base": Noise(delay=lambda *_: 0.0), "head": beside(lambda *_: 0.1)}

    (outcome,) = PairedSession(executors, Plan(slices=6, timeout=5), math.inf, Ear()).measure(
        [PairedComparison(spec, spec, FIVE)]
    )

    assert outcome.verdict == "regression"
    assert outcome.waited == 0


def test_cpu_time_of_several_threads_is_not_compared() -> None:
    spec = replace(specs("eager")[0], threads=2)
    waits = Noise(slower(0.100, 0.102, 0.098), cpu=slower(0.0))
    executors = {"base": Noise(), "head": waits}
    (found,) = PairedSession(executors, Plan(slices=6), 40, Ear()).measure(
        [PairedComparison(spec, spec, FIVE)]
    )

    assert found.verdict == "regression"
    assert found.cpu_pairs == ()


def test_comparisons_of_a_pair_share_its_starters_and_leave_when_they_are_decided() -> None:
    ear, base, head = Ear(), Noise(), Noise()

    def error(model: str, pair: int) -> Exception | None:
        return WorkerDied("killed") if (model, pair) == ("b", 1) else None

    head.error = error
    found = measured(head, *NAMES, base=base, ear=ear)

    verdicts = {one.comparison.base.workload.architecture: one.verdict for one in found}
    assert verdicts == {"a": "unchanged", "b": "failed", "c": "unchanged"}
    assert ear.undecided == [3, 3, 2]
    assert base.pools == head.pools == 3


def test_sides_that_can_share_a_starter_have_a_fresh_one_for_every_pair() -> None:
    base, head = Noise(guest=True), Noise(slower(0.10), guest=True)
    (found,) = measured(head, base=base)

    assert found.verdict == "regression"
    assert len(base.asked) == len(head.asked) == 6
    assert base.pools + head.pools == 6
    assert min(base.pools, head.pools) > 0, "whose it is must be left to chance"


@pytest.mark.parametrize("error", [WorkerDied("killed by SIGKILL"), WorkerTimeout("no answer")])
def test_a_head_that_fails_says_so_and_the_base_keeps_what_it_has(error: Exception) -> None:
    head = Noise(error=lambda model, pair: error if pair == 2 else None)
    (found,) = measured(head)

    assert (found.verdict, found.failed) == ("failed", "head")
    assert found.decision.reason == f"head: build: {error}"
    assert found.failure is not None
    assert [len(found.runs[role]) for role in ("base", "head")] == [2, 2]


def test_every_pair_is_an_ensemble_of_its_own_and_its_sides_share_it() -> None:
    (found,) = measured(Noise())

    base, head = ([run.ensemble for run in found.runs[role]] for role in ("base", "head"))
    assert base == head
    assert len(set(base)) == 3


def through_noise(seed: int, noise: float, effect: float) -> PairedOutcome:
    chance = random.Random(seed)
    (found,) = measured(Noise(slower(*(effect + chance.gauss(0, noise) for _ in range(21)))))
    return found


@settings(max_examples=25)
@given(
    st.integers(0, 10_000), st.sampled_from([0.002, 0.01, 0.03]), st.sampled_from([0.0, 0.05, 0.2])
)
def test_any_noise_ends_within_the_most_pairs_of_two_looks(
    seed: int, noise: float, effect: float
) -> None:
    found = through_noise(seed, noise, effect)

    assert 3 <= len(found.pairs) <= 10
    # A second look is taken at what the first takes for a regression, and it is a whole one.
    assert len(found.confirmation) in {0, *range(3, 11)}
    if found.verdict == "regression":
        assert found.confirmation


@pytest.mark.parametrize(
    ("effect", "verdict"), [(-0.2, "improvement"), (0.0, "unchanged"), (0.2, "regression")]
)
@pytest.mark.parametrize("noise", [0.002, 0.01])
def test_noise_well_below_the_threshold_hides_nothing_and_makes_up_nothing(
    effect: float, noise: float, verdict: str
) -> None:
    found = [through_noise(seed, noise, effect).verdict for seed in range(20)]

    assert found == [verdict] * 20


def test_many_comparisons_are_judged_together_at_the_end() -> None:
    head = Noise(slower(0.100, 0.101, 0.099, 0.100, 0.101, 0.099))
    found = measured(head, *(f"m{index}" for index in range(51)))

    assert {one.verdict for one in found} == {"regression"}
    assert len(found) == 51


def test_of_many_comparisons_only_regressions_wait_for_the_others() -> None:
    ear = Ear()
    names = [f"m{index}" for index in range(51)]
    head = Noise(slower(0.100, 0.101, 0.099, 0.100, 0.101, 0.099))
    head.error = lambda model, pair: WorkerDied("killed") if (model, pair) == ("m0", 1) else None

    found = measured(head, *names, ear=ear)

    assert found[0].verdict == "failed"
    assert [one.verdict for one in ear.outcomes] == ["failed"] + ["regression"] * 50


def test_names_of_comparisons_are_short_where_only_the_mode_differs() -> None:
    eager, half = specs("eager", "bf16")
    other = specs("eager", models=("alexnet",))[0]

    assert PairedComparison(eager, eager, FIVE).name == eager.id
    assert (
        PairedComparison(eager, half, FIVE).name
        == "lenet/inference-b1-3x32x32/eager -> bf16/cpu-t1"
    )
    assert PairedComparison(eager, other, FIVE).name == f"{eager.id} -> {other.id}"


def test_how_fast_a_wrong_answer_is_is_not_found_out_any_better() -> None:
    # So noisy that the pairs go on until the budget is spent.
    noise = {"factor": lambda pair, turn: (1.0, 1.2)[pair % 2]}

    right = measured(Noise(**noise))
    wrong = measured(Noise(**noise, check=Check("wrong", reason="off")))

    assert [len(one.pairs) for one in wrong] == [FIVE.least]
    assert len(right[0].pairs) > FIVE.least


@pytest.mark.parametrize(("phase", "needed"), [("inference", False), ("training", True)])
def test_the_compiler_is_imported_by_starters_of_what_needs_it(phase, needed: bool) -> None:
    base, head = Noise(), Noise()
    session = PairedSession({"base": base, "head": head}, Plan(slices=6), math.inf, Ear())
    asked = [replace(one, workload=replace(one.workload, phase=phase)) for one in specs("eager")]

    list(session.measure([PairedComparison(one, one, FIVE) for one in asked]))

    assert (base.compiling, head.compiling) == (needed, needed)


def folders_of(noise: Noise) -> set[str | None]:
    return {one["compile_cache"] for one in noise.asked if one["task"] == "measure"}


@pytest.mark.parametrize(
    ("mode", "shared"), [("eager", None), ("compile", True), ("openvino", False), ("aoti", False)]
)
def test_what_one_pair_compiles_or_exports_is_there_for_the_next(
    monkeypatch: pytest.MonkeyPatch, mode: str, shared: bool | None
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    base, head = Noise(), Noise()
    session = PairedSession({"base": base, "head": head}, Plan(slices=6), math.inf, Ear())

    list(session.measure([PairedComparison(one, one, FIVE) for one in specs(mode)]))

    (one,), (other,) = folders_of(base), folders_of(head)
    assert len([task for task in base.asked if task["task"] == "measure"]) == 3
    if shared is None:
        assert (one, other) == (None, None)
    else:
        assert (one == other) is shared
        assert one is not None


def test_a_folder_that_the_user_chose_is_for_the_compiler_and_for_no_artefact(monkeypatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/somewhere")
    for mode, there in (("compile", True), ("openvino", False)):
        base, head = Noise(), Noise()
        session = PairedSession({"base": base, "head": head}, Plan(slices=6), math.inf, Ear())

        list(session.measure([PairedComparison(one, one, FIVE) for one in specs(mode)]))

        (folder,) = folders_of(base)
        assert (folder == "/somewhere") is there
