"""Deployed steps: one contract for a pretended runtime and for every one that is installed."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from cnnbench.deployment import installed
from cnnbench.environment import Environment
from cnnbench.errors import Unsupported
from cnnbench.mode import RUNTIMES, Mode
from cnnbench.spec import Device, Spec, Workload
from cnnbench.worker import build, compiling, memory, modes, runtimes
from cnnbench.worker.devices import Cpu
from cnnbench.worker.inputs import Given
from cnnbench.worker.runtimes import deployed, onnxruntime
from cnnbench.worker.runtimes.protocol import Nodes, Opened, as_primitives

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.worker.runtimes.protocol import Order


class Pretended:
    """A runtime that is torch's own export, loaded again."""

    file = "model.pretended"
    autocasts = False

    def __init__(self) -> None:
        self.made = 0
        self.fault: Exception | None = None

    def version(self) -> str:
        return "1.2"

    def alone(self) -> str:
        return "nothing"

    def make(self, program: Any, order: Order, place: Path) -> None:
        if self.fault is not None:
            raise self.fault
        torch.export.save(program, place)
        self.made += 1

    def open(self, place: Path, order: Order, names: Sequence[str]) -> Opened:
        module = torch.export.load(place).module()

        def run(inputs: Sequence[Tensor]) -> list[Tensor]:
            result = module(*inputs)
            return [result] if isinstance(result, Tensor) else list(result.values())

        return Opened(run, precision="float32", threads=order.threads, settings={"own": 1})

    def nodes(self, *_: Any) -> Nodes:
        raise Unsupported("no layers")


REAL = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            name not in installed(), reason=f"needs the extra cnnbench[{name}]"
        ),
    )
    # Compiling takes minutes on a busy machine; test_modes compiles.
    for name in RUNTIMES
    if name != "aoti"
]


@pytest.fixture(params=["pretended", *REAL])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Mode:
    if request.param != "pretended":
        return Mode(compiler=request.param)
    monkeypatch.setitem(runtimes.TABLE, "aoti", Pretended())
    return Mode(compiler="aoti")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_kept", [tmp_path / "kept"])


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.norm(self.conv(x)).relu()
        return {"out": features.mean((2, 3)), "map": features}


def step(mode: Mode, module: nn.Module | None = None) -> tuple[build.Step, nn.Module]:
    torch.manual_seed(0)
    module = (module or Net()).eval()
    workload = Workload("tests:net", 2, (3, 8, 8))
    given = Given.of(torch.randn(2, 3, 8, 8))
    return build.inference(Spec(workload, mode, Device(), 1), module, given), module


def close(got: Any, expected: Any) -> bool:
    return got.keys() == expected.keys() and all(
        torch.allclose(got[key], expected[key], atol=1e-5) for key in got
    )


def test_it_answers_in_the_form_of_the_network(mode: Mode) -> None:
    made, module = step(mode)

    with torch.no_grad():
        assert close(made.call(), module(*made.given.args))


def test_it_answers_to_the_picture_that_lies_there_now(mode: Mode) -> None:
    made, module = step(mode)
    made.call()
    other = torch.randn(2, 3, 8, 8)

    made._show([other])

    with torch.no_grad():
        assert close(made.call(), module(other))


def test_inputs_may_be_moved_to_other_memory(mode: Mode) -> None:
    made, module = step(mode)
    made.call()
    (tensor,) = made.given.tensors

    tensor.data = torch.full_like(tensor, 0.5)

    with torch.no_grad():
        assert close(made.call(), module(torch.full((2, 3, 8, 8), 0.5)))


def test_the_weights_of_the_module_are_no_longer_asked(mode: Mode) -> None:
    made, module = step(mode)
    with torch.no_grad():
        expected = module(*made.given.args)
        made.call()
        for parameter in module.parameters():
            parameter.zero_()

        assert close(made.call(), expected)
    assert [one.data_ptr() for one in made.resident()] == [made.given.tensors[0].data_ptr()]


