"""How long hosts of a cluster are idle with ``run --cluster``, by simulation.

    python -m bench.cluster_simulation                    200 hosts and 5,000 specs, as a table
    python -m bench.cluster_simulation --hosts 20 --specs 500

The grid is real: networks of the catalogue in two modes and several batches, with the times that a
run expects of them. What is simulated is how long they really take, and what happens to hosts. The
scheduler is that of the command, and nothing is measured.

No schedule can end before the work divided by the hosts, nor before the longest group. Idle is the
share of host time without work. What is idle "beyond the longest" is what is left of it where the
campaign is as much shorter as the longest group takes.
"""

from __future__ import annotations

import argparse
import heapq
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

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
        scheduler: ``longest``, in the ``order`` of the grid, or ``shards`` cut beforehand.
    """

    title: str
    wrong: float = 0.0
    speeds: tuple[float, ...] = (1.0,)
    losses: float = 0.0
    scheduler: str = "longest"


WORLDS = (
    World("as expected"),
    World("times wrong by 1.65x either way", 0.5),
    World("times wrong by 2.7x either way", 1.0),
    World("half of the hosts twice as fast", 0.5, (1.0, 2.0)),
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
    deal = Deal().with_more(
        Parcel(place, one if world.scheduler == "longest" else 1.0)
        for place, one in enumerate(expected)
    )
    events: list[tuple[float, str]] = []
    now, busy, done = 0.0, 0.0, 0
    for name in speeds:
        deal = deal.joined(name, "K")
    lost_at = {name: share * least * 2 for name, share in doomed.items()}
    while not deal.over:
        for name in deal.free:
            parcel = deal.choice(name)
            if parcel is not None:
                deal = deal.handed(name, parcel)
                end = now + real[parcel.group] / speeds[name]
                heapq.heappush(events, (min(end, max(now, lost_at.get(name, end))), name))
        at, name = heapq.heappop(events)
        parcel = deal.taken[name]
        now = at
        if now >= lost_at.get(name, now + 1):
            deal = deal.lost(name)
        else:
            deal, done = deal.done(name), done + 1
            busy += real[parcel.group]
    alive = sum(speed for name, speed in speeds.items() if name not in doomed)
    room = alive * now + sum(speeds[name] * lost_at[name] for name in doomed)
    longest = alive * max(real) / max(world.speeds)
    beyond = max(0.0, room - longest - busy) / room
    return Result(now, least, 1 - busy / room, beyond, done, len(deal.given_up))


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


def table(hosts: int, count: int, seed: int) -> str:
    """All worlds as Markdown."""
    groups = grid(count)
    heads = (
        "world",
        "ends after",
        "least possible",
        "later by",
        "idle",
        "beyond the longest",
        "given up",
        "scheduler's CPU time",
    )
    lines = ["| " + " | ".join(heads) + " |", "|" + " :-- |" + " --: |" * (len(heads) - 1)]
    for world in WORLDS:
        began = time.process_time()
        found = simulate(groups, hosts, world, seed)
        assert found.measured + found.given_up == len(groups), world
        parts = [
            world.title, f"{found.end / 60:.1f} min", f"{found.least / 60:.1f} min",
            f"{100 * (found.end / found.least - 1):.1f} %", f"{100 * found.idle:.1f} %",
            f"{100 * found.beyond:.1f} %", str(found.given_up),
            f"{time.process_time() - began:.1f} s",
        ]  # fmt: skip
        lines.append("| " + " | ".join(parts) + " |")
    specs = sum(map(len, groups))
    longest = max(seconds_of(groups)) / 60
    intro = (
        f"{hosts} hosts, {specs} specs in {len(groups)} groups, the longest of which is expected"
        f" to take {longest:.1f} min; seed {seed}"
    )
    return "\n".join([intro, "", *lines])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--specs", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(table(options.hosts, options.specs, options.seed))


if __name__ == "__main__":
    main()
