"""The requests to workers: a value per task and per command, and the type of its answer.

A request crosses the process border as a JSON object: its fields under their own names, beside the
task's name under ``task`` or a command's under ``do``. A worker may be of another revision than
the one that asks it (``cnnbench ab``). So it ignores fields that it does not know, also those
within other fields, every field that came later has a default, and no field that revisions share
is ever renamed. Answers are read strictly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from cnnbench import facts
from cnnbench.catalogue import Accepted, CatalogueEntry
from cnnbench.clocked import Clocked, ClockedTurn, StepFacts
from cnnbench.codec import decode, without_unknown
from cnnbench.conv.layers import Extraction
from cnnbench.costs import CostReport
from cnnbench.environment import Environment
from cnnbench.errors import UnknownName
from cnnbench.gradients import Gradients
from cnnbench.messages import Answer, Command, Request
from cnnbench.plan import Plan, WarmUp
from cnnbench.prediction.operators import OperatorTime, OperatorTrace, TracedNetwork
from cnnbench.profile import LayerCost, LayerTimes, Primitive, ProfilerTrace
from cnnbench.record import Cost, Memory, Run, run_from_json
from cnnbench.slices import ClockFigures, Ready, Taken
from cnnbench.spec import Optimizer, Phase, Spec


@dataclass(frozen=True, kw_only=True)
class SpecRequest(Request[Answer]):
    """A task about a spec, under the conditions of a plan.

    Attributes:
        spec: its id.
        seed: of weights and inputs.
        memory_limit: bytes that the worker may get beyond what it starts with; ``None``: no limit.
        cudnn_benchmark: let cuDNN time its algorithms first and keep the best.
        weights: file of a calibration that the reference left; ``None``: weights as initialised.
    """

    spec: str
    seed: int
    weights: str | None = None
    memory_limit: int | None = None
    cudnn_benchmark: bool = False

    @classmethod
    def planned(cls, spec: Spec, plan: Plan, **more: Any) -> Self:
        """What follows from a spec and a plan, here alone; ``more`` adds to it, or differs."""
        known = {
            "seed": plan.seed, "memory_limit": plan.memory_limit, "l2": plan.l2,
            "cudnn_benchmark": plan.cudnn_benchmark, "warm_up": plan.warm_up,
            "warm_calls": plan.memory_warm_calls, "nvtx": plan.nvtx, "energy": plan.energy,
        }  # fmt: skip
        own = {item.name for item in fields(cls)}
        said = {name: value for name, value in known.items() if name in own}
        return cls(spec=spec.id, **(said | more))


@dataclass(frozen=True, kw_only=True)
class ModelRequest(Request[Answer]):
    """A task about an architecture by its name.

    Attributes:
        name: of the catalogue, or of a model of the user's.
        arguments: keyword arguments of the builder.
        shape: of one sample in place of the architecture's own.
        size: height and width in place of the architecture's own.
        settings: of the workload that is meant.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    size: tuple[int, ...] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Describe(Request[Environment], task="describe"):
    """Where workers run; with ``runtimes``, also what deployment runtimes do there, in seconds."""

    runtimes: bool = False


@dataclass(frozen=True, kw_only=True)
class Resolve(ModelRequest[Accepted], task="resolve"):
    """What a model outside the catalogue takes; within ``memory_limit`` bytes, if there is one."""

    memory_limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class FindCode(Request[bool], task="find_code"):
    """Whether there is a function ``package.module:function`` of the user's; an error if not."""

    name: str


@dataclass(frozen=True, kw_only=True)
class ListTimm(Request[tuple[CatalogueEntry, ...]], task="list_timm"):
    """Models of timm that a name or glob selects; ``built``: each is built to count parameters."""

    pattern: str
    built: bool = False


@dataclass(frozen=True, kw_only=True)
class Fits(Request[Mapping[str, str]], task="fits"):
    """Which models cannot take the shape of a sample that is given for each; name -> why."""

    shapes: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class CountImages(Request[int], task="images"):
    """How many picture files a directory of the user's holds, one of which at least is readable."""

    directory: str


@dataclass(frozen=True, kw_only=True)
class CountCost(SpecRequest[Cost], task="analyze"):
    """The static cost of a spec's workload, for its record."""