def test_it_says_how_it_came_to_run(mode: Mode) -> None:
    made, _ = step(mode)
    assert made.deployment() is None

    made.call()

    found = made.deployment()
    assert found is not None
    assert (found.runtime, found.precision, found.threads) == (mode.compiler, "float32", 1)
    assert {*found.ns} == {"import", "export", "convert", "load", "first"}
    assert found.artefact_bytes is not None
    assert found.artefact_bytes > 4 * 3 * 4 * 9  # the weights of the convolution alone
    assert found.version[0].isdigit()
    assert made.unusual() == []


def test_a_later_process_loads_what_the_first_one_made(mode: Mode) -> None:
    step(mode)[0].call()
    later, module = step(mode)

    with torch.no_grad():
        assert close(later.call(), module(*later.given.args))

    found = later.deployment()
    assert found is not None
    assert {*found.ns} == {"import", "load", "first"}


def test_without_a_folder_to_keep_nothing_is_left(
    mode: Mode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiling, "_kept", [])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    step(mode)[0].call()

    assert list(tmp_path.glob("cnnbench-*")) == []


def test_memory_is_that_of_the_process_and_not_of_torch(mode: Mode) -> None:
    found = memory.measure(step(mode)[0], Cpu())

    assert found.cpu_peak_bytes is None
    assert "runtime" in found.missing["cpu_peak_bytes"]
    assert found.resident_bytes is not None


class Deciding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_a_network_that_cannot_be_exported_says_why_in_one_line(mode: Mode) -> None:
    made, _ = step(mode, Deciding())

    with pytest.raises(Unsupported, match=r"^torch\.export: ") as caught:
        made.call()

    assert "\n" not in str(caught.value)


class Telling(nn.Module):
    def forward(self, x: Tensor) -> str:
        return f"{x.shape}"


def test_a_network_that_returns_no_tensor_is_refused(mode: Mode) -> None:
    with pytest.raises(Unsupported, match="returns a str"):
        step(mode, Telling())[0].call()


def test_a_fault_of_the_runtime_is_one_line_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pretended = Pretended()
    pretended.fault = RuntimeError("no such operator\nat 0x123")
    monkeypatch.setitem(runtimes.TABLE, "aoti", pretended)

    with pytest.raises(Unsupported, match=r"^AOTInductor: RuntimeError: no such operator$"):
        step(Mode(compiler="aoti"))[0].call()


def test_what_was_half_made_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    pretended = Pretended()
    monkeypatch.setitem(runtimes.TABLE, "aoti", pretended)
    pretended.fault = RuntimeError("killed")
    with pytest.raises(Unsupported):
        step(Mode(compiler="aoti"))[0].call()

    pretended.fault = None
    step(Mode(compiler="aoti"))[0].call()

    assert pretended.made == 1


@pytest.mark.parametrize("text", ["aoti", "openvino", "onnxruntime", "compile+freezing"])
def test_training_is_refused(text: str) -> None:
    with pytest.raises(Unsupported, match=r"inference only|cannot be trained"):
        deployed.refuse_training(Mode.parse(text, "cpu"))


def test_every_runtime_has_a_row_and_answers_to_the_protocol() -> None:
    assert tuple(runtimes.TABLE) == RUNTIMES
    assert len({one.file for one in runtimes.TABLE.values()}) == len(RUNTIMES)


def test_freezing_is_set_and_put_back() -> None:
    from torch._inductor import config

    with modes.restored():
        modes.set_flags(Mode(compiler="default", freezing="on"), threads=1)
        assert config.freezing
        modes.set_flags(dataclasses.replace(Mode(), compiler="default"), threads=1)
        assert not config.freezing


def test_an_environment_says_what_installed_runtimes_do_unless_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtimes, "installed", lambda: ("aoti",))
    monkeypatch.setitem(runtimes.TABLE, "aoti", Pretended())

    found = runtimes.described(Environment({}, {"governor": "performance"}))

    assert found.soft == {"governor": "performance", "runtimes_alone": {"aoti": "nothing"}}


