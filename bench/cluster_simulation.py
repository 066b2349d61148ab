"""How long hosts of a cluster are idle with ``run --cluster``, by simulation.

    python -m bench.cluster_simulation                    200 hosts and 5,000 specs, as a table
    python -m bench.cluster_simulation --hosts 20 --specs 500

The grid is real: networks of the catalogue in two modes and several batches, with the times that a
run expects of them. What is simulated is how long they really take, and what happens to hosts. The
scheduler is that of the command, and nothing is measured.

No schedule can end before the work divided by the hosts, nor before the longest group on the
fastest host; who knows what everything really takes ends then, at best. Idle is the share of host
time without work. What is idle "beyond the longest" is what is left of it where the campaign is as
much shorter as the longest group takes. "Plainly" is the same without speeds that are learned:
every host that is free takes the longest group.
"""

from __future__ import annotations

import argparse
import heapq
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cnnbench import plan as planning
from cnnbench import shards, suite
from cnnbench.plan import Plan
from cnnbench.runner.cluster.deal import Deal, Parcel
from cnnbench.spec import Device, Spec
from cnnbench.suite import Grid

BATCHES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 24, 32)
DEVICE = Device("cuda")
MODES = ("eager", "channels_last")


@dataclass(frozen=True)
class World:
    """What is true of a cluster.

    Attributes:
        title: of a row.
        wrong: standard deviation of the logarithm of what a group takes, over what is expected.
        speeds: of hosts, in turn.
        losses: share of the hosts that are lost while the first half of the work is done.
        scheduler: ``learns`` speeds, ``longest`` first, in the ``order`` of the grid, or ``shards``
            cut beforehand.
    """

    title: str
    wrong: float = 0.0
    speeds: tuple[float, ...] = (1.0,)
    losses: float = 0.0
    scheduler: str = "learns"


WORLDS = (
    World("as expected"),
    World("times wrong by 1.65x either way", 0.5),
    World("times wrong by 2.7x either way", 1.0),
    World("half of the hosts twice as fast", 0.5, (1.0, 2.0)),
    World("half of the hosts three times as fast, as expected", 0.0, (1.0, 3.0)),
    World("half of the hosts three times as fast", 0.5, (1.0, 3.0)),
    World("speeds between 1 and 3", 0.5, (1.0, 1.5, 2.0, 2.5, 3.0)),
    World("every tenth host three times as slow", 0.5, (1.0, *[3.0] * 9)),
    World("every tenth host lost", 0.5, losses=0.1),
    World("groups in the order of the grid", 0.5, scheduler="order"),
    World("shards, cut beforehand", 0.5, scheduler="shards"),
)


def grid(count: int) -> list[list[Spec]]:
    """So many specs, or a few more, in their groups."""
    asked = Grid(suite.select(("all",)), MODES, BATCHES, device=DEVICE)
    known = suite.facts(asked.models)
    found = suite.expand(asked, DEVICE, suite.modes(MODES, DEVICE), known)
    groups: dict[object, list[Spec]] = {}
    for spec in found.specs:
        groups.setdefault((spec.workload.group, spec.device), []).append(spec)
    every = list(groups.values())
    random.Random(1).shuffle(every)
    taken, size = [], 0
    for group in every:
        if size >= count:
            break
        taken.append(group)
        size += len(group)
    return sorted(taken, key=lambda one: one[0].workload.batch)


def seconds_of(groups: Sequence[Sequence[Spec]]) -> list[float]:
    """What a run expects of each group, with the starts of its processes."""
    plan = Plan(rounds=5)
    known = suite.facts([one.workload.architecture for group in groups for one in group])
    return [
        planning.rough_starts(plan)
        + sum(
            planning.rough_seconds(
                plan, suite.rough_macs(one.workload, known), one.mode, DEVICE.kind
            )
            for one in group
        )
        for group in groups
    ]


@dataclass(frozen=True)
class Result:
    """How a simulation ended.

    Attributes:
        end: seconds until then.
        least: that any schedule takes.
        idle: share of the time of the hosts.
        beyond: the same, less that of the longest group.
        measured: groups.
        given_up: groups that were on three hosts as they were lost.
    """

    end: float
    least: float
    idle: float
    beyond: float
    measured: int
    given_up: int = 0

    @property
    def later(self) -> float:
        """How much later than any schedule could end, as a share."""
        return self.end / self.least - 1


