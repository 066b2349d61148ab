"""The output check: right answers pass, wrong ones do not, and what cannot be compared says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from cnnbench.architectures.tasks import TASKS
from cnnbench.facts import Check, Deviation, Reference, worse
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, checking, modes
from cnnbench.worker import reference as references
from cnnbench.worker.inputs import PICTURES, Given

if TYPE_CHECKING:
    from collections.abc import Iterator

PRECISIONS = ("amp=bf16", "bf16")


def spec(precision: str = "fp32", phase: str = "inference") -> Spec:
    workload = Workload("lenet", 4, (3, 32, 32), phase)
    return Spec(workload, Mode(precision=precision), Device(), 1)


def calibrated(path: Path, of: Spec) -> Path:
    """A file of calibrated weights."""
    architecture, module = build.construct(of.workload, 0)
    build.calibrate(of.workload, architecture, module, 0, str(path))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("reference")
    with modes.restored():
        modes.set_flags(Mode(), 1)
        calibrated(path / "weights.npz", spec())
        yield path


@pytest.fixture(scope="module")
def kept(folder: Path) -> tuple[Path, Reference]:
    path = folder / "reference.npz"

    def step(of: Spec) -> build.Step:
        return build.built(of, 0, str(folder / "weights.npz"))

    return path, references.compute(spec(), step, 0, path, precisions=PRECISIONS)


@pytest.fixture
def answers(folder: Path):
    """What a precision answers to all pictures."""

    def of(precision: str = "fp32") -> list[torch.Tensor]:
        step = build.built(spec(precision), 0, str(folder / "weights.npz"))
        return references.observed(spec(precision), step, 0).answers

    return of


def test_the_reference_agrees_with_itself_and_nearly_with_float64(kept) -> None:
    _, reference = kept

    assert reference.repeatable
    assert 0 < reference.error_float64 < 1e-5
    assert reference.subnormal_share == 0
    assert not reference.nonfinite
    assert not reference.random
    assert reference.pictures == 4 * PICTURES
    assert 0.5 < reference.picture_share <= 1
    assert set(reference.rounding) == {"fp32", *PRECISIONS}


@pytest.mark.parametrize("precision", ["fp32", "amp=bf16", "bf16"])
def test_an_honest_mode_is_ok_and_rounding_explains_its_error(kept, answers, precision) -> None:
    path, reference = kept

    check = checking.compare(spec(precision), answers(precision), path, reference)

    assert check.status == "ok", check
    assert (check.error == 0) is (precision == "fp32")
    assert check.top1_agreement is not None
    (expected,) = reference.rounding[precision]
    assert check.error_centred <= 1.5 * expected.centred


@pytest.mark.parametrize(
    ("scale", "status"), [(1 + 1e-7, "ok"), (1 + 7e-5, "loose"), (1.01, "wrong"), (-1.0, "wrong")]
)
def test_fp32_that_differs_is_judged_by_how_much(kept, answers, scale: float, status: str) -> None:
    path, reference = kept
    changed = [output * scale for output in answers()]

    check = checking.compare(spec(), changed, path, reference)

    assert check.status == status
    assert check.error == pytest.approx(abs(scale - 1), rel=0.2, abs=1e-7)
    assert (check.reason == "") is (status == "ok")


@pytest.mark.parametrize("precision", ["bf16", "amp=bf16"])
def test_an_answer_for_another_picture_is_wrong_even_where_pictures_hardly_matter(
    kept, answers, precision: str
) -> None:
    path, reference = kept
    (logits,) = answers(precision)
    common = 20 * logits.norm()

    mixed = checking.compare(spec(precision), [logits.roll(1, 0)], path, reference)

    assert mixed.status == "wrong"
    # The same beside something common to all pictures, which hides it from the plain error.
    plain = references.kept(path, "fp32")
    hidden = path.with_name("hidden.npz")
    np.savez(hidden, fp32_0=(plain[0] + common).numpy())
    check = checking.compare(spec(precision), [logits.roll(1, 0) + common], hidden, reference)
    assert check.status == "wrong"
    assert "what depends on the picture" in check.reason
    assert check.error < 0.1


def test_an_error_that_is_the_same_for_all_pictures_is_wrong_too(kept, answers) -> None:
    path, reference = kept
    (logits,) = answers("bf16")

    check = checking.compare(spec("bf16"), [logits + 1], path, reference)

    assert check.status == "wrong"
    assert "relative error of the output" in check.reason


def test_where_rounding_alone_moves_everything_nothing_is_judged(kept, answers) -> None:
    path, reference = kept
    blind = replace(reference, rounding={"bf16": (Deviation(0.01, 0.4),)})
    outside = replace(reference, rounding={"bf16": (Deviation(None, None),)})

    for known, said in ((blind, "alone moves 40%"), (outside, "leaves the range of bf16")):
        check = checking.compare(spec("bf16"), answers("bf16"), path, known)
        assert check.status == "unchecked"
        assert said in check.reason


@pytest.mark.parametrize(
    ("scale", "status"), [(1 + 1e-7, "ok"), (1 + 2e-4, "unchecked"), (-1.0, "wrong")]
)
def test_without_float64_a_small_difference_is_not_called_wrong(
    kept, answers, scale: float, status: str
) -> None:
    path, reference = kept
    changed = [output * scale for output in answers()]
    known = replace(reference, error_float64=None, rounding={})

    check = checking.compare(spec(), changed, path, known)

    assert check.status == status
    assert status != "unchecked" or "without float64" in check.reason


def test_detections_that_differ_may_have_been_exchanged_and_are_not_called_wrong(
    kept, answers
) -> None:
    path, reference = kept
    changed = [output.flip(0) for output in answers()]
    broken = [torch.full_like(output, torch.nan) for output in answers()]

    check = checking.compare(spec(), changed, path, reference, selects=True)

    assert check.status == "unchecked"
    assert "detections are chosen by sorting" in check.reason
    assert checking.compare(spec(), changed, path, reference).status == "wrong"
    assert checking.compare(spec(), broken, path, reference, selects=True).status == "wrong"
    assert checking.compare(spec(), answers(), path, reference, selects=True).status == "ok"


def test_where_none_was_found_one_more_detection_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    none, one = torch.zeros(PICTURES, 0, 4), torch.ones(4)
    references._keep(path, {"fp32": [none], "fp64": []}, ())
    known = Reference(True, 0.0, 0.0, nonfinite=False, rounding={"bf16": (Deviation(None, None),)})

    found = checking.compare(spec("bf16"), [one], path, known, selects=True)

    assert (found.status, found.reason) == (
        "unchecked", "another number of detections than fp32 eager found",
    )  # fmt: skip
    assert checking.compare(spec("bf16"), [one], path, known).status == "wrong"


def test_only_detectors_choose_their_outputs() -> None:
    chosen = {name for name, task in TASKS.items() if task.selects}

    assert chosen == {"detection", "instance_segmentation", "keypoints"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_output_that_is_not_finite_is_wrong_in_every_precision(
    kept, answers, value: float
) -> None:
    path, reference = kept
    broken = [torch.full_like(output, value) for output in answers()]

    check = checking.compare(spec("bf16"), broken, path, reference)

    assert check.status == "wrong"
    assert check.error is None


@pytest.mark.parametrize("given", [[torch.zeros(16, 9)], [], [torch.zeros(16, 10)] * 2])
def test_an_output_of_another_shape_or_number_is_wrong(kept, given) -> None:
    path, reference = kept

    check = checking.compare(spec(), given, path, reference)

    assert check.status == "wrong"
    assert "shape" in check.reason


def test_top1_agreement_counts_rows(kept, answers) -> None:
    path, reference = kept
    (logits,) = answers()
    changed = logits.clone()
    changed[0] = -changed[0]

    check = checking.compare(spec(), [changed], path, reference)

    assert check.top1_agreement == 15 / 16


def test_an_output_without_rows_has_no_agreement(kept, tmp_path) -> None:
    """A detector that found nothing: a share of nothing is no number."""
    _, reference = kept
    np.savez(tmp_path / "empty.npz", fp32_0=np.zeros((0, 4)))

    check = checking.compare(spec(), [torch.zeros(0, 4)], tmp_path / "empty.npz", reference)

    assert check.top1_agreement is None


FACTS = {"repeatable": True, "error_float64": 0.0, "subnormal_share": 0.0, "nonfinite": False}


@pytest.mark.parametrize(
    ("change", "word"),
    [({"random": True}, "random"), ({"nonfinite": True}, "finite"),
     ({"repeatable": False}, "two fp32 eager passes differ")],
)  # fmt: skip
def test_what_cannot_be_compared_is_unchecked_with_a_reason(kept, change, word: str) -> None:
    path, _ = kept

    check = checking.check(spec(), None, 0, path, Reference(**(FACTS | change)))  # type: ignore[arg-type]

    assert check.status == "unchecked"
    assert word in check.reason


def test_an_empty_comparison_is_unchecked_and_never_ok(tmp_path: Path) -> None:
    def step(of: Spec) -> build.Step:
        return build.inference(of, Nothing(), Given.of(torch.ones(4, 3, 8, 8)))

    path = tmp_path / "reference.npz"
    known = references.compute(spec(), step, 0, path)
    got = references.observed(spec(), step(spec()), 0).answers

    check = checking.compare(spec(), got, path, known)

    assert check.status == "unchecked"
    assert "nothing was compared" in check.reason


class Nothing(nn.Module):
    def forward(self, x: torch.Tensor) -> str:
        return "a picture"


class Answers(nn.Module):
    """A small network whose output is made of its logits by a function."""

    def __init__(self, made) -> None:
        super().__init__()
        self._made = made
        torch.manual_seed(0)
        self.layer = nn.Linear(12, 6)

    def forward(self, x: torch.Tensor):
        return self._made(self.layer(x.flatten(1)))


@pytest.mark.parametrize(
    "made",
    [
        lambda y: y.argmax(1),
        lambda y: y > 0,
        lambda y: (y > 0).to(torch.uint8),
        lambda y: torch.complex(y, -y),
        lambda y: {"out": [y.argmax(1)]},
        lambda y: torch.quantize_per_tensor(y, 0.1, 0, torch.qint8),
    ],
    ids=["argmax", "bool", "uint8", "complex", "nested", "quantised"],
)
@pytest.mark.filterwarnings("ignore:torch.quantize:UserWarning")
def test_every_kind_of_output_is_compared(made, tmp_path: Path) -> None:
    of = Spec(Workload("lenet", 8, (3, 2, 2)), Mode(), Device(), 1)
    given = torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(1))

    def step(module: nn.Module):
        return lambda of: build.inference(of, module, Given.of(given))

    path = tmp_path / "reference.npz"
    known = references.compute(of, step(Answers(made)), 0, path)
    right = references.observed(of, step(Answers(made))(of), 0).answers
    other = Answers(made)
    other.layer.weight.data.neg_()
    wrong = references.observed(of, step(other)(of), 0).answers

    assert checking.compare(of, right, path, known).status == "ok"
    assert checking.compare(of, wrong, path, known).status == "wrong"


def test_training_compares_the_loss_and_every_gradients_norm(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    training = spec(phase="training")

    def step(of: Spec) -> build.Step:
        return build.built(of, 0)

    known = references.compute(training, step, 0, path, precisions=["bf16"])
    loss, norms, sums = references.observed(training, step(training), 0).answers
    half = spec("bf16", "training")
    narrow = references.observed(half, step(half), 0).answers

    assert (norms.shape, sums.shape) == ((PICTURES, 10), (PICTURES, 10, 32))
    assert checking.compare(training, [loss, norms, sums], path, known).status == "ok"
    assert checking.compare(half, narrow, path, known).status == "ok"
    assert checking.compare(training, [loss, norms * 0, sums], path, known).status == "wrong"


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
        return build.inference(of, torch.nn.Sequential(*parts), Given.of(given))

    found = references.compute(spec(), step, 0, tmp_path / "reference.npz")

    assert found.subnormal_share == share
    assert found.subnormal_layer == layer


class Largest(TorchDispatchMode):
    """The most numbers that an operator yielded."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and func is not torch.ops.aten.detach.default:
            self.numbers = max(self.numbers, found.numel())
        return found


