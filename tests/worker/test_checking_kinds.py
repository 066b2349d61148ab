"""The output check on outputs that are odd and right, or that look right and are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, checking
from cnnbench.worker import reference as references
from cnnbench.worker.inputs import Given, flipped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cnnbench.facts import Check, Reference

GIVEN = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))


class Answers(nn.Module):
    """A small network whose output is made of its scores by a function."""

    def __init__(self, made: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self._made = made
        torch.manual_seed(0)
        self.layer = nn.Linear(48, 6)

    def forward(self, x: Tensor) -> Any:
        """(N, 3, 4, 4) -> whatever is made of (N, 6)."""
        return self._made(self.layer(x.flatten(1)))


def judged(
    path: Path, usual: Callable[[Tensor], Any], mine: Callable[[Tensor], Any], mode: str = "fp32"
) -> tuple[Check, Reference]:
    """What is said of a mode that makes something else of the scores."""
    of = Spec(Workload("lenet", 2, (3, 4, 4)), Mode(precision=mode), Device(), 1)

    def step(made: Callable[[Tensor], Any], spec: Spec) -> build.Step:
        found = build.inference(spec, Answers(made), Given.of(GIVEN.clone()))
        found.others = lambda: flipped(Given.of(GIVEN))
        return found

    file = path / "reference.npz"
    known = references.compute(of.plain, lambda spec: step(usual, spec), 0, file, precisions=[mode])
    return checking.check(of, step(mine, of), 0, file, known), known


def masked(y: Tensor) -> Tensor:
    """Scores of which one may not be chosen."""
    return y.masked_fill(torch.arange(6) == 3, -torch.inf)


@pytest.mark.parametrize("mode", ["fp32", "bf16"])
def test_masked_scores_are_ok_and_others_masked_are_wrong(tmp_path: Path, mode: str) -> None:
    right, known = judged(tmp_path, masked, masked, mode)
    wrong, _ = judged(tmp_path, masked, lambda y: masked(y).roll(1, 1), mode)

    assert (right.status, wrong.status) == ("ok", "wrong")
    assert 0 < known.picture_share < 1


@pytest.mark.parametrize("made", [lambda y: y * torch.nan, lambda y: y * 0 + torch.inf])
def test_where_fp32_eager_has_nothing_finite_that_is_the_reason(tmp_path: Path, made) -> None:
    check, _ = judged(tmp_path, made, made)

    assert check.status == "unchecked"
    assert "fp32 eager itself is not finite" in check.reason


def test_named_outputs_are_compared_by_their_names(tmp_path: Path) -> None:
    def usual(y: Tensor) -> dict[str, Tensor]:
        return {"out": y, "half": y / 2}

    def turned(y: Tensor) -> dict[str, Tensor]:
        return {"half": y / 2, "out": y}

    def exchanged(y: Tensor) -> dict[str, Tensor]:
        return {"half": y, "out": y / 2}

    def renamed(y: Tensor) -> dict[str, Tensor]:
        return {"out": y, "other": y / 2}

    found = [judged(tmp_path, usual, mine)[0] for mine in (turned, exchanged, renamed)]

    assert [check.status for check in found] == ["ok", "wrong", "wrong"]
    assert found[-1].reason == "an output is named other, fp32 eager's is named half"


@pytest.mark.parametrize(
    "made",
    [lambda y: (y * 1e-3 + 1).argmax(1), lambda y: torch.full_like(y, 1e-9)],
    ids=["near ties", "underflow"],
)
def test_what_rounding_leaves_nothing_of_is_unchecked_and_not_wrong(tmp_path: Path, made) -> None:
    mode = "bf16" if made(torch.ones(1, 6)).dim() == 1 else "fp16"

    check, _ = judged(tmp_path, made, made, mode)

    assert check.status == "unchecked"
    assert "of the output in this network" in check.reason


def test_how_many_are_found_depends_on_the_picture_and_may_differ(tmp_path: Path) -> None:
    """One tensor of detections: as many as score high enough."""
    check, _ = judged(tmp_path, lambda y: y[y > 0], lambda y: y[y > 0.01])

    assert check.status == "unchecked"
    assert "another number of detections" in check.reason


def insisting(y: Tensor) -> Tensor:
    """Scores in float32 or not at all."""
    if y.dtype is not torch.float32:
        raise RuntimeError("expected scalar type Float")
    return y


def test_a_network_that_refuses_float64_is_judged_all_the_same(tmp_path: Path) -> None:
    right, known = judged(tmp_path, insisting, lambda y: insisting(y) * (1 + 1e-7))
    wrong, _ = judged(tmp_path, insisting, lambda y: insisting(y) * 1.001)

    assert known.error_float64 is None
    assert 0 < known.rounding["fp32"][0].whole < 1e-5
    assert (right.status, wrong.status) == ("ok", "wrong")


def test_gradients_of_the_wrong_sign_or_place_are_wrong(tmp_path: Path) -> None:
    spec = Spec.parse("lenet/training-b2-3x32x32/eager/cpu-t1")
    path = tmp_path / "reference.npz"
    known = references.compute(spec, lambda of: build.built(of, 0), 0, path)

    def status(fault: Callable[[Tensor], Tensor]) -> str:
        step = build.built(spec, 0)
        next(step.module.parameters()).register_hook(fault)
        return checking.check(spec, step, 0, path, known).status

    assert status(lambda grad: grad) == "ok"
    assert status(lambda grad: -grad) == "wrong"
    assert status(lambda grad: grad.flip(0)) == "wrong"
