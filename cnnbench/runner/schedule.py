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
# the passes without a clock take, in seconds per spec, of a network or a layer, until one has been
# seen, and in calls.
START_SECONDS = 5.0
_UNTIMED_SECONDS, _UNTIMED_LAYER_SECONDS, _UNTIMED_CALLS = 1.5, 0.3, 7


def settled(group: Group, plan: Plan) -> bool:
    """Whether another round of a group would be a waste.

    It has had all its rounds, and which mode to use is decided or may stay open; nothing of it
    lives; or every interval is narrow enough.
    """
    if not group.alive:
        return True
    if group.rounds >= plan.rounds + group.further:
        return group.complete and not (group.rounds < plan.most_rounds and group.undecided)
    if plan.precision is None or group.rounds < min(LEAST_ROUNDS, plan.rounds):
        return False
    margin = group.margin()
    return margin is not None and margin <= plan.precision


def next_groups(groups: Sequence[Group], plan: Plan, left: float) -> list[Group]:
    """The groups that a pool should serve next within the time left.

    First those that lack something, an interval or the passes without a clock, the quick ones
    before the slow, because they take most uncertainty away per second; then those with the widest
    interval. One that no longer fits is passed over for one that does.
    """
    seen = seen_untimed(groups)
    open_groups = [one for one in groups if not settled(one, plan)]
    open_groups.sort(key=lambda group: _urgency(group, seen))
    room = min(left - START_SECONDS, BATCH_SECONDS)
    chosen: list[Group] = []
    for group in open_groups:
        seconds = expected(group, seen)
        if seconds <= room or (not chosen and seconds <= left - START_SECONDS):
            chosen.append(group)
            room -= seconds
    return chosen


def expected(group: Group, seen: float | None = None) -> float:
    """Seconds that a group's next visit will take: a round, and what it still lacks.

    Args:
        group: that has had a round.
        seen: as ``seen_untimed`` found it.
    """
    if group.complete:
        return group.round_seconds
    return group.round_seconds + _untimed(group, seen)


def seen_untimed(groups: Iterable[Group]) -> float | None:
    """What the passes without a clock took per spec beyond its calls; ``None`` before any."""
    done = [one for one in groups if one.complete and one.untimed_seconds and one.alive]
    count = sum(len(one.alive) for one in done)
    if not count:
        return None
    calls = sum(_UNTIMED_CALLS * one.call_seconds() for one in done)
    return max(0.0, sum(one.untimed_seconds for one in done) - calls) / count


def _untimed(group: Group, seen: float | None) -> float:
    guess = _UNTIMED_LAYER_SECONDS if group.workload.is_layer else _UNTIMED_SECONDS
    each = guess if seen is None else seen
    return each * len(group.alive) + _UNTIMED_CALLS * group.call_seconds()


def remaining(groups: Sequence[Group], plan: Plan) -> float | None:
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
    rounds = max((plan.rounds - one.rounds for one in open_ones), default=0)
    seconds = rounds * START_SECONDS
    for one in open_ones:
        if one.rounds:
            seconds += (plan.rounds - one.rounds) * one.round_seconds
        else:
            seconds += first + (plan.rounds - 1) * later
        seconds += 0.0 if one.complete else _untimed(one, seen)
    return seconds


def _urgency(group: Group, seen: float | None) -> tuple[bool, float]:
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
