"""Names that are not in the catalogue."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys

import pytest
import torch
from torch import nn

from cnnbench import architectures
from cnnbench.architectures import sources
from cnnbench.architectures.registry import Architecture
from cnnbench.errors import UnknownName, Unsupported, UsageError

MODULE = """
import torch
from torch import nn
from cnnbench.architectures.registry import Architecture

def tiny(num_classes=10):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(num_classes))

def needs_width(width):
    return nn.Linear(width, 1)

def returns_text():
    return "resnet"

class Nested:
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 8, 1)
        def forward(self, x):
            return self.layer(x).mean((2, 3))

a_network = nn.Linear(2, 2)
a_number = 7
described = Architecture("x", "Mine", "classification", (1, 8, 8), nn.Flatten, year=2024)
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A module of the user's own, importable as ``mynets_for_test``."""
    (tmp_path / "mynets_for_test.py").write_text(MODULE)
    (tmp_path / "broken_for_test.py").write_text("import a_package_that_is_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "mynets_for_test"
    for name in ("mynets_for_test", "broken_for_test"):
        sys.modules.pop(name, None)


def test_a_factory_of_the_users_own_is_built_with_its_lazy_layers_in_shape(nets):
    architecture = architectures.resolve(f"{nets}:tiny")
    module = architectures.build(architecture, num_classes=3)

    assert (architecture.task, architecture.input) == ("any", (3, 224, 224))
    assert architecture.source == "user"
    assert module.training
    assert module[-1].weight.shape == (3, 4 * 222 * 222)


def test_nothing_is_imported_before_a_name_asks_for_it(nets):
    architectures.resolve("lenet")

    assert nets not in sys.modules


def test_a_class_inside_a_class_is_a_factory(nets):
    module = architectures.build(architectures.resolve(f"{nets}:Nested.Net"))

    assert module(torch.zeros(1, 3, 4, 4)).shape == (1, 8)


def test_an_architecture_of_the_users_keeps_its_facts(nets):
    architecture = architectures.resolve(f"{nets}:described")

    assert architecture.name == f"{nets}:described"
    assert (architecture.family, architecture.year, architecture.input) == ("Mine", 2024, (1, 8, 8))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mynets_for_test:nope", "has no 'nope'"),
        ("mynets_for_test:a_number", "is of type int, not a function"),
        ("mynets_for_test:a_network", "is of type Linear, not a function"),
        ("no_such_module_for_test:net", "no module 'no_such_module_for_test'"),
        ("mynets_for_test.sub:net", "no module 'mynets_for_test.sub'"),
        ("broken_for_test:net", "needs a_package_that_is_missing"),
        (":net", "package.module:factory"),
        ("mynets_for_test:", "package.module:factory"),
    ],
)
def test_what_cannot_be_imported_is_one_line(nets, name, message):
    with pytest.raises(UsageError, match=message) as caught:
        architectures.resolve(name)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [("returns_text", "returned str"), ("needs_width", "missing a required argument: 'width'")],
)
def test_what_cannot_be_built_is_one_line(nets, attribute, message):
    architecture = architectures.resolve(f"{nets}:{attribute}")

    with pytest.raises(UsageError, match=message):
        architectures.build(architecture)


def test_an_unknown_name_offers_the_closest():
    with pytest.raises(UnknownName, match="resnet18"):
        architectures.resolve("resnt18")


def test_timm_missing_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)

    with pytest.raises(Unsupported, match=r"pip install 'cnnbench\[timm\]'"):
        architectures.resolve("timm:resnet50d")


def test_timm_models_have_their_own_input_size():
    pytest.importorskip("timm")

    architecture = architectures.resolve("timm:inception_v4")
    module = architectures.build(architecture, num_classes=7, in_channels=1)

    assert architecture.input == (3, 299, 299)
    assert architecture.source.startswith("timm ")
    assert module.eval()(torch.zeros(1, 1, 107, 107)).shape == (1, 7)


def test_an_unknown_timm_model_offers_the_closest():
    pytest.importorskip("timm")

    with pytest.raises(UnknownName, match="resnet50d"):
        architectures.resolve("timm:resnet5d")


class Point:
    """An entry point, as far as it is looked at."""

    def __init__(self, name, target):
        self.name, self.target, self.dist, self.loaded = name, target, None, 0

    def load(self):
        self.loaded += 1
        return self.target


@pytest.fixture
def points(monkeypatch):
    """Two entry points of another package."""
    offered = [
        Point("their_net", lambda: nn.Conv2d(3, 1, 1)),
        Point("their_facts", Architecture("?", "Theirs", "segmentation", (3, 8, 8), nn.Identity)),
    ]

    def entry_points(group, name=None):
        assert group == "cnnbench.architectures"
        return [point for point in offered if name in (None, point.name)]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    return offered


def test_other_packages_offer_architectures_by_entry_point(points):
    net, facts = (architectures.resolve(point.name) for point in points)

    assert isinstance(architectures.build(net), nn.Conv2d)
    assert (facts.name, facts.family, facts.task) == ("their_facts", "Theirs", "segmentation")
    assert sources.entry_point_names() == ["their_facts", "their_net"]


def test_entry_points_are_loaded_only_for_names_that_are_not_built_in(points):
    architectures.resolve("lenet")
    with pytest.raises(UnknownName, match="their_net"):
        architectures.resolve("their_nte")

    assert [point.loaded for point in points] == [0, 0]
