"""Measuring a module object: same behaviour as the command, and the object stays as it was."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import gc
import random
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import cnnbench
from cnnbench import inprocess, machine, store
from cnnbench.errors import UsageError
from cnnbench.plan import IN_PROCESS, Plan
from cnnbench.spec import OPTIMIZERS

FAST = {"rounds": 2, "slices": 2, "slice_seconds": 0.002, "warm_up_calls": 2, "warm_up_seconds": 0}


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()).eval()


def test_modes_of_an_object_are_compared_side_by_side(module: nn.Module) -> None:
    results = cnnbench.measure(
        module, torch.randn(2, 3, 8, 8), modes="eager,channels_last,bf16", **FAST
    )

    frame = results.frame().set_index("mode")
    assert list(frame.index) == ["eager", "channels_last", "bf16"]
    assert (frame["status"] == "ok").all()
    assert (frame["latency_median_s"] > 0).all()
    assert frame["speedup"].notna().all()
    assert frame["batch"].unique().tolist() == [2]
    assert frame["macs"].unique().tolist() == [2 * 4 * 6 * 6 * 27]
    assert "object:Sequential" in str(results)


def test_the_object_the_inputs_and_the_flags_are_left_as_they_were(module: nn.Module) -> None:
    given = torch.randn(2, 3, 8, 8)
    state = copy.deepcopy(module.state_dict())
    threads = torch.get_num_threads()
    precision = torch.backends.cudnn.conv.fp32_precision

    cnnbench.measure(module, given, modes="bf16,channels_last", **FAST)

    assert given.dtype is torch.float32
    assert given.is_contiguous()
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())
    assert all(p.is_contiguous() and p.requires_grad for p in module.parameters())
    assert all(not part._forward_hooks for part in module.modules())
    assert torch.get_num_threads() == threads
    assert torch.backends.cudnn.conv.fp32_precision == precision


def test_what_a_plan_says_is_used_as_far_as_is_promised(module: nn.Module, monkeypatch) -> None:
    class Watched(Plan):
        """Knows which of its fields were read."""

        read: ClassVar[set[str]] = set()

        def __getattribute__(self, name: str) -> object:
            Watched.read.add(name)
            return super().__getattribute__(name)

    plan = Watched(**FAST)
    # Writing the plan down reads every field.
    monkeypatch.setattr(store, "manifest", lambda run, *_: store.Manifest(run, "", (), {}, ""))
    Watched.read.clear()
    given, work = ((torch.randn(2, 3, 8, 8),), {}), inprocess.work("inference", OPTIMIZERS[0], None)
    inprocess.measure(module, given, work, ["eager"], "cpu", plan)

    assert Watched.read & {field.name for field in dataclasses.fields(Plan)} == {*IN_PROCESS}


@pytest.mark.parametrize(
    ("what", "given", "words"),
    [
        (3, torch.ones(1, 3), "torch.nn.Module"),
        (nn.ReLU().eval(), None, "inputs"),
        ("resnet18", torch.ones(1, 3), "cnnbench.run('resnet18')"),
    ],
)
def test_what_cannot_be_measured_is_refused(what, given, words: str) -> None:
    inputs = () if given is None else (given,)

    with pytest.raises(UsageError, match=words.replace("(", r"\(").replace(")", r"\)")):
        cnnbench.measure(what, *inputs, **FAST)


def test_an_object_is_counted_without_being_run_or_changed(module: nn.Module) -> None:
    given = torch.randn(2, 3, 8, 8)
    state = copy.deepcopy(module.state_dict())

    found = cnnbench.cost(module, given)
    training = cnnbench.cost(module, given, phase="training", optimizer="adam")

    assert found.macs == 2 * 4 * 6 * 6 * 27
    assert found.cost().flops == 2 * found.macs
    # Forward and the weights' gradient; the network's input needs none.
    assert training.training_macs == 2 * found.macs
    assert training.memory.optimizer_state == 2 * 4 * found.params
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())
    assert not module.training
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in module.modules())


class Decides(nn.Module):
    """Looks at its values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.sum() > 0 else x * x.mean().item()


