"""Which rows show a known bug of the library, and where none can show."""

from __future__ import annotations

from typing import Any

import pytest

from cnnbench.conv import known_bad
from cnnbench.conv.known_bad import CASES
from cnnbench.conv.problem import ConvProblem
from cnnbench.spec import Device, Mode, Spec
from tests import made

AMX: dict[str, Any] = {
    "instruction_sets": ["avx512f", "amx_bf16"],
    "torch": {"onednn": True, "version": "2.15.0+cpu"},
    "variables": {},
}


def test_where_every_condition_holds_the_cases_must_happen() -> None:
    assert known_bad.absent(AMX) == ""


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"instruction_sets": ["avx512f"]}, "no AMX"),
        ({"torch": {"onednn": False, "version": "2.15.0"}}, "no oneDNN"),
        ({"variables": {"ONEDNN_MAX_CPU_ISA": "AVX2"}}, "ONEDNN_MAX_CPU_ISA limits"),
        ({"torch": {"onednn": True, "version": "2.9.1"}}, "of 2.9.1 nothing is known"),
    ],
)
def test_elsewhere_they_are_absent_for_one_reason(other: dict[str, Any], reason: str) -> None:
    assert reason in known_bad.absent(AMX | other)


LAYER = CASES[0].triggered[0].removesuffix("-bf16")
WRONG = made.Check("wrong", 0.5, 0.5, 0.25, "relative error 0.5")


def name(mode: str) -> str:
    """The spec of the layer in a mode."""
    return Spec(ConvProblem.parse(LAYER).workload(), Mode.parse(mode, "cpu"), Device(), 1).id


@pytest.mark.parametrize("mode", ["bf16", "amp=bf16", "impl=prepacked+bf16"])
def test_a_wrong_row_of_such_a_layer_is_the_case(mode: str) -> None:
    row = made.record(name(mode), [[1, 1]], check=WRONG)

    assert known_bad.seen(row) == CASES[0]


@pytest.mark.parametrize("mode", ["eager", "impl=im2col+bf16"])
def test_another_precision_or_implementation_is_wrong_on_its_own_account(mode: str) -> None:
    assert known_bad.seen(made.record(name(mode), [[1, 1]], check=WRONG)) is None


def test_a_right_row_and_a_network_show_no_bug() -> None:
    assert known_bad.seen(made.record(name("bf16"), [[1, 1]])) is None
    assert known_bad.seen(made.record(made.BF16, [[1, 1]], check=WRONG)) is None
