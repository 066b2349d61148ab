"""Which parameters a training step changes: the one place that decides it.

A step that trains a part still runs the whole forward pass, and its backward pass reaches down to
the first layer that is trained. Batch norm in frozen layers goes on updating its statistics, as
PyTorch does in training mode; only its weight and bias are frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from torch import nn

from cnnbench import trained
from cnnbench.architectures import variants
from cnnbench.errors import UnknownName, Unsupported, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

# Most parts that a description names.
_NAMED_PARTS = 4

CLASSES, CHANNELS = "num_classes", "in_channels"


@dataclass(frozen=True)
class Training:
    """What is to be trained of a network.

    Attributes:
        text: as ``trained.read`` leaves it.
        finetune: it is the phase of that name, whose usual is the head.
        users: the network is the user's own; what it froze itself, if that is a part, is then what
            stays frozen in fine-tuning.
        new: arguments of the builder that have made a layer anew, of ``CLASSES`` and ``CHANNELS``.
        inputs: these want gradients, so that there is something to do without a parameter.
    """

    text: str = trained.AUTO
    finetune: bool = False
    users: bool = False
    new: tuple[str, ...] = ()
    inputs: bool = False

    def choose(self, module: nn.Module) -> str:
        """Set ``requires_grad`` of every parameter; returns what is trained, in words.

        Raises:
            UnknownName: a pattern matches nothing.
            UsageError: there are fewer stages, or nothing is left to train.
            Unsupported: there is no layer that could be the head.
        """
        wanted, parameters = trained.parse(self.text), _parameters(module)
        if not self.own(module):
            chosen = self._chosen(module, wanted, parameters)
            for one in parameters.values():
                if one.requires_grad is not (id(one) in chosen):  # a copy's need not be leaves
                    one.requires_grad_(id(one) in chosen)
        if not self.inputs and not any(one.requires_grad for one in parameters.values()):
            raise nothing(module)
        return described(module)

    def own(self, module: nn.Module) -> bool:
        """Whether what the network itself says holds."""
        word = trained.parse(self.text).word
        if word != trained.AUTO:
            return word == trained.OWN
        flags = {one.requires_grad for one in _parameters(module).values()}
        return not self.finetune or (self.users and len(flags) > 1)

    def _chosen(
        self, module: nn.Module, wanted: trained.Wanted, parameters: Mapping[str, nn.Parameter]
    ) -> set[int]:
        """Identities of the parameters to train."""
        if wanted.word == trained.ALL:
            return {*map(id, parameters.values())}
        found = [one for text in wanted.patterns for one in _matching(text, parameters)]
        layers: list[str] = self._new_layers(module)
        if wanted.word in {trained.HEAD, trained.AUTO}:
            layers += _heads(module)
        found += [one for path in layers for one in _under(path, parameters)]
        stages = [path for stage in _last(module, wanted.stages) for path in stage]
        # What the network froze by itself is named by nobody here.
        kept = [one for path in stages for one in _under(path, parameters) if one.requires_grad]
        return {*map(id, found), *map(id, kept)}

    def _new_layers(self, module: nn.Module) -> list[str]:
        first = variants.first(module) if CHANNELS in self.new else ""
        return [*([first] if first else []), *(heads(module) if CLASSES in self.new else [])]


def heads(module: nn.Module) -> list[str]:
    """Paths of the classifier and of the last layer of each auxiliary head.

    As ``variants.heads``; in a network of other layers its last one with a weight.
    """
    try:
        return variants.heads(module)
    except Unsupported:
        return [path for path, part in module.named_modules() if path and _own_weights(part)][-1:]


def _heads(module: nn.Module) -> list[str]:
    found = heads(module)
    if not found and not _parameters(module):
        raise Unsupported(f"{type(module).__name__} has no parameters to train")
    return found or [""]  # one layer by itself


def stages(module: nn.Module) -> list[list[str]]:
    """Paths of the stages before the head, in the order in which they are registered.

    A stage is a child of the network that has parameters. A child that holds a head is opened, so
    that the head stands by itself; so is the only one, of the others, that has more than one layer
    with weights, such as ``features`` of VGG; and so on, until there are several such or none.
    What has normalisation alone belongs to the stage before it. Auxiliary heads are no stages.
    """
    ends = heads(module)
    units = [path for path in _children(module, "") if not variants.is_auxiliary(path)]
    while opened := _to_open(module, units, ends):
        units = [
            inner
            for path in units
            for inner in (_children(module, path) if path in opened else [path])
        ]
    found: list[list[str]] = []
    for path in units:
        if path in ends:
            continue
        if found and not _weighted(module.get_submodule(path)):
            found[-1].append(path)
        else:
            found.append([path])
    return found


def _to_open(module: nn.Module, units: Iterable[str], ends: Collection[str]) -> list[str]:
    holding = [path for path in units if any(end.startswith(f"{path}.") for end in ends)]
    if holding:
        return holding
    large = [path for path in units if _weighted(module.get_submodule(path)) > 1]
    return large if len(large) == 1 and _children(module, large[0]) else []


def _last(module: nn.Module, count: int) -> list[list[str]]:
    """The last stages before the head.

    Raises:
        UsageError: there are fewer.
    """
    if not count:
        return []
    found = stages(module)
    if len(found) < count:
        names = ", ".join(stage[0] for stage in found) or "none"
        raise UsageError(
            f"last={count}: {type(module).__name__} has {len(found)} stages before its head"
            f" ({names}); all trains everything"
        )
    return found[-count:]


def _children(module: nn.Module, path: str) -> list[str]:
    """Paths of the children with parameters."""
    parent = module.get_submodule(path)
    return [
        f"{path}.{name}".lstrip(".")
        for name, child in parent.named_children()
        if next(iter(child.parameters()), None) is not None
    ]


def _own_weights(module: nn.Module) -> bool:
    """Whether it has a weight itself; biases and what normalisation learns have one axis."""
    return any(one is not None and one.dim() > 1 for one in module._parameters.values())  # noqa: SLF001 - of this module alone


def _weighted(module: nn.Module) -> int:
    return sum(map(_own_weights, module.modules()))


def _parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter that can have a gradient under each of its names."""
    return {
        name: one
        for name, one in nn.Module.named_parameters(module, remove_duplicate=False)
        if one.is_floating_point() or one.is_complex()
    }


