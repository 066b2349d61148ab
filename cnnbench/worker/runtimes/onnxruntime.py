"""ONNX Runtime on the CPU, its threads pinned and forbidden to spin."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cnnbench.errors import Unsupported
from cnnbench.worker.runtimes.protocol import (
    WARM_CALLS,
    Nodes,
    Opened,
    described,
    keep_layers,
    kept_layers,
    remarks,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor
    from torch.export import ExportedProgram

    from cnnbench.worker.runtimes.protocol import Order

# Operators that multiply, by the type in which they do.
_MULTIPLY = {
    "int8": ("QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger"),
    "float32": ("Conv", "FusedConv", "ConvTranspose", "Gemm", "MatMul", "FusedGemm", "FusedMatMul"),
}
_PROVIDER = "CPUExecutionProvider"
_NO_REPORTS = "ORT_DISABLE_TELEMETRY"
_WEIGHTS = "session.optimized_model_external_initializers"
_SPINNING = "session.intra_op.allow_spinning"
# Its names of element types -> torch's.
_TYPES = {
    "tensor(float)": torch.float32, "tensor(double)": torch.float64, "tensor(bool)": torch.bool,
    "tensor(float16)": torch.float16, "tensor(int64)": torch.int64, "tensor(int32)": torch.int32,
    "tensor(int8)": torch.int8, "tensor(uint8)": torch.uint8, "tensor(int16)": torch.int16,
}  # fmt: skip


class OnnxRuntime:
    """See ``protocol.Runtime``."""

    file = "model.onnx"
    autocasts = False

    def version(self) -> str:
        """Import it, without what reports its use to its makers from 1.29 on.

        A process of ours must not, and its thread would be at work while others are timed.
        """
        os.environ[_NO_REPORTS] = "1"  # it looks once, while it is imported
        import onnxruntime

        return str(onnxruntime.__version__)

    def alone(self) -> str:
        """As many threads as physical cores, which spin between calls."""
        return "float32, a thread per physical core, spinning between calls"

    def make(self, program: ExportedProgram, order: Order, place: Path) -> None:
        """Convert to ONNX by torch's exporter."""
        made = torch.onnx.export(program, dynamo=True, verbose=False, optimize=True)
        if made is None:
            raise RuntimeError("torch.onnx.export returned nothing")
        if order.mode.precision == "int8":
            whole = place.with_name("float.onnx")
            made.save(str(whole))
            quantise(whole, place, order.pictures())
            for one in place.parent.glob(f"{whole.stem}*"):
                one.unlink()
        else:
            made.save(str(place))
        keep_layers(place, _layers(place, order.threads))

    def open(self, place: Path, order: Order, names: Sequence[str]) -> Opened:
        """A session with all of its graph optimizations, on the CPU."""
        import onnxruntime

        asked = _options(order.threads)
        session = onnxruntime.InferenceSession(str(place), asked, providers=[_PROVIDER])
        layers = kept_layers(place)
        has = session.get_session_options()
        return Opened(
            _Bound(session, names),
            precision=described(layers),
            threads=has.intra_op_num_threads,
            settings={
                "providers": session.get_providers(),
                "optimization": has.graph_optimization_level.name,
                "spinning": has.get_session_config_entry(_SPINNING) != "0",
            },
            remarks=remarks("ONNX Runtime", order.mode.precision, layers),
        )

    def nodes(
        self, place: Path, order: Order, names: Sequence[str], inputs: Sequence[Tensor]
    ) -> Nodes:
        """By the profiler of a session, which writes a file of events."""
        import onnxruntime

        asked = _options(order.threads)
        asked.enable_profiling = True
        asked.profile_file_prefix = str(place.with_name("profile"))
        session = onnxruntime.InferenceSession(str(place), asked, providers=[_PROVIDER])
        bound = _Bound(session, names)
        taken = 0
        for _ in range(WARM_CALLS + 1):
            start = time.perf_counter_ns()
            bound(inputs)
            taken = time.perf_counter_ns() - start
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf8"))
        return Nodes(taken, last_call(events))


def last_call(events: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, float]]:
    """The layers of the last call in a file of events; durations there are microseconds."""
    runs = [one for one in events if one.get("name") == "model_run"]
    since = max((one["ts"] for one in runs), default=0)
    return [
        (one["args"]["op_name"], one["args"].get("provider", ""), one["dur"] * 1e3)
        for one in events
        if one.get("cat") == "Node" and one["name"].endswith("_kernel_time") and one["ts"] >= since
    ]


