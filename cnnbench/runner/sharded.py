"""A job for one shard of its grid."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench import shards, units
from cnnbench.errors import UsageError

if TYPE_CHECKING:
    from cnnbench.runner.campaign import Job
    from cnnbench.shards import Shard


def only(job: Job, shard: Shard) -> Job:
    """The job with the specs of one shard.

    Raises:
        UsageError: there are fewer groups than shards, so that one would have nothing to do.
    """
    found = shards.cut(job.specs, job.seconds, shard.count)
    if not all(found):
        most = sum(map(bool, found))
        raise UsageError(
            f"--shard {shard.text}: what is compared stays together, so there are at most"
            f" {units.number(most, 'shard')} of this grid; use --shard 1/{most}"
        )
    own = found[shard.number - 1]
    names = {spec.id for spec in own}
    impossible = {name: why for name, why in job.impossible.items() if name in names}
    whole = shards.grid(spec.id for spec in job.specs)
    return replace(job, specs=tuple(own), impossible=impossible, shard=shard.text, grid=whole)
