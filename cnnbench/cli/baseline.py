"""``cnnbench baseline``: save, show and update a baseline file."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from cnnbench import metrics, store, trust, units
from cnnbench.cli import options
from cnnbench.cli.output import say, shown, write
from cnnbench.cli.parameters import NamedPath
from cnnbench.codec import decode, encode
from cnnbench.errors import SomeFailed, StoreError, UsageError
from cnnbench.gate import baseline, noise, renaming
from cnnbench.gate.outcomes import ROLES
from cnnbench.inert import in_json
from cnnbench.plan import Plan
from cnnbench.report.table import Column, Table
from cnnbench.runner import again, campaign
from cnnbench.runner.source import source

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.gate.baseline import Baseline
    from cnnbench.suite import Grid

_EPILOG = """\b
Examples:
  cnnbench baseline save results/RUN -o benchmarks/baseline.json
  cnnbench baseline save --models 'resnet*' -o benchmarks/structure.json
  cnnbench baseline show benchmarks/baseline.json
  cnnbench baseline update benchmarks/baseline.json results/RUN
  cnnbench baseline update benchmarks/baseline.json results/RUN --replace
  cnnbench baseline learn benchmarks/baseline.json results/check-*
  cnnbench baseline update benchmarks/structure.json
  cnnbench baseline update benchmarks/structure.json --models mypkg.nets:new
  cnnbench baseline update benchmarks/baseline.json --rename mypkg.nets:old=mypkg.nets:new
  cnnbench baseline update benchmarks/baseline.json --remove mypkg.nets:old
