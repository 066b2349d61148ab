from __future__ import annotations

import inspect
import re

import pytest

from cnnbench import errors
from cnnbench.errors import CnnbenchError, UnknownName

TREE = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, CnnbenchError)
]


def test_the_drawing_shows_every_error_with_its_exit_code() -> None:
    drawn = dict(re.findall(r"── (\w+) +(\d+) ", errors.__doc__ or ""))

    assert drawn == {
        kind.__name__: str(kind.exit_code) for kind in TREE if kind is not CnnbenchError
    }


def test_the_drawing_shows_who_descends_from_whom() -> None:
    lines = re.findall(r"^    ([│ ]*)[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE)
    above = ["CnnbenchError"]
    for indent, name in lines:
        depth = len(indent) // 4 + 1
        above[depth:] = [name]

        assert getattr(errors, name).__base__.__name__ == above[depth - 1]


def test_no_error_of_ours_looks_like_success() -> None:
    assert all(kind.exit_code > 0 for kind in TREE)


def test_an_unknown_name_offers_the_closest() -> None:
    error = UnknownName("model", "resnet81", ["resnet18", "vgg16"])

    assert str(error) == "unknown model 'resnet81'; did you mean resnet18?"
    assert error.closest == ("resnet18",)


def test_letter_case_does_not_hide_the_closest() -> None:
    error = UnknownName("family", "vggg", ["VGG", "ResNet"])

    assert error.closest == ("VGG",)


def test_nothing_close_is_not_offered() -> None:
    error = UnknownName("model", "zzz", ["resnet18"], hint="(see 'cnnbench list')")

    assert str(error) == "unknown model 'zzz' (see 'cnnbench list')"


@pytest.mark.parametrize("kind", ["error", "out_of_memory"])
def test_a_raised_error_keeps_its_kind_and_traceback(kind: str) -> None:
    error = errors.WorkerRaised("ValueError: x", kind, "Traceback …")

    assert (error.kind, error.traceback, str(error)) == (kind, "Traceback …", "ValueError: x")


def test_where_nothing_is_close_and_there_are_few_all_are_named() -> None:
    few = UnknownName("format", "nope", ["table", "csv"])
    many = UnknownName("model", "qqq", [f"network{number}" for number in range(50)])

    assert str(few) == "unknown format 'nope'; it is one of table, csv"
    assert str(many) == "unknown model 'qqq'"
