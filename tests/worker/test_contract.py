"""The real worker and the one that pretends answer every task and command alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cnnbench import requests
from cnnbench.environment import Environment
from cnnbench.errors import UsageError, WorkerRaised
from cnnbench.facts import Reference
from cnnbench.messages import Request
from cnnbench.plan import Plan
from cnnbench.prediction.operators import OperatorCall, TensorLayout
from cnnbench.requests import REQUESTS
from cnnbench.runner.fake import ANSWERS, Fake
from cnnbench.runner.inquiry import tell
from cnnbench.runner.origin import Origin
from cnnbench.runner.process import Processes
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker.tasks import TASKS

FAULTS = Path(__file__).parents[1] / "faults"
PLAN = Plan(warm_up_calls=2, warm_up_seconds=0.0)
SPEC = Spec(Workload("bad_networks:fine", 2, (3, 16, 16)), Mode(), Device(), 1)
LAYER = Spec.parse("conv:k4-3x3-p1/inference-b1-3x8x8/impl=im2col/cpu-t1")

CALL = OperatorCall("aten::relu", (TensorLayout((8,), (1,), "float32"),))


def conversations(folder: Path, known: Reference | None = None) -> dict[str, list[Request[Any]]]:
    """A task, and the commands that follow it, for every task that there is."""
    path = str(folder / "reference.npz")
    counted = {"batch": 2, "phase": "finetune", "optimizer": "adam", "shape": (3, 16, 16)}
    every: list[list[Request[Any]]] = [
        [requests.Describe()],
        [requests.Resolve(name="bad_networks:fine")],
        [requests.FindCode(name="bad_networks:fine")],
        [requests.ListTimm(pattern="timm:vit_tiny_*", built=True)],
        [requests.Fits(shapes={"lenet": (3, 32, 32)})],
        [requests.CountImages(directory=str(folder))],
        [requests.CountCost.planned(SPEC, PLAN)],
        [requests.ReportCost(name="bad_networks:fine", rows=True, crosscheck=True, **counted)],
        [requests.TakeGradients(name="bad_networks:fine", batch=2, seed=0, shape=(3, 16, 16))],
        [requests.ComputeReference.planned(SPEC, PLAN, reference_path=path, float64=True)],
        [requests.MeasureMemory.planned(SPEC, PLAN), requests.TakeStructure()],
        [requests.PrepareColdStart.planned(SPEC, PLAN, place=str(folder / "cold"))],
        [
            requests.MeasureLatency.planned(
                SPEC, PLAN, round=1, ensemble="e", reference=known, reference_path=path
            ),
            requests.TakeSlice(turn=0, seconds=0.002),
            requests.TakeSlice(turn=1, seconds=0.002, move=True),
            requests.Finish(),
        ],
        [requests.TraceStep.planned(SPEC, PLAN, trace_folder=str(folder), steps=2, stacks=False)],
        [requests.TimeLayers.planned(SPEC, PLAN, seconds=0.01)],
        [
            requests.ClockModules.planned(SPEC, PLAN),
            requests.TakeClocks(turn=0, seconds=0.002),
            requests.TakeClocks(turn=1, seconds=0.002, move=True),
        ],
        [requests.DescribeModules.planned(SPEC, PLAN)],
        [requests.TakeValues.planned(SPEC, PLAN)],
        [requests.ListPrimitives.planned(SPEC, PLAN)],
        [requests.CountLayers.planned(SPEC, PLAN)],
        [requests.MeasureClock.planned(SPEC, PLAN)],
        [requests.TryBatch.planned(SPEC, PLAN)],
        [requests.ProbeCeilings(device="cpu", threads=1)],
        [requests.AskRoom(device="cpu")],
        [requests.ExtractLayers(name="unet")],
        [requests.DescribeAlgorithm.planned(LAYER, PLAN)],
        [requests.CheckApplicability(specs=(LAYER.id,))],
        [requests.TraceOperators.planned(SPEC, PLAN)],
        [requests.TraceEach(specs=(SPEC.id,), seed=0, most_macs=None)],
        [requests.TimeOperators(calls=(CALL.text,), threads=1)],
    ]
    return {one[0].task: one for one in every}


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """Of the two executors; one starter serves all tests."""
    folder = tmp_path_factory.mktemp("scratch")
    with Processes(Origin(folder=str(FAULTS))).open(folder) as real, Fake().open(folder) as fake:
        yield real, fake


def answers(pool: Any, conversation: list[Request[Any]]) -> list[Any]:
    """One worker's, decoded to what each request declares."""
    worker = pool.start()
    try:
        return [tell(worker, request, 120.0) for request in conversation]
    finally:
        worker.close()


