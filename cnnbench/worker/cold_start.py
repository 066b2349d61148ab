"""What a fresh process finds that is timed from its start to its first answer, and what it does.

A worker is forked from a process that has imported everything, so a cold start is measured in
processes of their own (``first_answer``), which the runner starts. A worker first makes what they
find: the weights in a file, the compiler's cache, or the artefact of a deployment runtime.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cnnbench import architectures, catalogue
from cnnbench.architectures import sources
from cnnbench.asking import CALIBRATED, RANDOM
from cnnbench.conv.problem import is_conv
from cnnbench.deployment import NEEDS
from cnnbench.errors import Unsupported
from cnnbench.spec import Spec
from cnnbench.worker import build, compiling, modes, weights
from cnnbench.worker.devices import open_device
from cnnbench.worker.runtimes import TABLE, deployed

if TYPE_CHECKING:
    from cnnbench.requests import PrepareColdStart
    from cnnbench.worker.talk import Talk

Order = Mapping[str, Any]


def prepare(request: PrepareColdStart, talk: Talk) -> None:
    """Make what a process needs, and leave the order for it beside that."""
    spec = Spec.parse(request.spec)
    refuse(spec)
    modes.set_flags(spec.mode, spec.threads, cudnn_benchmark=request.cudnn_benchmark)
    compiling.compile_cache(request.compile_cache)
    compiling.compile_here(spec.mode, spec.device)
    device = open_device(spec.device)
    talk.enter("build (cold start)")
    step = build.built(spec, request.seed, request.weights)
    talk.enter("first call (cold start)")
    step.call()
    device.synchronize()
    compiling.done_compiling(spec.mode)
    folder = Path(request.place)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "order.json"
    path.write_text(json.dumps(_order(request, spec, step, folder)), encoding="utf8")
    talk.answer(str(path))


def refuse(spec: Spec) -> None:
    """Refuse what has no first answer.

    Raises:
        Unsupported: it is no inference of a network.
    """
    if spec.workload.phase != "inference":
        raise Unsupported("a cold start ends with the first answer, so it is of inference only")
    if is_conv(spec.workload.architecture):
        raise Unsupported("a single layer is not deployed, so it has no cold start")


def _order(request: PrepareColdStart, spec: Spec, step: build.Step, folder: Path) -> dict[str, Any]:
    """What a process is told, with what it reads beside it."""
    order: dict[str, Any] = {
        "spec": spec.id,
        "seed": request.seed,
        "cudnn_benchmark": request.cudnn_benchmark,
        "compile_cache": request.compile_cache,
        "libraries": libraries(spec),
        "absent": [name for name, module in sys.modules.items() if module is None],
        "path": sys.path,
        # With what keeps a runtime from reporting to its makers.
        "environ": dict(os.environ),
        "answer": str(folder / "answer.json"),
    }
    if spec.mode.runtime:
        assert isinstance(step.call, deployed.Deployed)  # noqa: S101 - what a runtime's step calls
        place, names = step.call.kept()
        order |= {"artefact": str(place), "names": names, "inputs": str(folder / "inputs.pt")}
        torch.save([one.clone() for one in step.given.tensors], order["inputs"])
    elif weights.kind(spec.workload) in {CALIBRATED, RANDOM}:
        # Others come out of a file anyway.
        order["weights"] = str(folder / "weights.pt")
        torch.save(step.module.state_dict(), order["weights"])
    return order


def libraries(spec: Spec) -> list[str]:
    """What a deployed process imports: torch and the package of the network, or the runtime."""
    if spec.mode.runtime:
        return list(NEEDS[spec.mode.runtime].imports)
    name = spec.workload.architecture
    entry = catalogue.known(name)
    package = sources.module_of(name) if entry is None else entry.source
    return ["torch", *([] if package == "cnnbench" else [package])]


def loading(order: Order) -> Callable[[], Callable[[], Any]]:
    """In the fresh process: what loads the network, and returns what calls it.

    What only a benchmark does is over when this returns.
    """
    spec = Spec.parse(order["spec"])
    compiling.compile_cache(order["compile_cache"])
    compiling.compile_here(spec.mode, spec.device)
    modes.set_flags(spec.mode, spec.threads, cudnn_benchmark=order["cudnn_benchmark"])
    if spec.mode.runtime:
        return _loading_artefact(spec, order)
    architectures.catalogue()
    device = open_device(spec.device)

    def load() -> Callable[[], Any]:
        architecture, module = build.construct(spec.workload, order["seed"])
        if "weights" in order:
            module.load_state_dict(torch.load(order["weights"], weights_only=True))
        step = build.step(spec, architecture, module, order["seed"])

        def call() -> None:
            step.call()
            device.synchronize()

        return call

    return load


def _loading_artefact(spec: Spec, order: Order) -> Callable[[], Callable[[], Any]]:
    runtime, place = TABLE[spec.mode.runtime], Path(order["artefact"])
    runtime.version()
    inputs = torch.load(order["inputs"], weights_only=True)
    asked = deployed.order(spec, inputs)

    def load() -> Callable[[], Any]:
        opened = runtime.open(place, asked, order["names"])
        return lambda: opened.run(inputs)

    return load
