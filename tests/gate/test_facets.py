from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.errors import UnknownName
from cnnbench.facts import Check, Sketch, Structure, Values
from cnnbench.gate import facets
from cnnbench.record import Record
from tests import made

STEP = Structure(
    operators={"aten::convolution": 20, "aten::relu_": 17},
    kernels={"jit:avx512_core": 20},
    reorders=59,
    outputs=("float32[1,1000]",),
    allocations=43,
    allocated_bytes=122_700_000,
    graphs=1,
    graph_breaks={},
    recompiles=0,
)


COMPUTED = Values((Sketch("", 3, 3.0, (1.0, 2.0, -2.0)),), None, "calibrated", 2, "float64")


def with_structure(**changes: object) -> Record:
    bare = made.record(made.EAGER, [[10]], values=COMPUTED)
    return replace(bare, structure=replace(STEP, **changes))


def lines(old: Record, new: Record) -> list[str]:
    return [one.text for one in facets.differences(old, new)]


def test_the_same_structure_has_no_differences() -> None:
    assert lines(with_structure(), with_structure()) == []
    assert list(facets.uncompared(with_structure(), with_structure())) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"kernels": {"brg_conv_fwd": 20}},
            ["kernels: jit:avx512_core 20 -> brg_conv_fwd 20"],
        ),
        ({"kernels": {"jit:avx512_core": 19, "gemm": 1}},
         ["kernels: jit:avx512_core 20 -> 19", "kernels: gemm none -> 1"]),
        ({"reorders": 20}, ["layout conversions: 59 -> 20 (-39)"]),
        ({"operators": {"aten::convolution": 21, "aten::relu_": 17}},
         ["operators: aten::convolution 20 -> 21"]),
        ({"operators": {"aten::convolution": 20}}, ["operators: aten::relu_ 17 -> none"]),
        ({"outputs": ("float32[1,10]",)}, ["outputs: float32[1,1000] -> float32[1,10]"]),
        ({"outputs": ()}, ["outputs: float32[1,1000] -> none"]),
        ({"allocations": 44, "allocated_bytes": 122_800_000},
         ["allocations: 43 -> 44 (+1)", "bytes: 122700000 -> 122800000 (+100000)"]),
        ({"graphs": 3, "graph_breaks": {"print": 2}},
         ["compiled graphs: 1 -> 3 (+2)", "graph breaks: print none -> 2"]),
        ({"recompiles": 1}, ["recompiles: 0 -> 1 (+1)"]),
    ],
)  # fmt: skip
def test_a_difference_is_one_line(changes: dict[str, object], expected: list[str]) -> None:
    assert lines(with_structure(), with_structure(**changes)) == expected


def test_cost_is_structure_too() -> None:
    old = made.record(made.EAGER, [[10]])
    new = replace(old, cost=replace(made.COST, params=61_716, macs=3_500_000))

    assert lines(old, new) == ["parameters: 61706 -> 61716 (+10)",
                               "MACs: 3400000 -> 3500000 (+100000)"]  # fmt: skip


def test_classes_and_operators_without_a_rule_are_compared() -> None:
    old, new = (
        replace(
            made.record(made.EAGER, [[10]]),
            cost=replace(made.COST, elementwise_flops={"norm": norm}, uncounted=missing),
        )
        for norm, missing in ((10, {}), (12, {"aten::fft": 1}))
    )

    assert lines(old, new) == [
        "element-wise FLOPs: norm 10 -> 12",
        "operators without a rule: aten::fft none -> 1",
    ]


def test_an_output_that_became_wrong_is_a_difference() -> None:
    old = made.record(made.EAGER, [[10]])
    new = made.record(made.EAGER, [[10]], check=Check("wrong", reason="relative error 0.5"))

    assert lines(old, new) == ["output: ok -> wrong (relative error 0.5)"]


def test_what_one_side_does_not_know_is_not_compared_and_named() -> None:
    bare = made.record(made.EAGER, [[10]])
    partly = with_structure(kernels={}, reorders=None, missing={"kernels": "no verbose output"})

    assert lines(bare, with_structure()) == []
    assert set(facets.uncompared(bare, with_structure())) == {
        "operators", "kernels", "reorders", "outputs", "allocations", "graphs", "graph_breaks",
        "recompiles", "values",
    }  # fmt: skip
    assert [*facets.uncompared(with_structure(), partly)] == ["kernels", "reorders"]
    assert next(iter(facets.uncompared(replace(bare, cost=None, runs=()), bare))) == "cost"


def test_where_nothing_is_compiled_there_is_nothing_to_compare() -> None:
    plain = with_structure(graphs=None, recompiles=None)
    unknown = with_structure(graphs=None, recompiles=None, missing={"graphs": "", "recompiles": ""})

    assert [*facets.uncompared(plain, plain)] == []
    assert [*facets.uncompared(plain, unknown)] == ["graphs", "recompiles"]
    assert [*facets.uncompared(plain, with_structure())] == ["graphs", "recompiles"]


COUNTS = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 3))


@given(COUNTS, COUNTS)
def test_histograms_differ_exactly_where_lines_say_so(old: dict, new: dict) -> None:
    found = lines(with_structure(kernels=old), with_structure(kernels=new))

    assert (found == []) == (old == new)
    mentioned = " ".join(found)
    for name in {*old, *new}:
        changed = old.get(name) != new.get(name)
        assert (f" {name} " in f"{mentioned} ") == changed


def test_facets_have_names_of_their_own_and_can_be_found() -> None:
    names = [one.name for one in facets.FACETS]

    assert len(names) == len(set(names))
    assert facets.facet("kernels").name == "kernels"
    with pytest.raises(UnknownName, match="did you mean kernels"):
        facets.facet("kernel")
