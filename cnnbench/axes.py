"""The axes of a grid: everything that tells one spec from another, described once.

Tables, pivots, curves, sentences, exports, command-line options and ``cnnbench.run`` read ``AXES``.
A new axis is one row here and the place that uses its value: ``workload.setting(name, default)``,
which is text; the axis itself reads it as what it is.

Knows specs; knows no records, no options of click and no formats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cnnbench import inputs, named, recipes, trained, units
from cnnbench.asking import (
    CALIBRATED,
    IMAGES_SECONDS,
    INPUT_FACTORY,
    INPUTS,
    MOST_IMAGES,
    NO_IMAGES,
    REGIONS,
    USUAL_REGIONS,
    Asking,
    device,
    images,
    positive,
    size,
    weights,
)
from cnnbench.errors import SchemaError, UsageError
from cnnbench.spec import OPTIMIZERS, PHASES, Spec, one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.spec import Phase, Workload

AxisValue = str | int | float | None


@dataclass(frozen=True)
class Axis:
    """What may differ between two specs.

    Attributes:
        name: stable, for machines; also the name of its column.
        of: its value in a spec; ``None`` where it has none, as inference has no optimizer.
        asking: how it is asked for; ``None`` if it follows from others.
        kind: ``text``, or how ``units`` writes the number.
        phrase: how a value is said in captions, headings and sentences.
        default: neither in ids nor said where all have it.
        always: a column of tables for people even where all rows agree.
        shown: in tables for people at all.
        pivot: its values may become columns.
        compared: latencies of different networks compare only where it is equal.
        recorded: records say what it really was, and have a column of its name for machines.
        trains: only phases that train have it.
        code: a value with a colon, ``package.module:attribute``, names code of the user's.
        kept: a setting of the workload, under the axis's name.
        spelled: has a column of its own for machines; what has none is in the spec's id.
    """

    name: str
    of: Callable[[Spec], AxisValue]
    asking: Asking | None = None
    kind: str = "text"
    phrase: str = "{}"
    default: AxisValue = None
    always: bool = False
    shown: bool = True
    pivot: bool = False
    compared: bool = False
    recorded: bool = False
    trains: bool = False
    code: bool = False
    kept: bool = False
    spelled: bool = True

    def said(self, spec: Spec) -> str:
        """Its value in a spec in words; empty for the default and where it has none."""
        value = self.of(spec)
        return "" if value in {None, self.default} else self.phrase.format(value)


def setting(
    name: str,
    default: AxisValue,
    asking: Asking,
    stored: Callable[[str], AxisValue] | None = None,
    *,
    trains: bool = False,
    **more: Any,
) -> Axis:
    """An axis whose value is a setting of the workload, which keeps it as text.

    ``stored`` reads the kept text where that is not as it was asked for: a path in a record need
    not exist any more.
    """

    def of(spec: Spec) -> AxisValue:
        if trains and spec.workload.phase == PHASES[0]:
            return None
        text = spec.workload.setting(name, "")
        value: AxisValue = (stored or asking.read)(text) if text else default
        return value

    return Axis(
        name,
        of,
        asking,
        phrase=f"{name} {{}}",
        default=default,
        compared=True,
        pivot=True,
        trains=trains,
        kept=True,
        **more,
    )


_phase = partial(one_of, "phase", names=PHASES)
_optimizer = partial(one_of, "optimizer", names=OPTIMIZERS)


def _size_of(spec: Spec) -> str:
    spatial = spec.workload.input[-2:]
    return str(spatial[0]) if len(set(spatial)) == 1 else units.shape(spatial)


def _optimizer_of(spec: Spec) -> str | None:
    """The optimizer of a phase that trains; inference has none."""
    return None if spec.workload.phase == "inference" else spec.workload.optimizer


def _workers_of(spec: Spec) -> int | None:
    """Processes that make batches; a network has none."""
    if recipes.is_pipeline(spec.workload.architecture):
        return recipes.workers(spec.workload)
    if spec.workload.setting(recipes.WORKERS, ""):
        raise UsageError(f"{spec.id}: a network has no workers")
    return None


# In the order in which tables for people show them.
AXES: tuple[Axis, ...] = (
    Axis("model", lambda spec: units.readable(spec.workload.model), always=True,
         asking=Asking("--models", "models", str, "NAME",
                       "Names, globs, tag:WORD, family:WORD, timm:NAME, package.module:factory,"
                       " all.", "quick")),
    Axis("phase", lambda spec: spec.workload.phase, pivot=True, compared=True,
         asking=Asking("--phase", "phases", _phase, "PHASE",
                       f"Any of {', '.join(PHASES)}.", PHASES[0])),
    Axis("optimizer", _optimizer_of, phrase="optimizer {}", default=OPTIMIZERS[0], compared=True,
         pivot=True,
         asking=Asking("--optimizer", "optimizers", _optimizer, "NAME",
                       f"For training and finetune: any of {', '.join(OPTIMIZERS)}; at learning"
                       " rate zero, so that every step is the same work.", OPTIMIZERS[0])),
    Axis("batch", lambda spec: spec.workload.batch, kind="whole", phrase="batch {}", pivot=True,
         compared=True,
         asking=Asking("--batch", "batches", positive, "N", "Input samples per call.", "1")),
    Axis("input", lambda spec: spec.workload.shape_text, phrase="input {}",
         asking=Asking("--input", "input", inputs.read, "[NAME=][TYPE[<LIMIT]:]SHAPE",
                       "Full shape of one input sample, for your own networks (3x224x224 is"
                       " assumed without it); again for each further argument: int64<1000:20,"
                       " mask=bool:10, t=float32:scalar.",
                       several=False, shaped=True, repeated=True)),
    Axis(INPUTS, lambda spec: inputs.canonical(spec.workload.setting(INPUTS, "")),
         phrase="inputs {}", compared=True, pivot=True, kept=True, spelled=False),
    setting(INPUT_FACTORY, None,
            Asking("--input-factory", "", named.function, "MODULE:FUNCTION",
                   "Your function of the batch size (and seed, if it has one) that returns the"
                   " inputs: a tensor, a tuple, a dict of keywords, or (args, kwargs).",
                   several=False), spelled=False, code=True),
    setting(REGIONS, USUAL_REGIONS,
            Asking("--regions", "", positive, "N",
                   "Regions of each image for networks that take them as an input (R-CNN, Fast"
                   " R-CNN).", str(USUAL_REGIONS)), kind="whole", spelled=False),
    Axis("size", _size_of, phrase="size {}", shown=False, pivot=True,
         asking=Asking("--size", "sizes", size, "SIZE",
                       "Input height and width instead of each network's own, e.g. 160,224x192.",
                       shaped=True)),
    Axis("device", lambda spec: spec.device.text, pivot=True, compared=True,
         asking=Asking("--device", "device", device, "DEVICE",
                       "cpu, cuda or cuda:INDEX; for run and conv also cuda:all: all GPUs, each"
                       " with workloads of its own.  [default: the best available]",
                       several=False)),
    Axis("threads", lambda spec: spec.threads, kind="whole", phrase="threads {}", pivot=True,
         compared=True,
         asking=Asking("--threads", "threads", positive, "N",
                       "CPU threads.  [default: the cores this process may use]")),
    Axis("mode", lambda spec: spec.mode.text, always=True, pivot=True,
         asking=Asking("--modes", "modes", str, "MODE",
                       "Words joined with +; 'all' is the sensible set for the device.", "eager")),
    Axis(recipes.WORKERS, _workers_of, kind="whole", phrase="workers {}", default=0, compared=True,
         pivot=True, kept=True, spelled=False),
    setting("weights", CALIBRATED,
            Asking("--weights", "", weights, "WEIGHTS",
                   "calibrated (so that outputs depend on the picture), random, pretrained (of"
                   " torchvision, already downloaded), or a file: safetensors or a state dict.",
                   CALIBRATED), str, recorded=True),
    setting("loss", named.AUTO,
            Asking("--loss", "", named.loss, "LOSS",
                   f"For training and finetune: any of {', '.join(named.LOSSES)}, or your own:"
                   " package.module:function, called with (output, inputs).", named.AUTO),
            recorded=True, trains=True, code=True),
    setting("train", trained.AUTO,
            Asking("--train", "", trained.read, "WHAT",
                   "What training and finetune train: head, last=N (the head and the last N stages"
                   " before it), all, own (what the network itself says), or names and globs of"
                   " modules and parameters, joined by commas; again for a row each.",
                   trained.AUTO, commas=True),
            recorded=True, trains=True),
    setting("images", NO_IMAGES,
            Asking("--images", "", images, "DIR",
                   "A directory of your pictures, flat or with one folder per class, in place of"
                   " seeded ones. In a run, every mode also answers once for all of them (evenly"
                   f" spaced {MOST_IMAGES:,} of more, within {IMAGES_SECONDS} s): top-1 agreement,"
                   " and accuracy with trained weights.",
                   NO_IMAGES, several=False), str, recorded=True),
)  # fmt: skip

# Scripts rely on the order of the CSV's columns; axes that are not named here follow.
_TIDY = ("model", "mode", "device", "batch", "size", "input", "phase", "optimizer", "threads")


def ordered() -> list[Axis]:
    """Every axis in the order of command lines and of tables for machines."""
    return sorted(AXES, key=lambda axis: _TIDY.index(axis.name) if axis.name in _TIDY else 99)


def tidy() -> list[Axis]:
    """Those with a column in the tables for machines that is read off the spec."""
    return [axis for axis in ordered() if not axis.recorded and axis.spelled]


def shown() -> list[Axis]:
    """The axes that tables for people show, in order."""
    return [axis for axis in AXES if axis.shown]


def pivots() -> list[str]:
    """Names of the axes whose values may become columns."""
    return [axis.name for axis in AXES if axis.pivot]


def asked() -> list[tuple[Axis, Asking]]:
    """The axes that are asked for, each with how."""
    return [(axis, axis.asking) for axis in AXES if axis.asking is not None]


def asking(name: str) -> Asking:
    """How an axis is asked for that is."""
    return next(how for axis, how in asked() if axis.name == name)


def settings() -> dict[str, Axis]:
    """The axes whose values are settings of a workload, by name."""
    return {axis.name: axis for axis in AXES if axis.kept}


def unusual(spec: Spec) -> dict[str, AxisValue]:
    """Values that are neither missing nor the default, of the axes that have a default."""
    given = [axis for axis in AXES if axis.default is not None and axis.said(spec)]
    return {axis.name: axis.of(spec) for axis in given}


def chosen(
    values: Mapping[str, AxisValue], phase: Phase = PHASES[0]
) -> tuple[tuple[str, str], ...]:
    """Values of settings in the form that ``Workload`` keeps: sorted, without defaults.

    Those that only training has are left out where the phase is inference.
    """
    known, trains = settings(), phase != PHASES[0]
    kept = {k: v for k, v in values.items() if trains or not known[k].trains}
    return tuple(sorted((k, str(v)) for k, v in kept.items() if v != known[k].default))


def callables(workload: Workload) -> tuple[str, ...]:
    """The ``package.module:attribute`` of the user's that a workload names, and workers import."""
    named_by = [name for name, axis in settings().items() if axis.code]
    texts = (workload.architecture, *(workload.setting(name, "") for name in named_by))
    return tuple(filter(named.is_code, texts))