def simulate(groups: Sequence[Sequence[Spec]], hosts: int, world: World, seed: int = 1) -> Result:
    """One campaign."""
    chance = random.Random(seed)
    expected = seconds_of(groups)
    real = [one * chance.lognormvariate(0, world.wrong) for one in expected]
    speeds = {f"h{place}": world.speeds[place % len(world.speeds)] for place in range(hosts)}
    doomed = {name: chance.uniform(0, 0.5) for name in list(speeds)[: round(world.losses * hosts)]}
    least = max(sum(real) / sum(speeds.values()), max(real) / max(world.speeds))
    if world.scheduler == "shards":
        return _in_shards(groups, expected, real, hosts, least)
    in_order = world.scheduler == "order"
    deal = Deal().with_more(
        Parcel(place, 1.0 if in_order else one) for place, one in enumerate(expected)
    )
    events: list[tuple[float, str]] = []
    now, busy, done = 0.0, 0.0, 0
    for name in speeds:
        deal = deal.joined(name, "K")
    lost_at = {name: share * least * 2 for name, share in doomed.items()}
    while not deal.over:
        learns = world.scheduler == "learns"
        for name, parcel in (deal.choices(now) if learns else _plainly(deal)).items():
            deal = deal.handed(name, parcel, now)
            end = now + real[parcel.group] / speeds[name]
            heapq.heappush(events, (min(end, max(now, lost_at.get(name, end))), name))
        at, name = heapq.heappop(events)
        parcel = deal.taken[name]
        now = at
        if now >= lost_at.get(name, now + 1):
            deal = deal.lost(name)
        else:
            deal, done = deal.done(name, now), done + 1
            busy += real[parcel.group]
    alive = sum(speed for name, speed in speeds.items() if name not in doomed)
    room = alive * now + sum(speeds[name] * lost_at[name] for name in doomed)
    longest = alive * max(real) / max(world.speeds)
    beyond = max(0.0, room - longest - busy) / room
    return Result(now, least, 1 - busy / room, beyond, done, len(deal.given_up))


def _plainly(deal: Deal) -> dict[str, Parcel]:
    """The next of what is left for every host that is free."""
    return dict(zip(deal.free, deal.left, strict=False))


def _in_shards(
    groups: Sequence[Sequence[Spec]], expected: Sequence[float], real: Sequence[float], hosts: int,
    least: float,
) -> Result:  # fmt: skip
    each = {one.id: seconds / len(group) for group, seconds in zip(groups, expected, strict=True)
            for one in group}  # fmt: skip
    truly = {one.id: seconds / len(group) for group, seconds in zip(groups, real, strict=True)
             for one in group}  # fmt: skip
    specs = [one for group in groups for one in group]
    parts = shards.cut(specs, lambda one: each[one.id], hosts)
    end = max(sum(truly[one.id] for one in part) for part in parts)
    idle = 1 - sum(real) / (hosts * end)
    return Result(end, least, idle, max(0.0, idle - max(real) / end), len(groups))


def table(hosts: int, count: int, seeds: int) -> str:
    """All worlds as Markdown, the means of some seeds."""
    groups = grid(count)
    heads = (
        "world", "least possible", "ends plainly", "ends", "later by, plainly", "later by",
        "at worst", "idle", "beyond the longest", "given up", "scheduler's CPU time",
    )  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + " :-- |" + " --: |" * (len(heads) - 1)]
    for world in WORLDS:
        began = time.process_time()
        found = [simulate(groups, hosts, world, seed) for seed in range(1, seeds + 1)]
        taken = (time.process_time() - began) / seeds
        plain = found
        if world.scheduler == "learns":
            other = replace(world, scheduler="longest")
            plain = [simulate(groups, hosts, other, seed) for seed in range(1, seeds + 1)]
        for one in (*found, *plain):
            assert one.measured + one.given_up == len(groups), world
        parts = [
            world.title, *(f"{_mean(some) / 60:.1f} min" for some in (
                [one.least for one in found], [one.end for one in plain],
                [one.end for one in found],
            )),
            *(f"{100 * _mean([one.later for one in some]):.1f} %" for some in (plain, found)),
            f"{100 * max(one.later for one in found):.1f} %",
            f"{100 * _mean([one.idle for one in found]):.1f} %",
            f"{100 * _mean([one.beyond for one in found]):.1f} %",
            str(sum(one.given_up for one in found)), f"{taken:.1f} s",
        ]  # fmt: skip
        lines.append("| " + " | ".join(parts) + " |")
    specs = sum(map(len, groups))
    longest = max(seconds_of(groups)) / 60
    intro = (
        f"{hosts} hosts, {specs} specs in {len(groups)} groups, the longest of which is expected"
        f" to take {longest:.1f} min; means of {seeds} draws"
    )
    return "\n".join([intro, "", *lines])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--specs", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    print(table(options.hosts, options.specs, options.seeds))


if __name__ == "__main__":
    main()
