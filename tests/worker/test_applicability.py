"""What does not apply is said with its reason; what applies, with what it does."""

from __future__ import annotations

from cnnbench.facts import Applicability
from cnnbench.requests import CheckApplicability
from cnnbench.worker import applicability

PLACE = "inference-b1-8x8x8"


class Heard:
    """Keeps what a task answers."""

    def __init__(self) -> None:
        self.answers: list[object] = []

    def enter(self, phase: str) -> None:
        """Phases are of no interest here."""

    def answer(self, result: object) -> None:
        """Keep it."""
        self.answers.append(result)


def test_reasons_and_formulas_of_many_specs_at_once() -> None:
    names = {
        "good": f"conv:k8-3x3-p1/{PLACE}/impl=im2col/cpu-t1",
        "kernel": f"conv:k8-3x3-p1/{PLACE}/impl=matmul_1x1/cpu-t1",
        "dtype": f"conv:k8-3x3-p1/{PLACE}/impl=fft+bf16/cpu-t1",
        "shape": f"conv:k8-9x9/{PLACE}/eager/cpu-t1",
        "other": f"conv:k8-3x3-p1~depthwise_separable/{PLACE}/eager/cpu-t1",
        "misfit": f"conv:k8-3x3-p1~global_average_pooling/{PLACE}/eager/cpu-t1",
    }
    heard = Heard()
    applicability.applicability(CheckApplicability(specs=tuple(names.values())), heard)
    (answer,) = heard.answers
    found = {key: answer[name] for key, name in names.items()}

    assert found["good"] == Applicability("", 8 * 64 * 8 * 9, 0)
    assert "1x1 kernel" in found["kernel"].reason
    assert "not bf16" in found["dtype"].reason
    assert "9x9 kernel" in found["shape"].reason
    assert found["other"].executed_macs == 64 * (8 * 9 + 8 * 8)
    assert "kernel as large" in found["misfit"].reason