class Named(nn.Module):
    """Integer indices, and a keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)

    def forward(self, indices: torch.Tensor, *, scale: torch.Tensor) -> torch.Tensor:
        return self.table(indices).sum(1) * scale


def test_values_may_decide_what_is_done() -> None:
    (record,) = cnnbench.measure(Decides(), torch.ones(2, 3), **FAST).records

    assert (record.status, record.notes[1:]) == ("ok", record.notes[1:])
    assert record.cost is not None
    assert cnnbench.cost(Decides(), torch.ones(2, 3), real=True).real


def test_keywords_and_whole_numbers_are_inputs() -> None:
    given, scale = torch.randint(10, (2, 5)), torch.ones(2, 1)
    module = Named()

    (record,) = cnnbench.measure(module, given, kwargs={"scale": scale}, **FAST).records

    assert record.status == "ok", record.reason
    assert record.spec.workload.setting("inputs", "") == "int64:5,scale=float32:1"
    assert cnnbench.cost(module, given, kwargs={"scale": scale}).params == 40


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_scripted_modules_are_measured_like_others(module: nn.Module) -> None:
    scripted = torch.jit.script(module)

    (record,) = cnnbench.measure(scripted, torch.randn(2, 3, 8, 8), **FAST).records

    assert record.status == "ok", record.reason
    assert record.cost is not None


def test_a_module_in_training_mode_is_measured_as_the_command_does(module: nn.Module) -> None:
    module.train()

    (record,) = cnnbench.measure(module, torch.randn(2, 3, 8, 8), **FAST).records

    assert module.training
    assert any("evaluation mode" in note for note in record.notes)


def test_a_mode_that_fails_is_a_row_and_all_that_fail_are_an_error(module: nn.Module) -> None:
    class Refuses(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.dtype is torch.bfloat16:
                raise ValueError("not in bfloat16")
            return x

    given = torch.randn(2, 3)
    eager, bf16 = cnnbench.measure(Refuses(), given, modes="eager,bf16", **FAST).records

    assert (eager.status, bf16.status) == ("ok", "failed")
    assert bf16.reason == "first call: ValueError: not in bfloat16"
    with pytest.raises(UsageError, match="first call: ValueError"):
        cnnbench.measure(Refuses(), given, modes="bf16", **FAST)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float64])
def test_an_object_is_measured_in_its_own_precision(module: nn.Module, precision) -> None:
    given = torch.randn(2, 3, 8, 8, dtype=precision)

    (record,) = cnnbench.measure(module.to(precision), given, **FAST).records

    name = str(precision).removeprefix("torch.")
    assert record.status == "ok", record.reason
    assert record.runs[0].flags["dtype"] == name
    assert f"the network is in {name}" in record.notes
    assert record.cost is not None
    assert record.cost.param_bytes == sum(p.nbytes for p in module.parameters())


STATES = {
    "torch": lambda: torch.get_rng_state().tolist(),
    "numpy": lambda: str(np.random.get_state()),
    "random": random.getstate,
    "threads": torch.get_num_threads,
    "deterministic": torch.are_deterministic_algorithms_enabled,
    "grad": torch.is_grad_enabled,
    "inference": torch.is_inference_mode_enabled,
    "dtype": torch.get_default_dtype,
    "benchmark": lambda: torch.backends.cudnn.benchmark,
    "mkldnn": lambda: torch.backends.mkldnn.enabled,
    "autocast": lambda: torch.is_autocast_enabled("cpu"),
    "collector": gc.isenabled,
}


class Draws(nn.Module):
    """Draws from every generator, and fails if told to."""

    def __init__(self, *, fails: bool) -> None:
        super().__init__()
        self.fails = fails

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.fails:
            raise RuntimeError("on purpose")
        return x * torch.rand(1) * random.random() * np.random.rand()


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**31),
    wide=st.booleans(),
    grad=st.booleans(),
    training=st.booleans(),
    fails=st.booleans(),
)
def test_the_caller_finds_everything_as_it_was(
    *, seed: int, wide: bool, grad: bool, training: bool, fails: bool
) -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), Draws(fails=fails)).train(training)
    module[0].weight.grad = torch.ones(4, 3)
    inputs = torch.randn(2, 3, requires_grad=True)
    torch.set_default_dtype(torch.float64 if wide else torch.float32)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    values = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    try:
        with torch.set_grad_enabled(grad):
            before = {name: of() for name, of in STATES.items()}
            with contextlib.suppress(UsageError):
                cnnbench.measure(module, inputs * 1, modes="eager,bf16", **FAST)
            assert {name: of() for name, of in STATES.items()} == before
    finally:
        torch.set_default_dtype(torch.float32)

    assert {part.training for part in module.modules()} == {training}
    assert torch.equal(module[0].weight.grad, torch.ones(4, 3))
    assert all(torch.equal(values[key], one) for key, one in module.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert inputs.grad is None


def squared(output: torch.Tensor, inputs: object) -> torch.Tensor:
    return output.square().mean()


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (None, "cross entropy"),
        ("mse", "MSE against random numbers"),
        (squared, "squared"),
        (lambda output: output.sum(), "<lambda>"),
    ],
)
def test_training_steps_of_an_object_are_measured_as_the_command_does(module, loss, said) -> None:
    state = copy.deepcopy(module.state_dict())

    results = cnnbench.measure(
        module, torch.randn(2, 3, 8, 8), modes="eager,bf16", phase="training", optimizer="adam",
        loss=loss, **FAST,
    )  # fmt: skip

    for record in results.records:
        assert record.failure is None
        assert record.spec.workload.phase == "training"
        assert record.spec.workload.optimizer == "adam"
        assert said in record.told("loss")
        assert [part.name for part in record.runs[0].parts] == [
            "forward", "loss", "backward", "optimizer",
        ]  # fmt: skip
        assert record.check.status in {"ok", "loose"}
        assert record.cost.macs == 2 * 4 * 6 * 6 * 27
        assert record.notes[0].startswith("measured in the caller's process")
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())
    assert all(one.grad is None for one in module.parameters())
    assert not module.training


def test_only_the_new_head_of_an_object_is_fine_tuned(module: nn.Module) -> None:
    module.append(nn.Linear(4 * 6 * 6, 5))
    given = torch.randn(2, 3, 8, 8)

    (full,) = cnnbench.measure(module, given, phase="training", **FAST).records
    (head,) = cnnbench.measure(module, given, phase="finetune", **FAST).records

    assert head.failure is None
    assert (head.cost.trainable_params, full.cost.trainable_params) == (725, 845)
    assert (head.told("trained"), full.told("trained")) == ("4", "everything")


@pytest.mark.parametrize(
    ("phase", "train", "trains"),
    [("training", None, 841), ("finetune", None, 841), ("finetune", "0.bias,head", 729)],
)
def test_measuring_and_counting_train_the_same_part_of_an_object(
    module: nn.Module, phase, train, trains: int
) -> None:
    module.append(nn.Linear(4 * 6 * 6, 5))
    module[0].bias.requires_grad_(requires_grad=False)
    given = torch.randn(2, 3, 8, 8)

    (record,) = cnnbench.measure(module, given, phase=phase, train=train, **FAST).records
    counted = cnnbench.cost(module, given, phase=phase, train=train)

    assert record.failure is None
    assert record.cost.trainable_params == counted.trainable_params == trains
    assert record.told("trained") == counted.trained
    assert record.spec.workload.setting("train", "auto") == (train or "auto")
    assert not module[0].bias.requires_grad


def test_an_object_with_nothing_to_train_is_one_line(module: nn.Module) -> None:
    module.requires_grad_(requires_grad=False)
    given = torch.randn(2, 3, 8, 8)

    for of in (cnnbench.measure, cnnbench.cost):
        with pytest.raises(UsageError, match=r"nothing to train: all \d+ parameters"):
            of(module, given, phase="training")
    # The gradient of an input costs something, whatever is frozen.
    wants = given.clone().requires_grad_()
    assert cnnbench.cost(module, wants, phase="training").backward.macs == 2 * 4 * 6 * 6 * 27


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"phase": "trainin"}, "did you mean training"),
        ({"loss": "mse"}, "add phase='training'"),
        ({"optimizer": "adam"}, "add phase='training'"),
        ({"train": "head"}, "add phase='training'"),
        ({"phase": "training", "optimizer": 3}, "optimizer .*adamw"),
        ({"phase": "training", "train": "head,all"}, "exclude each other"),
        ({"phase": "training", "loss": "mes"}, "did you mean mse"),
        ({"phase": "training", "loss": 3}, "not a name or a function"),
    ],
)
def test_what_a_step_is_to_do_is_read_before_anything_is_measured(module, given, said) -> None:
    for of in (cnnbench.measure, cnnbench.cost):
        with pytest.raises(UsageError, match=said):
            of(module, torch.randn(2, 3, 8, 8), **given)


def test_cost_takes_what_makes_an_optimizer(module: nn.Module) -> None:
    given, make = torch.randn(2, 3, 8, 8), functools.partial(torch.optim.Adam, foreach=True)

    found = cnnbench.cost(module, given, phase="training", optimizer=make)
    named = cnnbench.cost("lenet", phase="training", optimizer=torch.optim.Adagrad)

    assert found.to_json()["optimizer"] == "Adam(foreach=True)"
    assert found.memory.optimizer_state == 2 * 4 * found.params
    assert named.memory.optimizer_state == 4 * named.params
    with pytest.raises(UsageError, match="add phase='training'"):
        cnnbench.cost(module, given, optimizer=make)
    with pytest.raises(UsageError, match="optimizer"):
        cnnbench.measure(module, given, phase="training", optimizer=make)


def test_cost_takes_the_same_losses(module: nn.Module) -> None:
    found = [
        cnnbench.cost(module, torch.randn(2, 3, 8, 8), phase="training", loss=one).macs
        for one in (squared, lambda output: output.sum(), "mse", None)
    ]

    assert len({*found}) == 1


class Masked(nn.Module):
    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return tokens * mask


@pytest.mark.parametrize("call", [cnnbench.measure, cnnbench.cost])
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"mask": torch.ones(2, 4)}, r"'mask' is an input of the module.*kwargs={'mask': \.\.\.}"),
        ({"other": torch.ones(2)}, r"'other' is an input of the module"),
        (
            {"threads": 1},
            r"takes no threads(; call torch|, because nothing is timed)",
        ),
        ({"batch": 2}, r"takes no batch; the inputs say"),
        ({"kwarg": 2}, r"unknown .* 'kwarg'; did you mean kwargs"),
        ({"timeout": 2}, r"timeout needs worker processes|no timeout, because nothing is timed"),
    ],
)
def test_what_is_no_argument_says_what_to_write(call, more: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call(Masked(), torch.ones(2, 4), **more)


@pytest.mark.parametrize("call", [cnnbench.measure, cnnbench.cost])
def test_a_dict_that_is_not_taken_hints_at_keywords(call) -> None:
    with pytest.raises(UsageError, match=r"kwargs=\.\.\. passes its entries by name"):
        call(Masked(), {"tokens": torch.ones(2, 4), "mask": torch.ones(2, 4)})


class TakesADict(nn.Module):
    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return batch["a"] + 1


def test_a_dict_that_is_taken_is_one_input() -> None:
    results = cnnbench.measure(TakesADict(), {"a": torch.ones(2, 4)}, **FAST)

    assert [one.status for one in results.records] == ["ok"]


def test_cost_takes_names_too() -> None:
    found = cnnbench.cost("lenet", phase="training")

    assert (found.macs, found.batch, found.phase) == (cnnbench.cost("lenet").macs, 1, "training")
    with pytest.raises(UsageError, match="counted with its own input"):
        cnnbench.cost("lenet", torch.ones(1))


def test_hooks_of_a_copy_work_on_the_copy() -> None:
    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kept: list[torch.Tensor] = []
            self.layer = nn.Conv2d(3, 4, 3)
            self.layer.register_forward_hook(lambda m, given, out: self.kept.append(out))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.layer(x)
            return self.kept.pop().mean((2, 3))

    module = Features().eval()

    (record,) = cnnbench.measure(module, torch.randn(1, 3, 8, 8), **FAST).records

    assert (record.status, record.cost.macs) == ("ok", 4 * 36 * 27)
    assert module.kept == []


class Tires(nn.Module):
    """Fails in bfloat16 once it has been called some times."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dtype is torch.bfloat16:
            Tires.calls += 1
            if Tires.calls > 9:
                raise RuntimeError("late")
        return x * 2