"""

# What goes with a run; everything else is in the run itself.
_BESIDE_RUN = ("run", "output", "force", "who", "debug")
_BESIDE_UPDATE = ("file", "run", "replace_all", "renames", "removed", "who", "debug")

_COLUMNS = (
    Column("spec", "spec"),
    Column("latency_median_s", "latency", "seconds"),
    Column("rounds", "rounds", "whole"),
    Column("sessions", "sessions", "whole"),
    Column("noise_rounds", "noise in a session", "fraction"),
    Column("noise_sessions", "between sessions", "fraction"),
    Column("noise_pairs", "of pairs", "fraction"),
    Column("past", "comparisons", "whole"),
    Column("cpu_peak_bytes", "peak memory", "bytes"),
    Column("params", "params", "count"),
    Column("macs", "MACs", "count"),
)


@click.group(epilog=_EPILOG)
def command() -> None:
    """Keep the essence of a run as a baseline file in git, to check later code against."""


@command.command()
@click.argument("run", metavar="[DIR]", required=False, type=NamedPath())
@options.grid(modes="eager")
@options.plan("timeout")
@options.output("baseline.json")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@options.executor
@options.debug
@click.pass_context
def save(
    ctx: click.Context,
    /,
    run: Path | None,
    grid: Grid,
    plan: Plan,
    output: Path,
    force: bool,
    who: str,
) -> None:
    """Make a baseline file from a stored run, or from models (--models).

    It records the git revision that the run was measured at; of a run that does not know it, the
    one that is checked out now.
    """
    if output.exists() and not force:
        raise StoreError(
            f"{output} exists; add to it with 'cnnbench baseline update', or use --force"
        )
    if (run is None) == (not grid.models):
        raise UsageError("'cnnbench baseline save' needs either a run or --models")
    if run is not None:
        options.refuse_others(ctx, _BESIDE_RUN, f"{run} already defines what was measured")
        made = baseline.of_run(store.read(run), source())
    else:
        made = _structure(grid, plan, who)
    baseline.write(output, made)
    _say(output, made)


def _structure(grid: Grid, plan: Plan, who: str) -> Baseline:
    """A baseline file of the structure of models; nothing is timed."""
    job = campaign.prepare(grid, plan, who)
    specs = [spec for spec in job.specs if spec.id not in job.impossible]
    found = again.inspect(specs, job.plan, who)
    for record in found.records:
        if record.failure is not None:
            say(f"cnnbench: left out: {record.id}: {record.failure.message}")
    session = ", ".join(grid.models)
    return baseline.of_records(
        found.records, found.environment, source(), encode(job.plan), session
    )


@command.command()
@click.argument("file", metavar="FILE", type=NamedPath())
@click.argument("run", metavar="[DIR]", required=False, type=NamedPath())
@click.option("--replace", "replace_all", is_flag=True,
              help="Replace the kept specs instead of adding rounds to them.")  # fmt: skip
@click.option("--rename", "renames", multiple=True, metavar="OLD=NEW",
              help="Call a network otherwise; all that is kept of it stays.")  # fmt: skip
@click.option("--remove", "removed", multiple=True, metavar="NAME",
              help="Drop a network, by its name or a glob, or a spec by its id.")  # fmt: skip
@options.grid(modes="eager")
@options.plan("timeout")
@options.allow
@options.executor
@options.debug
@click.pass_context
def update(
    ctx: click.Context,
    /,
    file: Path,
    run: Path | None,
    replace_all: bool,
    renames: tuple[str, ...],
    removed: tuple[str, ...],
    grid: Grid,
    plan: Plan,
    allowed: tuple[str, ...],
    who: str,
) -> None:
    """Add a run to a baseline file, or networks without times (--models), or renew its structure.

    Specs whose structure is as it was keep their earlier rounds, so that the noise between
    sessions is learnt; what changed is replaced. Without a run and models, structure and outputs of
    all that the file holds are taken from the current code, and nothing is timed.
    """
    found = baseline.read(file)
    old = renaming.without(renaming.renamed(found, renames), removed)
    if run is not None:
        options.refuse_others(ctx, _BESIDE_UPDATE, f"{run} already defines what was measured")
        new = baseline.of_run(store.read(run), source())
        made = baseline.updated(old, new, replace_all=replace_all)
    elif grid.models:
        made = baseline.updated(old, _structure(grid, plan, who), replace_all=replace_all)
    else:
        beside = (*_BESIDE_UPDATE, "timeout", "allowed")
        options.refuse_others(ctx, beside, "the file says itself what is kept")
        edited = bool(renames or removed)
        made = old if edited else _renewed(file, old, plan, allowed, who, replace_all=replace_all)
    baseline.write(file, made)
    _say(file, made)


def _renewed(
    file: Path, old: Baseline, plan: Plan, allowed: tuple[str, ...], who: str, *, replace_all: bool
) -> Baseline:
    """A baseline file with structure and outputs of the current code.

    Raises:
        SomeFailed: a network cannot be built; the file stays as it is.
    """
    specs = trust.specs(old.specs, file, allowed)
    how = replace(decode(Plan, dict(old.plan), f"{file}: plan"), timeout=plan.timeout)
    found = again.inspect(specs, how, who)
    failed = {one.id: one.failure for one in found.records if one.failure is not None}
    for name, why in failed.items():
        say(f"cnnbench: {name}: {why.message}")
    if failed:
        raise SomeFailed(
            f"{units.number(len(failed), 'spec')} failed, so {file} stays as it is; see --rename"
            " and --remove"
        )
    new = baseline.of_records(
        found.records, found.environment, source(), old.plan, old.sessions[-1]
    )
    if old.timed and not replace_all and baseline.only_values(old, new):
        say("cnnbench: measured in another environment, so nothing but outputs was renewed")
        return baseline.with_values(old, new)
    made = baseline.updated(old, new, replace_all=replace_all)
    lost = [name for name, one in old.specs.items() if one.rounds and not made.specs[name].rounds]
    if lost:
        say(
            f"cnnbench: {units.number(len(lost), 'spec')} changed, so times of the old code are"
            " dropped; add a new run with 'cnnbench baseline update'"
        )
    return made


@command.command()
@click.argument("file", metavar="FILE", type=NamedPath())
@click.argument("places", metavar="DIR…", nargs=-1, required=True, type=NamedPath())
@options.debug
def learn(file: Path, places: tuple[Path, ...]) -> None:
    """Learn how noisy each benchmark is from earlier comparisons.

    DIR is what 'cnnbench check --out DIR' or 'cnnbench ab --out DIR' has kept of two revisions side
    by side. The newest twelve of every machine are kept. From the fifth on, 'cnnbench check' says
    where a threshold is finer than the noise allows, and --threshold latency=auto follows it.
    """
    made = baseline.read(file)
    known = 0
    for place in places:
        both = [place / role for role in ROLES]
        if not all((one / store.MANIFEST).exists() for one in both):
            raise StoreError(
                f"{place} holds no comparison side by side: it has no base and head, which"
                " 'cnnbench check --out DIR' leaves where it measures both"
            )
        past = noise.of_runs(*(store.read(one) for one in both))
        if made.specs.keys() & past.keys():
            known += 1
        elif len(places) > 1:
            say(f"cnnbench: {place}: no pairs of a spec of {file} in one environment")
        made = baseline.taught(made, past)
    if not known:
        raise UsageError(f"nothing was learnt: no pairs of a spec of {file} in one environment")
    baseline.write(file, made)
    have = max(len(made.specs[name].past) for name in made.specs)
    few = f"; {noise.FEWEST} of a machine are needed, {have} are kept" * (have < noise.FEWEST)
    say(f"{file}: learnt from {units.number(known, 'comparison')}{few}")


@command.command()
@click.argument("file", metavar="FILE", type=NamedPath())
@options.as_json
@options.wide
@options.debug
def show(file: Path, as_json: bool) -> None:
    """Show the content of a baseline file."""
    found = baseline.read(file)
    if as_json:
        write(in_json(json.dumps(encode(found), indent=1)) + "\n", None)
        return
    write(shown(_table(found)), None)


def _table(found: Baseline) -> Table:
    rows = []
    for name, record in found.records().items():
        entry = found.specs[name]
        learnt = noise.learnt(entry.past, found.fingerprint)
        time, peak = metrics.latency(record), metrics.metric("peak_memory").of(record)
        rows.append((
            name,
            time,
            len(entry.rounds),
            len({one.session for one in entry.rounds}),
            entry.noise.rounds,
            entry.noise.sessions,
            None if learnt is None else learnt.deviation,
            len(entry.past),
            peak.point if peak is not None else None,
            entry.cost.params if entry.cost is not None else None,
            entry.cost.macs if entry.cost is not None else None,
        ))  # fmt: skip
    return Table(_COLUMNS, tuple(rows), captions=tuple(_captions(found)))


def _captions(found: Baseline) -> list[str]:
    source = found.source
    revision = source.revision or "no git revision"
    state = ", with uncommitted changes" if source.dirty else ""
    hard = found.hard
    return [
        f"saved {found.created} from {revision}{state}",
        f"{hard.get('cpu') or 'unknown processor'}, {hard.get('cores_usable')} cores,"
        f" torch {source.torch}, Python {source.python}, environment {found.fingerprint}",
    ]


def _say(path: Path, made: Baseline) -> None:
    if made.source.dirty:
        say(
            "cnnbench: the working tree has uncommitted changes, so this baseline file cannot be"
            " rebuilt from its revision"
        )  # fmt: skip
    size = units.size(path.stat().st_size)
    say(
        f"{path}: {units.number(len(made.specs), 'spec')},"
        f" {units.number(len(made.sessions), 'session')}, {size}"
    )