def _under(path: str, parameters: Mapping[str, nn.Parameter]) -> list[nn.Parameter]:
    start = f"{path}." if path else ""
    return [one for name, one in parameters.items() if name.startswith(start)]


def _matching(pattern: str, parameters: Mapping[str, nn.Parameter]) -> list[nn.Parameter]:
    """The parameters that a glob names, by themselves or by a module that holds them.

    Raises:
        UnknownName: there is none.
    """
    found = [
        one
        for name, one in parameters.items()
        if any(fnmatchcase(part, pattern) for part in _prefixes(name))
    ]
    if not found:
        known = dict.fromkeys(part for name in parameters for part in _prefixes(name))
        # A misspelt word is read as a name.
        raise UnknownName("module or parameter", pattern, [*trained.WORDS, *known])
    return found


def _prefixes(name: str) -> list[str]:
    """``a.b.weight`` -> ``a``, ``a.b``, ``a.b.weight``."""
    parts = name.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def described(module: nn.Module) -> str:
    """What is trained, in words: ``everything``, ``layer4, fc``, ``all but conv1``, ``nothing``."""
    on, off = _parts(module, "", trains=True), _parts(module, "", trains=False)
    if not on:
        return "nothing"
    if not off:
        return "everything"
    return f"all but {_listed(off)}" if len(off) < len(on) else _listed(on)


def _parts(module: nn.Module, path: str, *, trains: bool) -> list[str]:
    """The outermost modules, and parameters beside them, all of which are trained or are not."""
    flags = {one.requires_grad for one in _parameters(module).values()}
    if flags <= {not trains}:
        return []
    if flags == {trains}:
        return [path or "everything"]
    before = f"{path}." if path else ""
    own = [
        before + name
        for name, one in module._parameters.items()  # noqa: SLF001 - of this module alone
        if one is not None and one.is_floating_point() and one.requires_grad is trains
    ]
    inner = [
        part
        for name, child in module.named_children()
        for part in _parts(child, before + name, trains=trains)
    ]
    return [*own, *inner]


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED_PARTS
    return ", ".join(names[:_NAMED_PARTS]) + (f" and {more} more" if more > 0 else "")


def nothing(module: nn.Module) -> UsageError:
    """That a step has nothing to train, with what to do."""
    count = sum(one.numel() for one in module.parameters())
    if not count:
        return Unsupported(f"nothing to train: {type(module).__name__} has no parameters")
    return UsageError(
        f"nothing to train: all {count:,} parameters of {type(module).__name__} are frozen;"
        " choose some, such as --train head"
    )
