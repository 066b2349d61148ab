"""What a module does differently, in short lines."""

from __future__ import annotations

from dataclasses import replace

from cnnbench.clocked import ModuleFacts
from cnnbench.gate.differing import of_many, of_one

CONV = ModuleFacts(
    "conv", "Conv2d", geometry="3, 8, kernel_size=(3, 3), stride=(1, 1)", params=216,
    dtype="float32", output="float32[1,8,4,4]",
    operators={"aten::conv2d": 1, "aten::mkldnn_convolution": 1, "aten::empty": 2},
    heaviest=("aten::mkldnn_convolution", "aten::conv2d", "aten::empty"),
    kernels={"convolution brg_conv_fwd:avx512_core forward_inference f32": 1},
)  # fmt: skip


def test_a_module_that_does_the_same_has_no_differences() -> None:
    assert of_one(CONV, replace(CONV, name="elsewhere")) == ()


def test_another_kernel_is_told_by_what_differs_in_its_name() -> None:
    head = replace(CONV, kernels={"convolution ref:any forward_inference f32": 1})

    assert of_one(CONV, head) == ("kernel brg_conv_fwd:avx512_core -> ref:any",)


def test_a_reorder_more_is_counted() -> None:
    head = replace(CONV, kernels={**CONV.kernels, "reorder jit:uni f32": 2})

    assert of_one(CONV, head) == ("2 more reorder (jit:uni f32)",)


def test_only_the_arguments_that_changed_are_told() -> None:
    head = replace(CONV, geometry="3, 12, kernel_size=(3, 3), stride=(2, 2)")

    assert of_one(CONV, head) == ("argument 2 8 -> 12, stride (1, 1) -> (2, 2)",)


def test_operators_stand_in_the_order_of_their_time_and_bookkeeping_is_left_out() -> None:
    more = {**CONV.operators, "aten::clone": 1, "aten::tanh": 4, "aten::empty": 9}
    head = replace(CONV, operators=more, heaviest=("aten::tanh", "aten::clone", *CONV.heaviest))

    assert of_one(CONV, head) == ("operators aten::tanh none -> 4, aten::clone none -> 1",)


def test_type_and_layout_and_calls_are_told() -> None:
    head = replace(
        CONV, type="Mine", dtype="float64", output="float64[1,8,4,4] channels_last", calls=2
    )

    assert of_one(CONV, head) == (
        "Conv2d -> Mine",
        "parameters float32 -> float64",
        "returns float32[1,8,4,4] -> float64[1,8,4,4] channels_last",
        "calls 1 -> 2",
    )


def test_many_modules_are_told_by_what_they_have_in_common() -> None:
    slower = replace(CONV, kernels={"convolution ref:any forward_inference f32": 1})

    assert of_many([(CONV, slower), (CONV, slower), (None, CONV), (CONV, CONV)]) == (
        "kernel brg_conv_fwd:avx512_core -> ref:any (in 2)",
        "new (in 1)",
    )
