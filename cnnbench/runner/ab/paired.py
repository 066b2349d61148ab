"""From two sides and a grid to verdicts and two run directories.

Connects sides, campaign, session and store; ``cnnbench ab`` and ``cnnbench check`` call it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cnnbench import store, units
from cnnbench.environment import Environment
from cnnbench.errors import CnnbenchError, UsageError, WorkerError
from cnnbench.gate import side_by_side
from cnnbench.gate.outcomes import ROLES, PairedComparison, PairedOutcome
from cnnbench.gate.rule import SequentialRule
from cnnbench.plan import Plan
from cnnbench.record import Record
from cnnbench.runner import campaign
from cnnbench.runner.ab import sides, verdicts
from cnnbench.runner.ab.rounds import Rounds
from cnnbench.runner.ab.session import PairedSession
from cnnbench.runner.ab.sides import CodeSide, Named
from cnnbench.runner.device import memory_limit
from cnnbench.runner.executor import Executor
from cnnbench.runner.fake import Fake
from cnnbench.runner.inquiry import asking, describe
from cnnbench.runner.process import Processes
from cnnbench.spec import WORDS, Mode, Spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cnnbench.gate import Comparison
    from cnnbench.runner.ab.session import PairWatcher
    from cnnbench.store import Writer
    from cnnbench.suite import Grid

VERDICTS = verdicts.FILE
# Seconds of the slices of one side in one pair.
_TURN_SECONDS = 0.8
_PAIR = Plan(slices=8)


class BrokenSide(UsageError):
    """Nothing of one side can be measured.

    Args:
        message: which side and why, in one line.
        role: ``base`` or ``head``.
    """

    def __init__(self, message: str, role: str) -> None:
        super().__init__(message)
        self.role = role


@dataclass(frozen=True)
class PairedPlan:
    """How two sides are measured in pairs.

    Attributes:
        rule: threshold and looks.
        plan: turns of each side in a pair, seed, limits, and the conditions of a call.
        budget: seconds of measuring per benchmark and look, without starting processes.
        may_narrow: go on with one thread on one core where several wait for cores.
    """

    rule: SequentialRule = field(default_factory=lambda: SequentialRule(0.05))
    plan: Plan = _PAIR
    budget: float = 40.0
    may_narrow: bool = False

    @property
    def of_a_pair(self) -> Plan:
        """The sampling plan of one pair; slow networks get fewer slices than would fit."""
        return replace(
            self.plan,
            rounds=self.rule.most,
            # Both sides of the fewest pairs that can decide shall fit into the budget; and a pair
            # of a slow network, whose slices are long and few suffice, shall not take much longer
            # than another's, because pairs tell more than slices.
            turn_budget=min(_TURN_SECONDS, self.budget / (2 * self.rule.least)),
            # What has not warmed up by then is seen in the drift of its slices.
            warm_up_calls=5,
            warm_up_seconds=0.1,
        )


@dataclass(frozen=True)
class PairedJob:
    """A prepared paired measurement.

    Attributes:
        sides: base and head.
        comparisons: what is compared.
        plan: of one pair.
        environments, executors: by role.
        budget: seconds per benchmark and look.
        notes: what must be said of them whatever comes out.
        may_narrow: as of the plan.
        rounds: where the starters come from, if some are begun already.
    """

    sides: tuple[CodeSide, CodeSide]
    comparisons: tuple[PairedComparison, ...]
    plan: Plan
    environments: Mapping[str, Environment]
    executors: Mapping[str, Executor]
    budget: float
    notes: tuple[str, ...] = ()
    may_narrow: bool = False
    rounds: Rounds | None = None

    def comparison(self, outcomes: Sequence[PairedOutcome]) -> Comparison:
        """The outcomes as a comparison for the gate to judge."""
        rule = self.comparisons[0].rule
        remarks = []
        for side in self.sides:
            version = verdicts.torch_of(self.environments[side.role])
            remarks.append(f"{side.role}: {side.text}" + (f", torch {version}" if version else ""))
        limits = f"threshold {units.percent(rule.threshold)}, {rule.least} to {rule.most} pairs"
        return side_by_side.comparison(
            (self.sides[0].text, self.sides[1].text),
            (self.environments["base"], self.environments["head"]),
            outcomes,
            (*remarks, limits, *self.notes),
        )


@contextmanager
def prepared(
    both: tuple[CodeSide, CodeSide],
    grid: Grid,
    how: PairedPlan,
    executor: str = "process",
    slowdown: float = 0.0,
) -> Iterator[PairedJob]:
    """Prepare a paired measurement: what is compared, and where.

    Its starters have begun, and are gone when the context ends.

    Args:
        both: the sides, open.
        grid: models, modes, device; the sides replace in it what they are.
        how: how pairs are measured.
        executor: ``process`` or ``fake``.
        slowdown: by which the fake executor's head is slower.

    Raises:
        UsageError: something in the grid is wrong or not possible on the base's side.
    """
    executors = {side.role: executor_of(side, executor, slowdown) for side in both}
    with Rounds(executors, how.plan.seed) as rounds:
        rounds.begin(how.rule.least, compiling=_imports_compiler(both, grid))
        job = _worked_out(both, grid, how, executors, rounds)
        yield replace(job, rounds=rounds)


def _imports_compiler(both: tuple[CodeSide, CodeSide], grid: Grid) -> bool:
    """Whether workers will need torch's compiler, as far as modes and phases tell before a plan."""
    if any(phase != "inference" for phase in grid.phases):
        return True
    words = {word for side in both for text in _asked(grid, side.named).modes
             for word in text.split("+")}  # fmt: skip
    # Other words are names of sets, or none at all: what they are is found out later.
    return any(word.text in words and Mode(word.value).needs_compiler
               for word in WORDS if word.axis == "compiler")  # fmt: skip