NOTHING = "nothing in it"

# What the real worker says and the one that pretends does not, by task; some only on some machines.
NOT_PRETENDED: dict[str, tuple[str, ...]] = {
    "analyze": (
        ".activation_peak_bytes", ".memory_peak_bytes", ".auxiliary_params", ".bias_adds",
        ".elementwise_flops",
    ),
    "cost": (".ops[].field",),
    "reference": (".picture_share", ".pictures",),
    "memory": (".cpu_high_water_bytes",),
    "values": (".initial", ".outputs"),
    "measure": (
        ".check.error_centred", ".process_peak_bytes", ".slices.involuntary",
        ".slices.minor_faults", ".slices.others_ns", ".slices.run_delay_ns", ".slices.steal_ns",
        ".slices.threads_delay_ns",
    ),
    "ceilings": (".run_delay_share",),
}  # fmt: skip


def told(value: Any, path: str = "") -> dict[str, str]:
    """Place -> type of everything that is set; items of a list or mapping share a place."""
    if isinstance(value, Environment):
        parts: list[tuple[str, Any]] = []  # whatever a machine says of itself
    elif dataclasses.is_dataclass(value):
        parts = [(f"{path}.{one.name}", getattr(value, one.name)) for one in _fields(value)]
    elif isinstance(value, Mapping):
        parts = [(f"{path}[]", part) for part in value.values()]
    elif isinstance(value, tuple):
        parts = [(f"{path}[]", part) for part in value]
    else:
        return {} if value is None else {path: type(value).__name__}
    own = {path: type(value).__name__}
    if value in ((), {}):
        own[f"{path}["] = NOTHING
    return own | {place: kind for where, part in parts for place, kind in told(part, where).items()}


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value)


def test_there_is_a_conversation_about_every_request(tmp_path: Path) -> None:
    told_of = {type(one) for many in conversations(tmp_path).values() for one in many}

    assert told_of == set(REQUESTS)
    assert set(TASKS) == set(ANSWERS) == {kind for kind in REQUESTS if kind.key == "task"}


def differing(known: dict[str, str], said: dict[str, str]) -> set[str]:
    """Places of ``said`` that ``known`` lacks or fills with another type."""
    empty = tuple(place for place, kind in known.items() if kind == NOTHING)
    return {
        place
        for place, kind in said.items()
        if kind != NOTHING and not place.startswith(empty) and known.get(place) != kind
    }


@pytest.fixture(scope="module")
def reference(pools, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reference]:
    """Of a real worker, and the folder where its outputs lie, with a picture."""
    folder = tmp_path_factory.mktemp("reference")
    Image.new("RGB", (8, 8)).save(folder / "one.png")
    (known,) = answers(pools[0], conversations(folder)["reference"])
    return folder, known


@pytest.mark.parametrize(
    ("task", "checked"),
    [*((kind.task, True) for kind in REQUESTS if kind.key == "task"), ("measure", False)],
)
def test_both_answer_alike(pools, reference, task: str, checked: bool) -> None:
    if task == requests.ListTimm.task:
        pytest.importorskip("timm")
    folder, known = reference
    conversation = conversations(folder, known if checked else None)[task]
    real, fake = (answers(pool, conversation) for pool in pools)

    for one, other in zip(real, fake, strict=True):
        assert differing(told(one), told(other)) == set(), "the fake says what no worker says"
        gaps = differing(told(other), told(one))
        allowed = NOT_PRETENDED.get(task, ())
        assert {place for place in gaps if not place.startswith(allowed)} == set()


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"task": "mesure"}, "unknown task 'mesure'; did you mean measure"),
        ({"task": "memory", "spec": "a", "seed": "0"}, "memory.seed: expected int, found str"),
    ],
)
def test_what_neither_understands_is_one_line(pools, message: dict[str, Any], said: str) -> None:
    real, fake = pools

    with pytest.raises(WorkerRaised, match=f"^{said}"):
        real.start().ask(message, 60.0)
    with pytest.raises(UsageError, match=f"^{said}"):
        fake.start().ask(message, 60.0)


def test_weights_are_called_random_where_they_could_not_be_calibrated(pools, tmp_path) -> None:
    request = requests.ComputeReference.planned(
        SPEC, PLAN, reference_path=str(tmp_path / "reference.npz"), float64=False
    )
    given = dataclasses.replace(request, calibrate=str(tmp_path / "weights.npz"))

    found = [answers(pools[0], [one])[0].weights for one in (request, given)]

    assert found == ["random", "calibrated"]
