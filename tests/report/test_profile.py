from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cnnbench.facts import Ceilings
from cnnbench.profile import LayerCost, Operator, Primitive, Profile, ProfilerTrace
from cnnbench.profile_rows import layer_rows
from cnnbench.report import profile as tables
from cnnbench.report import render
from tests import made
from tests.test_profile import PROFILE, TIMES


def rows_of(table) -> list[dict]:
    names = [column.name for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.rows]


def test_the_rows_lead_to_the_end_to_end_time() -> None:
    rows = rows_of(tables.layers(PROFILE))

    place = [row["layer"] for row in rows].index("= sum")
    assert sum(row["time_s"] for row in rows[:place]) == pytest.approx(rows[place]["time_s"])
    total, clocks, residual, end = (row["time_s"] for row in rows[place:])
    assert total + clocks + residual == pytest.approx(end)
    assert end == TIMES.end_to_end_ns / 1e9


def test_the_longest_stay_and_the_others_share_a_row() -> None:
    rows = rows_of(tables.layers(PROFILE, top=2, closing=False))

    assert [row["layer"] for row in rows] == ["a.0", "a.1", "(3 others)"]
    assert sum(row["share"] for row in rows) == pytest.approx(355 / 360)


def test_without_ceilings_the_roof_is_not_measured_and_with_them_it_is_a_share() -> None:
    without = rows_of(tables.layers(PROFILE))[2]["roof"]
    beside = rows_of(tables.layers(PROFILE, roof=lambda layer: 0.5))[2]["roof"]

    assert (without, beside) == ("not measured", 0.5)


def test_a_layer_reaches_its_share_of_the_highest_floor() -> None:
    # 2e6 FLOPs at 100 TFLOP/s are 20 ns, its 1 kB at 1 TB/s 1 ns.
    machine = Ceilings({"float32 conv": 1e14}, {"1000": 1e12}, dispatch_ns=1, threads=2)
    costs = (LayerCost("a.0", 1_000_000, 0, 1000, 0, operators=1),)
    profile = replace(PROFILE, spec=made.EAGER, costs=costs, ceilings=(machine,))

    table = tables.layers(profile, roof=tables.roof_of(profile))

    rows = {row["layer"]: row["roof"] for row in rows_of(table)}
    assert rows["a.0"] == pytest.approx(20 / 250)
    assert rows["a.1"] is None  # nothing was counted for it
    assert any(note.startswith("of roofline: ") for note in table.notes)
    assert tables.roof_of(PROFILE) is None


def test_rows_of_several_modules_have_no_roof_and_impossible_ones_a_note() -> None:
    slow = Ceilings({"float32 conv": 1e9}, {"1000": 1e12}, dispatch_ns=1, threads=2)
    costs = (LayerCost("a.0", 1_000_000, 0, 1000, 0, operators=1),)
    profile = replace(PROFILE, spec=made.EAGER, costs=costs, ceilings=(slow,))

    whole = tables.layers(profile, roof=tables.roof_of(profile))
    joined = rows_of(tables.layers(profile, depth=1, roof=tables.roof_of(profile)))

    assert any(note.endswith("were probed too low: 1 layer") for note in whole.notes)
    assert [row["roof"] for row in joined if row["layer"] == "a"] == [None]


def test_forward_and_backward_are_columns_only_where_there_is_a_backward() -> None:
    forward = replace(TIMES, scopes=tuple(replace(s, backward_ns=0.0) for s in TIMES.scopes))

    trained = {column.name for column in tables.layers(PROFILE).columns}
    inferred = {column.name for column in tables.layers(replace(PROFILE, layers=forward)).columns}

    assert trained - inferred == {"forward_s", "backward_s"}


def test_what_was_not_measured_is_said() -> None:
    table = tables.layers(
        replace(PROFILE, spec=made.EAGER, layers=None, notes=("layers cannot be told apart",))
    )

    assert table.rows == ()
    assert "layers cannot be told apart" in render(table, "table")


