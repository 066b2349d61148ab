"""Tables of layers add up to the network at every depth, in both phases, whatever parents do."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from cnnbench import architectures
from cnnbench.analysis import analyze, build_on_meta
from cnnbench.architectures.tasks import TASKS
from cnnbench.costs import adding_up

SUMS = ("calls", "macs", "bias_adds", "read_bytes", "written_bytes", "elementwise_flops")
# One of each kind: residual, concatenating, shared activations, attention, detection, recurrence.
NETWORKS = ("lenet", "resnet18", "googlenet", "shufflenet_v2_x0_5", "vit_b_32", "swin_t")
TIMM = ("vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto", "efficientnet_b0",
        "mixer_s32_224")  # fmt: skip


def assert_adds_up(analysis):
    deepest = max(row.depth for row in analysis.layers)
    for depth in (None, *range(deepest + 2)):
        rows = adding_up(analysis.layers, depth)
        assert sum(row.params for row in rows) == analysis.params, depth
        for name in SUMS:
            forward = sum(getattr(row.totals, name) for row in rows)
            assert forward == getattr(analysis.forward, name), (depth, name)
            backward = sum(getattr(row.backward, name) for row in rows)
            if analysis.backward is not None:
                assert backward == getattr(analysis.backward, name), (depth, name)
    assert len({row.name for row in rows}) == len(rows)


def counted(name, phase):
    architecture = architectures.resolve(name)
    module = build_on_meta(lambda: architectures.build(architecture))
    task = TASKS[architecture.task]
    make = task.training_inputs if phase != "inference" and task.training_inputs else task.inputs
    given = make(2, architecture.input, torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return analyze(module, given, phase=phase)


@pytest.mark.parametrize("phase", ["inference", "training"])
@pytest.mark.parametrize("name", NETWORKS)
def test_architectures(name, phase):
    assert_adds_up(counted(name, phase))


@pytest.mark.parametrize("name", TIMM)
def test_timm(name):
    pytest.importorskip("timm")

    assert_adds_up(counted(f"timm:{name}", "training"))


def table(analysis, depth=None):
    return {row.name: row for row in adding_up(analysis.layers, depth)}


class Attention(nn.Module):
    """Work of a parent: functional operators, raw parameters, a child whose weight is only read."""

    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(8, 2, batch_first=True)
        self.scale = nn.Parameter(torch.zeros(8, 8))

    def forward(self, x):
        return self.inner(x, x, x)[0] @ self.scale


def test_work_of_parents_has_rows_of_its_own():
    analysis = analyze(nn.Sequential(Attention()), (torch.zeros(2, 5, 8),))
    rows = table(analysis)

    assert_adds_up(analysis)
    assert rows["0 (own)"].totals.macs == 2 * 5 * 8 * 8
    assert rows["0 (own)"].params == 64
    assert rows["0.inner (own)"].totals.macs == 2 * (4 * 5 * 64 + 5 * 5 * 16)
    assert (rows["0.inner.out_proj"].calls, rows["0.inner.out_proj"].params) == (0, 72)
    assert set(table(analysis, 1)) == {"0"}


def test_calls_are_the_module_s_own_and_idle_layers_stay():
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Flatten(), nn.Dropout(), nn.Identity(), nn.Linear(4, 2),
    )  # fmt: skip

    analysis = analyze(network, (torch.zeros(2, 3, 3, 3),), phase="training")

    assert {row.name: row.calls for row in analysis.layers} == {
        "": 1, "0": 1, "0.0": 1, "0.1": 1, "0.2": 1, "1": 1, "2": 1, "3": 1, "4": 1,
    }  # fmt: skip
    assert set(table(analysis)) >= {"0.0", "0.1", "0.2", "1", "2", "3", "4"}


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.first = nn.Sequential(conv)
        self.second = nn.Sequential(conv, nn.Conv2d(4, 4, 1, bias=False))

    def forward(self, x):
        return self.second(self.first(x))


def test_a_shared_module_is_booked_where_it_is_called_and_its_parameters_once():
    analysis = analyze(Shared(), (torch.zeros(1, 4, 8, 8),), phase="training")
    rows = table(analysis, 1)

    assert_adds_up(analysis)
    assert [row.name for row in analysis.layers] == [
        "", "first", "first.0", "second", "second.0", "second.1",
    ]  # fmt: skip
    assert (rows["first"].totals.macs, rows["second"].totals.macs) == (9216, 10240)
    assert (rows["first"].backward.macs, rows["second"].backward.macs) == (9216, 20480)
    assert (rows["first"].params, rows["second"].params) == (144, 16)
    shared = next(row for row in analysis.layers if row.name == "second.0")
    assert (shared.calls, shared.params, shared.own_params, shared.shared_params) == (
        1,
        144,
        0,
        144,
    )


def test_a_shared_block_takes_its_children_along():
    block = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network = nn.Sequential(nn.Sequential(block), nn.Sequential(nn.ReLU(), block))

    analysis = analyze(network, (torch.zeros(1, 4),), phase="training")

    assert_adds_up(analysis)
    assert {row.name: row.totals.macs for row in analysis.layers if row.type == "Linear"} == {
        "0.0.0": 16, "0.0.1": 16, "1.1.0": 16, "1.1.1": 16,
    }  # fmt: skip


class Checkpointed(nn.Module):
    def __init__(self, run, *, reentrant):
        super().__init__()
        self.first, self.second, self.last = (nn.Linear(4, 4, bias=False) for _ in range(3))
        self.run, self.reentrant = run, reentrant

    def forward(self, x):
        x = checkpoint(self.run, self, self.first(x), use_reentrant=self.reentrant)
        return self.last(x)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize(("reentrant", "again"), [(True, 16), (False, 0)])
def test_what_a_checkpoint_computes_again_is_the_checkpointed_module_s(reentrant, again):
    network = Checkpointed(lambda self, x: self.second(x), reentrant=reentrant)

    analysis = analyze(network, (torch.zeros(1, 4),), phase="training")
    rows = table(analysis)

    assert_adds_up(analysis)
    # A checkpoint that does not reenter stops before the last product, of which it needs no result.
    assert (rows["second"].calls, rows["second"].backward.macs) == (1, 32 + again)
    assert (rows["first"].backward.macs, rows["last"].backward.macs) == (16, 32)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_a_checkpointed_function_belongs_to_its_caller():
    def product(self, x):
        return nn.functional.linear(x, self.second.weight)

    analysis = analyze(
        nn.Sequential(Checkpointed(product, reentrant=True)), (torch.zeros(1, 4),), phase="training"
    )
    rows = table(analysis)

    assert_adds_up(analysis)
    assert (rows["0 (own)"].totals.macs, rows["0 (own)"].backward.macs) == (16, 48)


def test_layers_called_by_keyword_show_their_input():
    class ByKeyword(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            return self.layer(input=x)

    row = table(analyze(ByKeyword(), (torch.zeros(2, 4),)))["layer"]

    assert (row.input, row.output, row.calls) == ((2, 4), (2, 3), 1)