def quantise(whole: Path, place: Path, pictures: Iterable[Sequence[Tensor]]) -> None:
    """By ONNX Runtime's own quantiser: QDQ, weights per channel, calibrated on some pictures."""
    import onnxruntime
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    session = onnxruntime.InferenceSession(str(whole), providers=[_PROVIDER])
    names = [one.name for one in session.get_inputs()]
    del session

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(
                [
                    dict(zip(names, (one.numpy().copy() for one in picture), strict=True))
                    for picture in pictures
                ]
            )

        def get_next(self) -> Any:
            """The next picture; ``None`` after the last."""
            return next(self._left, None)

    ready = whole.with_name(f"{whole.stem}-ready.onnx")
    quant_pre_process(str(whole), str(ready), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(ready), str(place), Reader(), quant_format=quantization.QuantFormat.QDQ,
        per_channel=True, activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )  # fmt: skip


def _options(threads: int) -> Any:
    import onnxruntime

    asked = onnxruntime.SessionOptions()
    asked.intra_op_num_threads, asked.inter_op_num_threads = threads, 1
    # Between two turns the others are timed.
    asked.add_session_config_entry(_SPINNING, "0")
    return asked


def _layers(place: Path, threads: int) -> dict[str, int]:
    """Type -> layers that multiply in it, in the graph that a session makes of an artefact."""
    import onnx
    import onnxruntime

    asked, made = _options(threads), place.with_name("optimized.onnx")
    weights = made.with_suffix(".bin")
    asked.optimized_model_filepath = str(made)
    # Weights apart: only operators are asked for, and a file of them all may be too large for it.
    asked.add_session_config_entry(f"{_WEIGHTS}_file_name", weights.name)
    asked.add_session_config_entry(f"{_WEIGHTS}_min_size_in_bytes", "1024")
    asked.log_severity_level = 3  # it warns that such a graph is for this processor only
    onnxruntime.InferenceSession(str(place), asked, providers=[_PROVIDER])
    graph = onnx.load(str(made), load_external_data=False).graph
    operators = Counter(node.op_type for node in graph.node)
    for one in (made, weights):
        one.unlink(missing_ok=True)
    counts = {name: sum(operators[one] for one in ones) for name, ones in _MULTIPLY.items()}
    return {name: count for name, count in counts.items() if count}


class _Bound:
    """A session whose inputs are the very tensors of the step, and whose outputs stay in place."""

    def __init__(self, session: Any, names: Sequence[str]) -> None:
        self._session = session
        self._names = [one.name for one in session.get_inputs()]
        self._order = {name: place for place, name in enumerate(names)}
        self._bound: list[int] = []
        self._binding = session.io_binding()
        self._outputs = _static_outputs(session)

    def __call__(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        places = [one.data_ptr() for one in inputs]
        if places != self._bound:
            self._bind(inputs)
            self._bound = places
        self._session.run_with_iobinding(self._binding)
        if self._outputs:
            return self._outputs
        return [torch.from_numpy(one.numpy()) for one in self._binding.get_outputs()]

    def _bind(self, inputs: Sequence[Tensor]) -> None:
        self._binding = self._session.io_binding()
        for name in self._names:
            tensor = inputs[self._order[name]].detach()
            self._binding.bind_input(name, "cpu", 0, *_shape(tensor))
        for place, output in enumerate(self._session.get_outputs()):
            if self._outputs:
                self._binding.bind_output(output.name, "cpu", 0, *_shape(self._outputs[place]))
            else:
                self._binding.bind_output(output.name, "cpu")


def _shape(tensor: Tensor) -> tuple[Any, list[int], int]:
    """Element type, shape and address, as a binding wants them."""
    if not tensor.is_contiguous():
        raise Unsupported("an input has strides of its own, which a binding does not know")
    return tensor.numpy().dtype.type, list(tensor.shape), tensor.data_ptr()


def _static_outputs(session: Any) -> list[Tensor]:
    """Memory for the outputs; none if their shapes depend on the values of the inputs."""
    outputs = session.get_outputs()
    if not all(
        one.type in _TYPES and all(isinstance(n, int) for n in one.shape) for one in outputs
    ):
        return []
    return [torch.empty(one.shape, dtype=_TYPES[one.type]) for one in outputs]
