"""The Python API: the commands as functions, for notebooks and scripts. Imports no torch itself."""

from __future__ import annotations

import dataclasses
import inspect
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnbench import axes, reading, store
from cnnbench.bar import Bar
from cnnbench.costs import refuse_uncountable
from cnnbench.errors import StoreError, UnknownName, UsageError
from cnnbench.plan import IN_PROCESS, Plan
from cnnbench.reading import LazyRuns
from cnnbench.results import Results
from cnnbench.runner import campaign
from cnnbench.spec import OPTIMIZERS, Device, Mode, Optimizer, Phase
from cnnbench.suite import Grid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cnnbench.analysis import Analysis
    from cnnbench.asking import Asking
    from cnnbench.runner.campaign import Job
    from cnnbench.runner.session import Watcher


def run(
    models: str | Sequence[str] = "quick",
    modes: str | Sequence[str] | None = None,
    *,
    device: str | None = None,
    batch: int | Sequence[int] | None = None,
    size: int | tuple[int, int] | Sequence[tuple[int, int]] | None = None,
    input: str | tuple[int, ...] | Sequence[str | tuple[int, ...]] | None = None,  # noqa: A002 - the option's name
    input_factory: str | None = None,
    phase: str | Sequence[str] = "inference",
    optimizer: str | Sequence[str] = OPTIMIZERS[0],
    threads: int | Sequence[int] | None = None,
    arguments: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    watcher: Watcher | None = None,
    executor: str = "process",
    **more: Any,
) -> Results:
    """Measure a grid, as ``cnnbench run`` does, and keep it in a run directory.

    Args:
        models: names, globs, ``tag:…``, ``timm:…`` or ``package.module:factory``.
        modes: mode texts such as ``channels_last+amp=bf16``, or ``all``; else as ``usual.USUAL``.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``cuda:all`` (shared); the best one if not given.
        batch: samples per call; several make a sweep; if not given, as ``usual.USUAL`` has it.
        size: height and width in place of each network's own; several pairs make a sweep.
        input: whole shape of one sample, for networks of your own; or all arguments, as texts such
            as ``int64<1000:20`` and ``mask=bool:10``.
        input_factory: ``package.module:function`` that returns the inputs for a batch size.
        phase: ``inference``, ``training``, ``finetune``, or several.
        optimizer: for the phases that train, any of ``spec.OPTIMIZERS``.
        threads: CPU threads, one number or several; the cores this process may use if not given.
        arguments: keyword arguments of the models' builders.
        out: the run directory; a new one under ``results/`` if not given.
        watcher: told of progress; a bar of tqdm on a terminal and in a notebook if not given.
        executor: ``process``, or ``fake`` to try things out.
        more: values of further axes (``axes.settings``), and how to measure, by fields of
            ``plan.Plan``: ``rounds`` (fresh starts of all workers), ``slices`` (turns in a round),
            ``slice_seconds``, ``turn_budget`` (seconds of slices per spec and round), ``seed``,
            ``precision`` (stop when every interval is within this share), ``budget`` (seconds for
            everything), ``timeout`` (seconds of a worker's step), ``memory_limit`` (bytes of a CPU
            worker), ``ceilings`` (probe the machine's), ``l2`` and ``cudnn_benchmark`` (CUDA only);
            for ``warm_up_*``, ``least_turns``, ``memory_warm_calls``, ``float64_macs`` see there.

    Raises:
        CnnbenchError: the request cannot be carried out; failures of single specs are rows instead.
    """
    given = more | {
        "models": models, "modes": modes, "device": device, "batch": batch, "size": size,
        "input": input, "input_factory": input_factory, "phase": phase, "optimizer": optimizer,
        "threads": threads,
    }  # fmt: skip
    asked = {
        asking.argument: _held(asking, value)
        for _, asking in axes.asked()
        if (value := given.pop(asking.argument, None)) is not None
    }
    plan, free = _plan(given), not {"rounds", "precision", "budget"} & given.keys()
    grid = Grid.of({"modes": (), "batch": (), **asked}, arguments or {})
    return _measured(campaign.prepare(grid, plan, executor, free=free), out, watcher)


def _measured(job: Job, out: str | Path | None, watcher: Watcher | None) -> Results:
    if out == "":
        raise UsageError("out is empty; name a run directory, or leave it out")
    name = store.new_run_name()
    path = Path(out) if out is not None else Path("results") / name
    with closing(Bar()) if watcher is None else nullcontext(watcher) as told:
        return Results((campaign.start(job, path, told, name),))


