"""Several runs of one environment -> one run, such as the shards of a grid.

What is compared was measured under the same conditions: runs of different environments or
unlike sampling plans are refused, and so is a spec of which two runs have a record, because one of
them would be lost.
"""

from __future__ import annotations

import itertools
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench import shards, store, units
from cnnbench.errors import Incomparable, SomeFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cnnbench.record import Record
    from cnnbench.store import Manifest, StoredRun

# Fields of a plan that say when to stop, and nothing of how a call is measured.
_LIMITS = ("budget", "timeout", "precision", "memory_limit")


def merged(runs: Sequence[StoredRun], name: str) -> tuple[Manifest, tuple[Record, ...]]:
    """The manifest and the records of all of them together.

    Args:
        runs: at least one, whole.
        name: of the run that they become.

    Raises:
        Incomparable: they come from different environments or executors.
        UsageError: their plans differ, or a spec is in two of them.
    """
    _refuse_unlike(runs)
    first = min((run.manifest for run in runs), key=lambda one: one.created)
    specs = [spec for run in runs for spec in run.manifest.specs]
    revisions = {(run.manifest.revision, run.manifest.dirty) for run in runs}
    revision, dirty = revisions.pop() if len(revisions) == 1 else (None, None)
    shard, grid = _shards(runs)
    made = replace(
        first,
        run=name,
        specs=tuple(specs),
        assumed=tuple(dict.fromkeys(one for run in runs for one in run.manifest.assumed)),
        revision=revision,
        dirty=dirty,
        shared=any(run.manifest.shared for run in runs),
        shard=shard,
        grid=grid,
    )
    order = {spec: place for place, spec in enumerate(specs)}
    records = sorted(
        (record for run in runs for record in run.records),
        key=lambda one: order.get(one.id, len(order)),
    )
    return made, tuple(records)


def _shards(runs: Sequence[StoredRun]) -> tuple[str, str]:
    """Which shards they are together, and of which grid; empty if they are all of it."""
    known = [(run.manifest.shard, run.manifest.grid) for run in runs]
    grids = {grid for _, grid in known}
    if len(grids) > 1 or not shards.missing([one for one in known if one[0]]):
        return "", ""
    return shards.together(text for text, _ in known), grids.pop()


def _refuse_unlike(runs: Sequence[StoredRun]) -> None:
    first = runs[0]
    for run in runs[1:]:
        if run.environment.fingerprint != first.environment.fingerprint:
            raise Incomparable(
                f"{first.path} and {run.path} come from different environments, and stay two runs;"
                f" cnnbench report shows both"
            )
        if run.manifest.executor != first.manifest.executor:
            raise Incomparable(f"{first.path} and {run.path} have unlike executors")
        other = [
            key.replace("_", "-")
            for key in sorted({*first.manifest.plan, *run.manifest.plan} - {*_LIMITS})
            if first.manifest.plan.get(key) != run.manifest.plan.get(key)
        ]
        if other:
            raise UsageError(
                f"{first.path} and {run.path} were measured with unlike plans ({', '.join(other)});"
                " leave one out"
            )
    where: dict[str, StoredRun] = {}
    for run, spec in itertools.chain.from_iterable(
        ((run, spec) for spec in dict.fromkeys(run.manifest.specs)) for run in runs
    ):
        if spec in where:
            raise UsageError(f"{where[spec].path} and {run.path} both hold {spec}; leave one out")
        where[spec] = run


def whole(runs: Sequence[StoredRun]) -> None:
    """See to it that nothing is missing.

    Raises:
        SomeFailed: a shard is not among them, or one of them has not measured all of its specs; the
            message names the shards by number, separated by commas, as job arrays take them.
    """
    absent = shards.gone(_known(runs))
    open_runs = [run for run in runs if run.missing or run.unfinished]
    if not absent and not open_runs:
        return
    # A merged run does not say of which of its shards a spec is: each of them may be meant.
    begun = {one.number for run in open_runs for one in shards.held(run.manifest.shard)}
    numbers = sorted({one.number for one in absent} | begun)
    counts = {one.count for text, _ in _known(runs) for one in shards.held(text)}
    if len(counts) == 1 and numbers:
        word = "shard" if len(numbers) == 1 else "shards"
        what = f"{word} {','.join(map(str, numbers))} of {counts.pop()}"
    else:
        what = units.number(len(open_runs), "run")
    raise SomeFailed(f"not whole: {what} not measured to the end; nothing is merged")


def _known(runs: Sequence[StoredRun]) -> list[tuple[str, str]]:
    """Shards and grids of the runs that are shards."""
    return [(run.manifest.shard, run.manifest.grid) for run in runs if run.manifest.shard]


def left(runs: Sequence[StoredRun]) -> list[str]:
    """What is missing, and the command that measures it where the runs know it."""
    lines = [
        f"{line}; the command that made the others makes it, with that --shard and another --out"
        for line in shards.missing(_known(runs))
    ]
    for run in runs:
        if count := len(run.missing) + len(run.unfinished):
            lines.append(
                f"{units.number(count, 'spec')} not measured yet: cnnbench run --resume"
                f" {shlex.quote(str(run.path))}"
            )
    return lines


def said(runs: Sequence[StoredRun], made: Manifest) -> list[str]:
    """What must be known of a merged run: shards that are missing, specs without a record."""
    lines = shards.missing([(made.shard, made.grid)] if made.shard else [])
    missing = sum(len(run.missing) + len(run.unfinished) for run in runs)
    if missing:
        lines.append(
            f"{units.number(missing, 'spec')} not measured yet; cnnbench run --resume measures"
            " the rest"
        )
    return lines


def read(paths: Sequence[Path]) -> list[StoredRun]:
    """Runs as they are on disk, in the order of their shards."""
    runs = [store.read(path) for path in dict.fromkeys(path.resolve() for path in paths)]
    return sorted(runs, key=lambda run: shards.first(run.manifest.shard))