def test_a_mode_that_fails_while_it_is_sampled_costs_its_own_row() -> None:
    Tires.calls = 0

    eager, narrow = cnnbench.measure(
        Tires(), torch.randn(1, 3, 8, 8), modes="eager,bf16", **FAST
    ).records

    assert (eager.status, len(eager.runs)) == ("ok", 2)
    assert narrow.failure.phase == "measure"
    assert "late" in narrow.failure.message


class Broken(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch._dynamo.graph_break()
        return x + 1


@pytest.mark.skipif(machine.compiler() is None, reason="needs a C++ compiler")
def test_what_the_compiler_left_out_is_said_of_the_mode_that_it_happened_in() -> None:
    given = torch.randn(1, 3, 4, 4)
    (first,) = cnnbench.measure(Broken(), given, modes="compile", **FAST).records
    (second,) = cnnbench.measure(nn.ReLU(), given, modes="compile", **FAST).records

    assert any("1 graph break" in one for one in first.notes)
    assert not any("graph break" in one for one in second.notes)


def test_cost_by_name_is_that_of_the_command() -> None:
    assert cnnbench.cost("lenet").name == "lenet"


@pytest.mark.parametrize("name", ["threads", "timeout", "rounds"])
def test_where_nothing_is_timed_nothing_about_timing_is_taken(name: str) -> None:
    with pytest.raises(UsageError, match=f"cost: takes no {name}, because nothing is timed; drop"):
        cnnbench.cost(nn.ReLU(), torch.ones(1), **{name: 1})
