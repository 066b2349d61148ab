"""What optimizers hold: predicted against the CPU's allocator, and what is no optimizer."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from cnnbench.analysis import analyze
from cnnbench.errors import Unsupported, UsageError
from cnnbench.spec import OPTIMIZERS
from cnnbench.worker import optimizers
from tests.analysis.test_memory import allocated, images, one_thread  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore")

CLASSES = {
    "momentum": functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=1e-4),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "nadam": torch.optim.NAdam,
}
CASES = [(name, {"foreach": on}) for name in CLASSES for on in (False, True)]
CASES += [(name, {"fused": True}) for name in ("momentum", "adam", "adamw", "adagrad")]


class Sign(torch.optim.Optimizer):
    """A user's own: state outside of ``state``, a value that is read, real numbers among others."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})
        self.mean = [torch.zeros_like(one) for one in self.param_groups[0]["params"]]

    @torch.no_grad()
    def step(self, closure=None):
        for one, mean in zip(self.param_groups[0]["params"], self.mean, strict=True):
            update = mean.lerp_(one.grad, torch.tensor(0.5)).sign()
            if one.norm().item() > 0:
                update = update * torch.full((one.shape[-1],), 2.0)
            one.sub_(update, alpha=self.param_groups[0]["lr"])


def wide():
    """So many weights that the peak stands in the optimizer's step."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(12288, 32), nn.ReLU(), nn.Linear(32, 4096), nn.Linear(4096, 8)
    )


def compared(module, make):
    """Predicted and measured bytes of a step beyond what is resident, and the prediction."""
    image = images()
    found = analyze(module, (image,), phase="training", optimizer=make)
    memory, optimizer = found.memory, make(list(module.parameters()))

    def call():
        output = module(image)
        output.backward(torch.ones_like(output))
        optimizer.step()

    call()
    optimizer.zero_grad(set_to_none=True)
    resident = memory.params + memory.buffers + memory.input + memory.optimizer_state
    return memory.peak - resident, allocated(call), found


@pytest.mark.parametrize(("name", "way"), CASES, ids=str)
def test_within_one_percent_of_the_allocator(name, way):
    predicted, measured, found = compared(wide(), functools.partial(CLASSES[name], **way))

    assert predicted == pytest.approx(measured, rel=0.01)
    said = ", ".join(f"{key}=True" for key, on in way.items() if on)
    assert found.optimizer.endswith(f"({said})") if said else "(" not in found.optimizer


def test_foreach_holds_temporaries_of_all_parameters_and_fused_none():
    ways = ({"foreach": False}, {"foreach": True}, {"fused": True})
    one, every, none = (
        compared(wide(), functools.partial(torch.optim.Adam, **way))[0] for way in ways
    )

    sizes = [4 * parameter.numel() for parameter in wide().parameters()]
    # The loop takes a root and then its quotient, foreach divides in place.
    assert every - one == sum(sizes) - 2 * max(sizes)
    assert none < one


def test_an_optimizer_of_the_users_own():
    predicted, measured, found = compared(wide(), Sign)

    assert predicted == pytest.approx(measured, rel=0.01)
    assert found.optimizer == "Sign"
    assert found.memory.optimizer_state == sum(p.nbytes for p in wide().parameters())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_name_is_what_run_steps_with(name):
    given = {"phase": "training"}
    word = analyze(wide(), (images(),), optimizer=name, **given).memory
    made = analyze(wide(), (images(),), optimizer=optimizers.OPTIMIZERS[name], **given).memory

    assert word == made


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
def test_a_name_counts_what_the_loop_still_holds_of_the_last_parameter(name):
    module = nn.Sequential(nn.Flatten(), nn.Linear(12288, 40, bias=False), nn.Linear(40, 20000))

    predicted, measured, _ = compared(module, optimizers.OPTIMIZERS[name])
    word = analyze(module, (images(),), phase="training", optimizer=name).memory

    resident = word.params + word.input + word.optimizer_state
    assert predicted == word.peak - resident == pytest.approx(measured, rel=0.001)


def test_only_what_is_trained_has_state_and_weights_stay_as_they_are():
    module = wide()
    for parameter in module[1].parameters():
        parameter.requires_grad = False
    before = [one.clone() for one in module.parameters()]

    found = analyze(module, (images(),), phase="training", optimizer=torch.optim.Adam, real=True)

    trained = sum(p.nbytes for p in module.parameters() if p.requires_grad)
    assert found.memory.optimizer_state == 2 * trained
    assert all(map(torch.equal, before, module.parameters()))
    assert all(one.grad is None for one in module.parameters())


def strange(kind):
    module = wide()
    return {
        "instance": torch.optim.Adam(module.parameters()),
        "number": 3,
        "others": lambda _: torch.optim.Adam(module.parameters()),
        "list": list,
        "fused": functools.partial(torch.optim.RMSprop, fused=True),
        "closure": torch.optim.LBFGS,
        "layer": nn.Linear,
        "word": "adma",
    }[kind]


@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        ("instance", UsageError, "optimizer is an Adam; pass one of momentum, .*, or what makes"),
        ("number", UsageError, "optimizer is an int; pass one of momentum"),
        ("others", UsageError, "<lambda> made one of other parameters; make it of those"),
        ("list", UsageError, "list made a list, not a torch.optim.Optimizer"),
        ("fused", UsageError, "RMSprop does not take parameters .*'fused'"),
        ("closure", Unsupported, "LBFGS cannot step without values .*'closure'.*; pass the"),
        ("layer", UsageError, "Linear does not take parameters"),
        ("word", UsageError, "did you mean adam"),
    ],
)
def test_what_is_no_optimizer_is_said_in_one_line(kind, error, said):
    with pytest.raises(error, match=said) as caught:
        analyze(wide(), (images(),), phase="training", optimizer=strange(kind))

    assert "\n" not in str(caught.value)
