"""The convolutions of a network, each once with its count; nothing is run.

``python -m cnnbench.worker.layers`` writes the suites of layers that are named after networks.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench import analysis, architectures
from cnnbench.conv.layers import ConvLayer, Extraction, Suite, merged, to_toml
from cnnbench.conv.problem import ConvProblem
from cnnbench.spec import Workload
from cnnbench.worker import inputs, inquiry

if TYPE_CHECKING:
    from cnnbench.requests import ExtractLayers
    from cnnbench.worker.talk import Talk

# Extracted suites: name -> architecture.
GENERATED = {
    "resnet50": "resnet50",
    "vgg16": "vgg16",
    "googlenet": "googlenet",
    "inception_v3": "inception_v3",
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3": "mobilenet_v3_large",
    "shufflenet": "shufflenet_v2_x1_0",
    "resnext": "resnext50_32x4d",
}


def layers(request: ExtractLayers, talk: Talk) -> None:
    """The convolutions of one architecture at a sample shape."""
    architecture, workload, construct = inquiry.prepared(request, talk)
    module = analysis.build_on_meta(construct)
    talk.enter("layers")
    dtype = inputs.dtype_for(module)
    given = inputs.made(architecture, workload, 0, dtype=dtype, values=False)
    talk.answer(extract(analysis.analyze(module, *given, name=request.name, own=True)))


def extract(found: analysis.Analysis) -> Extraction:
    """The two-dimensional convolutions of an analysed network of batch 1.

    A layer inside that gets another batch size (crops of a detector) is taken with batch 1.
    """
    taken: list[ConvLayer] = []
    left_out: dict[str, int] = {}
    macs = 0
    for call in analysis.convolutions(found):
        other = _other(call)
        if other:
            left_out[other] = left_out.get(other, 0) + 1
            continue
        macs += call.macs
        problem = _problem(call)
        samples = problem.n
        taken.append(
            ConvLayer(problem.architecture, problem.input_shape[1:], samples, (call.layer,))
        )
    return Extraction(merged(taken), left_out, macs, found.macs)


def _other(call: analysis.Convolution) -> str:
    """Why a convolution is not a layer of the lab; empty if it is one."""
    axes = len(call.kernel)
    size = "x".join(map(str, call.kernel))
    kind = " transposed" if call.transposed else ""
    return "" if axes == 2 else f"{axes}-dimensional{kind} {size}"


def _problem(call: analysis.Convolution) -> ConvProblem:
    n, c, h, w = call.input if len(call.input) == 4 else (1, *call.input)
    (r, s), (down, right) = call.kernel, call.stride
    (above, beside), (rows, columns) = call.padding, call.dilation
    return ConvProblem(
        n, c, h, w, call.channels, r, s, (down, right), (above, beside), (rows, columns),
        call.groups, transposed=call.transposed,
        output_padding=(call.output_padding[0], call.output_padding[1]),
    )  # fmt: skip


def suite_of(name: str) -> Suite:
    """A suite that is named after a network, extracted again."""
    architecture = architectures.resolve(GENERATED[name])
    module = analysis.build_on_meta(functools.partial(architectures.build, architecture))
    given = inputs.made(architecture, Workload(name, 1, architecture.input), 0, values=False)
    found = extract(analysis.analyze(module, *given, own=True))
    shape = "x".join(map(str, architecture.input))
    home = architecture.source.split()[0]
    return Suite(
        name,
        f"every convolution of {architecture.name} at {shape}, with its count",
        f"extracted from {architecture.name} ({home}); {architecture.paper}",
        found.layers,
    )


if __name__ == "__main__":
    folder = Path(__file__).resolve().parent.parent / "suites" / "conv"
    for name in GENERATED:
        (folder / f"{name}.toml").write_text(to_toml(suite_of(name)), encoding="utf8")
