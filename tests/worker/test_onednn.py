"""oneDNN's own words, read: kinds and implementations without sizes and times; reorders apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cnnbench.worker import onednn

HEADER = """\
onednn_verbose,v1,info,oneDNN v3.13.3 (commit b38f97e)
onednn_verbose,v1,info,cpu,runtime:OpenMP,nthr:1
onednn_verbose,v1,primitive,info,template:operation,engine,primitive,implementation,prop_kind
"""
CONVOLUTION = (
    "onednn_verbose,v1,primitive,exec,cpu,convolution,brg_conv_fwd:avx512_core,forward_training,"
    "src:f32::blocked:acdb::f0 wei:f32:a:blocked:Acdb64a::f0 bia:f32:a:blocked:a::f0"
    " dst:f32::blocked:acdb::f0,attr-scratchpad:user,alg:convolution_direct,mb1_ic3oc64,0.453125"
)
REORDER = (
    "onednn_verbose,v1,primitive,exec,cpu,reorder,jit:uni,undef,src:f32::blocked:acdb::f0"
    " dst:bf16::blocked:Acdb64a::f0,attr-scratchpad:user,,64x3x3x3,0.00512695"
)
OLDER = (
    "onednn_verbose,exec,cpu,matmul,brg:avx512_core_amx,undef,src_bf16::blocked:ab:f0"
    " wei_bf16::blocked:ab:f0 dst_f32::blocked:ab:f0,,,1x9:9x4,0.1"
)
SUM = (
    "onednn_verbose,v1,primitive,exec,cpu,sum,jit:avx512,undef,src_0:f32::blocked:a::f0"
    " src_1:f32::blocked:a::f0 dst:f32::blocked:a::f0,,,4,0.1"
)


def test_names_hold_what_a_primitive_is_and_not_how_large_or_slow() -> None:
    text = "\n".join([CONVOLUTION, REORDER, CONVOLUTION.replace("0.453125", "9.9"), OLDER, SUM])

    counts, reorders = onednn.primitives((HEADER + text).splitlines())

    assert counts == {
        "convolution brg_conv_fwd:avx512_core forward_training f32": 2,
        "matmul brg:avx512_core_amx bf16->f32": 1,
        "sum jit:avx512 f32": 1,
    }
    assert reorders == 1


@pytest.mark.parametrize(
    "line",
    [
        "",
        "a model says hello, exec, cpu, to all",
        "onednn_verbose,v1,primitive,create:cache_miss,cpu,convolution,x,forward,src:f32::a,,,,1",
        "onednn_verbose,v1,graph,exec,cpu,100002,matmul,a;b,,,,sdp,dnnl_backend,0.1",
        "onednn_verbose,v1,primitive,exec,cpu",
        CONVOLUTION.rpartition(",")[0],
        CONVOLUTION.replace("0.453125", "nan"),
    ],
)
def test_other_lines_are_no_primitives(line: str) -> None:
    assert onednn.primitives([line]) == ({}, 0)


def test_a_line_has_the_librarys_own_time() -> None:
    found = onednn.executed(CONVOLUTION)

    assert found == onednn.Executed(
        "convolution", "brg_conv_fwd:avx512_core", "forward_training", ("f32",), 453_125.0
    )


@given(st.text(max_size=200))
def test_no_line_is_too_odd(line: str) -> None:
    onednn.primitives([line, "onednn_verbose,exec," + line])


def test_what_a_descriptor_is_led_to_comes_back_as_it_was(capfd) -> None:
    def call() -> None:
        os.write(1, b"onednn_verbose,exec\n")

    lines = onednn.lines_of(call)
    os.write(1, b"mine\n")

    assert lines.count("onednn_verbose,exec") == 1
    assert capfd.readouterr().out == "mine\n"


def test_an_exception_leaves_the_descriptor_alone_too(capfd) -> None:
    def call() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        onednn.lines_of(call)
    os.write(1, b"mine\n")

    assert capfd.readouterr().out == "mine\n"
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ValueError, match="no"):
        onednn.lines_of(call)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="no oneDNN in this torch")
def test_a_real_convolution_is_heard() -> None:
    convolution, image = nn.Conv2d(16, 32, 3), torch.randn(4, 16, 64, 64)

    def call() -> None:
        with torch.inference_mode():
            convolution(image)

    counts, _ = onednn.primitives(onednn.lines_of(call))

    assert [name.split()[0] for name in counts] == ["convolution"]
    assert list(counts.values()) == [1]
