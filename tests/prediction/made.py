"""Tables and networks of known times."""

from __future__ import annotations

from cnnbench.environment import Environment
from cnnbench.prediction.operators import OperatorCall, OperatorTrace, TensorLayout, TracedCall
from cnnbench.prediction.table import MeasuredNetwork, TimedOperator

ENVIRONMENT = Environment({"cpu": "A Processor", "torch": {"version": "2.14.0"}})


def call(elements: int, operator: str = "aten::relu") -> OperatorCall:
    return OperatorCall(operator, (TensorLayout((elements,), (1,), "float32"),))


def timed(elements: int, seconds: float, operator: str = "aten::relu") -> TimedOperator:
    return TimedOperator(call(elements, operator).text, 1, seconds, 0, 4 * elements)


def traced(*elements: int, operator: str = "aten::relu", light: int = 0) -> OperatorTrace:
    calls = tuple(TracedCall(call(one, operator).text, 2, 0, 4 * one) for one in elements)
    return OperatorTrace(calls, light)


def network(
    name: str, seconds: float, alone: float, calls: int = 10, held: int = 0, moved: int = 0
) -> MeasuredNetwork:
    spec = f"{name}/inference-b1-3x224x224/eager/cpu-t1"
    return MeasuredNetwork(spec, name.partition("_")[0], seconds, alone, calls, held, moved)
