"""``cnnbench predict``: latencies of networks from the times of their operators."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from cnnbench import axes, suite, units
from cnnbench.asking import INPUT_FACTORY, INPUTS
from cnnbench.cli import options, output
from cnnbench.cli.parameters import NamedPath, Seconds
from cnnbench.codec import encode
from cnnbench.errors import SomeFailed
from cnnbench.prediction import table as tables
from cnnbench.report import FORMATS
from cnnbench.report import predictions as report
from cnnbench.runner import campaign, predicting
from cnnbench.spec import Device

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.cli.options import View
    from cnnbench.plan import Plan
    from cnnbench.runner.campaign import Job
    from cnnbench.suite import Grid

# What is predicted is inference on a CPU; of further axes only those that say what goes in.
_FIXED = ("device", "phase", "optimizer", *(axes.settings().keys() - {INPUTS, INPUT_FACTORY}))

_EPILOG = """\b
Examples:
  cnnbench predict resnet50 mobilenet_v2
  cnnbench predict resnet50 --size 160 --threads 1
  cnnbench predict 'efficientnet_*' --mode channels_last --probe 5m
  cnnbench predict mynets:tiny --model-arg width=0.75 --input 3x96x96
  cnnbench predict resnet50 --table other-machine.jsonl --threads 1
"""


@click.command(epilog=_EPILOG)
@options.grid(
    argument=options.MODELS,
    modes="eager",
    several=False,
    without=_FIXED,
    fixed={"device": Device()},
)
@click.option(
    "--probe",
    type=Seconds(),
    default="3m",
    show_default=True,
    metavar="TIME",
    help="Time for operators that were not timed yet, e.g. 90s or 10m.",
)
@click.option(
    "--tables",
    "folder",
    type=NamedPath(file_okay=False),
    default="results/operators",
    show_default=True,
    metavar="DIR",
    help="Directory of what was timed, a file per environment.",
)
@click.option(
    "--table",
    "given",
    type=NamedPath(dir_okay=False),
    metavar="FILE",
    help="Predict by this table alone, which may be of another machine; nothing is timed.",
)
@options.plan("seed", "timeout")
@options.view(FORMATS)
@options.quiet
@options.executor
@options.debug
def command(
    grid: Grid,
    plan: Plan,
    probe: float,
    folder: Path,
    given: Path | None,
    view: View,
    quiet: bool,
    who: str,
) -> None:
    """Predict how long networks take on this machine's CPU, without running them.

    A network is traced for its operators, each of which is timed alone, once per machine: a table
    keeps them. A model of what their sum misses is fitted on some small networks that are measured.
    Every prediction has an interval that is to hold 90 % of such predictions, which comes from the
    errors on families of networks that the model was not fitted on. Exit code 3 if something is not
    predicted.
    """
    known = None if given is None else tables.read(given)
    # Before torch is imported, which takes seconds.
    predicting.refuse_modes(suite.modes(grid.modes, Device()))
    job = campaign.prepare(grid, plan, who)

    def say(text: str) -> None:
        if not quiet:
            output.say(text)

    if known is None or given is None:
        found = predicting.predict(job, folder, probe, say)
    else:
        found = predicting.predict_by(job, known, given, say)
    # No progress, but what is missing from the answer.
    for line in found.problems:
        output.say(line)
    if view.kind == "json":
        view.write(json.dumps(encode(report.facts(found)), indent=1) + "\n")
    else:
        view.show(report.table(found, notes=_notes(job)))
    left = [one for one in found.rows if one.prediction is None]
    if left:
        whole = units.number(len(found.rows), "network")
        are = "is" if len(found.rows) == 1 else "are"
        raise SomeFailed(f"{len(left)} of {whole} {are} not predicted; see their rows")


def _notes(job: Job) -> tuple[str, ...]:
    """Inputs that are only guessed, each said once."""
    return tuple(dict.fromkeys(note for spec in job.specs for note in job.notes(spec)))
