"""The list of implementations as data: current, free of torch, forgiving of typing errors."""

from __future__ import annotations

from importlib import resources

import pytest

from cnnbench.conv import catalogue
from cnnbench.errors import UnknownName
from cnnbench.spec import Mode


@pytest.mark.torch
def test_the_file_is_what_the_code_generates() -> None:
    from cnnbench.implementations import export

    old = resources.files("cnnbench.conv").joinpath("implementations.json").read_text("utf-8")

    assert export.text() == old, "run python -m cnnbench.implementations"


def test_it_is_read_without_torch(cnnbench_process) -> None:
    code = "import sys, cnnbench.conv.catalogue as c; c.entries(); print('torch' in sys.modules)"

    assert cnnbench_process(code=code).out == "False\n"


def test_every_name_is_a_mode_word_and_has_its_facts() -> None:
    for row in catalogue.entries():
        assert Mode.parse(f"impl={row.name}", "cpu") == Mode(implementation=row.name)
        assert row.meaning
        assert row.source
        assert set(row.exact) <= {"fp32", "bf16", "fp16", "fp64"}
    assert len(catalogue.entries()) > 20


def test_an_entry_is_found_and_a_typing_error_is_helped() -> None:
    assert catalogue.entry("mec").source == "Cho, Brand 2017, arXiv:1706.06873"
    with pytest.raises(UnknownName, match=r"did you mean .*winograd_f4"):
        catalogue.entry("winograd_4")


def test_substitutes_are_listed_and_those_of_equal_function_are_marked() -> None:
    names = [row.name for row in catalogue.substitutes()]

    assert {"depthwise_separable", "bottleneck", "ghost", "octave"} <= set(names)
    assert [row.name for row in catalogue.substitutes() if row.same_function] == ["fully_connected"]
    assert catalogue.substitute("reduce").source.startswith("Szegedy")
    with pytest.raises(UnknownName, match="unknown substitute 'botleneck'; did you mean bottlen"):
        catalogue.substitute("botleneck")
