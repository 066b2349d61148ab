"""The output check: right answers pass, wrong ones do not, and what cannot be compared says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cnnbench.architectures.tasks import TASKS
from cnnbench.record import Check, Reference
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, checking, modes

WORKLOAD = Workload("lenet", 4, (3, 32, 32))


def spec(precision: str = "fp32", phase: str = "inference") -> Spec:
    workload = Workload("lenet", 4, (3, 32, 32), phase)
    return Spec(workload, Mode(precision=precision), Device(), 1)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reference]:
    path = tmp_path_factory.mktemp("reference") / "reference.npz"
    with modes.restored():
        modes.set_flags(Mode(), 1)
        return path, checking.compute_reference(spec(), 0, path, lambda _: None)


def outputs(of: Spec) -> list[torch.Tensor]:
    architecture, module = build.construct(of.workload, 0)
    step = build.step(of, architecture, module, 0)
    return step.observe(step.call())


def test_the_reference_agrees_with_itself_and_nearly_with_float64(kept) -> None:
    _, reference = kept

    assert reference.repeatable
    assert 0 < reference.error_float64 < 1e-5
    assert reference.subnormal_share == 0
    assert not reference.nonfinite
    assert not reference.random


@pytest.mark.parametrize("precision", ["fp32", "amp=bf16", "bf16"])
def test_an_honest_mode_is_ok(kept, precision: str) -> None:
    path, reference = kept

    check = checking.compare(spec(precision), outputs(spec(precision)), path, reference)

    assert check.status == "ok"
    assert (check.error == 0) is (precision == "fp32")
    assert check.top1_agreement is not None


@pytest.mark.parametrize(
    ("scale", "status"), [(1 + 1e-7, "ok"), (1 + 1.5e-5, "loose"), (1.01, "wrong"), (-1.0, "wrong")]
)
def test_fp32_that_differs_is_judged_by_how_much(kept, scale: float, status: str) -> None:
    path, reference = kept
    changed = [output * scale for output in outputs(spec())]

    check = checking.compare(spec(), changed, path, reference)

    assert check.status == status
    assert check.error == pytest.approx(abs(scale - 1), rel=0.2, abs=1e-7)
    assert (check.reason == "") is (status == "ok")


@pytest.mark.parametrize(
    ("scale", "status"), [(1 + 1e-7, "ok"), (1 + 2e-4, "unchecked"), (-1.0, "wrong")]
)
def test_without_float64_a_small_difference_is_not_called_wrong(
    kept, scale: float, status: str
) -> None:
    path, reference = kept
    changed = [output * scale for output in outputs(spec())]

    check = checking.compare(spec(), changed, path, replace(reference, error_float64=None))

    assert check.status == status
    assert status != "unchecked" or "without float64" in check.reason


def test_detections_that_differ_may_have_been_exchanged_and_are_not_called_wrong(kept) -> None:
    path, reference = kept
    changed = [output.flip(0) for output in outputs(spec())]
    broken = [torch.full_like(output, torch.nan) for output in outputs(spec())]

    check = checking.compare(spec(), changed, path, reference, selects=True)

    assert check.status == "unchecked"
    assert "detections are chosen by sorting" in check.reason
    assert checking.compare(spec(), changed, path, reference).status == "wrong"
    assert checking.compare(spec(), broken, path, reference, selects=True).status == "wrong"
    assert checking.compare(spec(), outputs(spec()), path, reference, selects=True).status == "ok"


def test_only_detectors_choose_their_outputs() -> None:
    chosen = {name for name, task in TASKS.items() if task.selects}

    assert chosen == {"detection", "instance_segmentation", "keypoints"}


def test_bf16_may_differ_more_than_fp32_but_not_without_bound(kept) -> None:
    path, reference = kept
    changed = [output * 1.05 for output in outputs(spec())]
    unrelated = [torch.randn_like(output) for output in outputs(spec())]

    assert checking.compare(spec("bf16"), changed, path, reference).status == "ok"
    assert checking.compare(spec(), changed, path, reference).status == "wrong"
    assert checking.compare(spec("bf16"), unrelated, path, reference).status == "wrong"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_output_that_is_not_finite_is_wrong_in_every_precision(kept, value: float) -> None:
    path, reference = kept
    broken = [torch.full_like(output, value) for output in outputs(spec())]

    check = checking.compare(spec("bf16"), broken, path, reference)

    assert check.status == "wrong"
    assert check.error is None


def test_an_output_of_another_shape_is_wrong(kept) -> None:
    path, reference = kept

    check = checking.compare(spec(), [torch.zeros(4, 9)], path, reference)

    assert check.status == "wrong"
    assert "shape" in check.reason


def test_top1_agreement_counts_rows(kept) -> None:
    path, reference = kept
    (logits,) = outputs(spec())
    changed = logits.clone()
    changed[0] = -changed[0]

    check = checking.compare(spec(), [changed], path, reference)

    assert check.top1_agreement == 0.75


def test_an_output_without_rows_has_no_agreement(kept, tmp_path) -> None:
    """A detector that found nothing: a share of nothing is no number."""
    _, reference = kept
    np.savez(tmp_path / "empty.npz", fp32_0=np.zeros((0, 4)))

    check = checking.compare(spec(), [torch.zeros(0, 4)], tmp_path / "empty.npz", reference)

    assert check.status == "ok"
    assert check.top1_agreement is None


@pytest.mark.parametrize(
    ("change", "word"), [({"random": True}, "random"), ({"nonfinite": True}, "finite")]
)
def test_what_cannot_be_compared_is_unchecked_with_a_reason(kept, change, word: str) -> None:
    path, reference = kept
    facts = {"repeatable": True, "error_float64": 0.0, "subnormal_share": 0.0, "nonfinite": False}
    del reference

    check = checking.compare(spec(), outputs(spec()), path, Reference(**(facts | change)))

    assert check.status == "unchecked"
    assert word in check.reason


def test_training_compares_the_loss_and_every_gradients_norm(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    training = spec(phase="training")
    reference = checking.compute_reference(training, 0, path, lambda _: None)
    loss, norms = outputs(training)

    same = checking.compare(training, [loss, norms], path, reference)
    lost = checking.compare(training, [loss, norms * 0], path, reference)

    assert norms.numel() == 10
    assert same.status == "ok"
    assert lost.status == "wrong"


class Shrink(torch.nn.Module):
    def forward(self, x):
        return x * 1e-40


@pytest.mark.parametrize(
    ("parts", "share", "layer"),
    [
        ([torch.nn.ReLU(), torch.nn.ReLU()], 0.0, None),
        ([torch.nn.ReLU(), Shrink()], 0.125, "1"),
        ([Shrink(), torch.nn.ReLU()], 0.375, "0"),
    ],
)
def test_subnormal_activations_are_counted_and_their_first_layer_named(
    tmp_path: Path, parts, share: float, layer: str | None
) -> None:
    def step(of: Spec) -> build.Step:
        given = torch.tensor([[1.0, 0.0, 0.0, -1.0]])
        return build.inference(of, torch.nn.Sequential(*parts), (given,))

    found = checking.reference_of(spec(), step, 0, tmp_path / "reference.npz")

    assert found.subnormal_share == share
    assert found.subnormal_layer == layer


@pytest.mark.parametrize(
    ("one", "other", "worst"),
    [("ok", "wrong", "wrong"), ("loose", "ok", "loose"), ("unchecked", "ok", "unchecked")],
)
def test_the_worse_of_two_checks_counts(one: str, other: str, worst: str) -> None:
    assert checking.worse(Check(one), Check(other)).status == worst
    assert checking.worse(Check(other), Check(one)).status == worst
    assert checking.worse(Check("ok", reason="first"), Check("ok")).reason == "first"


def test_random_numbers_in_a_pass_are_noticed(tmp_path: Path) -> None:
    def step(of: Spec) -> build.Step:
        return build.inference(of, torch.nn.Dropout(0.5).train(), (torch.ones(2, 8),))

    found = checking.reference_of(spec(), step, 0, tmp_path / "reference.npz")

    assert found.random
