"""What was predicted of the specs of a job, and from what."""

from __future__ import annotations

from dataclasses import dataclass

from cnnbench.environment import Environment
from cnnbench.prediction.model import LatencyPrediction, Model


@dataclass(frozen=True)
class PredictedRow:
    """What is predicted of a spec.

    Attributes:
        spec: its id.
        prediction: ``None`` if there is none.
        why: there is none.
    """

    spec: str
    prediction: LatencyPrediction | None = None
    why: str = ""


@dataclass(frozen=True)
class Predictions:
    """The result for a job.

    Attributes:
        rows: one per spec, in order.
        fitted: the model; ``None`` if there is none.
        environment: whose latencies these are.
        here: it is the one of the job.
        table: the file of what was timed there.
        operators, networks: timed and measured for this job.
        seconds: that this took.
        problems: lines for people about what could not be read, or timed.
    """

    rows: tuple[PredictedRow, ...]
    fitted: Model | None
    environment: Environment
    here: bool
    table: str
    operators: int = 0
    networks: int = 0
    seconds: float = 0.0
    problems: tuple[str, ...] = ()