def understood(spec: Spec) -> Spec:
    """The spec, whose settings are all known.

    Raises:
        SchemaError: one is not, so that the spec would pass for another.
        UsageError: the value of one cannot be, or its phase has no such setting.
    """
    known = settings()
    for name, _ in spec.workload.settings:
        if name not in known:
            raise SchemaError(f"{spec.id}: unknown axis '{name}'; install a newer cnnbench")
        if known[name].trains and spec.workload.phase == PHASES[0]:
            raise UsageError(f"{spec.id}: {PHASES[0]} has no {name}")
        known[name].of(spec)
    return spec


def tells(values: Iterable[AxisValue], default: AxisValue = None) -> bool:
    """Whether a column of these values says something: two different ones, not all the default."""
    found = set(values)
    return len(found) > 1 and bool(found - {None, default})


def assumed(workload: Workload) -> str:
    """What is said of a network of the user's that was given no shape."""
    return f"no --input given: {workload.shape_text} assumed"


def sample_shape(
    own: tuple[int, ...],
    arguments: Mapping[str, Any],
    size: tuple[int, ...] | None = None,
    shape: tuple[int, ...] | None = None,
) -> tuple[int, ...]:
    """The shape of one sample that a network is given, without the batch axis.

    Args:
        own: what the network takes by itself, channels first.
        arguments: of its builder; ``in_channels`` replaces the channels.
        size: height and width, or one number for both, in place of its own, where it has both.
        shape: the whole shape, in place of everything else.
    """
    if shape is not None:
        return shape
    axes = own[1:]
    if size is not None and len(axes) >= 2:
        axes = (*axes[:-2], size[0], size[-1])
    return (arguments.get("in_channels", own[0]), *axes)
