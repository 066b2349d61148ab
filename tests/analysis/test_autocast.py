"""Autocast on meta against torch's own on the CPU: types of results, casts, and memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from cnnbench.analysis import analyze, autocast
from cnnbench.analysis.attention import fused_attention
from tests.analysis.test_memory import Tracker

LOWER = {"amp=bf16": torch.bfloat16, "amp=fp16": torch.float16}


def half(tensor):
    return tensor.to(torch.bfloat16)


# What is called, with the shapes of its arguments: float32, and again with the first in bfloat16.
CALLS = {
    "linear": (functional.linear, (4, 8), (6, 8), (6,)),
    "mm": (torch.mm, (4, 8), (8, 6)),
    "matmul": (torch.matmul, (2, 4, 8), (8, 6)),
    "bmm": (torch.bmm, (2, 4, 8), (2, 8, 6)),
    "addmm": (torch.addmm, (6,), (4, 8), (8, 6)),
    "baddbmm": (torch.baddbmm, (2, 4, 6), (2, 4, 8), (2, 8, 6)),
    "addbmm": (torch.addbmm, (4, 6), (2, 4, 8), (2, 8, 6)),
    "einsum": (lambda a, b: torch.einsum("ij,kj->ik", a, b), (4, 8), (6, 8)),
    "mv": (torch.mv, (4, 8), (8,)),
    "conv1d": (functional.conv1d, (1, 2, 8), (3, 2, 3)),
    "conv2d": (functional.conv2d, (1, 2, 8, 8), (3, 2, 3, 3), (3,)),
    "conv2d, same": (lambda x, w: functional.conv2d(x, w, padding="same"),
                     (1, 2, 8, 8), (3, 2, 3, 3)),
    "conv3d": (functional.conv3d, (1, 2, 8, 8, 8), (3, 2, 3, 3, 3)),
    "conv_transpose2d": (functional.conv_transpose2d, (1, 2, 8, 8), (2, 3, 3, 3)),
    "prelu": (functional.prelu, (2, 3, 4), (3,)),
    "attention": (lambda *qkv: functional.scaled_dot_product_attention(*qkv),
                  (1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)),
    "relu": (torch.relu, (4, 8)),
    "gelu": (functional.gelu, (4, 8)),
    "add": (torch.add, (4, 8), (4, 8)),
    "mul": (torch.mul, (4, 8), (8,)),
    "exp": (torch.exp, (4, 8)),
    "softmax": (lambda x: torch.softmax(x, -1), (4, 8)),
    "log_softmax": (lambda x: torch.log_softmax(x, -1), (4, 8)),
    "sum": (torch.sum, (4, 8)),
    "mean": (torch.mean, (4, 8)),
    "norm": (torch.norm, (4, 8)),
    "prod": (torch.prod, (4, 8)),
    "cumsum": (lambda x: torch.cumsum(x, 0), (4, 8)),
    "layer_norm": (lambda x, w, b: functional.layer_norm(x, (8,), w, b), (4, 8), (8,), (8,)),
    "group_norm": (lambda x, w, b: functional.group_norm(x, 2, w, b), (2, 4, 8), (4,), (4,)),
    "batch_norm": (lambda x, w, b: functional.batch_norm(x, None, None, w, b, True),
                   (2, 4, 8), (4,), (4,)),
    "max_pool2d": (lambda x: functional.max_pool2d(x, 2), (1, 2, 8, 8)),
    "max_pool3d": (lambda x: functional.max_pool3d(x, 2), (1, 2, 8, 8, 8)),
    "avg_pool2d": (lambda x: functional.avg_pool2d(x, 2), (1, 2, 8, 8)),
    "avg_pool3d": (lambda x: functional.avg_pool3d(x, 2), (1, 2, 8, 8, 8)),
    "adaptive_avg_pool2d": (lambda x: functional.adaptive_avg_pool2d(x, 2), (1, 2, 8, 8)),
    "adaptive_avg_pool3d": (lambda x: functional.adaptive_avg_pool3d(x, 2), (1, 2, 8, 8, 8)),
    "pad, reflected": (lambda x: functional.pad(x, (1, 1, 1, 1), mode="reflect"), (1, 2, 8, 8)),
    "pad, zeros": (lambda x: functional.pad(x, (1, 1, 1, 1)), (1, 2, 8, 8)),
    "interpolate": (lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear"),
                    (1, 2, 8, 8)),
    "grid_sample": (lambda x, g: functional.grid_sample(x, g, align_corners=False),
                    (1, 2, 8, 8), (1, 4, 4, 2)),
    "cat": (lambda a, b: torch.cat((a, b)), (4, 8), (4, 8)),
    "stack": (lambda a, b: torch.stack((a, b)), (4, 8), (4, 8)),
    "where": (lambda a, b: torch.where(a > 0, a, b), (4, 8), (4, 8)),
    "cdist": (torch.cdist, (4, 8), (6, 8)),
    "mse_loss": (functional.mse_loss, (4, 8), (4, 8)),
    "l1_loss": (functional.l1_loss, (4, 8), (4, 8)),
    "huber_loss": (functional.huber_loss, (4, 8), (4, 8)),
    "cross_entropy": (functional.cross_entropy, (4, 8), (4, 8)),
    "kl_div": (lambda a, b: functional.kl_div(a, b, reduction="sum"), (4, 8), (4, 8)),
    "bce_with_logits": (functional.binary_cross_entropy_with_logits, (4, 8), (4, 8)),
    "fft": (lambda x: torch.fft.fft(x).real, (4, 8)),
    "inverse": (torch.linalg.inv, (4, 4)),
    "trace": (torch.trace, (4, 4)),
}  # fmt: skip


class Casts(TorchDispatchMode):
    """Types of the results of copies that change a type."""

    def __init__(self):
        super().__init__()
        self.types = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default and out.dtype is not args[0].dtype:
            self.types.append((tuple(out.shape), out.dtype))
        return out


def types(call, arguments, region):
    with region, Casts() as casts:
        out = call(*arguments)
    # C++ does not say which argument is cast first.
    return [leaf.dtype for leaf in tree_leaves(out)], sorted(casts.types, key=str)


@pytest.mark.parametrize("given", ["float32", "the first in bfloat16"])
@pytest.mark.parametrize("name", CALLS)
def test_types_are_those_of_the_real_device(name, given):
    call, *shapes = CALLS[name]
    # An identity, so that matrices have inverses and distributions stay distributions.
    real = [
        torch.eye(8).expand(*([8] * max(len(s) - 2, 0)), 8, 8).sum(-1).new_ones(s) for s in shapes
    ]
    if name == "inverse":
        real = [torch.eye(4)]
    if given != "float32":
        real[0] = half(real[0])
    meta = tree_map_only(torch.Tensor, lambda one: one.to("meta"), real)

    try:
        expected = types(call, real, torch.autocast("cpu", dtype=torch.bfloat16))
    except (RuntimeError, NotImplementedError):
        pytest.skip("the CPU does not compute that")
    with fused_attention(), autocast.followed():
        found = types(call, meta, torch.autocast("cpu", dtype=torch.bfloat16))

    assert found == expected


def test_the_table_names_operators_that_torch_treats():
    assert set(autocast.treated()) >= autocast.LOWER | autocast.WIDEST


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 1),
        nn.ReLU(), nn.Flatten(), nn.Linear(32 * 64, 64), nn.LayerNorm(64), nn.Linear(64, 10),
    )  # fmt: skip


def memory_of(mode, phase="inference"):
    return analyze(
        network(), (torch.zeros(4, 3, 8, 8),), phase=phase, optimizer="sgd", mode=mode,
        autocast=LOWER.get(mode),
    ).memory  # fmt: skip


def test_casts_are_storages_and_those_of_weights_are_kept():
    module, x = nn.Sequential(nn.Linear(256, 256), nn.Linear(256, 256)), torch.zeros(64, 256)

    found = analyze(module, (x,), mode="amp=bf16", autocast=torch.bfloat16)

    written = [op.written_bytes for op in found.ops if op.name == "aten.addmm.default"]
    assert written == [64 * 256 * 2] * 2
    weights, row = 2 * (256 * 256 + 256), 2 * 64 * 256
    # Both weights in bfloat16; the input of the second layer with its result.
    assert found.memory.activations == 2 * weights + 2 * row


def test_a_cast_of_a_shared_weight_is_made_once():
    linear = nn.Linear(8, 8, bias=False)

    found = analyze(nn.Sequential(linear, linear), (torch.zeros(2, 8),), autocast=torch.bfloat16)

    assert sum(op.name == "aten._to_copy.default" for op in found.ops) == 2


def test_a_network_may_leave_the_region_for_a_while():
    class Net(nn.Module):
        def forward(self, x):
            with torch.autocast("cpu", enabled=False):
                return x @ x

    (op,) = analyze(Net(), (torch.zeros(4, 4),), autocast=torch.bfloat16).ops

    assert op.written_bytes == 4 * 4 * 4


class Region(nn.Module):
    """A convolution and a linear layer in a region of their own; a third layer outside."""

    def __init__(self, device_type):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Flatten(1), nn.Linear(4 * 36, 16))
        self.outer, self.device_type = nn.Linear(16, 4), device_type

    def forward(self, x):
        with torch.autocast(self.device_type or x.device.type, torch.bfloat16):
            assert torch.get_autocast_dtype(self.device_type or x.device.type) is torch.bfloat16
            y = self.inner(self.inner[0](x).relu().new_zeros(x.shape) + x)
        assert not torch.is_autocast_enabled(self.device_type or x.device.type)
        return self.outer(y.float())


@pytest.mark.parametrize("phase", ["inference", "training"])
@pytest.mark.parametrize("device_type", ["cpu", None])
def test_a_region_inside_of_a_network_is_followed(device_type, phase):
    module, x = Region(device_type), torch.zeros(2, 4, 8, 8)

    meta, real = (analyze(module, (x,), phase=phase, real=real) for real in (False, True))

    # C++ does not say which argument is cast first.
    assert sorted((op.name, op.written_bytes) for op in meta.ops) == sorted(
        (op.name, op.written_bytes) for op in real.ops
    )
    assert meta.memory.activations == real.memory.activations
    assert any("lower precision" in sentence for sentence in meta.assumptions)


def test_a_region_around_the_count_is_followed():
    module, x = nn.Conv2d(4, 4, 3), torch.zeros(2, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        meta, real = (analyze(module, (x,), real=real) for real in (False, True))

    assert meta.memory.activations == real.memory.activations
    assert sorted(op.written_bytes for op in meta.ops) == [4 * 2, 4 * 36 * 2, 2 * 4 * 36 * 2, 1024]
    assert len(real.ops) == 4


def test_nothing_is_left_in_torch():
    before = torch.is_autocast_enabled
    memory_of("amp=bf16", "training")
    with pytest.raises(Exception, match="3"):
        analyze(nn.Linear(3, 3), (torch.zeros(1, 4),), autocast=torch.bfloat16)

    has = torch._C._dispatch_has_kernel_for_dispatch_key
    assert not any(has(f"aten::{name}", "AutocastIPU") for name in autocast.treated())
    assert not torch.is_autocast_enabled("ipu")
    assert not torch._C._dispatch_tls_is_dispatch_key_included(torch._C.DispatchKey.AutocastIPU)
    assert torch.is_autocast_enabled is before
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("phase", ["inference", "training"])
@pytest.mark.parametrize("mode", LOWER)
def test_the_peak_is_that_of_a_dispatch_tracker(mode, phase):
    module, image = network(), torch.zeros(4, 3, 8, 8)
    module.train(phase == "training")
    tracker = Tracker([*module.parameters(), *module.buffers(), image])
    with torch.set_grad_enabled(phase == "training"), tracker:
        with torch.autocast("cpu", dtype=LOWER[mode]):
            output = module(image)
        if phase == "training":
            output.backward(torch.ones_like(output))

    memory = memory_of(mode, phase)
    tensors = memory.peak - memory.params - memory.buffers - memory.input
    assert tensors == pytest.approx(tracker.peak, rel=0.001)
