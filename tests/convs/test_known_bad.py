"""The list of what the library is known to get wrong is true of this machine, both ways."""

from __future__ import annotations

import warnings

import pytest

from cnnbench.convproblem import ConvProblem
from cnnbench.convs import IMPLEMENTATIONS
from tests.convs.known_bad import REFUSALS, WRONG, is_wrong, planted


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_a_known_bug_is_still_there(case) -> None:
    if reason := case.absent():
        pytest.skip(reason)

    mended = [text for text in case.triggered if not is_wrong(text)]

    assert mended == [], f"no longer wrong: close '{case.name}' ({case.report})"


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_a_known_bug_is_no_wider_than_stated(case) -> None:
    assert [text for text in case.spared if is_wrong(text)] == []


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_where_a_bug_cannot_be_the_same_layers_are_right(case) -> None:
    if not case.absent():
        pytest.skip("this machine has the bug")

    assert [text for text in case.triggered if is_wrong(text)] == []


def test_a_bug_would_be_seen() -> None:
    assert is_wrong(WRONG[0].triggered[0], planted)


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_what_torch_refuses_is_what_an_implementation_refuses(case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(case.error):
            case.call()

    problem = ConvProblem(1, 4, 8, 8, 4, 3, 3, dtype=case.dtype)
    assert case.dtype in IMPLEMENTATIONS[case.refused].applies(problem, "cpu")