def _worked_out(
    both: tuple[CodeSide, CodeSide],
    grid: Grid,
    how: PairedPlan,
    executors: Mapping[str, Executor],
    rounds: Rounds,
) -> PairedJob:
    base, head = (rounds.asked(side.role) for side in both)
    job = _prepared(both[0], _asked(grid, both[0].named), how.plan, base)
    if both[1].named.kind in {"model", "mode"}:
        other = _prepared(both[1], _asked(grid, both[1].named), how.plan, head)
        specs, environment = other.specs, other.environment
    else:
        specs, environment = job.specs, _environment(both[1], head)
    impossible = list(job.impossible.values())
    if impossible:
        raise UsageError(impossible[0])
    comparisons = tuple(
        PairedComparison(base, head, how.rule) for base, head in zip(job.specs, specs, strict=True)
    )
    return PairedJob(
        both,
        comparisons,
        replace(how.of_a_pair, memory_limit=job.plan.memory_limit),
        {"base": job.environment, "head": environment},
        executors,
        how.budget,
        tuple(dict.fromkeys(note for spec in job.specs for note in job.notes(spec))),
        how.may_narrow,
    )


# The executor of a side, made for it.
Maker = Callable[[CodeSide], Executor]


def executor_of(side: CodeSide, name: Maker | str, slowdown: float = 0.0) -> Executor:
    """The executor of a side, by name or as it is made.

    Args:
        side: open.
        name: ``process`` or ``fake``, or what makes it.
        slowdown: of the fake executor's head.
    """
    if not isinstance(name, str):
        return name(side)
    if name == "fake":
        return Fake(side.role, slowdown if side.role == "head" else 0.0)
    return Processes(side.origin)


def _asked(grid: Grid, named: Named) -> Grid:
    """The grid with the model or mode of a side."""
    if named.kind == "model":
        return replace(grid, models=(named.value,))
    return replace(grid, modes=(named.value,)) if named.kind == "mode" else grid


def _prepared(side: CodeSide, grid: Grid, plan: Plan, who: Executor) -> campaign.Job:
    try:
        return campaign.prepare(grid, plan, who)
    except (UsageError, WorkerError) as error:
        raise _of_side(side, error) from error


def _environment(side: CodeSide, who: Executor) -> Environment:
    try:
        with asking(who) as pool:
            return describe(pool)
    except WorkerError as error:
        raise _of_side(side, error) from error


def _of_side(side: CodeSide, error: CnnbenchError) -> BrokenSide:
    """An error of one side, in one line that names the side if necessary."""
    text = str(error)
    if "No module named 'torch" in text:
        module = text.partition("No module named ")[2]
        text = f"that interpreter has no {module.strip(chr(39))}; install it there"
    plain = side.named.kind in {"model", "mode"}
    return BrokenSide(text if plain else f"{side.role}, {side.text}: {text}", side.role)


def run(prepared: PairedJob, out: Path | None, watcher: PairWatcher) -> list[PairedOutcome]:
    """Measure pair after pair, and keep it as two runs and a file of verdicts.

    Args:
        prepared: what to compare.
        out: a directory that is new or empty; gets ``base``, ``head`` and ``verdicts.json``.
            ``None`` keeps nothing.
        watcher: told of progress.

    Returns:
        An outcome for every comparison, in their order.

    Raises:
        StoreError: the directory cannot be used.
    """
    session = PairedSession(
        prepared.executors,
        prepared.plan,
        prepared.budget,
        watcher,
        prepared.rounds,
        may_narrow=prepared.may_narrow,
    )
    found: dict[str, PairedOutcome] = {}
    kept: dict[tuple[str, str], Record] = {}
    with ExitStack() as stack:
        writers = _writers(prepared, out, stack) if out is not None else {}
        for outcome in session.measure(prepared.comparisons):
            found[outcome.comparison.name] = outcome
            for role, writer in writers.items():
                asked, measured = (
                    of.spec(role).id for of in (outcome.comparison, outcome.measured_as)
                )
                writer.replan({asked: measured})
                record = _record(prepared, role, outcome)
                kept[role, measured] = _beside(kept.get((role, measured)), record)
                writer.append([kept[role, measured]])
            if out is not None:
                store.write_whole(
                    out / verdicts.FILE, verdicts.as_json(prepared, list(found.values()))
                )
    return [found[comparison.name] for comparison in prepared.comparisons]