def _held(asking: Asking, given: Any) -> Any:
    """What a grid holds of an argument; an error names it."""
    for one in given if isinstance(given, list | tuple | set) else (given,):
        if callable(one):
            raise UsageError(f"{asking.argument}: {_does_not_travel(one)}")
    try:
        return asking.held(given)
    except UnknownName:
        raise
    except UsageError as error:
        raise UsageError(f"{asking.argument}: {error}") from None


def _does_not_travel(given: Any) -> str:
    """Why an object cannot be what only a text can say, and what to write instead."""
    place, name = getattr(given, "__module__", ""), getattr(given, "__qualname__", "")
    text = "package.module:function"
    if name.isidentifier() and place not in {"", "__main__", "builtins"}:
        text = f"{place}:{name}"
    return (
        f"an object of this process does not reach worker processes; write '{text}', a text that"
        " they can import, or use cnnbench.measure, which measures in this process"
    )


def _plan(given: Mapping[str, Any]) -> Plan:
    known = [field.name for field in dataclasses.fields(Plan)]
    for name in given:
        if name not in known:
            options = [how.argument for _, how in axes.asked()]
            raise UnknownName("plan field", name, [*known, *options])
    return Plan(**given)


# Arguments of ``run`` that ``measure`` has no use for -> what to do instead; others need workers.
_INSTEAD = {
    "threads": "call torch.set_num_threads before",
    "batch": "the inputs say how large it is",
    "size": "the inputs say how large it is",
    "input": "give the inputs themselves",
    "input_factory": "give the inputs themselves",
}


def _refuse(call: str, module: Any, more: Mapping[str, Any], known: Sequence[str]) -> None:
    """Say what to write in place of arguments that a call in this process does not have.

    Raises:
        UsageError: there are any.
    """
    for name, value in more.items():
        if name in known:
            continue
        if name in _parameters(module) or hasattr(value, "dtype"):
            raise UsageError(
                f"{call}: '{name}' is an input of the module; pass it as kwargs={{'{name}': ...}}"
            )
        if call == "cost" and name in {"threads", *(one.name for one in dataclasses.fields(Plan))}:
            raise UsageError(f"cost: takes no {name}, because nothing is timed; drop it")
        if name in _INSTEAD:
            raise UsageError(f"{call}: takes no {name}; {_INSTEAD[name]}")
        if name in {field.name for field in dataclasses.fields(Plan)}:
            raise UsageError(f"{call}: {name} needs worker processes; drop it, or use cnnbench.run")
        raise UnknownName("plan field" if call == "measure" else "argument", name, known)


def _arguments(call: Callable[..., Any]) -> list[str]:
    """Names that a call takes by keyword."""
    found = inspect.signature(call).parameters.values()
    return [one.name for one in found if one.kind is one.KEYWORD_ONLY]


def _parameters(module: Any) -> Sequence[str]:
    """Names of what the module is called with, as far as they are known."""
    try:
        return list(inspect.signature(module.forward).parameters)
    except (AttributeError, TypeError, ValueError):
        return []


def load(*places: str | Path) -> Results:
    """Runs that are on disk, each read when it is first needed.

    ``frame()`` and ``each()`` of what is returned hold one run at a time, so that a thousand runs
    are one frame in the memory of the largest. Everything else keeps what it has read.

    Args:
        places: run directories, directories that hold some at any depth, or patterns of both, such
            as ``results/2026-*``.

    Raises:
        StoreError: at one of the places is no run. A run whose files are damaged is named when it
            is reached, by whatever reaches it.
    """
    if not places:
        raise StoreError("no run directory given")
    return Results(LazyRuns(reading.places(places)))