@dataclass(frozen=True, kw_only=True)
class ReportCost(ModelRequest[CostReport], task="cost"):
    """All that static analysis knows of an architecture.

    Attributes:
        batch, phase, optimizer, mode: of the spec that is counted, as words.
        real: run on real tensors.
        rows, crosscheck: with rows per layer and operator; with what other counters say.
    """

    batch: int
    phase: Phase
    optimizer: Optimizer
    mode: str = "eager"
    real: bool = False
    rows: bool = False
    crosscheck: bool = False


@dataclass(frozen=True, kw_only=True)
class TakeGradients(ModelRequest[Gradients], task="gradients"):
    """Gradients at initialisation; ``seed`` is that of weights, inputs and targets."""

    batch: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class ComputeReference(SpecRequest[facts.Reference], task="reference"):
    """The outputs that modes are compared with.

    Attributes:
        reference_path: file that they are left in.
        float64, precisions: compute in float64 too; those whose rounding is to be known.
        every_image: also answer for all of the user's pictures, for modes to be compared with.
        calibrate: file that calibrated weights are left in; ``None``: weights as initialised.
    """

    reference_path: str
    float64: bool
    precisions: tuple[str, ...] = ()
    every_image: bool = False
    calibrate: str | None = None


@dataclass(frozen=True, kw_only=True)
class MeasureMemory(SpecRequest[Memory], task="memory"):
    """Peak memory of a step after ``warm_calls``; ``compile_cache`` as in ``MeasureLatency``."""

    warm_calls: int = 2
    compile_cache: str | None = None


@dataclass(frozen=True, kw_only=True)
class PrepareColdStart(SpecRequest[str], task="cold_start"):
    """Make what a fresh process finds, in the folder ``place``; the path of an order for it."""

    place: str
    compile_cache: str | None = None


@dataclass(frozen=True, kw_only=True)
class TakeStructure(Command[facts.Structure], task="structure"):
    """After ``MeasureMemory``: what the step is made of."""


@dataclass(frozen=True, kw_only=True)
class TakeValues(SpecRequest[facts.Values], task="values"):
    """What the network of a spec computes, whatever its mode."""


@dataclass(frozen=True, kw_only=True)
class MeasureLatency(SpecRequest[Ready], task="measure"):
    """Prepare to be sampled; ``TakeSlice`` follows any number of times, then ``Finish``.

    Attributes:
        round, ensemble: of the answer.
        warm_up: how long.
        l2: caches before a sample, of a CUDA device its second level: ``warm`` or ``cold``.
        reference: what is known of it; ``None``: no check, because of ``no_reference``.
        reference_path: file of the outputs to compare with.
        compile_cache: folder of the compiler's cache; ``None``: where it is.
        nvtx, energy: make NVTX ranges of phases and slices; measure the energy of calls too.
    """

    round: int
    ensemble: str
    warm_up: WarmUp
    l2: str = Plan.l2
    reference: facts.Reference | None = None
    no_reference: str = "no reference"
    reference_path: str = ""
    compile_cache: str | None = None
    nvtx: bool = False
    energy: bool = False


@dataclass(frozen=True, kw_only=True)
class TakeSlice(Command[Taken], task="slice"):
    """Sample for ``seconds``, at least one call; ``move``: move tensors to other memory first."""

    turn: int
    seconds: float
    move: bool = False


# The phase of a worker after the last slice, in which its output is checked once more.
AGAIN = "check again"


@dataclass(frozen=True, kw_only=True)
class Finish(Command[Run], task="finish"):
    """After the last slice: what was sampled."""

    @classmethod
    def read(cls, data: Any) -> Run:
        """A run, also as older revisions write it."""
        return run_from_json(data)


@dataclass(frozen=True, kw_only=True)
class TraceStep(SpecRequest[ProfilerTrace], task="trace"):
    """Profile ``steps`` by torch's profiler after warming up, into files of ``trace_folder``.

    Attributes:
        stacks, nvtx: record call stacks too; make NVTX ranges of phases and modules.
        snapshot: file for torch's snapshot of the device's memory; ``None`` for none.
    """

    warm_up: WarmUp
    trace_folder: str
    steps: int
    stacks: bool
    nvtx: bool = False
    snapshot: str | None = None


@dataclass(frozen=True, kw_only=True)
class TimeLayers(SpecRequest[LayerTimes], task="layer_times"):
    """Time the modules of a step, for about ``seconds`` after warming up."""

    warm_up: WarmUp
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ClockModules(SpecRequest[Clocked], task="clock_modules"):
    """Prepare for any number of ``TakeClocks``; ``cpu_time``: by that of the only thread."""

    warm_up: WarmUp
    cpu_time: bool = False


