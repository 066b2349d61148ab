"""Fresh processes from their start to their first answer, for real and as they are refused."""

from __future__ import annotations

import importlib.metadata
import json
import os
from pathlib import Path

import pytest

from cnnbench.architectures.sources import ENTRY_POINTS
from cnnbench.errors import WorkerError
from cnnbench.facts import ColdStart
from cnnbench.plan import Plan
from cnnbench.requests import PrepareColdStart
from cnnbench.runner.executor import AnyPool
from cnnbench.runner.inquiry import ask, asking
from cnnbench.runner.process import Processes
from cnnbench.spec import Spec
from cnnbench.worker.cold_start import libraries

pytestmark = pytest.mark.torch
LENET = "lenet/inference-b1-3x32x32/eager/cpu-t1"


def prepared(pool: AnyPool, name: str, folder: Path) -> str:
    spec = Spec.parse(name)
    kept = str(folder / "kept") if spec.mode.kept else None
    request = PrepareColdStart.planned(spec, Plan(), place=str(folder / "cold"), compile_cache=kept)
    return ask(pool, request, 120.0)


def test_every_part_takes_its_time_and_importing_takes_the_most(tmp_path: Path) -> None:
    with asking(Processes()) as pool:
        order = prepared(pool, LENET, tmp_path)
        found = ColdStart.of([pool.first_answer(order, 120.0) for _ in range(2)])

    assert all(len(part) == 2 and min(part) > 0 for part in found.parts)
    assert min(found.import_ns) > max(found.load_ns)
    # Importing torch takes a second, whatever the machine; what only a benchmark imports is left
    # out, and would be seen where the network is loaded.
    assert max(found.python_ns) < min(found.import_ns)
    told = json.loads(Path(order).read_text())
    assert told["libraries"] == ["torch"]
    assert told["environ"]["PATH"] == os.environ["PATH"]
    assert Path(told["weights"]).stat().st_size > 4 * 60_000


def test_a_process_without_an_answer_says_why_in_a_line(tmp_path: Path) -> None:
    with asking(Processes()) as pool:
        order = prepared(pool, LENET, tmp_path)
        told = json.loads(Path(order).read_text())
        Path(order).write_text(json.dumps({**told, "libraries": ["no_such_library"]}))

        with pytest.raises(WorkerError, match=r"no first answer: ModuleNotFoundError.*no_such_lib"):
            pool.first_answer(order, 120.0)
        with pytest.raises(WorkerError, match=r"no first answer within 0\.001 s; raise --timeout"):
            pool.first_answer(order, 0.001)


def test_a_training_step_and_a_layer_have_none(tmp_path: Path) -> None:
    with asking(Processes()) as pool:
        for name, said in (
            ("lenet/training-b2-3x32x32/eager/cpu-t1", "of inference only"),
            ("conv:k4-3x3-p1/inference-b1-3x8x8/eager/cpu-t1", "a single layer is not deployed"),
        ):
            with pytest.raises(WorkerError, match=said):
                prepared(pool, name, tmp_path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (LENET, ["torch"]),
        ("resnet18/inference-b1-3x224x224/compile/cpu-t1", ["torch", "torchvision"]),
        ("timm:resnet18/inference-b1-3x224x224/eager/cpu-t1", ["torch", "timm"]),
        ("mypkg.nets:tiny/inference-b1-3x8x8/eager/cpu-t1", ["torch", "mypkg.nets"]),
        ("resnet18/inference-b1-3x224x224/onnxruntime/cpu-t1", ["onnxruntime"]),
        ("resnet18/inference-b1-3x224x224/openvino/cpu-t1", ["openvino"]),
        ("resnet18/inference-b1-3x224x224/aoti/cpu-t1", ["torch"]),
    ],
)
def test_what_a_deployed_process_imports(name: str, found: list[str]) -> None:
    assert libraries(Spec.parse(name)) == found


def test_a_deployed_process_imports_the_module_behind_an_entry_point(monkeypatch) -> None:
    offered = importlib.metadata.EntryPoint("their_net", "theirs.nets:build", ENTRY_POINTS)
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda name, **_: [offered] * (name == offered.name)
    )

    assert libraries(Spec.parse("their_net/inference-b1-3x8x8/eager/cpu-t1")) == [
        "torch", "theirs.nets"
    ]  # fmt: skip
