"""The list of what the library is known to get wrong is true of this machine, both ways."""

from __future__ import annotations

import warnings

import pytest

from cnnbench.conv import known_bad
from cnnbench.conv.known_bad import CASES, UNSTEADY
from cnnbench.conv.problem import ConvProblem
from cnnbench.implementations import IMPLEMENTATIONS
from cnnbench.worker import environment
from tests.implementations.known_bad import REFUSALS, bad, is_wrong, kills, planted

ABSENT = known_bad.absent(environment.describe().hard)
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@EACH
@pytest.mark.skipif(bool(ABSENT), reason=ABSENT or "here")
def test_a_known_bug_is_still_there(case) -> None:
    mended = [text for text in case.triggered if not bad(case, text)]

    assert mended == [], f"no longer bad: close '{case.name}' ({case.report})"


@EACH
def test_a_known_bug_is_no_wider_than_stated(case) -> None:
    assert not kills(*case.spared)
    assert [text for text in case.spared if is_wrong(text)] == []


@EACH
@pytest.mark.skipif(not ABSENT, reason="this machine has the bug")
def test_where_a_bug_cannot_be_the_same_layers_are_right(case) -> None:
    assert not kills(*case.triggered)
    assert [text for text in case.triggered if is_wrong(text)] == []


@EACH
def test_the_rule_separates_what_is_bad_from_what_is_not(case) -> None:
    assert all(case.covers(ConvProblem.parse(text)) for text in case.triggered)
    assert not any(case.covers(ConvProblem.parse(text)) for text in case.spared)


def test_only_ways_through_the_library_s_convolution_are_known_to_be_bad() -> None:
    problem = ConvProblem.parse(CASES[0].triggered[0])

    assert known_bad.known(problem) == known_bad.known(problem, "prepacked") == CASES[0]
    assert known_bad.known(problem, "im2col") is known_bad.known(problem, "native") is None


def test_what_is_wrong_by_chance_is_known_of_one_way_only() -> None:
    problem = ConvProblem.parse("n1c1h5w5-k1-4x4-s1x2")

    assert known_bad.known(problem, "prepacked") == UNSTEADY[0]
    assert known_bad.known(problem) is None
    assert known_bad.known(ConvProblem.parse("n1c1h5w5-k1-4x4"), "prepacked") is None


def test_a_bug_would_be_seen() -> None:
    assert is_wrong(CASES[0].triggered[0], planted)


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_what_torch_refuses_is_what_an_implementation_refuses(case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(case.error):
            case.call()

    problem = ConvProblem(1, 4, 8, 8, 4, 3, 3, dtype=case.dtype)
    assert case.dtype in IMPLEMENTATIONS[case.refused].applies(problem, "cpu")
