"""OpenVINO on the CPU, its precision and threads pinned and read back.

On a processor with bfloat16 units it computes in bfloat16 unless told otherwise, so a precision is
always said. ``get_runtime_model`` tells in which type each layer really runs.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch

from cnnbench.worker.runtimes.protocol import WARM_CALLS, Nodes, Opened, described, remarks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor
    from torch.export import ExportedProgram

    from cnnbench.worker.runtimes.protocol import Order

# The precision of a mode -> what layers may compute in; int8 is in the model itself.
_HINTS = {"fp32": "f32", "amp=bf16": "bf16", "int8": "f32"}
_ASKED = (
    "INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS", "NUM_STREAMS", "PERFORMANCE_HINT",
    "ENABLE_CPU_PINNING", "ENABLE_HYPER_THREADING", "EXECUTION_DEVICES", "RUNTIME_REQUIREMENTS",
)  # fmt: skip
# Its times are whole microseconds, and averages of so many calls and some before.
_PROFILED = 20
_REPORTS = "openvino_telemetry"
_PINS = "ENABLE_CPU_PINNING"
# Layers that multiply, by the names of the CPU plugin; the others follow them.
_MULTIPLY = ("Convolution", "Deconvolution", "FullyConnected", "MatMul", "GroupConvolution")
_NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "i8": "int8", "u8": "int8"}


class OpenVino:
    """See ``protocol.Runtime``."""

    file = "model.xml"
    autocasts = False

    def version(self) -> str:
        """Import it, without what reports its use to its makers.

        A process of ours must not, and its threads would be at work while others are timed.
        """
        modules: dict[str, Any] = sys.modules
        modules.setdefault(_REPORTS, None)  # as if it were not installed
        import openvino

        return str(openvino.get_version())

    def alone(self) -> str:
        """Its precision, as its plugin for the CPU says, and what it could do."""
        self.version()
        import openvino

        core = openvino.Core()
        precision, able, pins = (
            _plain(core.get_property("CPU", name))
            for name in ("INFERENCE_PRECISION_HINT", "OPTIMIZATION_CAPABILITIES", _PINS)
        )
        bound = "threads bound to cores" if pins else "threads not bound to cores"
        return f"{precision}, {bound}; able to do {', '.join(able)}"

    def make(self, program: ExportedProgram, order: Order, place: Path) -> None:
        """Convert to its intermediate representation, for fixed shapes."""
        import openvino

        model = openvino.convert_model(program, input=[list(one) for one in order.shapes])
        if order.mode.precision == "int8":
            model = _quantised(model, order)
        # Half-precision weights, its default, would be another network.
        openvino.save_model(model, place, compress_to_fp16=False)

    def open(self, place: Path, order: Order, names: Sequence[str]) -> Opened:
        """Compile for the CPU: one stream, whose threads do not spin."""
        import openvino

        model = openvino.Core().compile_model(str(place), "CPU", settings(order))
        said = {name: _plain(model.get_property(name)) for name in _ASKED if _has(model, name)}
        layers = _named(_layers(model))
        return Opened(
            _Request(model, names),
            precision=described(layers) or said["INFERENCE_PRECISION_HINT"],
            threads=int(said["INFERENCE_NUM_THREADS"]),
            settings={name.lower(): value for name, value in said.items()},
            remarks=remarks("OpenVINO", order.mode.precision, layers),
        )

    def nodes(
        self, place: Path, order: Order, names: Sequence[str], inputs: Sequence[Tensor]
    ) -> Nodes:
        """By the profiling information of a request, whose times are averages since it was made.

        So what the first calls took, which pack weights, is subtracted again.
        """
        import openvino

        asked = {**settings(order), "PERF_COUNT": True}
        request = _Request(openvino.Core().compile_model(str(place), "CPU", asked), names)
        for _ in range(WARM_CALLS):
            request(inputs)
        before = request.profiled()
        start = time.perf_counter_ns()
        for _ in range(_PROFILED):
            request(inputs)
        taken = (time.perf_counter_ns() - start) // _PROFILED
        every = WARM_CALLS + _PROFILED
        layers = []
        for name, (kind, how, late) in request.profiled().items():
            early = before[name][2] if name in before else 0.0
            ns = max(0.0, (every * late - WARM_CALLS * early) / _PROFILED)
            layers.append((kind, how, ns))
        return Nodes(taken, layers)


def _quantised(model: Any, order: Order) -> Any:
    """By NNCF, calibrated on the pictures of the order."""
    import nncf

    logger = logging.getLogger("nncf")
    logger.setLevel(logging.ERROR)
    pictures = [[one.numpy().copy() for one in picture] for picture in order.pictures()]
    dataset = nncf.Dataset(pictures)
    return nncf.quantize(model, dataset, subset_size=len(pictures))


def settings(order: Order) -> dict[str, Any]:
    """What is pinned, so that it does what the mode says, on the cores that the process has."""
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[order.mode.precision],
        "INFERENCE_NUM_THREADS": order.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # No other mode binds its threads to cores; and two workers would be bound to one.
        _PINS: False,
    }


class _Request:
    """A request whose inputs are the very tensors of the step."""

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        self._request = model.create_infer_request()
        self._ports = _ports(model, names)
        self._bound: list[int] = []
        self._outputs = [torch.empty(0)] * len(model.outputs)
        self._static = not any(one.get_partial_shape().is_dynamic for one in model.outputs)
        self._fresh = True

    def __call__(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        places = [one.data_ptr() for one in inputs]
        if places != self._bound:
            self._bind(inputs)
            self._bound = places
        self._request.infer()
        if self._fresh or not self._static:
            self._outputs = [torch.from_numpy(one.data) for one in self._request.output_tensors]
            self._fresh = False
        return self._outputs

    def profiled(self) -> dict[str, tuple[str, str, float]]:
        """Name of each layer that ran -> kind, implementation and average nanoseconds."""
        return {
            one.node_name: (one.node_type, one.exec_type, one.real_time.total_seconds() * 1e9)
            for one in self._request.profiling_info
            if one.status.name == "EXECUTED"
        }

    def _bind(self, inputs: Sequence[Tensor]) -> None:
        import openvino

        for port, tensor in zip(self._ports, inputs, strict=True):
            if port is not None:
                shared = openvino.Tensor(tensor.detach().numpy(), shared_memory=True)
                self._request.set_tensor(port, shared)


def _ports(model: Any, names: Sequence[str]) -> list[Any]:
    """The port of each input; ``None`` for one that the network does not use."""
    known = {name: port for port in model.inputs for name in port.get_names()}
    return [known.get(name) for name in names]


def _has(model: Any, name: str) -> bool:
    return name in model.get_property("SUPPORTED_PROPERTIES")


def _plain(value: Any) -> Any:
    """A property as JSON has it."""
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple, set)):
        return [_plain(one) for one in value]
    return getattr(value, "get_type_name", lambda: str(value))()


def _layers(model: Any) -> Counter[str]:
    """Type in which it computes -> layers that multiply, as the compiled model says."""
    found: Counter[str] = Counter()
    for node in model.get_runtime_model().get_ops():
        told = node.get_rt_info()
        # "FullyConnectedQuantizedLegacy" is one, too.
        if _text(told, "layerType").startswith(_MULTIPLY):
            found[_text(told, "runtimePrecision")] += 1
    return found


def _text(told: Any, key: str) -> str:
    try:
        value = told[key]
    except (KeyError, RuntimeError):
        return ""
    return str(getattr(value, "value", value))


def _named(layers: Mapping[str, int]) -> Counter[str]:
    """The same by the names that other runtimes use."""
    names: Counter[str] = Counter()
    for name, count in layers.items():
        names[_NAMES.get(name, name)] += count
    return names
