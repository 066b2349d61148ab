"""A network that is not in float32 by itself is timed, counted and judged as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from cnnbench.architectures import sources
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, checking, inner, modes
from cnnbench.worker import reference as references
from cnnbench.worker.inputs import Given

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EAGER = Spec(Workload("tests.worker.test_own_precision:half", 4, (3, 12, 12)), Mode(), Device(), 1)
OWN = [torch.bfloat16, torch.float16, torch.float64]


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip
    return nn.Sequential(*layers).to(dtype).eval()


def half() -> nn.Module:
    return network(torch.bfloat16)


def mixed() -> nn.Module:
    """Convolutions in bfloat16, batch normalisation in float32, as recipes leave it."""
    module = network(torch.bfloat16)
    module[1].float()
    return module


def pictures(dtype: torch.dtype) -> Given:
    generator = torch.Generator().manual_seed(1)
    return Given.of(torch.randn(4, 3, 12, 12, generator=generator).to(dtype))


def in_mode(text: str) -> Spec:
    return Spec(EAGER.workload, Mode.parse(text, "cpu"), Device(), 1)


def steps(make: Callable[[], nn.Module], dtype: torch.dtype) -> references.Steps:
    return lambda of: build.inference(of, make(), pictures(dtype))


@pytest.mark.parametrize("dtype", OWN)
def test_eager_runs_a_module_in_its_own_type_on_inputs_of_that_type(dtype: torch.dtype) -> None:
    step = build.inference(EAGER, network(dtype), pictures(dtype))

    assert {p.dtype for p in step.module.parameters()} == {dtype}
    assert step.call().dtype is dtype
    assert step.types["own_dtype"] == step.types["dtype"] == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("dtype", OWN)
@pytest.mark.parametrize("mode", ["eager", "channels_last", "bf16"])
def test_it_is_judged_by_its_own_roundoff(dtype: torch.dtype, mode: str, tmp_path: Path) -> None:
    path, step = tmp_path / "reference.npz", steps(lambda: network(dtype), dtype)
    known = references.compute(EAGER, step, 0, path, precisions=["bf16"])
    spec = in_mode(mode)

    check = checking.check(spec, step(spec), 0, path, known)

    assert (check.status, check.reason) == ("ok", "")


def faulty(dtype: torch.dtype, share: float) -> nn.Module:
    module = network(dtype)
    with torch.no_grad():
        module[3].weight.mul_(1 + share)
    return module


@pytest.mark.parametrize(
    ("dtype", "share"), [(torch.bfloat16, 0.5), (torch.float16, 0.1), (torch.float64, 1e-9)]
)
def test_a_fault_beyond_its_own_roundoff_is_wrong(
    dtype: torch.dtype, share: float, tmp_path: Path
) -> None:
    path, step = tmp_path / "reference.npz", steps(lambda: network(dtype), dtype)
    known = references.compute(EAGER, step, 0, path)
    broken = build.inference(EAGER, faulty(dtype, share), pictures(dtype))

    check = checking.check(EAGER, broken, 0, path, known)

    assert check.status == "wrong", check


def test_a_mixed_module_stays_mixed(tmp_path: Path) -> None:
    path, step = tmp_path / "reference.npz", steps(mixed, torch.bfloat16)
    known = references.compute(EAGER, step, 0, path)
    made = step(EAGER)

    check = checking.check(EAGER, made, 0, path, known)

    assert made.types["dtype"] == "bfloat16 and float32"
    assert made.module[1].weight.dtype is torch.float32
    assert check.status == "ok", check


def test_the_reference_leaves_a_module_of_the_callers_in_its_types(tmp_path: Path) -> None:
    module = mixed()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    references.compute(
        EAGER, lambda of: build.inference(of, module, pictures(torch.bfloat16)), 0,
        tmp_path / "reference.npz", precisions=["amp=bf16"],
    )  # fmt: skip

    after = module.state_dict()
    assert {name: t.dtype for name, t in after.items()} == {n: t.dtype for n, t in before.items()}
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


class Insists(nn.Module):
    """Casts its input to bfloat16 itself, so that it does not run in any other type."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 4).bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.layer(x.to(torch.bfloat16))
        return answer


def test_a_module_that_runs_in_its_own_type_alone_is_its_own_reference(tmp_path: Path) -> None:
    path, step = tmp_path / "reference.npz", steps(Insists, torch.bfloat16)

    known = references.compute(EAGER, step, 0, path)
    check = checking.check(EAGER, step(EAGER), 0, path, known)

    assert known.error_float64 is None
    assert check.status == "ok", check


def test_a_factorys_network_gets_inputs_of_its_type_and_is_calibrated(tmp_path: Path) -> None:
    architecture = sources.from_factory(EAGER.workload.architecture)
    _, module = build.construct(EAGER.workload, 0)
    path = str(tmp_path / "weights.npz")

    build.calibrate(EAGER.workload, architecture, module, 0, path)
    step = build.built(EAGER, 0, path)

    assert step.given.args[0].dtype is torch.bfloat16
    assert step.call().dtype is torch.bfloat16
    assert build.counted(EAGER.workload, 0).cost().param_bytes == 2 * sum(
        p.numel() for p in module.parameters()
    )


def test_a_module_without_floating_point_parameters_counts_as_float32() -> None:
    assert modes.coarsest(nn.ReLU()) is torch.float32
    assert modes.described(nn.ReLU()) == ""


def test_layers_in_float64_are_held_to_float64(tmp_path: Path) -> None:
    def step(of: Spec) -> build.Step:
        made = build.inference(of, network(torch.float64), pictures(torch.float64))
        made.others = lambda: iter([pictures(torch.float64)])
        return made

    path = tmp_path / "reference.npz"
    references.compute(EAGER, step, 0, path)
    heard = references.observed(EAGER, step(EAGER), 0).layers

    found = inner.worst({name: one * (1 + 1e-9) for name, one in heard.items()}, path, "fp32", 0, 1)

    assert found.every
    assert found.explained < 1e-12
    assert found.times > 1000
