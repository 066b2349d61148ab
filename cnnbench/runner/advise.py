"""The measurements for advice: the sensible modes of one model side by side, and a profile."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cnnbench import machine
from cnnbench import plan as planning
from cnnbench.advice import EMULATED, Evidence
from cnnbench.errors import CnnbenchError, UsageError
from cnnbench.profile import Profile
from cnnbench.runner import allocation, campaign, profiling
from cnnbench.runner.campaign import Job
from cnnbench.runner.race import Race
from cnnbench.spec import Mode, Spec

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.plan import Plan
    from cnnbench.runner.session import Watcher
    from cnnbench.suite import Grid

# How many rounds are tried where all do not fit; two are the fewest that give an interval.
_FEWER_ROUNDS = (3, 2)
# Without a budget, the most that modes have besides which may be as fast as the choice.
_FURTHER_ROUNDS = 5
# The modes that won most often on CPUs, for which there is time before there is for others.
_FIRST = (
    "eager", "channels_last", "channels_last+amp=bf16", "compile+freezing+channels_last",
    "compile+freezing+channels_last+amp=bf16",
)  # fmt: skip
# The share of a budget that the profile at the end may take, what it takes by itself, and with its
# imports and passes without a clock.
_PROFILE_SHARE = 0.15
_PROFILE_SECONDS = 6.0
_PROFILE_MOST = 11.0
# What preparing takes on the machine of the rough estimates; where it takes longer, so does the
# rest, up to a factor: a module of the user's may be slow to import by itself.
_PREPARING_SECONDS = 2.5
_SLOWEST = 2.0
_SPARE = 1.06
# Seconds for which calls are sized where a budget is over before it begins.
_LEAST_SHARE = 1.0
# Roughly what the pairs with and without kept blocks take, which a budget may have no time for.
_UNKEPT_SECONDS = 20.0


@dataclass(frozen=True)
class AdviceOrder:
    """What is to be measured for advice.

    Attributes:
        job: the modes that begin, and how.
        waiting: modes that come in while there is time -> a budget with which they would begin.
        untried: of every mode that cannot be tried, why.
        budget: rough seconds for everything; ``None`` without a limit.
        took: seconds that preparing it took, which are of the budget.
    """

    job: Job
    waiting: Mapping[Spec, int] = field(default_factory=dict)
    untried: Mapping[str, str] = field(default_factory=dict)
    budget: float | None = None
    took: float = 0.0

    @property
    def specs(self) -> tuple[Spec, ...]:
        """All that may be measured."""
        return (*self.job.specs, *self.waiting)


def prepare(grid: Grid, plan: Plan, who: str = "process", *, deploy: bool = False) -> AdviceOrder:
    """The sensible modes of one model that fit this machine and the budget.

    Args:
        grid: of one model; its modes are replaced.
        plan: how; its budget is rough seconds for everything.
        who: the executor's name.
        deploy: try deployment runtimes too.

    Raises:
        UsageError: it is not one model, or cannot be.
    """
    began = time.monotonic()
    modes = ("all", "deploy") if deploy else ("all",)
    job = campaign.prepare(replace(grid, modes=modes), replace(plan, budget=None), who)
    workloads = {spec.workload for spec in job.specs}
    if len(workloads) != 1:
        first = job.specs[0].workload.architecture if job.specs else "resnet50"
        raise UsageError(
            f"advice is for one model in one workload; this asks for {len(workloads)}: name one,"
            f" such as {first}, and one --batch, --size and --phase"
        )
    job = _frozen(job)
    untried: dict[str, str] = {}
    job = _without_emulated(job, untried)
    if not job.environment.soft.get("compiler"):
        job = _without_compiled(job, untried)
    if plan.budget is None:
        return AdviceOrder(job, untried=untried)
    took = time.monotonic() - began
    begins = _within(job, plan.budget, took)
    late = dict(list(enumerate(job.specs, 1))[len(begins.specs) :])
    untried |= {
        spec.mode.text: why for spec in late.values() if (why := job.impossible.get(spec.id))
    }
    waiting = {
        spec: _enough(job, number, took)
        for number, spec in late.items()
        if spec.id not in job.impossible
    }
    return AdviceOrder(begins, waiting, untried, plan.budget, took)


def _frozen(job: Job) -> Job:
    """Compiled NHWC modes of inference on the CPU with constant weights, which pack and fold.

    A network that is to be run has weights that no longer change. One mode is tried in the place of
    the other, because compiling both would take twice as long.
    """
    renamed = {spec.id: _with_freezing(spec) for spec in job.specs}
    ids = {name: spec.id for name, spec in renamed.items()}
    macs = {ids.get(name, name): macs for name, macs in job.macs.items()}
    impossible = {ids.get(name, name): why for name, why in job.impossible.items()}
    specs = sorted(dict.fromkeys(renamed.values()), key=_rank)
    return replace(job, specs=tuple(specs), macs=macs, impossible=impossible)


def _rank(spec: Spec) -> int:
    """Where a mode stands in the queue; the others follow in the order of their table."""
    text = spec.mode.text
    known = spec.device.kind == "cpu" and text in _FIRST
    return _FIRST.index(text) if known else len(_FIRST) * (text != "eager")


def _with_freezing(spec: Spec) -> Spec:
    mode = spec.mode
    freezes = spec.device.kind == "cpu" and spec.workload.phase == "inference" and mode.compiles
    if not freezes or mode.memory_format == Mode.memory_format:
        return spec
    return replace(spec, mode=replace(mode, freezing="on"))


def _without_compiled(job: Job, untried: dict[str, str]) -> Job:
    for spec in job.specs:
        if spec.mode.compiles or spec.mode.compiler == "aoti":
            untried[spec.mode.text] = "no C++ compiler found; install g++"
    return replace(job, specs=tuple(s for s in job.specs if s.mode.text not in untried))


def _without_emulated(job: Job, untried: dict[str, str]) -> Job:
    """The job without modes in bfloat16 where it is emulated, several times as slow as float32."""
    known = job.environment.hard.get("instruction_sets") or ()
    for spec in job.specs:
        emulated = spec.device.kind == "cpu" and machine.emulates_bf16(known)
        if emulated and "bf16" in spec.mode.precision:
            untried[spec.mode.text] = EMULATED
    return replace(job, specs=tuple(s for s in job.specs if s.mode.text not in untried))


def _within(job: Job, budget: float, took: float) -> Job:
    """As many modes from the queue's beginning as are to fit, then rounds; eager always stays."""
    share, slowness = budget - took - _for_profile(budget), _slowness(took)
    if slowness * job.total_seconds <= share:
        return _sized(job, share)
    shorter = [_of(job, modes, n) for modes in range(len(job.specs), 0, -1) for n in _FEWER_ROUNDS]
    fitting = (one for one in shorter if slowness * one.total_seconds <= share)
    return _sized(next(fitting, shorter[-1]), share)


