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
