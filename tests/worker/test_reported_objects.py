"""Module objects that public reports say break tools of this kind, through ``cnnbench.measure``.

Every case is written here from the report's title; the report is where somebody met its kind.
"""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import cnnbench
from cnnbench.errors import Unsupported
from tests.worker.test_public_reports import Net, image

FAST: dict[str, Any] = {
    "rounds": 1, "slices": 1, "slice_seconds": 0.001, "warm_up_calls": 1, "warm_up_seconds": 0,
}  # fmt: skip

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.*:DeprecationWarning",
    "ignore:.*torch.jit.*:FutureWarning",
    "ignore:.*weight_norm.*:FutureWarning",
    "ignore:.*quanti.*:DeprecationWarning",
    "ignore:.*quantize_per_tensor.*:UserWarning",
    # TorchScript copies its parameters as tensors that are no leaves.
    "ignore:The .grad attribute:UserWarning",
)


def pruned() -> nn.Module:
    module = nn.Sequential(nn.Conv2d(3, 4, 3))
    prune.l1_unstructured(module[0], "weight", 0.5)
    return module


def remembering() -> nn.Module:
    def forward(net: Any, x: torch.Tensor) -> torch.Tensor:
        net.last = net.conv(x)
        return net.last

    module = Net(forward)
    module(image())
    return module


def until_small(net: Any, x: torch.Tensor) -> torch.Tensor:
    return net.conv(x) if x.sum() < 1e6 else net.conv(x) * 2


def quantised() -> nn.Module:
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).eval()
    return torch.ao.quantization.quantize_dynamic(module, {nn.Linear})


# Report, what was tried, module, status in eager and bf16, MACs (None: not counted).
MEASURED = [
    ("pytorch/pytorch#28594", "weight norm as a hook",
     lambda: nn.Sequential(nn.utils.weight_norm(nn.Conv2d(3, 4, 3))), "ok ok", 7776),
    ("pytorch/pytorch#102981", "pruning as a hook", pruned, "ok ok", 7776),
    ("skorch-dev/skorch#741", "an activation kept from an earlier call",
     remembering, "ok ok", 7776),
    ("johnmarktaylor91/torchlens#17", "control flow that looks at values",
     lambda: Net(until_small), "ok ok", 7776),
    ("sksq96/pytorch-summary#103", "scripted",
     lambda: torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3))), "ok ok", 7776),
    ("pytorch/pytorch#29037", "traced", lambda: torch.jit.trace(nn.Conv2d(3, 4, 3), image()),
     "ok ok", 7776),
    ("Lightning-AI/pytorch-lightning#7642", "lazy layers",
     lambda: nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(5)), "ok ok",
     7776 + 2 * 144 * 5),
    ("1adrianb/pytorch-estimate-flops#7", "quantised layers", quantised, "ok failed", 1536),
    ("TylerYep/torchinfo#152", "an output that one mode cannot make",
     lambda: Net(lambda net, x: net.conv(x).numpy(force=True)), "ok failed", 7776),
    ("facebookresearch/fvcore#121", "tensors as plain attributes",
     lambda: Net(lambda net, x: net.conv(x - net.mean), mean=torch.ones(3, 1, 1)),
     "ok failed", 7776),
    ("sksq96/pytorch-summary#123", "layers in a plain list",
     lambda: Net(lambda net, x: net.more[0](net.conv(x)), more=[nn.Conv2d(4, 4, 1)]),
     "ok failed", 7776 + 2 * 36 * 16),
]  # fmt: skip


@pytest.mark.parametrize(("report", "_tried", "module", "statuses", "macs"), MEASURED)
def test_an_object_is_measured_as_far_as_it_goes(report, _tried, module, statuses, macs) -> None:
    records = cnnbench.measure(module().eval(), image(), modes="eager,bf16", **FAST).records

    assert " ".join(record.status for record in records) == statuses, (report, records)
    assert records[0].cost is not None
    assert records[0].cost.macs == macs
    for record in records:
        assert (record.failure is None) is bool(record.runs)


def test_channels_last_that_a_network_refuses_costs_one_row() -> None:
    """huggingface/pytorch-image-models#1171."""
    module = Net(lambda net, x: net.conv(x).view(2, -1)).eval()

    results = cnnbench.measure(module, image(), modes="eager,channels_last", **FAST)

    eager, other = results.records
    assert (eager.status, other.status) == ("ok", "failed")
    assert other.failure is not None
    assert other.failure.phase == "first call"
    assert "view size is not compatible" in other.failure.message
    assert "view size is not compatible" in str(results)


@pytest.mark.parametrize(
    "given", [image()[:1].expand(2, -1, -1, -1), image().requires_grad_() * 2, image().mT]
)
def test_inputs_that_cannot_be_written_to_or_copied_are(given: torch.Tensor) -> None:
    """pytorch/pytorch#28594: what a data loader or another network hands over."""
    (record,) = cnnbench.measure(nn.Conv2d(3, 4, 3).eval(), given, **FAST).records

    assert record.status == "ok"


def test_what_cannot_be_copied_is_refused_in_a_line_with_a_way_out() -> None:
    """skorch-dev/skorch#741."""
    module = Net(lambda net, x: net.conv(x), lock=threading.Lock()).eval()

    with pytest.raises(Unsupported, match=r"^Net cannot be copied.*lock.*cnnbench.run with"):
        cnnbench.measure(module, image(), **FAST)


def test_an_exported_module_need_not_be_put_into_a_mode_that_it_has_not() -> None:
    """pytorch/pytorch#151726."""
    made: Any = torch.export.export(nn.Sequential(nn.Conv2d(3, 4, 3)).eval(), (image(),)).module()

    (record,) = cnnbench.measure(made, image(), **FAST).records

    assert record.status == "ok"


def test_the_callers_random_numbers_go_on_as_they_would() -> None:
    """pytorch/pytorch#95751: a look at a network is not to change what follows."""
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # type: ignore[union-attr]

    cnnbench.measure(nn.Sequential(nn.Dropout(0.1)).eval(), image(), **FAST)

    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])
