"""Every shape rule against the kernel it stands in for, over random shapes, strides and types."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnbench.analysis import layer_shapes, rules, shapes

aten = torch.ops.aten
FAST = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16])


def signature(value):
    """What must agree. The stride of an axis of size 1 addresses nothing."""
    if isinstance(value, torch.Tensor):
        strides = [
            stride if size != 1 and value.numel() else None
            for size, stride in zip(value.shape, value.stride(), strict=True)
        ]
        return tuple(value.shape), strides, value.dtype
    if isinstance(value, (tuple, list)):
        return [signature(item) for item in value]
    return value


def check(rule, kernel, *arguments, **options):
    """Compare where the rule dares to answer; says whether it did."""
    answer = rule(*arguments, **options)
    if answer is NotImplemented:
        return False
    assert signature(answer) == signature(kernel(*arguments, **options))
    return True


@st.composite
def layouts(draw, shape, dtype=torch.float32, device="meta"):
    """A tensor of a shape in some layout: any order of axes, perhaps with gaps."""
    order = draw(st.permutations(range(len(shape))))
    tensor = torch.empty([shape[axis] for axis in order], dtype=dtype, device=device)
    if draw(st.booleans()) and shape:
        tensor = torch.empty([*tensor.shape[:-1], tensor.shape[-1] * 2], dtype=dtype, device=device)
        tensor = tensor[..., : shape[order[-1]]]
    inverse = sorted(range(len(shape)), key=order.__getitem__)
    return tensor.permute(inverse)


SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=5)


@st.composite
def tensors(draw, dtypes=DTYPES):
    return draw(layouts(draw(SHAPES), draw(dtypes)))


@st.composite
def pairs(draw):
    """Two tensors that broadcast, of one type most of the time."""
    shape = draw(SHAPES)
    narrow = [size if draw(st.booleans()) else 1 for size in shape]
    narrow = narrow[draw(st.integers(0, len(shape) - 1)) :] if draw(st.booleans()) else shape
    dtype = draw(DTYPES)
    other = draw(st.sampled_from([dtype, dtype, torch.float32, torch.int64]))
    pair = [draw(layouts(shape, dtype)), draw(layouts(narrow, other))]
    return pair[::-1] if draw(st.booleans()) else pair


UNARY = ["relu", "sigmoid", "silu", "tanh", "gelu", "exp", "hardswish", "hardsigmoid", "hardtanh"]


@pytest.mark.parametrize("name", UNARY)
@FAST
@given(tensor=tensors())
def test_pointwise(name, tensor):
    check(shapes.pointwise, getattr(aten, name).default, tensor)


@FAST
@given(tensor=tensors(), number=st.sampled_from([2, 0.5]))
def test_pointwise_with_numbers(tensor, number):
    for kernel in (
        aten.mul.Scalar,
        aten.clamp_min.default,
        aten.add.Scalar,
        aten.leaky_relu.default,
    ):
        check(shapes.pointwise, kernel, tensor, number)
    check(shapes.pointwise, aten.clamp.default, tensor, 0, 6)


@FAST
@given(tensor=tensors(st.sampled_from([torch.float32, torch.int64])))
def test_comparisons(tensor):
    for kernel in (aten.eq.Scalar, aten.ne.Scalar, aten.gt.Scalar):
        check(shapes.compared, kernel, tensor, 0)


@settings(FAST, max_examples=600)
@given(pair=pairs())
def test_binary(pair):
    for kernel in (aten.add.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.sub.Tensor):
        check(shapes.binary, kernel, *pair)


@FAST
@given(tensor=tensors(), number=st.sampled_from([2, 0.5]))
def test_binary_with_a_number(tensor, number):
    check(shapes.binary, aten.add.Tensor, tensor, number)
    check(shapes.binary, aten.add.Tensor, tensor, number, alpha=2)


@FAST
@given(pair=pairs())
def test_in_place(pair):
    left, right = pair
    answer = shapes.in_place(left, right)

    if answer is not NotImplemented:
        assert answer is left
        assert left.add_(right).shape == left.shape


def test_binary_leaves_complex_and_integers_to_torch():
    integers = torch.ones(3, dtype=torch.int64, device="meta")

    assert shapes.binary(integers, integers) is NotImplemented
    assert shapes.pointwise(integers) is NotImplemented
    assert shapes.pointwise(torch.ones(3, device="meta"), torch.ones(3)) is NotImplemented


@st.composite
def convolutions(draw):
    axes = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 2, 3]))
    kernel = [draw(st.integers(1, 3)) for _ in range(axes)]
    dtype = draw(DTYPES)
    source = torch.empty(
        [draw(st.integers(1, 3)), 6, *(draw(st.integers(4, 9)) for _ in kernel)],
        dtype=dtype,
        device="meta",
    )
    weight = torch.empty(
        [groups * draw(st.integers(1, 2)), 6 // groups, *kernel], dtype=dtype, device="meta"
    )
    bias = torch.empty(weight.shape[:1], dtype=dtype, device="meta")
    return (
        source,
        weight,
        draw(st.sampled_from([None, bias])),
        [draw(st.integers(1, 3)) for _ in kernel],
        [draw(st.integers(0, 2)) for _ in kernel],
        [draw(st.integers(1, 2)) for _ in kernel],
        False,
        [0] * axes,
        groups,
    )


@settings(FAST, max_examples=300)
@given(arguments=convolutions())
def test_convolution(arguments):
    if check(layer_shapes.convolution, aten.convolution.default, *arguments):
        source, weight, bias, *rest = arguments
        gradient = layer_shapes.convolution(*arguments)
        sizes = list(weight.shape[:1]) if bias is not None else None
        check(
            layer_shapes.convolution_backward,
            aten.convolution_backward.default,
            gradient,
            source,
            weight,
            sizes,
            *rest,
            [True, True, bias is not None],
        )


@settings(FAST, max_examples=60)
@given(arguments=convolutions(), which=st.sampled_from(["source", "weight", "both"]))
def test_channels_last_convolution_as_the_cpu_does_it(arguments, which):
    # The stock meta kernel is not the truth here: it forgets the layout, the CPU does not.
    source, weight, bias, *rest = arguments
    if source.dim() != 4:
        return
    real = [
        torch.zeros(tensor.shape) if tensor is not None else None
        for tensor in (source, weight, bias)
    ]
    for place, name in enumerate(("source", "weight")):
        if which in (name, "both"):
            real[place] = real[place].contiguous(memory_format=torch.channels_last)
    twins = [tensor.to("meta") if tensor is not None else None for tensor in real]
    answer = layer_shapes.convolution(*twins, *rest)
    if answer is not NotImplemented:
        assert signature(answer) == signature(aten.convolution.default(*real, *rest))


@pytest.mark.parametrize("training", [False, True])
@FAST
@given(shape=st.lists(st.integers(2, 5), min_size=2, max_size=5), data=st.data())
def test_batch_norm_against_the_cpu(training, shape, data):
    # The stock meta kernel keeps statistics in inference that the CPU does not have.
    source = data.draw(layouts(shape, torch.float32, "cpu")).zero_()
    channel = torch.ones(shape[1])
    arguments = (source, channel, channel, channel.clone(), channel.clone(), training, 0.1, 1e-5)
    twins = [item.to("meta") if isinstance(item, torch.Tensor) else item for item in arguments]
    twins[0] = torch.empty_strided(source.shape, source.stride(), device="meta")
    answer = layer_shapes.batch_norm(*twins)
    if answer is NotImplemented:
        return
    truth = aten.native_batch_norm.default(*arguments)
    assert [item.shape for item in answer] == [item.shape for item in truth]
    if source.is_contiguous():
        assert signature(answer) == signature(truth)
    else:
        assert answer[0].untyped_storage().nbytes() == truth[0].untyped_storage().nbytes()


@FAST
@given(shape=st.lists(st.integers(2, 4), min_size=2, max_size=5))
def test_batch_norm_backward(shape):
    tensor = torch.empty(shape, device="meta")
    channel = torch.empty(shape[1], device="meta")
    check(
        layer_shapes.batch_norm_backward,
        aten.native_batch_norm_backward.default,
        tensor,
        tensor,
        channel,
        channel,
        channel,
        channel,
        channel,
        True,
        1e-5,
        [True, True, True],
    )


@FAST
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4), data=st.data())
def test_layer_norm(shape, data):
    source = data.draw(layouts(shape))
    tail = shape[data.draw(st.integers(0, len(shape) - 1)) :]
    weight = data.draw(st.sampled_from([None, torch.empty(tail, device="meta")]))

    assert check(
        layer_shapes.layer_norm, aten.native_layer_norm.default, source, tail, weight, weight, 1e-5
    )


MATRICES = st.tuples(*[st.integers(1, 4)] * 3)


@FAST
@given(sizes=MATRICES, data=st.data(), dtype=DTYPES)
def test_matrix_products(sizes, data, dtype):
    n, k, m = sizes
    left, right = data.draw(layouts([n, k], dtype)), data.draw(layouts([k, m], dtype))
    check(shapes.mm, aten.mm.default, left, right)
    check(shapes.addmm, aten.addmm.default, torch.empty(m, dtype=dtype, device="meta"), left, right)
    batched = data.draw(layouts([2, n, k], dtype)), data.draw(layouts([2, k, m], dtype))
    check(shapes.bmm, aten.bmm.default, *batched)


def test_products_that_do_not_fit_are_left_to_torch():
    two, three = torch.empty(2, 2, device="meta"), torch.empty(3, 3, device="meta")

    assert shapes.mm(two, three) is NotImplemented
    assert shapes.addmm(torch.empty(3, device="meta"), two, two) is NotImplemented
    assert shapes.bmm(two, three) is NotImplemented


@FAST
@given(tensor=tensors(st.just(torch.float32)), keep=st.booleans(), data=st.data())
def test_reductions(tensor, keep, data):
    axes = data.draw(st.lists(st.integers(0, tensor.dim() - 1), min_size=1, unique=True))
    check(shapes.mean, aten.mean.dim, tensor, axes, keep)
    check(shapes.mean, aten.sum.dim_IntList, tensor, [axis - tensor.dim() for axis in axes], keep)
    check(shapes.vector_norm, aten.linalg_vector_norm.default, tensor, 2, axes, keep)


@FAST
@given(tensor=tensors(), count=st.integers(1, 3), data=st.data())
def test_cat(tensor, count, data):
    axis = data.draw(st.integers(-tensor.dim(), tensor.dim() - 1))
    check(shapes.cat, aten.cat.default, [tensor] * count, axis)


@FAST
@given(tensor=tensors(), count=st.integers(1, 3), data=st.data())
def test_stack(tensor, count, data):
    axis = data.draw(st.integers(-tensor.dim() - 1, tensor.dim()))
    check(shapes.stack, aten.stack.default, [tensor] * count, axis)


@FAST
@given(tensor=tensors())
def test_copies(tensor):
    check(shapes.clone, aten.clone.default, tensor)
    check(shapes.clone, aten.clone.default, tensor, memory_format=torch.contiguous_format)
    check(shapes.roll, aten.roll.default, tensor, [1], [0])


@FAST
@given(gradient=tensors(st.just(torch.float32)), data=st.data())
def test_pointwise_backward(gradient, data):
    tensor = data.draw(layouts(list(gradient.shape)))
    check(shapes.pointwise_backward, aten.threshold_backward.default, gradient, tensor, 0)


def test_empty():
    assert check(
        shapes.empty,
        aten.empty.memory_format,
        [2, 3],
        dtype=torch.float32,
        device=torch.device("meta"),
    )
    assert shapes.empty([2], dtype=torch.float32, device=torch.device("cpu")) is NotImplemented


def test_every_shape_rule_is_tested_here():
    used = {rule.shape.__name__ for rule in rules.RULES.values() if rule.shape is not None}
    tested = {
        "pointwise", "compared", "binary", "convolution", "convolution_backward", "batch_norm",
        "batch_norm_backward", "layer_norm", "mm", "bmm", "addmm", "mean", "vector_norm", "cat",
        "clone", "roll", "pointwise_backward", "empty", "stack",
    }  # fmt: skip

    assert used == tested
