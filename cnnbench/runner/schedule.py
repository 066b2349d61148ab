"""Which group is measured next, when time is short or enough is known.

Values in, choices out: knows nothing of workers or clocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import recipes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cnnbench.plan import Plan
    from cnnbench.runner.subject import Group, Subject

# Fewer rounds give an interval, but one that a lucky pair of rounds can make far too narrow.
LEAST_ROUNDS = 3

# What one pool serves in a row; longer would mean fewer imports, but more lost by a kill.
BATCH_SECONDS = 90.0

# Guesses that decide only whether further work still fits: starting a pool, in seconds; and what
# the passes without a clock take, in seconds per spec, of a network or a layer, until one has been
# seen, and in calls.
START_SECONDS = 5.0
_UNTIMED_SECONDS, _UNTIMED_LAYER_SECONDS, _UNTIMED_CALLS = 1.5, 0.3, 7


def allowed(group: Group, plan: Plan) -> int:
    """How many rounds a group may have.

    Those of the plan and those that it was gathered for; with a budget that pays for more, one
    further for as long as a mode may be faster than the one to use.
    """
    planned = plan.rounds + group.further
    pays = plan.budget is not None and planned <= group.rounds < plan.most_rounds
    return group.rounds + 1 if pays and group.undecided else planned


def settled(group: Group, plan: Plan) -> bool:
    """Whether another round of a group would be a waste.

    It has had all its rounds, and which mode to use is decided or may stay open; nothing of it
    lives; or every interval is narrow enough.
    """
    if not group.alive:
        return True
    if group.rounds >= allowed(group, plan):
        return group.complete
    if plan.precision is None or group.rounds < min(LEAST_ROUNDS, plan.rounds):
        return False
    margin = group.margin()
    return margin is not None and margin <= plan.precision


def next_groups(
    groups: Sequence[Group], plan: Plan, left: float, start: float = START_SECONDS
) -> list[Group]:
    """The groups that a pool should serve next within the time left.

    First those that lack something, an interval or the passes without a clock, the quick ones
    before the slow, because they take most uncertainty away per second; then those with the widest
    interval. One that no longer fits is passed over for one that does.

    Args:
        groups: all of them.
        plan: how they are measured.
        left: seconds of the budget.
        start: seconds until a pool has its first worker.
    """
    seen = seen_untimed(groups)
    open_groups = [one for one in groups if not settled(one, plan)]
    open_groups.sort(key=lambda group: _urgency(group, seen))
    room = min(left - start, BATCH_SECONDS)
    chosen: list[Group] = []
    for group in open_groups:
        seconds = expected(group, seen)
        if seconds <= room or (not chosen and seconds <= left - start):
            chosen.append(group)
            room -= seconds
    return chosen


def expected(group: Group, seen: Mapping[bool, float] | None = None) -> float:
    """Seconds that a group's next visit will take: a round, and what it still lacks.

    Args:
        group: that has had a round.
        seen: as ``seen_untimed`` found it.
    """
    if group.complete:
        return group.round_seconds
    return group.round_seconds + _untimed(group, seen or {})


def seen_untimed(groups: Iterable[Group]) -> dict[bool, float]:
    """What the passes without a clock took per spec beyond its calls, of layers and of networks.

    Nothing of a kind before any of it had them.
    """
    found: dict[bool, tuple[float, int]] = {}
    for one in groups:
        if one.complete and one.untimed_seconds and one.alive:
            beyond = one.untimed_seconds - _UNTIMED_CALLS * one.call_seconds()
            seconds, count = found.get(one.workload.is_layer, (0.0, 0))
            found[one.workload.is_layer] = seconds + beyond, count + len(one.alive)
    return {kind: max(0.0, seconds) / count for kind, (seconds, count) in found.items()}


def _untimed(group: Group, seen: Mapping[bool, float]) -> float:
    layer = group.workload.is_layer
    each = seen.get(layer, _UNTIMED_LAYER_SECONDS if layer else _UNTIMED_SECONDS)
    return each * len(group.alive) + _UNTIMED_CALLS * group.call_seconds()


def remaining(groups: Sequence[Group], plan: Plan, start: float = START_SECONDS) -> float | None:
    """Seconds of all rounds that groups may still have, by those that were; ``None`` before any.

    Less than a budget has left where it is larger than the plan needs. What has had no round yet
    is taken to be like the mean of what has.
    """
    living = [one for one in groups if one.alive]
    begun = [one for one in living if one.rounds]
    if not begun:
        return None if living or not groups else 0.0
    seen = seen_untimed(groups)
    first = sum(one.first_seconds for one in begun) / len(begun)
    later = sum(one.round_seconds for one in begun) / len(begun)
    open_ones = [one for one in living if not settled(one, plan)]
    left = {one.name: max(0, allowed(one, plan) - one.rounds) for one in open_ones}
    seconds = max(left.values(), default=0) * start
    for one in open_ones:
        if one.rounds:
            seconds += left[one.name] * one.round_seconds
        else:
            seconds += first + (plan.rounds - 1) * later
        seconds += 0.0 if one.complete else _untimed(one, seen)
    return seconds


def _urgency(group: Group, seen: Mapping[bool, float]) -> tuple[bool, float]:
    margin = group.margin()
    if margin is None or not group.complete:
        return (False, expected(group, seen))
    return (True, -margin)


def ensembles(group: Group, needs: Sequence[int], room: int | None) -> list[list[Subject]]:
    """The living subjects of a group in as few ensembles as memory allows.

    All of an ensemble are in memory at once. Where they do not fit, every ensemble holds the
    reference modes of its members again, so that speed-ups still come from neighbouring slices.
    Pipelines whose workers read ahead would work in the turns of others, so each has its own.

    Args:
        group: what is measured side by side.
        needs: bytes of each living subject.
        room: bytes available; ``None`` if unknown.
    """
    alive = group.alive
    if any(recipes.alone(one.spec.workload) for one in alive):
        return [[one] for one in alive]
    if room is None or sum(needs) <= room or len(alive) < 2:
        return [alive] if alive else []
    need = {one.spec.id: bytes_of for one, bytes_of in zip(alive, needs, strict=True)}
    by_id = {one.spec.id: one for one in alive}
    baselines = {one.spec.baseline.id for one in alive} & set(by_id)
    found: list[dict[str, Subject]] = []
    for one in alive:
        if one.spec.id in baselines and len(alive) > len(baselines):
            continue
        wanted = {key: by_id[key] for key in (one.spec.baseline.id, one.spec.id) if key in by_id}
        for ensemble in found:
            if sum(need[key] for key in {*ensemble, *wanted}) <= room:
                ensemble |= wanted
                break
        else:
            found.append(wanted)
    placed = {key for ensemble in found for key in ensemble}
    found += [{key: by_id[key]} for key in by_id if key not in placed]
    return [list(ensemble.values()) for ensemble in found]