@pytest.mark.parametrize("shape", [(3, 1000), (1, 7, 400), (3000,)])
def test_activations_are_looked_at_without_memory_for_another(shape, monkeypatch) -> None:
    monkeypatch.setattr(references, "_PIECE", 100)
    layer = torch.nn.Identity()
    values = torch.full(shape, 1e-40)
    values[0] = 1.0

    with references._Watch(layer) as watch, Largest() as seen:
        layer(values)

    assert watch.subnormal_share == pytest.approx(1 - values[0].numel() / values.numel())
    assert seen.numbers <= 100


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_float64_pass_without_memory_is_said(tmp_path: Path, error: BaseException) -> None:
    class Wide(torch.nn.Module):
        def forward(self, x):
            if x.dtype is torch.float64:
                raise error
            return x * 2

    def step(of: Spec) -> build.Step:
        return build.inference(of, Wide(), Given.of(torch.rand(1, 4)))

    found = references.compute(spec(), step, 0, tmp_path / "reference.npz")

    assert found.error_float64 is None
    assert found.notes == ("not compared with float64: it ran out of memory",)


@pytest.mark.parametrize(
    ("one", "other", "worst"),
    [("ok", "wrong", "wrong"), ("loose", "ok", "loose"), ("unchecked", "ok", "unchecked")],
)
def test_the_worse_of_two_checks_counts(one: str, other: str, worst: str) -> None:
    assert worse(Check(one), Check(other)).status == worst
    assert worse(Check(other), Check(one)).status == worst
    assert worse(Check("ok", reason="first"), Check("ok")).reason == "first"


class Draws(nn.Module):
    """Noise of one of the generators that networks use."""

    def __init__(self, draw) -> None:
        super().__init__()
        self._draw = draw

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + float(self._draw())


@pytest.mark.parametrize(
    "draw",
    [lambda: torch.rand(()), lambda: np.random.rand(), lambda: __import__("random").random()],
    ids=["torch", "numpy", "random"],
)
def test_random_numbers_in_a_pass_are_noticed(tmp_path: Path, draw) -> None:
    def step(of: Spec) -> build.Step:
        return build.inference(of, Draws(draw), Given.of(torch.ones(2, 8)))

    found = references.compute(spec(), step, 0, tmp_path / "reference.npz")

    assert found.random
    assert found.repeatable  # every generator was seeded
    assert checking.unjudgeable(found)