@pytest.mark.skipif("onnxruntime" not in installed(), reason="needs cnnbench[onnxruntime]")
def test_onnxruntime_reports_nothing_to_its_makers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it reports, it leaves the name of a session and of the device behind."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    code = (
        "from cnnbench.worker.runtimes.onnxruntime import OnnxRuntime; OnnxRuntime().version()\n"
        "import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "1", done.stderr
    left = [one.name for one in tmp_path.rglob("*") if one.is_file()]
    assert not {".ses", "deviceid", "onnxruntime.db"} & {*left}


def test_a_runtime_that_is_installed_and_broken_spoils_no_description(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_self: object) -> str:
        raise ImportError("libtbb.so.12: cannot open shared object file")

    monkeypatch.setattr(runtimes, "installed", lambda: ("aoti", "openvino"))
    monkeypatch.setitem(runtimes.TABLE, "aoti", Pretended())
    monkeypatch.setattr(type(runtimes.TABLE["openvino"]), "alone", broken)

    found = runtimes.described(Environment({}, {})).soft["runtimes_alone"]

    assert found["aoti"] == "nothing"
    assert "cannot be used (ImportError: libtbb.so.12" in found["openvino"]


@pytest.mark.parametrize(
    ("precision", "told"),
    [("fp32", "float32"), ("amp=bf16", "float32, autocast to bfloat16"), ("bf16", "bfloat16")],
)
def test_a_runtime_that_computes_as_torch_does_is_said_to_autocast(
    precision: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AsTorch(Pretended):
        autocasts = True

        def open(self, place: Path, order: Order, names: Sequence[str]) -> Opened:
            return dataclasses.replace(super().open(place, order, names), precision="")

    monkeypatch.setitem(runtimes.TABLE, "aoti", AsTorch())
    made, _ = step(Mode(compiler="aoti", precision=precision))

    made.call()

    assert made.deployment().precision == told


def test_times_of_layers_and_the_rest_add_up_to_the_call(mode: Mode) -> None:
    made, _ = step(mode)
    assert made.nodes is not None
    if mode.compiler == "aoti":
        with pytest.raises(Unsupported, match="no layers"):
            made.nodes()
        return

    found = made.nodes()

    assert sum(one.calls for one in found if "conv" in one.kind.lower()) >= 1
    assert [one.kind for one in found[-1:]] == ["rest of the call"]
    assert all(one.ns >= 0 for one in found[:-1])


def test_layers_of_one_kind_are_summed_and_the_rest_is_stated() -> None:
    found = as_primitives(Nodes(100, [("Conv", "a", 20.0), ("Conv", "a", 30.0), ("Add", "b", 5.0)]))

    assert [(one.kind, one.implementation, one.calls, one.ns) for one in found] == [
        ("Conv", "a", 2, 50.0),
        ("Add", "b", 1, 5.0),
        ("rest of the call", "in no layer", 1, 45.0),
    ]
    assert sum(one.ns for one in found) == 100


def test_the_last_of_several_calls_is_read_from_events() -> None:
    def node(name: str, ts: int, **more: Any) -> dict[str, Any]:
        args = {"op_name": "Conv", "provider": "CPU"}
        return {"cat": "Node", "name": name, "ts": ts, "dur": 3, "args": args} | more

    events = [
        {"cat": "Session", "name": "model_run", "ts": 10, "dur": 9},
        node("c_kernel_time", 12),
        {"cat": "Session", "name": "model_run", "ts": 30, "dur": 9},
        node("c_kernel_time", 32, dur=4),
        node("c_fence_before", 31),
    ]

    assert onnxruntime.last_call(events) == [("Conv", "CPU", 4000.0)]


def test_flags_that_exporting_sets_are_put_back(mode: Mode) -> None:
    with modes.restored():
        before = modes.set_flags(mode, threads=1)

        step(mode)[0].call()

        assert modes.flags() == before