LONG = replace(TIMES, plain_ns=(200,) * 4, timed_ns=(370,) * 4, doubled_ns=(378,) * 4)


@pytest.mark.parametrize(
    ("profile", "why"),
    [
        (replace(PROFILE, layers=LONG), "a layer takes 125 % of the step that contains it"),
        (replace(PROFILE, layers=replace(LONG, plain_ns=(260,) * 4)), "the layers and the step"),
        (replace(PROFILE, busy="the cores are busy"), "the cores are busy"),
    ],
)
def test_a_table_that_explains_nothing_says_so_in_its_first_lines(profile, why: str) -> None:
    first = render(tables.layers(profile), "table").splitlines()[:2]

    assert first[1].startswith("not usable: ")
    assert why in first[1]
    assert "repeat on a quiet machine" in first[1]
    assert tables.to_json(profile)["not_usable"] == list(profile.doubts)
    assert "not usable" not in render(tables.layers(PROFILE), "table")


def test_a_residual_that_is_not_known_is_one_too() -> None:
    rounds = replace(TIMES, plain_ns=(100, 360, 900, 900), timed_ns=(370,) * 4)

    (why, *_) = rounds.doubts
    assert why.startswith("the residual is known to ± ")


def test_json_holds_raw_numbers_under_stable_names() -> None:
    data = json.loads(json.dumps(tables.to_json(PROFILE)))

    assert data["sum_s"] - data["clocks_s"] + data["residual_s"] == pytest.approx(
        data["end_to_end_s"]
    )
    assert data["layers"][2]["layer"] == "a.0"
    assert data["layers"][2]["time_s"] == 250 / 1e9


def test_a_layer_named_like_a_formula_is_inert_in_csv() -> None:
    bad = replace(TIMES, scopes=(replace(TIMES.scopes[0], name="=cmd()"), *TIMES.scopes[1:]))

    text = render(tables.layers(replace(PROFILE, layers=bad), closing=False), "csv")

    assert "'=cmd()" in text


def test_times_of_kernels_have_a_column_where_there_are_any() -> None:
    on_device = replace(PROFILE, trace=replace(PROFILE.trace, kernel_ns={"a.0": 80.0, "b": 8.0}))

    rows = {row["layer"]: row for row in rows_of(tables.layers(on_device, depth=1))}

    assert [rows[name]["kernel_s"] for name in ("(network)", "a", "b")] == [0, 80e-9, 8e-9]
    assert "kernel_s" not in rows_of(tables.layers(PROFILE))[0]


def compiled() -> Profile:
    operators = (
        Operator("aten::mkldnn_convolution", 20.0, 6e6, 6e6),
        Operator("graph_0_cpp_fused__native_batch_norm_legit_no_training_relu_2", 2.0, 3e6, 3e6,
                 modules=("layer1.0.bn1", "layer1.0.relu", "", "layer1.1.relu")),
        Operator("## Call CompiledFxGraph fb7qjrzl ##", 1.0, 0.8e6, 1e7),
        Operator("TorchDynamo Cache Lookup", 1.0, 0.2e6, 0.2e6),
    )  # fmt: skip
    trace = ProfilerTrace("x", (9_000_000, 9_500_000, 9_200_000), (9_660_000,), operators)
    return Profile(
        "lenet/inference-b1-3x32x32/compile/cpu-t1",
        "here",
        trace=trace,
        notes=("layer times not measured: …",),
    )


def test_a_compiled_step_has_a_time_and_kernels_by_name_and_module() -> None:
    profile = compiled()

    captions = " ".join(tables.layers(profile).captions)
    assert "a step takes 9.20 ms (median of 3), under the profiler 1.05x as long" in captions
    assert "kernels and operators with a name are 90" in captions
    kernel, graph = rows_of(tables.operators(profile))[1:3]
    assert kernel["operator"] == "fused batch_norm_relu_2"
    assert kernel["modules"] == "layer1.0.bn1, layer1.0.relu, (network), … 1 more"
    assert graph["operator"] == "Call CompiledFxGraph"
    told = tables.to_json(profile)
    assert (told["step_s"], told["named_share"]) == (9.2e-3, pytest.approx(0.9))
    # Files for scripts keep every name as it is, and every module.
    kept = rows_of(tables.operators(profile, whole=True))[1]
    assert kept["operator"].startswith("graph_0_cpp_fused__native")
    assert kept["modules"] == "layer1.0.bn1, layer1.0.relu, (network), layer1.1.relu"
    assert told["raw"]["trace"]["operators"][1]["name"].startswith("graph_0_cpp_fused__native")


