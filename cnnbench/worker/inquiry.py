"""Answers questions about architectures without running them: what each is, takes and costs."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnbench import analysis, architectures
from cnnbench.analysis import crosscheck
from cnnbench.architectures import export, sources
from cnnbench.architectures.meta import on_meta
from cnnbench.asking import INPUT_FACTORY, INPUTS
from cnnbench.axes import assumed, sample_shape
from cnnbench.catalogue import Accepted
from cnnbench.costs import CrossCheck
from cnnbench.errors import CnnbenchError, Unsupported, UsageError
from cnnbench.named import AUTO
from cnnbench.spec import Device, Mode, Workload, arguments_of
from cnnbench.worker import build, inputs, memory, modes

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from cnnbench import requests
    from cnnbench.architectures.registry import Architecture
    from cnnbench.worker.inputs import Given
    from cnnbench.worker.talk import Talk


def resolve(request: requests.Resolve, talk: Talk) -> None:
    """Describes a model outside the catalogue; it is imported here and nowhere else."""
    talk.enter("import")
    architecture = architectures.resolve(request.name)
    talk.enter("build")
    workload = _workload(architecture, request)
    if workload.setting(INPUT_FACTORY, ""):
        # Ids say the shape that the function really gives.
        first = inputs.made(architecture, workload, 0).tensors[0]
        architecture = replace(architecture, input=tuple(first.shape[1:]) or (1,), min_size=None)
    _refuse_other_than_modules(architecture, workload)
    talk.answer(
        Accepted(architecture.input, architecture.min_size, _assumed(architecture, request))
    )


def _assumed(architecture: Architecture, request: requests.ModelRequest[Any]) -> bool:
    """Whether the shape is only a guess: of a builder of the user's, with none told."""
    told = request.shape is not None or {INPUTS, INPUT_FACTORY} & {*request.settings}
    return architecture.family == sources.USERS and not told


def list_timm(request: requests.ListTimm, talk: Talk) -> None:
    """Which of timm's models a pattern selects; timm is imported here and not before."""
    talk.enter("import")
    found = []
    for name in sources.timm_names(request.pattern):
        talk.enter(f"build of {name}")
        found.append(export.of_timm(sources.from_timm(name), built=request.built))
    talk.answer(tuple(found))


def find_code(request: requests.FindCode, talk: Talk) -> None:
    """Imports a function of the user's, which is not called."""
    talk.enter("import")
    if not callable(sources.attribute(request.name)):
        raise UsageError(f"'{request.name}' is not a function")
    talk.answer(result=True)


def _workload(
    architecture: Architecture, request: requests.ModelRequest[Any], **more: Any
) -> Workload:
    """The workload that a request about a model means; of one sample, unless told otherwise."""
    shape = sample_shape(architecture.input, request.arguments, request.size, request.shape)
    return Workload(
        architecture=request.name,
        input=shape,
        arguments=arguments_of(request.arguments.items()),
        settings=tuple(sorted(request.settings.items())),
        **({"batch": 1} | more),
    )


def fits(request: requests.Fits, talk: Talk) -> None:
    """Which models cannot take a shape, and why; tested on the meta device."""
    refused: dict[str, str] = {}
    for name, shape in request.shapes.items():
        talk.enter(f"shape of {name}")
        try:
            architectures.check_size(architectures.resolve(name), shape)
        except Unsupported as error:
            refused[name] = str(error)
        except BaseException:  # noqa: BLE001, S112 - any other trouble belongs in a spec's row
            continue
    talk.answer(refused)


def _refuse_other_than_modules(architecture: Architecture, workload: Workload) -> None:
    """Raise early if a factory raises, or does not return a module.

    What cannot be built on the meta device may still be built: only the second error counts.
    """
    try:
        on_meta(build.made, architecture, workload)
    except CnnbenchError:
        raise
    except BaseException:  # noqa: BLE001 - it is the user's code
        build.made(architecture, workload)


@analysis.without_collector()
def report_cost(request: requests.ReportCost, talk: Talk) -> None:
    """Everything that the static analysis knows of one architecture."""
    architecture, workload, construct = prepared(
        request, talk, batch=request.batch, phase=request.phase
    )
    training = build.training_of(architecture, workload)
    make = construct if request.real else functools.partial(analysis.build_on_meta, construct)
    module = make()
    values = request.real or request.crosscheck
    given = inputs.made(architecture, workload, 0, dtype=inputs.dtype_for(module), values=values)
    mode = Mode.parse(request.mode, Device().kind)
    module, given = modes.converted(mode, module, given)
    talk.enter("count")
    try:
        found = analysis.analyze(
            module,
            *given,
            phase=request.phase,
            optimizer=request.optimizer,
            real=request.real,
            loss=build.loss_of(architecture, 0, workload.setting("loss", AUTO)),
            name=request.name,
            mode=mode.text,
            autocast=modes.PRECISIONS[mode.precision].autocast,
            own=not request.real,
            trained=training.choose,
        )
    except UsageError as error:
        raise _with_smallest(architecture, workload.input, error) from error
    if _assumed(architecture, request):
        found = replace(found, assumptions=(assumed(workload), *found.assumptions))
    report = found.report(rows=request.rows)
    if request.crosscheck:
        talk.enter("cross-check")
        report = replace(report, crosschecks=_crosschecks(construct, given, found))
    talk.answer(report)


def prepared(
    request: requests.ModelRequest[Any], talk: Talk, **more: Any
) -> tuple[Architecture, Workload, Callable[[], nn.Module]]:
    """The architecture of a request, its workload (``more`` adds to it), and what builds it."""
    # Building some networks creates large temporary tables, whose memory malloc would keep.
    memory.stop_malloc_caching()
    talk.enter("build")
    architecture = architectures.resolve(request.name)
    workload = _workload(architecture, request, **more)
    return architecture, workload, functools.partial(build.made, architecture, workload)


def _with_smallest(
    architecture: Architecture, shape: tuple[int, ...], error: UsageError
) -> UsageError:
    """The error; if the size caused it, with the smallest size that works, if known."""
    resized = shape[1:] != architecture.input[1:]
    if not isinstance(error, analysis.WrongInput) or not resized or architecture.source == "user":
        return error
    smallest = architectures.smallest_size(architecture)
    return UsageError(f"{error}; the smallest size that works is {smallest}x{smallest}")


def _crosschecks(
    construct: Callable[[], nn.Module], given: Given, found: analysis.Analysis
) -> tuple[CrossCheck, ...]:
    """The results of torch's and fvcore's counters, each on a separate module."""
    real = construct().eval()
    checks = []
    for against in (crosscheck.against_torch, crosscheck.against_fvcore):
        try:
            checks.append(against(real, given.args, found, given.kwargs))
        except Unsupported as error:
            tool = against.__name__.removeprefix("against_")
            checks.append(CrossCheck(tool, error=str(error)))
    return tuple(checks)
