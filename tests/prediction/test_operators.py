from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.errors import SchemaError
from cnnbench.prediction.operators import (
    ITEM_BYTES,
    NAMESPACES,
    OperatorCall,
    TensorLayout,
    TorchName,
    dense_strides,
)

sizes = st.lists(st.integers(0, 64), max_size=4).map(tuple)


@st.composite
def layouts(draw: st.DrawFn) -> TensorLayout:
    shape = draw(sizes)
    strides = draw(
        st.one_of(
            st.just(dense_strides(shape)),
            st.tuples(*[st.integers(0, 4096) for _ in shape]),
        )
    )
    return TensorLayout(
        shape, strides, draw(st.sampled_from(sorted(ITEM_BYTES))), draw(st.booleans())
    )


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.sampled_from([TorchName("dtype", "float32"), TorchName("memory_format", "channels_last")]),
    layouts(),
)
arguments = st.one_of(plain, st.lists(plain, max_size=3).map(tuple))
calls = st.builds(
    OperatorCall,
    st.sampled_from(["aten::add.Tensor", "aten::relu_", "torchvision::nms"]),
    st.lists(arguments, max_size=4).map(tuple),
    st.lists(
        st.tuples(st.sampled_from("abcd"), arguments), max_size=3, unique_by=lambda one: one[0]
    ).map(tuple),
)


@given(calls)
def test_a_call_is_read_as_it_was_written(call: OperatorCall) -> None:
    again = OperatorCall.parse(call.text)

    assert again == call
    assert again.text == call.text


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["operator", "arguments", "keywords", "shape", "dtype", "number"]), inner)
), max_leaves=12))  # fmt: skip
def test_any_other_json_is_refused(data: object) -> None:
    with pytest.raises(SchemaError):
        OperatorCall.parse(json.dumps(data))


@pytest.mark.parametrize(
    "name",
    ["os::system", "aten::add;rm", "mine::op", "aten:add", "aten::", 3,
     "aten::a.b.c", "torch.ops.aten.add", "quantized::linear"],
)  # fmt: skip
def test_only_operators_of_torch_and_torchvision_are_read(name: object) -> None:
    text = json.dumps({"operator": name, "arguments": [], "keywords": {}})

    with pytest.raises(SchemaError, match=f"no operator of {' or '.join(NAMESPACES)}"):
        OperatorCall.parse(text)


@pytest.mark.parametrize(
    ("argument", "part"),
    [
        ({"shape": [2], "dtype": "float128"}, "type 'float128' is not timed"),
        ({"shape": [-1], "dtype": "float32"}, "is no tensor"),
        ({"shape": [1 << 39, 9], "dtype": "float32"}, "is no tensor"),
        ({"shape": [2, 2], "strides": [1], "dtype": "float32"}, "is no tensor"),
        ({"shape": [2], "dtype": "float32", "values": [1, 2]}, "is no tensor"),
        ({"module": "os"}, "is no argument"),
        ({"dtype": "__import__('os')"}, "is no argument"),
        ([[[[[[1]]]]]], "is no argument"),
    ],
)
def test_an_argument_that_is_none_is_refused(argument: object, part: str) -> None:
    text = json.dumps({"operator": "aten::relu", "arguments": [argument], "keywords": {}})

    with pytest.raises(SchemaError, match=f"^aten::relu: .*{part}"):
        OperatorCall.parse(text)


def test_bytes_are_of_parameters_and_of_what_is_given() -> None:
    call = OperatorCall(
        "aten::convolution",
        (
            TensorLayout((1, 3, 8, 8), (192, 1, 24, 3), "float32"),
            TensorLayout((4, 3, 3, 3), (27, 9, 3, 1), "float32", held=True),
            None,
            (1, 1),
        ),
    )

    assert call.held_bytes == 4 * 4 * 27
    assert call.taken_bytes == 4 * 192
    assert call.short == "aten::convolution of 1x3x8x8, 4x3x3x3"


@given(layouts())
def test_a_span_holds_every_element(layout: TensorLayout) -> None:
    if 0 not in layout.shape:
        pairs = zip(layout.shape, layout.strides, strict=True)
        assert layout.span == 1 + sum((size - 1) * stride for size, stride in pairs)
    else:
        assert layout.span == 0
    assert layout.elements == math.prod(layout.shape)
