"""What a step is made of: exact counts, with what could not be had named."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from cnnbench.facts import Structure
from cnnbench.plan import Plan
from cnnbench.requests import MeasureMemory, TakeStructure
from cnnbench.runner.inquiry import tell
from cnnbench.runner.process import Processes
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, events, modes, onednn, structure
from cnnbench.worker.devices import Cpu
from cnnbench.worker.inputs import Given

SPEC = Spec(Workload("lenet", 2, (3, 32, 32)), Mode(), Device(), 1)
ONEDNN = torch.backends.mkldnn.is_available()


@pytest.fixture(autouse=True)
def _flags_restored():
    with modes.restored():
        modes.set_flags(Mode(), 1)
        yield


def taken(mode: Mode = Mode(), phase: str = "inference") -> Structure:  # noqa: B008 - it is frozen
    spec = replace(SPEC, mode=mode, workload=replace(SPEC.workload, phase=phase))
    architecture, module = build.construct(spec.workload, 0)
    step = build.step(spec, architecture, module, 0)
    step.call()
    return structure.take(step, Cpu(), mode)


def test_the_operators_of_lenet_are_its_layers() -> None:
    found = taken()

    assert found.operators == {
        "aten::conv2d": 2,
        "aten::relu": 4,
        "aten::max_pool2d": 2,
        "aten::flatten": 1,
        "aten::linear": 3,
    }
    assert found.outputs == ("float32[2,10]",)
    assert found.allocations > 0
    assert found.allocated_bytes > 0
    assert (found.graphs, found.recompiles, found.missing) == (None, None, {})


def test_the_same_step_has_the_same_structure() -> None:
    assert taken() == taken()


@pytest.mark.skipif(not ONEDNN, reason="no oneDNN in this torch")
def test_another_layout_is_seen_in_reorders_where_operators_see_nothing() -> None:
    nchw, nhwc = taken(), taken(Mode(memory_format="channels_last"))

    assert nchw.operators == nhwc.operators
    assert nhwc.reorders < nchw.reorders
    assert sum(nchw.kernels.values()) == 2


def test_a_training_step_shows_backward_and_optimizer() -> None:
    found = taken(phase="training")

    assert found.operators["aten::convolution_backward"] == 2
    assert any("add" in name for name in found.operators)
    assert found.outputs == ("float32[]",)


def test_what_fails_costs_its_own_figure_only(monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the profiler is not to be had\nmore")

    monkeypatch.setattr(events, "of_call", broken)
    found = taken()

    assert found.missing == {"operators": "RuntimeError: the profiler is not to be had"}
    assert found.allocations is None
    assert found.outputs == ("float32[2,10]",)
    assert (found.reorders is not None) == ONEDNN


def test_a_torch_without_onednn_says_so(monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)

    found = taken()

    assert found.reorders is None
    assert "without oneDNN" in found.missing["reorders"]


def test_torchs_own_convolutions_are_kernels_too(monkeypatch) -> None:
    monkeypatch.setattr(onednn, "lines_of", lambda _call: [])
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    module, image = nn.Conv2d(8, 8, 1), torch.randn(1, 8, 16, 16)

    def call() -> torch.Tensor:
        with torch.inference_mode():
            return module(image)

    step = build.Step(call, lambda output: [output], module, Given.of(image))

    found = structure.take(step, Cpu(), Mode())

    # 1x1 on one thread: oneDNN is not asked.
    assert found.kernels == {"aten::_slow_conv2d_forward": 1}


class FakeCuda:
    kind = "cuda"

    def synchronize(self) -> None:
        pass


def test_on_cuda_kernels_and_conversions_come_from_the_profiler(monkeypatch) -> None:
    names = ["void cudnn::ops::nchwToNhwcKernel<float>", "sm80_xmma_fprop", "sm80_xmma_fprop"]
    kernels = [{"ph": "X", "cat": "kernel", "name": name, "ts": 0, "dur": 1} for name in names]
    given = {"name": "[memory]", "ts": 0, "args": {"Bytes": 512, "Device Type": 1}}
    monkeypatch.setattr(events, "of_call", lambda _call, _device: [*kernels, given])
    step = build.Step(lambda: torch.ones(1), lambda output: [output], nn.ReLU(), Given(()))

    found = structure.take(step, FakeCuda(), Mode())

    assert found.kernels == {names[0]: 1, "sm80_xmma_fprop": 2}
    assert (found.reorders, found.allocations, found.allocated_bytes) == (1, 1, 512)
    assert found.missing == {}


def test_graphs_breaks_and_recompiles_are_the_compilers_own_counts() -> None:
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()

    @torch.compile(backend="eager", dynamic=False)
    def broken(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor + 1
        torch._dynamo.graph_break()
        return tensor * 2

    broken(torch.ones(2))
    once = structure.compiler_counts({})
    broken(torch.ones(3))
    twice = structure.compiler_counts({})
    torch._dynamo.reset()
    counters.clear()

    assert once["graphs"] == 2
    assert once["recompiles"] == 0
    assert sum(once["graph_breaks"].values()) == 1
    assert all(reason and "\n" not in reason for reason in once["graph_breaks"])
    assert twice["recompiles"] == 2


def test_a_compiled_step_says_that_its_fused_loops_have_no_name(monkeypatch) -> None:
    monkeypatch.setitem(modes.COMPILERS, "default", {"backend": "eager"})
    torch._dynamo.reset()

    found = taken(Mode(compiler="default"))

    assert "fused" in found.missing["operators"]
    assert found.graphs is not None


def test_a_worker_answers_memory_first_and_structure_after(tmp_path) -> None:
    request = MeasureMemory.planned(SPEC, Plan())
    with Processes().open(tmp_path) as pool:
        worker = pool.start()
        peak = tell(worker, request, 120.0)
        found = tell(worker, TakeStructure(), 120.0)
        worker.close()

    assert peak.cpu_peak_bytes > peak.resident_bytes
    assert found == taken()