def measure(
    module: Any,
    *inputs: Any,
    kwargs: Mapping[str, Any] | None = None,
    modes: str | Sequence[str] = "eager",
    device: str = "cpu",
    phase: Phase = "inference",
    optimizer: Optimizer = OPTIMIZERS[0],
    loss: str | Callable[..., Any] | None = None,
    train: str | None = None,
    **plan: Any,
) -> Results:
    """Measure a module object in this very process, e.g. in a notebook.

    The module is copied for every mode and never changed; inference is measured in evaluation mode,
    as the command does. Random state and flags are left as they were. A mode that fails is a row.
    Slices of the modes alternate as they do between workers; what needs a process of its own (peak
    memory, fresh rounds) is "not measured".

    Args:
        module: a ``torch.nn.Module``.
        inputs: its positional arguments, nested in any way, of any type and device; the first axis
            of the first tensor is the batch.
        kwargs: its keyword arguments.
        modes: mode texts; the output of each is compared with fp32 eager.
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        phase: ``inference``, ``training`` or ``finetune``.
        optimizer: of a phase that trains, one of ``spec.OPTIMIZERS``.
        loss: what a training step minimises: one of ``named.LOSSES``, or a function ``output ->
            scalar`` or ``output, inputs -> scalar``; what fits the output if not given.
        train: what of a phase that trains: ``head``, ``last=N``, ``all``, ``own``, or names and
            globs of modules and parameters, joined by commas; without it what has
            ``requires_grad``, and for ``finetune`` the head if nothing is frozen.
        plan: how to measure, by those fields of ``plan.Plan`` that ``plan.IN_PROCESS`` names:
            ``rounds`` (repetitions in this process), ``slices``, ``slice_seconds``,
            ``turn_budget``, ``least_turns``, ``warm_up_calls``, ``warm_up_seconds``,
            ``warm_up_limit``, ``warm_up_fewest`` and ``seed``; the others need workers.

    Raises:
        CnnbenchError: the request is wrong, or no mode could be measured.
    """
    _refuse("measure", module, plan, (*sorted(IN_PROCESS), *_arguments(measure)))
    chosen = _plan(plan)
    # The one door to the torch side: the caller has torch already, the module proves it.
    from cnnbench import inprocess

    words, arguments = _held(axes.asking("mode"), modes), (inputs, dict(kwargs or {}))
    work = inprocess.work(phase, optimizer, loss, train)
    return Results((inprocess.measure(module, arguments, work, words, device, chosen),))


def cost(
    module: Any,
    *inputs: Any,
    kwargs: Mapping[str, Any] | None = None,
    phase: Phase = "inference",
    optimizer: Optimizer | Callable[..., Any] = OPTIMIZERS[0],
    real: bool = False,
    loss: str | Callable[..., Any] | None = None,
    mode: str = "eager",
    train: str | None = None,
    **more: Any,
) -> Analysis:
    """Count a module object without running it; it is left exactly as it was.

    Args:
        module: a ``torch.nn.Module``, on any device; or the name of a model as ``run`` takes it,
            counted with its own input at batch 1.
        inputs: its positional arguments; only their shapes and types are used.
        kwargs: its keyword arguments.
        phase: ``inference``, ``training`` or ``finetune``.
        optimizer: whose state and step the predicted training memory includes: one of
            ``spec.OPTIMIZERS``, which step as on a CPU, one parameter after the other, or what
            makes an optimizer of a list of parameters, such as ``torch.optim.NAdam`` or
            ``functools.partial(torch.optim.Adam, foreach=True)``, as which torch's default steps
            on CUDA. It is given twins of the trained parameters.
        real: run a copy on the real tensors, for networks that look at values.
        loss: of a phase that trains, as for ``measure``; without it, every differentiable output
            gets a gradient; a model by name has its task's.
        mode: precision and memory format, ``amp=bf16`` or ``channels_last+bf16``, as on a CPU.
        train: what of a phase that trains, as for ``measure``.
        more: refused, with what to write instead.

    Returns:
        An ``Analysis``, which prints as a short table and has ``macs``, ``params``, ``memory``,
        ``layers``, ``ops``, ``uncounted``, ``frame()``, ``footer()``, ``to_json()``, ``cost()``.

    Raises:
        CnnbenchError: the inputs do not fit, an operator needs values, or the mode says what
            cannot be counted.
    """
    chosen = Mode.parse(mode, Device().kind)
    refuse_uncountable(chosen)
    _refuse("cost", module, more, _arguments(cost))
    from cnnbench import inprocess

    arguments = (inputs, dict(kwargs or {}))
    work = inprocess.work(phase, optimizer, loss, train, counted=True)
    found: Analysis
    if isinstance(module, str):
        if inputs or kwargs:
            raise UsageError(f"'{module}' is counted with its own input; give the module itself")
        found = inprocess.cost_of_name(module, work, mode=chosen, real=real)
    else:
        counted = loss is not None
        found = inprocess.cost(module, arguments, work, mode=chosen, real=real, counted=counted)
    return found


__all__ = ["cost", "load", "measure", "run"]
