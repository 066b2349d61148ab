"""Reading oneDNN's log."""

from __future__ import annotations

import ctypes

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cnnbench.worker.primitives import collected, read_log
from cnnbench.worker.scopes import Scopes

LOG = """\
cnnbench 1
onednn_verbose,v1,info,oneDNN v3.13.3 (commit b38f97eb)
onednn_verbose,v1,primitive,info,template:operation,engine,primitive,implementation,exec_time
onednn_verbose,v1,primitive,exec,cpu,reorder,jit:blk,undef,src:f32::blocked:abcd::f0,,,1x2,0.5
onednn_verbose,v1,primitive,exec,cpu,convolution,jit:avx512_core,forward_training,s,a,b,c,1.5
printed by the network
cnnbench 3
onednn_verbose,primitive,exec,cpu,convolution,brg_conv_bwd:avx2,backward_data,s,a,b,c,0.25
onednn_verbose,v1,primitive,exec,cpu,convolution,cut
""".splitlines()


def test_every_executed_primitive_stands_where_its_mark_says() -> None:
    found = [(place, one.kind, one.implementation, one.ns) for place, one in read_log(LOG)]

    assert found == [
        (1, "reorder", "jit:blk", 5e5),
        (1, "convolution", "jit:avx512_core", 1.5e6),
        (3, "convolution", "brg_conv_bwd:avx2", 2.5e5),
    ]


def test_places_become_modules_and_directions() -> None:
    scopes = Scopes(nn.Sequential(nn.ReLU()))  # places 0, 1 forward; 2, 3 backward

    found = collected(scopes, [*read_log(LOG), *read_log(LOG)])

    assert [(p.scope, p.direction, p.kind, p.calls, p.ns) for p in found] == [
        ("0", "forward", "reorder", 2, 1e6),
        ("0", "forward", "convolution", 2, 3e6),
        ("0", "backward", "convolution", 2, 5e5),
    ]


@given(st.lists(st.text()))
def test_no_line_breaks_the_reader(lines: list[str]) -> None:
    read_log([*lines, *(f"onednn_verbose,v1,primitive,exec,{line}" for line in lines)])


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
def test_the_form_of_the_log_is_the_one_that_this_torch_writes(capfd) -> None:
    with torch.inference_mode(), torch.backends.mkldnn.verbose(1):
        nn.Conv2d(32, 32, 3)(torch.ones(2, 32, 32, 32))  # smaller ones do not go to oneDNN
    ctypes.CDLL(None).fflush(None)

    found = read_log(capfd.readouterr().out.splitlines())
    assert "convolution" in {one.kind for _, one in found}