def _writers(prepared: PairedJob, out: Path, stack: ExitStack) -> dict[str, Writer]:
    store.refuse_full(out)
    writers = {}
    for role, side in zip(ROLES, prepared.sides, strict=True):
        specs = [comparison.spec(role).id for comparison in prepared.comparisons]
        name = f"{store.new_run_name()}-{role}"
        who = prepared.executors[role].name
        what, code = store.manifest(name, list(dict.fromkeys(specs)), prepared.plan, who), side.code
        what = replace(what, revision=code.revision, dirty=code.dirty)
        environment = prepared.environments[role]
        writers[role] = stack.enter_context(store.create(out / role, what, environment))
    return writers


def _record(prepared: PairedJob, role: str, outcome: PairedOutcome) -> Record:
    side = prepared.sides[ROLES.index(role)]
    return Record(
        id=outcome.measured_as.spec(role).id,
        environment=prepared.environments[role].fingerprint,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        runs=outcome.runs.get(role, ()),
        failure=outcome.failure if outcome.failed == role else None,
        notes=(f"{role} of a paired comparison: {side.text}", *_one_thread(outcome)),
    )


def _beside(before: Record | None, new: Record) -> Record:
    """A record with what another comparison has measured of the same spec.

    With one thread in place of several, a comparison is of a spec that another one may be of too.
    """
    if before is None:
        return new
    first = len(before.runs)
    runs = (replace(one, round=first + number) for number, one in enumerate(new.runs))
    return replace(
        new,
        runs=(*before.runs, *runs),
        failure=new.failure and before.failure,
        notes=tuple(dict.fromkeys([*before.notes, *new.notes])),
    )


def _one_thread(outcome: PairedOutcome) -> tuple[str, ...]:
    """That the spec is not the one asked for, and why."""
    narrow = outcome.one_thread
    if narrow is None:
        return ()
    threads = outcome.comparison.base.threads
    waiting = units.share(narrow.waiting)
    return (f"one thread in place of {threads}, which waited for cores for {waiting} of the time",)


def remeasure(
    specs: Sequence[str],
    words: tuple[str, str],
    repo: Path,
    rule_of: Callable[[Spec], SequentialRule],
    how: PairedPlan,
    watcher: PairWatcher,
    out: Path | None = None,
    executor: Maker | str = "process",
    slowdown: float = 0.0,
) -> list[PairedOutcome]:
    """Measure specs now: a recorded revision, e.g. of a baseline file, against another one.

    Args:
        specs: ids of specs in the baseline file, at least one.
        words: BASE and HEAD as ``cnnbench ab`` takes them, e.g. the recorded commit and ``.``.
        repo: the user's repository.
        rule_of: the rule of each spec; its ``most`` and ``least`` go into the budget too.
        how: how pairs are measured; its own rule is not used.
        watcher: told of progress.
        out: where to keep the runs and verdicts; ``None`` keeps nothing.
        executor: ``process`` or ``fake``, or what makes the executor of a side.
        slowdown: by which the fake executor's head is slower.

    Raises:
        UsageError: a revision does not exist or cannot be checked out.
        BrokenSide: a side does not start, or has no torch.
    """
    both = sides.pair(words, repo, pythons=False)
    comparisons = [PairedComparison(spec, spec, rule_of(spec)) for spec in map(Spec.parse, specs)]
    with ExitStack() as stack:
        opened = stack.enter_context(sides.opened(both, repo, (None, None)))
        executors = {side.role: executor_of(side, executor, slowdown) for side in opened}
        rounds = stack.enter_context(Rounds(executors, how.plan.seed))
        compiling = any(one.base.imports_compiler for one in comparisons)
        rounds.begin(max(one.rule.least for one in comparisons), compiling=compiling)
        places = {side.role: _environment(side, rounds.asked(side.role)) for side in opened}
        limit = how.plan.memory_limit or memory_limit(comparisons[0].base.device)
        plan = replace(how.of_a_pair, memory_limit=limit)
        job = PairedJob(
            opened, tuple(comparisons), plan, places, executors, how.budget,
            may_narrow=how.may_narrow, rounds=rounds,
        )  # fmt: skip
        return run(job, out, watcher)