def test_without_a_compiler_no_operator_has_modules() -> None:
    trace = ProfilerTrace("x", (1,), (1,), (Operator("aten::add", 1.0, 1.0, 1.0),))

    names = [
        column.name for column in tables.operators(Profile(PROFILE.spec, "b", trace=trace)).columns
    ]
    assert names[0] == "operator"
    assert "modules" not in names


def test_nothing_is_said_of_what_the_profiler_did_not_see() -> None:
    assert PROFILE.trace is not None
    said = " ".join(tables._compiled(replace(PROFILE.trace, operators=()), own=False))

    assert "is not known" in said
    assert "compiled code" not in said


def test_a_runtime_s_own_layers_add_up_to_the_call() -> None:
    primitives = (
        Primitive(None, "forward", "Reorder", "reorder_brgemm_f32", 1, 0.5e6),
        Primitive(None, "forward", "Convolution", "brgconv_avx512_f32", 9, 6e6),
        Primitive(None, "forward", "MaxPool", "jit_avx512_f32", 3, 2.5e6),
        Primitive(None, "forward", "rest of the call", "in no layer", 1, 1e6),
    )
    spec = "squeezenet1_1/inference-b1-3x224x224/openvino/cpu-t1"
    trace = ProfilerTrace("x", (9_000_000,), (9_660_000,), ())
    profile = Profile(spec, "here", trace=trace, primitives=primitives)

    every, some = tables.runtime_layers(profile), tables.runtime_layers(profile, 1)

    assert [row["layer"] for row in rows_of(every)] == [
        "Convolution", "MaxPool", "Reorder", "rest of the call"
    ]  # fmt: skip
    for table in (every, some):
        assert sum(row["time_s"] for row in rows_of(table)) == pytest.approx(10e-3)
        assert sum(row["share"] for row in rows_of(table)) == pytest.approx(1.0)
    assert rows_of(some)[1]["layer"] == "(2 other kinds)"
    assert "a warm call of 10.0 ms, by OpenVINO's own profiler" in every.captions[0]
    assert "not known" not in " ".join(tables.layers(profile).captions)
    assert tables.runtime_layers(replace(profile, primitives=None)).rows == ()
    assert "not known" in " ".join(tables.layers(replace(profile, primitives=None)).captions)
    assert tables.runtime_layers(PROFILE).rows == ()
    # Of eager mode, a pass that failed leaves primitives of torch's library, and no such table.
    failed = replace(PROFILE, spec=made.EAGER, layers=None, primitives=primitives)
    assert tables.runtime_layers(failed).rows == ()
    assert tables.layers(failed).captions == (made.EAGER,)


def test_pages_mapped_anew_have_a_column_where_there_are_enough() -> None:
    few = replace(PROFILE, layers=replace(TIMES, faults={"a.0": 4.0}))
    many = replace(PROFILE, layers=replace(TIMES, faults={"a.0": 1500.0, "b": 20.0}))

    assert "faults" not in [column.name for column in tables.layers(few).columns]
    table = tables.layers(many)
    place = [column.name for column in table.columns].index("faults")
    found = {row[0]: row[place] for row in table.rows}
    assert (found["a.0"], found["b"], found["a.1"]) == (1500.0, 20.0, 0.0)
    assert any("1.52 k pages of memory are mapped anew in a step" in one for one in table.captions)
    (joined,) = (row for row in layer_rows(many, depth=1) if row.name == "a")
    assert joined.faults == 1500.0