def _sized(job: Job, share: float) -> Job:
    """The job with fewer calls of what is slow for its share of a budget."""
    kind, turns = job.specs[0].device.kind, len(job.possible) * job.plan.rounds
    hurried = replace(job.plan, budget=max(share, _LEAST_SHARE))
    # All modes are compared with one float64 reference.
    once = hurried.within_budget(1, kind).float64_macs
    sized = replace(hurried.within_budget(turns, kind), float64_macs=once, budget=None)
    return replace(job, plan=sized)


def _enough(job: Job, modes: int, took: float) -> int:
    """Seconds of a budget with which the first ``modes`` begin."""
    rounds = _of(job, modes, _FEWER_ROUNDS[-1]).total_seconds
    seconds = took + _slowness(took) * rounds
    whole = min(seconds / (1 - _PROFILE_SHARE), seconds + _PROFILE_MOST)
    # A little more, because preparing takes now a little longer, now a little less.
    return math.ceil(_SPARE * whole)


def _slowness(took: float) -> float:
    """How many times as long as estimated things take here, as preparing has shown."""
    return min(max(1.0, took / _PREPARING_SECONDS), _SLOWEST)


def _for_profile(budget: float) -> float:
    """Seconds of a budget that are kept for the profile at the end."""
    return min(budget * _PROFILE_SHARE, _PROFILE_MOST)


def _of(job: Job, modes: int, rounds: int) -> Job:
    """The job with fewer modes and rounds."""
    plan = replace(job.plan, rounds=min(job.plan.rounds, rounds))
    return replace(job, specs=job.specs[:modes], plan=plan)


def measure(asked: AdviceOrder, out: Path, watcher: Watcher, name: str) -> Evidence:
    """Measure into a run directory, then profile the mode that explains most.

    After their rounds the modes race: what waited comes in while there is time, and what may still
    be faster than the choice is measured again beside it.

    Raises:
        StoreError: the directory cannot be used.
    """
    # A machine that was waited for is no part of the budget.
    job, began, until = asked.job, time.monotonic(), None
    if asked.budget is not None:
        until = asked.budget - _for_profile(asked.budget) - asked.took
    slowness = _slowness(asked.took)
    race = Race(
        max(job.plan.rounds, _FURTHER_ROUNDS), tuple(asked.waiting), until,
        lambda spec: slowness * _making(spec),
    )  # fmt: skip
    stored = campaign.start(job, out, watcher, name, again=race)
    untried = dict(asked.untried) | {
        spec.mode.text: f"left out to fit the budget; --budget {asked.waiting[spec]}s would be"
        " enough"
        for spec in race.waiting
    }
    evidence = Evidence(tuple(stored.records), untried, verified=dict(race.again))
    spec = _worth_profiling(evidence)
    if spec is None:
        return evidence
    total = len(asked.specs)
    watcher.working(f"profile of {spec.id}", total, total)
    evidence = replace(evidence, profile=_profile(job, spec))
    used = evidence.recommended
    # Compiling once more, in a process of the other kind, would take longer than all of this.
    if used is None or used.spec.mode.needs_compiler:
        return evidence
    passed = asked.took + time.monotonic() - began
    if asked.budget is not None and passed + _UNKEPT_SECONDS > asked.budget:
        return evidence
    watcher.working(f"{used.id} without kept blocks", total, total)
    return replace(evidence, unkept=allocation.unkept(job, used.spec))


def _making(spec: Spec) -> float:
    return planning.rough_making(spec.mode, spec.device.kind)


def _worth_profiling(evidence: Evidence) -> Spec | None:
    """The recommended mode; eager where that one compiles, because layers are gone there."""
    best = evidence.recommended
    if best is None:
        return None
    return best.spec if best.spec.mode.compiler == "eager" else best.spec.plain


def _profile(job: Job, spec: Spec) -> Profile:
    passes = profiling.ProfilePasses(seconds=_PROFILE_SECONDS)
    try:
        return profiling.profile(replace(job, specs=(spec,)), passes)
    except CnnbenchError as error:
        return Profile(spec.id, job.environment.fingerprint, notes=(f"no profile: {error}",))
