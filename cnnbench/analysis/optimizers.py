"""What an optimizer holds: its state, and what it allocates while it steps.

The optimizers that have names stand in a table: the state in parameters' sizes, and what a step
holds for one parameter after the other, as torch's loops do it, its default on a CPU. Any other way
(``foreach=True``, torch's default on CUDA, which holds temporaries of all parameters at once;
``fused=True``, which holds none; a class of the user's) is built on twins of the parameters and
takes two steps on meta: what is alive after the first is state, the second is followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import optimizer as torch_optimizers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from cnnbench.analysis.dynamic import SCALAR, assumed
from cnnbench.analysis.liveness import Liveness
from cnnbench.analysis.meta import META, on_meta
from cnnbench.analysis.stand_ins import replaced
from cnnbench.errors import Unsupported, UsageError
from cnnbench.spec import OPTIMIZERS, one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.spec import Optimizer

    # From the trained parameters to an optimizer of them.
    Maker = Callable[[list[nn.Parameter]], torch.optim.Optimizer]

# Tensors of a parameter's size that each optimizer keeps, and those that it creates for one
# parameter at a time during its step. The last of them lives on until the next parameter has its
# own, because a variable of torch's loop holds it.
_STATE = {"sgd": 0, "momentum": 1, "adam": 2, "adamw": 2, "rmsprop": 1}
_STEP = {"sgd": 0, "momentum": 0, "adam": 2, "adamw": 2, "rmsprop": 1}


@dataclass(frozen=True, slots=True)
class Held:
    """What an optimizer is called, its state's bytes, and a step's beyond state and gradients."""

    name: str
    state: int
    step: int


def checked(optimizer: Any) -> Optimizer | Maker:
    """A name, or what makes an optimizer of parameters.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(optimizer, str):
        return one_of("optimizer", optimizer, OPTIMIZERS)
    if callable(optimizer):
        return optimizer  # type: ignore[no-any-return]
    raise UsageError(
        f"optimizer is {_article(optimizer)}; pass one of {', '.join(OPTIMIZERS)}, or what makes"
        " one of parameters, such as torch.optim.Adam"
    )


def held(optimizer: Optimizer | Maker, trained: Sequence[nn.Parameter]) -> Held:
    """What an optimizer of parameters holds, whose gradients of a step they have.

    Raises:
        UsageError: what was made is no optimizer of the parameters.
        Unsupported: it cannot be made or take a step without values.
    """
    if isinstance(optimizer, str):
        sizes, each = [parameter.nbytes for parameter in trained], _STEP[optimizer]
        steps = [each * size + before for before, size in pairwise([0, *sizes])] if each else []
        return Held(optimizer, _STATE[optimizer] * sum(sizes), max(steps, default=0))
    with torch.inference_mode(mode=False), torch.enable_grad():
        return _followed(optimizer, [_twin(parameter) for parameter in trained])


def _followed(make: Maker, twins: list[nn.Parameter]) -> Held:
    steps = _Steps([*twins, *(twin.grad for twin in twins if twin.grad is not None)])
    # Torch itself asks whether a device has fused kernels; Adagrad takes CUDA from the answer.
    known = ["cuda", "meta"]
    fused = replaced((torch_optimizers, "_get_fused_kernels_supported_devices", known.copy))
    with fused, steps:
        made = _made(make, twins)
        name = _name(made)
        try:
            made.step()  # type: ignore[call-arg]
            state, mark = steps.live.alive_bytes(), steps.live.mark()
            made.step()  # type: ignore[call-arg]
        except Exception as error:  # whatever it does with tensors that have no values
            raise Unsupported(
                f"{name} cannot step without values ({_said(error)}), so that its memory is not"
                f" known; pass the nearest of {', '.join(OPTIMIZERS)}"
            ) from error
    return Held(name, state, steps.live.above(mark))


def _made(make: Maker, twins: list[nn.Parameter]) -> torch.optim.Optimizer:
    """An optimizer of these parameters alone: others are the user's."""
    given = getattr(make, "func", make)  # of functools.partial
    name = getattr(given, "__qualname__", type(given).__name__)
    try:
        made: Any = make(twins)
    except Exception as error:
        raise UsageError(f"optimizer: {name} does not take parameters ({_said(error)})") from error
    if not isinstance(made, torch.optim.Optimizer):
        raise UsageError(f"optimizer: {name} made {_article(made)}, not a torch.optim.Optimizer")
    own = {id(twin) for twin in twins}
    if any(id(one) not in own for group in made.param_groups for one in group["params"]):
        raise UsageError(
            f"optimizer: {name} made one of other parameters; make it of those that it is given"
        )
    return made


def _name(made: torch.optim.Optimizer) -> str:
    ways = [f"{way}=True" for way in ("foreach", "fused") if made.defaults.get(way)]
    return type(made).__name__ + (f"({', '.join(ways)})" if ways else "")


def _said(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _article(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1] in 'AEIOaeio' else 'a'} {name}"


def _twin(parameter: nn.Parameter) -> nn.Parameter:
    twin = nn.Parameter(on_meta(parameter.detach()))
    if parameter.grad is not None:
        twin.grad = on_meta(parameter.grad.detach())
    return twin


class _Steps(TorchDispatchMode):
    """Follow the storages of whatever an optimizer makes on meta.

    Its counters of steps, which are real, are left out; so is what they are made of.
    """

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = Liveness()
        self.live.resident(known)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        kwargs = kwargs or {}
        base = func.overloadpacket.__name__
        if base.startswith("_fused_") and base.endswith("_"):
            return None  # in place, and not on meta for every optimizer
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if any(tensor.is_meta for tensor in given):
            if func is torch.ops.aten._local_scalar_dense.default:  # noqa: SLF001
                stand_in: Any = assumed(SCALAR, args, before=True)
                return stand_in(1, *args)
            if not all(tensor.is_meta or not tensor.dim() for tensor in given):
                args, kwargs = tree_map_only(Tensor, _to_meta, (args, kwargs))
        out = func(*args, **kwargs)
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and (tensor.is_meta or tensor.numel() > 1):
                self.live.born(tensor.untyped_storage())
        return out


def _to_meta(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_meta else tensor.to(META)
