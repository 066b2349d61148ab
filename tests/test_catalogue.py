"""The catalogue as data: current, selected by name, glob, tag and family, and free of torch."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources

import pytest

from cnnbench import catalogue
from cnnbench.errors import UnknownName

QUICK = {"lenet", "cifar_cnn", "squeezenet1_1", "mobilenet_v3_small", "resnet18"}


@pytest.mark.torch
def test_the_file_is_what_the_code_generates():
    import torchvision

    from cnnbench.architectures import export

    old = json.loads(resources.files("cnnbench").joinpath("catalogue.json").read_text("utf-8"))
    new = json.loads(export.text())

    if old["torchvision"] != torchvision.__version__.split("+")[0]:
        # Another torchvision may know more models or other numbers.
        for data in (old, new):
            rows = data["architectures"]
            data["architectures"] = [row for row in rows if row["source"] == "cnnbench"]
    assert new["architectures"] == old["architectures"], "run python -m cnnbench.architectures"


def test_what_is_published_is_near_what_is_counted_except_for_the_boxes_of_detectors():
    stated = {row.name: row for row in catalogue.entries() if row.published_macs}

    apart = {name for name, row in stated.items() if abs(row.macs / row.published_macs - 1) > 0.02}

    assert len(stated) >= 121
    assert apart == {
        "fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "keypointrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2",
    }  # fmt: skip


def test_it_is_read_without_torch():
    code = "import sys, cnnbench.catalogue as c; c.select(['all']); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "False\n"


def test_names_are_sorted_and_unique():
    names = [row.name for row in catalogue.entries()]

    assert names == sorted(set(names))
    assert len(names) > 170


def test_an_entry_has_its_facts():
    row = catalogue.entry("resnet50")

    assert (row.family, row.task, row.year, row.paper) == (
        "ResNet", "classification", 2015, "arXiv:1512.03385"
    )  # fmt: skip
    assert (row.input, row.params) == ((3, 224, 224), 25_557_032)
    assert (row.macs, row.published_macs) == (4_089_184_256, 4_089_000_000)
    assert row.top1 == pytest.approx(80.858)
    assert (row.min_size, row.source) == (1, "torchvision")
    assert "imagenet" in row.tags


# The depth that is part of a name, or that its paper states.
DEPTHS = {
    **{f"vgg{depth}": depth for depth in (11, 13, 16, 19)},
    **{f"resnet{depth}": depth for depth in (18, 34, 50, 101, 152)},
    **{f"preact_resnet{depth}": depth for depth in (18, 34, 50, 101, 152, 200)},
    **{f"resnet{depth}_cifar": depth for depth in (20, 32, 44, 56, 110)},
    **{f"densenet{depth}": depth for depth in (121, 161, 169, 201)},
    "lenet": 5, "lenet5_tanh": 5, "alexnet": 8, "alexnet_2012": 8, "zfnet": 8,
    "googlenet": 22, "mobilenet_v1_100": 28, "wide_resnet50_2": 50, "bit_resnet152x4": 152,
    "vit_b_16": 1 + 12 * 4 + 1,
}  # fmt: skip


def test_depths_are_those_of_the_names_and_papers():
    known = {row.name: row.depth for row in catalogue.entries()}

    assert {name: known[name] for name in DEPTHS} == DEPTHS
    assert all(depth is not None and depth > 0 for depth in known.values())


def test_an_accuracy_of_trained_weights_has_their_name_and_one_of_a_paper_has_none():
    rows = catalogue.entries()

    assert {row.source for row in rows if row.weights} == {"torchvision"}
    assert all((row.top5 is None) == (row.weights is None) for row in rows)
    assert all(row.top1 < row.top5 < 100 for row in rows if row.top1 and row.top5)


def test_every_entry_is_complete():
    for row in catalogue.entries():
        assert row.family
        assert row.task
        assert row.paper, row.name
        assert row.params > 0
        assert row.macs is None or row.macs > 0
        assert row.tags


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["lenet"], ["lenet"]),
        (["vgg1?"], ["vgg11", "vgg13", "vgg16", "vgg19"]),
        (["lenet", "vgg16", "lenet"], ["lenet", "vgg16"]),
        (["family:highway"], ["highway_cifar"]),
        (["family:U-Net", "alexnet"], ["unet", "alexnet"]),
        (["timm:resnet50d", "pkg.nets:tiny"], ["timm:resnet50d", "pkg.nets:tiny"]),
        ([], []),
    ],
)
def test_selection(patterns, names):
    assert catalogue.select(patterns) == tuple(names)


def test_all_and_quick():
    assert catalogue.select(["all"]) == tuple(row.name for row in catalogue.entries())
    assert set(catalogue.select(["quick"])) == QUICK


def test_tags_select():
    mobile = catalogue.select(["tag:mobile"])

    assert {"mobilenet_v1_100", "mobilenet_v3_small", "nasnet_mobile"} <= set(mobile)
    assert all("mobile" in catalogue.entry(name).tags for name in mobile)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("resnt50", "did you mean resnet50"),
        ("zzz*", "unknown architecture"),
        ("tag:mobil", "unknown tag 'mobil'; did you mean mobile"),
        ("family:ResNe", "unknown family"),
    ],
)
def test_what_selects_nothing_offers_the_closest(pattern, message):
    with pytest.raises(UnknownName, match=message):
        catalogue.select([pattern])
