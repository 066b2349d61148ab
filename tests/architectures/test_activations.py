"""Networks that differ in their activation function: names, cost, and what training keeps."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import cnnbench
from cnnbench import architectures, catalogue
from cnnbench.architectures import activations
from cnnbench.errors import UnknownName

NAMES = catalogue.select([f"{catalogue.ACTIVATION}*"])


def module(name: str) -> nn.Module:
    torch.manual_seed(0)
    return architectures.build(architectures.resolve(f"{catalogue.ACTIVATION}{name}"))


def test_the_names_that_need_no_torch_are_those_of_the_table() -> None:
    assert tuple(activations.TABLE) == catalogue.ACTIVATIONS
    assert not {*NAMES} & {*catalogue.select(["all"])}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_listed_is_what_is_built(name: str) -> None:
    row, built = catalogue.entry(name), architectures.resolve(name)

    for fact in ("name", "family", "task", "input", "min_size", "tags", "source"):
        assert getattr(row, fact) == getattr(built, fact)
    assert architectures.build(built)(torch.rand(2, 3, 4, 4)).shape == (2, 10)


def test_an_unknown_function_is_refused_on_both_sides() -> None:
    for refuse in (lambda name: catalogue.select([name]), architectures.resolve):
        with pytest.raises(UnknownName, match=r"activation function 'rellu'.* relu"):
            refuse("activation:rellu")


def test_maxout_is_the_larger_of_two_maps_and_costs_twice_the_convolutions() -> None:
    pairs = torch.tensor([1.0, -2.0, 3.0, -4.0]).reshape(1, 4, 1, 1)
    plain, doubled = (
        cnnbench.cost(module(name), torch.rand(1, 3, 32, 32)) for name in ("relu", "maxout")
    )

    assert activations.Maxout()(pairs).flatten().tolist() == [3.0, -2.0]
    head = 128 * 10
    assert doubled.macs - head == 2 * (plain.macs - head)


def test_the_function_is_all_that_differs() -> None:
    counts = {
        name: sum(one.numel() for one in module(name).parameters())
        for name in catalogue.ACTIVATIONS
    }

    usual = counts["relu"]
    assert {name: n - usual for name, n in counts.items() if n != usual} == {
        "prelu": 2 * (32 + 64 + 128), "maxout": usual - (128 * 10 + 10),
    }  # fmt: skip


def test_functions_of_their_result_keep_nothing_and_others_keep_their_input(cnnbench_cli) -> None:
    found = json.loads(cnnbench_cli("cost", "activation:*", "--phase", "training", "--json").stdout)
    saved = {one["name"].removeprefix("activation:"): one["memory"]["saved"] for one in found}

    # The next layer keeps the result of a function anyway.
    results = ("relu", "relu_in_place", "tanh", "sigmoid")
    inputs = ("leaky_relu", "elu", "gelu", "silu", "mish", "hardswish")
    assert len({saved[name] for name in results}) == 1
    assert len({saved[name] for name in inputs}) == 1
    maps, last = 4 * 2 * (32 * 32**2 + 64 * 16**2 + 128 * 8**2), 4 * 128 * 8**2
    # Nothing but the function keeps the last result.
    assert saved["gelu"] - saved["relu"] == maps - last
