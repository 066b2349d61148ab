"""Random convolutions for property tests: asymmetric, dilated, grouped, strides over the kernel."""

from __future__ import annotations

from hypothesis import strategies as st

from cnnbench.conv.problem import MEMORY_FORMATS, UNITS, ConvProblem


def _pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    """Pairs that are often equal, as those of real layers are."""
    number = st.integers(low, high)
    return number.map(lambda one: (one, one)) | st.tuples(number, number)


@st.composite
def transposed_problems(
    draw: st.DrawFn,
    most: int = 5,
    dtypes: tuple[str, ...] = ("fp32", "bf16"),
    formats: tuple[str, ...] = MEMORY_FORMATS,
) -> ConvProblem:
    """Transposed layers that exist: padding leaves at least one row and column of the output."""
    size = st.integers(1, most)
    kernel, stride, dilation = draw(_pairs(1, most)), draw(_pairs(1, 4)), draw(_pairs(1, 4))
    inputs = draw(size), draw(size)
    paddings, more = [], []
    for axis in (0, 1):
        more.append(draw(st.integers(0, max(stride[axis], dilation[axis]) - 1)))
        whole = (inputs[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1
        paddings.append(draw(st.integers(0, min(4, (whole + more[axis] - 1) // 2))))
    groups = draw(st.sampled_from((1, 1, 2, 3)))
    return ConvProblem(
        n=draw(st.integers(1, 2)),
        c=groups * draw(st.integers(1, 3)),
        h=inputs[0],
        w=inputs[1],
        k=groups * draw(st.integers(1, 3)),
        r=kernel[0],
        s=kernel[1],
        stride=stride,
        padding=(paddings[0], paddings[1]),
        dilation=dilation,
        groups=groups,
        dtype=draw(st.sampled_from(dtypes)),
        memory_format=draw(st.sampled_from(formats)),
        transposed=True,
        output_padding=(more[0], more[1]),
    )


@st.composite
def conv_problems(
    draw: st.DrawFn,
    most: int = 6,
    dtypes: tuple[str, ...] = ("fp32", "bf16"),
    formats: tuple[str, ...] = MEMORY_FORMATS,
    units: tuple[str, ...] = ("conv",),
) -> ConvProblem:
    """Layers that exist.

    The output size is drawn and the input size follows, so that outputs of one row or one column
    and strides beyond the kernel are common and nothing has to be thrown away.
    """
    size = st.integers(1, most)
    kernel, stride, dilation = draw(_pairs(1, most)), draw(_pairs(1, 4)), draw(_pairs(1, 3))
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = [draw(st.integers(0, min(3, (e + 1) // 2))) for e in extent]
    inputs = []
    for axis in (0, 1):
        rest = draw(st.integers(0, stride[axis] - 1))
        needed = (draw(size) - 1) * stride[axis] + extent[axis] + rest - 2 * padding[axis]
        inputs.append(max(1, needed))
    groups = draw(st.sampled_from((1, 1, 1, 2, 3)))
    channels = groups * draw(st.integers(1, 4))
    depthwise = draw(st.booleans()) and groups > 1
    return ConvProblem(
        n=draw(st.integers(1, 3)),
        c=groups if depthwise else channels,
        h=inputs[0],
        w=inputs[1],
        k=groups * draw(st.integers(1, 4)),
        r=kernel[0],
        s=kernel[1],
        stride=stride,
        padding=(padding[0], padding[1]),
        dilation=dilation,
        groups=groups,
        dtype=draw(st.sampled_from(dtypes)),
        memory_format=draw(st.sampled_from(formats)),
        post_ops=UNITS[draw(st.sampled_from(units))],
    )
