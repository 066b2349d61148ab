"""Which group is measured next, when time is short or enough is known.

Values in, choices out: knows nothing of workers or clocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import recipes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cnnbench.plan import Plan
    from cnnbench.runner.subject import Group, Subject

# Fewer rounds give an interval, but one that a lucky pair of rounds can make far too narrow.
LEAST_ROUNDS = 3

# What one pool serves in a row; longer would mean fewer imports, but more lost by a kill.
BATCH_SECONDS = 90.0

# Guesses that decide only whether further work still fits: starting a pool, in seconds; and what
# the passes without a clock take, in seconds per spec, of a network or a layer, and in calls.
START_SECONDS = 5.0
_UNTIMED_SECONDS, _UNTIMED_LAYER_SECONDS, _UNTIMED_CALLS = 1.5, 0.3, 7


def settled(group: Group, plan: Plan) -> bool:
    """Whether another round of a group would be a waste.

    It has had all its rounds, nothing of it lives, or every interval is narrow enough.
    """
    if not group.alive:
        return True
    if group.rounds >= plan.rounds:
        return group.complete
    if plan.precision is None or group.rounds < min(LEAST_ROUNDS, plan.rounds):
        return False
    margin = group.margin()
    return margin is not None and margin <= plan.precision


def next_groups(groups: Iterable[Group], plan: Plan, left: float) -> list[Group]:
    """The groups that a pool should serve next within the time left.

    First those that lack something, an interval or the passes without a clock, the quick ones
    before the slow, because they take most uncertainty away per second; then those with the widest
    interval. One that no longer fits is passed over for one that does.
    """
    open_groups = sorted((one for one in groups if not settled(one, plan)), key=_urgency)
    room = min(left - START_SECONDS, BATCH_SECONDS)
    chosen: list[Group] = []
    for group in open_groups:
        seconds = expected(group)
        if seconds <= room or (not chosen and seconds <= left - START_SECONDS):
            chosen.append(group)
            room -= seconds
    return chosen


def expected(group: Group) -> float:
    """Seconds that a group's next visit will take: a round, and what it still lacks."""
    if group.complete:
        return group.round_seconds
    return group.round_seconds + _untimed(group)


def _untimed(group: Group) -> float:
    each = _UNTIMED_LAYER_SECONDS if group.workload.is_layer else _UNTIMED_SECONDS
    return each * len(group.alive) + _UNTIMED_CALLS * group.call_seconds()


def remaining(groups: Sequence[Group], plan: Plan) -> float | None:
    """Seconds of all rounds that groups may still have, by their last ones; ``None`` before those.

    Less than a budget has left where it is larger than the plan needs.
    """
    if not groups or not all(one.rounds or not one.alive for one in groups):
        return None
    open_ones = [one for one in groups if not settled(one, plan)]
    rounds = max((plan.rounds - one.rounds for one in open_ones), default=0)
    return rounds * START_SECONDS + sum(
        (plan.rounds - one.rounds) * one.round_seconds + (0.0 if one.complete else _untimed(one))
        for one in open_ones
    )


def _urgency(group: Group) -> tuple[bool, float]:
    margin = group.margin()
    if margin is None or not group.complete:
        return (False, expected(group))
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
