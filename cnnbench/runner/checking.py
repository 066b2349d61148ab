"""The current code against a baseline file or run: what ``cnnbench check`` measures and compares.

If the revision of a baseline file can be checked out, it is measured side by side with the current
code. If it cannot, or does not run today, the current code is measured alone, and the stored record
decides.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnbench import gate, store, trust, units
from cnnbench.codec import decode
from cnnbench.errors import UsageError
from cnnbench.gate import (
    Acceptance,
    Comparison,
    Side,
    Threshold,
    baseline,
    judging,
    noise,
    renaming,
    side_by_side,
)
from cnnbench.gate.baseline import Source
from cnnbench.gate.noise import PastPairs
from cnnbench.gate.rule import SequentialRule
from cnnbench.plan import Plan
from cnnbench.runner import again
from cnnbench.runner.ab import explaining, paired, revisions
from cnnbench.runner.ab.paired import BrokenSide, PairedPlan
from cnnbench.runner.ab.session import PairWatcher
from cnnbench.runner.session import Watcher
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from cnnbench.gate.explanation import Explanation
    from cnnbench.gate.outcomes import PairedOutcome

_BY_THE_RECORD = "comparing with its stored times, which detect only large changes"


@dataclass(frozen=True)
class Kept:
    """The baseline file or run that a head is checked against.

    Attributes:
        path: of the baseline file or the run.
        side: its records.
        plan: how they were measured.
        source: the revision of a baseline file; ``None`` for a run.
        past: spec id -> what earlier comparisons with a baseline file have shown.
    """

    path: Path
    side: Side
    plan: Mapping[str, Any]
    source: Source | None = None
    past: Mapping[str, Sequence[PastPairs]] = field(default_factory=dict)

    def specs(self, allowed: Sequence[str]) -> tuple[Spec, ...]:
        """The specs that can be measured again.

        Args:
            allowed: models that may be built although they are not the user's own.

        Raises:
            UsageError: there is none, or one that may not be built.
        """
        names = [name for name, one in self.side.records.items() if one.failure is None]
        specs = trust.specs(names, self.path, allowed)
        if not specs:
            raise UsageError(f"{self.path} contains no spec that could be measured again")
        return specs


@dataclass(frozen=True)
class Checked:
    """What a check found, to be judged.

    Attributes:
        comparison: the changes.
        thresholds: as they were given, with what was learnt in place of ``auto``.
    """

    comparison: Comparison
    thresholds: tuple[Threshold, ...]


@dataclass(frozen=True)
class Listener:
    """The listeners for the progress of a check.

    Attributes:
        say: a line about what is done and why.
        structure: told what networks are made of, before anything is timed.
        run: the watcher of a run of that many specs in that directory, while it lasts.
        pairs: the watcher of paired comparisons.
        stored: told where a new run lies.
    """

    say: Callable[[str], None]
    structure: Callable[[Comparison], None]
    run: Callable[[int, Path], AbstractContextManager[Watcher]]
    pairs: PairWatcher
    stored: Callable[[Path], None]


def kept(path: Path) -> Kept:
    """Read a baseline file or a run directory.

    Raises:
        StoreError: it is neither.
        Incomparable: a baseline file with a schema that is unknown to this version.
    """
    if path.is_dir():
        run = store.read(path)
        return Kept(path, gate.side_of(run), run.manifest.plan)
    found = baseline.read(path)
    past = {name: entry.past for name, entry in found.specs.items()}
    return Kept(path, baseline.side(found, path.name), found.plan, found.source, past)


def with_run(old: Kept, path: Path, side: Side, thresholds: Sequence[Threshold]) -> Checked:
    """A stored run against a baseline file or run."""
    found = replace(gate.compare(old.side, side), remedy=_remedy(old, path))
    return _apart(_accepted(found, old, side, path), thresholds)


def with_now(
    old: Kept,
    thresholds: Sequence[Threshold],
    listener: Listener,
    *,
    timing: bool = True,
    out: Path | None = None,
    executor: str = "process",
    timeout: float | None = None,
    budget: float = PairedPlan.budget,
    allowed: Sequence[str] = (),
    explain: bool | None = None,
    others: Sequence[str] = (),
) -> Checked:
    """The current code, measured here, against a baseline file or run.

    Args:
        old: the baseline file or run.
        thresholds: which times are judged, and how finely.
        listener: told what is done.
        timing: measure times too, not only what networks are made of.
        out: directory of the new run.
        executor: the executor's name.
        timeout: seconds of one step of a worker; as of what is kept if not given.
        budget: seconds of measuring per benchmark and look, where it is measured side by side.
        allowed: models that may be built although they are not the user's own.
        explain: say which modules changed, where both sides are measured; ``None``: of regressions.
        others: models of the user's that are looked at too, in all ways of those in the file; one
            of them may be a network that has got another name.

    Raises:
        UsageError: there is nothing that could be measured again, or nothing that may be.
    """
    specs = old.specs(allowed)
    plan = decode(Plan, dict(old.plan), f"{old.path}: plan")
    plan = replace(plan, timeout=timeout or plan.timeout)
    now = again.inspect([*specs, *_likewise(specs, others)], plan, executor)
    head = Side("now", now.environment, {record.id: record for record in now.records})
    found = _accepted(replace(gate.compare(old.side, head), remedy=_remedy(old)), old, head)
    if not timing:
        return Checked(found, tuple(thresholds))
    listener.structure(found)
    limits, told = _learnt(old, thresholds, now.environment.fingerprint)
    beside, why = _beside(old, plan, limits, listener, out, executor, budget)
    if all(one.failed == "base" for one in beside):
        for one in beside[:1]:
            why = f"{one.decision.reason}; {_BY_THE_RECORD}"
            # What the pairs left is in ``out`` already.
            out = out / "alone" if out is not None else None
        if why:
            listener.say(why)
        where = out or Path("results") / store.new_run_name()
        with listener.run(len(specs), where) as watcher:
            run = again.measure(specs, plan, where, watcher, executor, now.records)
        listener.stored(run.path)
        return _because(why, with_run(old, run.path, gate.side_of(run), thresholds))
    why_so = _explained(old, _pairs(plan, budget), beside, listener, out, executor, explain)
    found = side_by_side.explained(side_by_side.with_outcomes(found, beside), why_so)
    return Checked(replace(found, remarks=(*found.remarks, *told)), limits)


def _because(why: str, measured: Checked) -> Checked:
    """The reason for measuring alone, not only said on the way: it is why the limits are wide."""
    remarks = (*measured.comparison.remarks, *([why] if why else []))
    return replace(measured, comparison=replace(measured.comparison, remarks=remarks))


def _learnt(
    old: Kept, thresholds: Sequence[Threshold], environment: str
) -> tuple[tuple[Threshold, ...], list[str]]:
    """Thresholds with what is learnt of the noise here where they are ``auto``, and what is said.

    No other threshold is changed by what is learnt: where it is too fine, that is said.
    """
    limits: dict[str, float] = {}
    told = []
    for name, rule in _rules(old.side, thresholds).items():
        spec, past = Spec.parse(name), old.past.get(name, ())
        if judging.limits(spec, thresholds)["latency"].auto:
            auto = noise.automatic(past, environment, rule)
            limits[name] = auto.limit
            told.append(f"{name}: {auto.why}")
        else:
            short = f"{spec.workload.model}/{spec.mode.text}"
            told.append(noise.said(short, rule.threshold, past, environment, rule))
    found = (replace(one, learnt=limits) if one.auto else one for one in thresholds)
    return tuple(found), [line for line in dict.fromkeys(told) if line]


def _apart(found: Comparison, thresholds: Sequence[Threshold]) -> Checked:
    """What was not measured side by side: pairs have taught nothing about it."""
    if any(one.auto for one in thresholds):
        usual = units.percent(noise.USUAL)
        line = f"auto: {usual}, because the two sides were not measured side by side"
        found = replace(found, remarks=(*found.remarks, line))
    return Checked(found, tuple(thresholds))


def _likewise(specs: Sequence[Spec], models: Sequence[str]) -> list[Spec]:
    """Other models in every way in which some specs are measured."""
    known = {spec.id for spec in specs}
    ways = [one.id.removeprefix(one.workload.model) for one in specs]
    found = dict.fromkeys(f"{model}{way}" for model in models for way in ways)
    return [Spec.parse(name) for name in found if name not in known]


def _remedy(old: Kept, run: Path | None = None) -> Acceptance | None:
    """How to update the baseline file after an intended change."""
    if old.source is None:
        return None
    timed = any(record.runs for record in old.side.records.values())
    if not timed and run is None:
        return Acceptance(f"cnnbench baseline update {shlex.quote(str(old.path))}")
    where = "" if run is not None else "RUN is a new run of these specs"
    paths = shlex.join(map(str, (old.path, run or "RUN")))
    return Acceptance(f"cnnbench baseline update {paths} --replace", where)


def _accepted(found: Comparison, old: Kept, new: Side, run: Path | None = None) -> Comparison:
    """The comparison with how to accept networks of one side alone, and what the file lacks."""
    if old.source is None:
        return found
    remarks = found.remarks
    lacking = [
        name
        for name, one in old.side.records.items()
        if one.values is None and name in new.records and new.records[name].values is not None
    ]
    if lacking:
        remarks = (
            *remarks,
            f"{old.path} has no outputs of {units.number(len(lacking), 'spec')}; on a commit that"
            f" you trust, this adds them: cnnbench baseline update {shlex.quote(str(old.path))}",
        )
    found = replace(found, remarks=remarks)
    return renaming.accepted(found, old.side, new, old.path, run)


def _beside(
    old: Kept,
    plan: Plan,
    thresholds: Sequence[Threshold],
    listener: Listener,
    out: Path | None,
    executor: str,
    budget: float,
) -> tuple[list[PairedOutcome], str]:
    """The revision of the baseline file and the head, measured side by side.

    Empty, with the reason, if that revision cannot be rebuilt or does not start: then the stored
    record decides, less precisely.
    """
    repo = revisions.repository(Path.cwd())
    source = old.source or Source()
    lacking = _cannot_rebuild(source, repo)
    if repo is None or source.revision is None or lacking:
        return [], f"{lacking}; {_BY_THE_RECORD}"
    rules = _rules(old.side, thresholds)
    if not rules:
        return [], ""
    listener.say(
        f"measuring revision {source.revision[:12]} of the baseline file and the current code"
        " side by side"
    )
    try:
        found = paired.remeasure(
            list(rules), (f"rev:{source.revision}", "."), repo, lambda spec: rules[spec.id],
            _pairs(plan, budget),
            listener.pairs, out, executor,
        )  # fmt: skip
    except BrokenSide as error:
        if error.role != "base":
            raise
        return [], f"{error}; {_BY_THE_RECORD}"
    return found, ""


def _explained(
    old: Kept,
    how: PairedPlan,
    beside: Sequence[PairedOutcome],
    listener: Listener,
    out: Path | None,
    executor: str,
    explain: bool | None,
) -> dict[str, Explanation]:
    """Which modules changed, of what was measured side by side."""
    wanted = [one for one in beside if explaining.wanted(one, explain)]
    repo, source = revisions.repository(Path.cwd()), old.source
    if not wanted or repo is None or source is None:
        return {}
    words = (f"rev:{source.revision}", ".")
    return explaining.again(wanted, words, repo, how, listener.say, out, executor)


def _pairs(kept: Plan, budget: float) -> PairedPlan:
    """How pairs are measured: as pairs are, under the conditions of what is kept."""
    conditions = replace(
        PairedPlan.plan,
        seed=kept.seed,
        timeout=kept.timeout,
        l2=kept.l2,
        cudnn_benchmark=kept.cudnn_benchmark,
    )
    return PairedPlan(plan=conditions, budget=budget, may_narrow=True)


def _cannot_rebuild(source: Source, repo: Path | None) -> str:
    """Why the code of the baseline file cannot be measured again; empty if it can."""
    if source.revision is None:
        return "the baseline file records no revision"
    if source.dirty is not False:
        return "the baseline file was measured with uncommitted changes"
    if repo is None:
        return revisions.unusable(Path.cwd()) or "this is not a git repository"
    name = f"revision {source.revision[:12]} of the baseline file"
    if not revisions.commit(repo, source.revision):
        return f"{name} is not in this repository{revisions.fetching(repo)}"
    # A file may name any commit, that of a stranger's pull request too; HEAD is the user's choice.
    if not revisions.is_past(repo, source.revision):
        return f"{name} is not in HEAD's history{revisions.fetching(repo)}"
    return ""


def _rules(side: Side, thresholds: Sequence[Threshold]) -> dict[str, SequentialRule]:
    """The rule of every spec whose latency is to be judged."""
    rules = {}
    for name, record in side.records.items():
        limit = judging.limits(Spec.parse(name), thresholds).get("latency")
        if record.failure is None and limit is not None and limit.limit:
            rules[name] = SequentialRule(limit.limit)
    return rules
