"""Convolutions of a network computed by implementations: same output, and only where asked."""

from __future__ import annotations

import pytest
import torch

from cnnbench.errors import Unsupported
from cnnbench.spec import Spec
from cnnbench.worker import build
from cnnbench.worker.convolution import Implemented

NET = "resnet18/inference-b1-3x64x64"
FIRST = "64x16x16-k64-3x3-p1"


def output(text: str) -> tuple[torch.Tensor, list[str]]:
    spec = Spec.parse(f"{NET}/{text}/cpu-t1")
    architecture, module = build.construct(spec.workload, 0)
    step = build.step(spec, architecture, module, 0)
    changed = [one.how.name for one in step.module.modules() if isinstance(one, Implemented)]
    return step.call(), changed


def test_the_layers_named_are_computed_otherwise_with_the_same_result() -> None:
    plain, none = output("eager")
    ours, changed = output(f"impl=im2col@{FIRST};winograd_f2@128x8x8-k128-3x3-p1")

    # Two blocks of two, and the three of the second stage that do not stride.
    assert none == []
    assert changed == ["im2col"] * 4 + ["winograd_f2"] * 3
    torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-4)


def test_a_change_goes_with_a_memory_format() -> None:
    plain, _ = output("eager")
    ours, changed = output(f"impl=im2col_nhwc@{FIRST}+channels_last")

    assert changed == ["im2col_nhwc"] * 4
    torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("impl=im2col@3x3x3-k1-3x3", "has no layer 3x3x3-k1-3x3"),
        (f"impl=matmul_1x1@{FIRST}", "needs a 1x1 kernel"),
        (f"impl=native@{FIRST}", "global flags"),
        (f"impl=im2col@{FIRST}+amp=bf16", "no autocast"),
    ],
)
def test_what_cannot_be_changed_says_why(text: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        output(text)


def test_a_single_layer_takes_no_list_of_layers() -> None:
    spec = Spec.parse(f"conv:k8-3x3-p1/inference-b1-8x8x8/impl=im2col@{FIRST}/cpu-t1")
    architecture, module = build.construct(spec.workload, 0)

    with pytest.raises(Unsupported, match="for networks"):
        build.step(spec, architecture, module, 0)