@dataclass(frozen=True, kw_only=True)
class TakeClocks(Command[ClockedTurn], task="clocks"):
    """Time the modules in one ``turn``; fields as of ``TakeSlice``."""

    turn: int
    seconds: float
    move: bool = False


@dataclass(frozen=True, kw_only=True)
class DescribeModules(SpecRequest[StepFacts], task="module_facts"):
    """What every module of a step is and does."""


@dataclass(frozen=True, kw_only=True)
class ListPrimitives(SpecRequest[tuple[Primitive, ...]], task="primitives"):
    """Which primitives of its library a step runs."""


@dataclass(frozen=True, kw_only=True)
class CountLayers(SpecRequest[tuple[LayerCost, ...]], task="layer_costs"):
    """MACs and bytes of each module by itself, counted."""


@dataclass(frozen=True, kw_only=True)
class MeasureClock(SpecRequest[ClockFigures], task="instrument"):
    """What the clock and the sampling loop cost."""


@dataclass(frozen=True, kw_only=True)
class TryBatch(SpecRequest[facts.Fitted], task="try_batch"):
    """Whether the spec's batch fits; ``device_limit``: bytes of a CUDA device that may be used."""

    device_limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class ProbeCeilings(Request[facts.Ceilings], task="ceilings"):
    """The ceilings of the machine; ``quick``: probed in about a second instead of several."""

    device: str
    threads: int
    quick: bool = True


@dataclass(frozen=True, kw_only=True)
class AskRoom(Request[facts.Room], task="room"):
    """What of the memory of a ``device`` is free."""

    device: str


@dataclass(frozen=True, kw_only=True)
class ExtractLayers(ModelRequest[Extraction], task="layers"):
    """The convolutions of a network, each once with its count."""


@dataclass(frozen=True, kw_only=True)
class DescribeAlgorithm(SpecRequest[facts.Algorithm], task="algorithm"):
    """What the spec's implementation of its convolution does."""


@dataclass(frozen=True, kw_only=True)
class CheckApplicability(Request[Mapping[str, facts.Applicability]], task="applicability"):
    """Which specs of single layers can be; an answer for every id."""

    specs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TraceOperators(SpecRequest[OperatorTrace], task="trace_operators"):
    """The operators that a pass of inference calls; nothing is run."""


@dataclass(frozen=True, kw_only=True)
class TraceEach(Request[tuple[TracedNetwork, ...]], task="trace_each"):
    """``TraceOperators`` of several specs in one process, each up to ``most_macs``."""

    specs: tuple[str, ...]
    seed: int = 0
    most_macs: int | None = None


@dataclass(frozen=True, kw_only=True)
class TimeOperators(Request[tuple[OperatorTime, ...]], task="time_operators"):
    """Time operators alone, on a CPU; ``calls`` are texts of ``OperatorCall``."""

    calls: tuple[str, ...]
    threads: int


# Every task and every command; what a worker does for each stands in worker/tasks.py.
REQUESTS: tuple[type[Request[Any]], ...] = (
    Describe, Resolve, FindCode, ListTimm, Fits, CountImages, CountCost, ReportCost,
    TakeGradients, ComputeReference, MeasureMemory, PrepareColdStart, TakeValues, MeasureLatency,
    TraceStep, TimeLayers, ListPrimitives, CountLayers, MeasureClock, TryBatch, ProbeCeilings,
    AskRoom, ExtractLayers, DescribeAlgorithm, CheckApplicability, ClockModules, DescribeModules,
    TraceOperators, TraceEach, TimeOperators, TakeStructure, TakeSlice, Finish, TakeClocks,
)  # fmt: skip


def parse(message: Mapping[str, Any]) -> Request[Any]:
    """The request in a message; fields that are not known are not looked at, at any depth.

    Raises:
        UnknownName: there is no such task or command.
        SchemaError: a field is missing or of the wrong type; the message names it.
    """
    key = Request.key if Request.key in message else Command.key
    known = {kind.task: kind for kind in REQUESTS if kind.key == key}
    name = str(message.get(key))
    if name not in known:
        kinds = {Request.key: "task", Command.key: "command"}
        raise UnknownName(kinds[key], name, known, "(is this worker of another revision?)")
    kind = known[name]
    return decode(kind, without_unknown(kind, message), name)
