from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.conv import layers
from cnnbench.conv.layers import ConvLayer, Suite
from cnnbench.conv.problem import is_conv
from cnnbench.errors import UnknownName
from cnnbench.requests import ExtractLayers
from cnnbench.runner import inquiry
from cnnbench.runner.fake import Fake
from cnnbench.spec import Mode

ASKED = {
    "smoke", "classic", "lecture", "resnet50", "vgg16", "googlenet", "inception_v3",
    "mobilenet_v2", "mobilenet_v3", "shufflenet", "resnext", "dilated", "deepbench", "odd",
}  # fmt: skip

STEM = ConvLayer("conv:k64-7x7-s2-p3", (3, 224, 224), 1, ("conv1",))
BODY = ConvLayer("conv:k64-3x3-p1", (64, 56, 56), 3, ("a", "b"))


def test_the_suites_are_those_that_are_promised() -> None:
    assert set(layers.names()) == ASKED


@pytest.mark.parametrize("name", sorted(ASKED))
def test_every_layer_of_a_suite_can_exist_and_stands_there_once(name: str) -> None:
    suite = layers.suite(name)

    assert all(layer.problem(2).macs > 0 for layer in suite.layers)
    assert len({(one.architecture, one.input) for one in suite.layers}) == len(suite.layers)
    # The name is the one that the layer itself would have.
    assert all(layer.problem().architecture == layer.architecture for layer in suite.layers)
    assert all(is_conv(layer.architecture) and layer.count >= 1 for layer in suite.layers)
    assert suite.meaning
    assert suite.source


def test_classic_holds_the_ten_layers_with_their_macs() -> None:
    counts = [layer.problem().macs for layer in layers.suite("classic").layers]

    # In units of 10^5, as tables of these layers round them.
    assert [round(macs / 1e5) for macs in counts] == [
        1180, 1156, 1156, 1156, 514, 108, 38, 1129, 1156, 145
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "calls", "macs"),
    [
        # Published totals without the fully connected layers.
        ("resnet50", 53, 4_089_184_256 - 2048 * 1000),
        ("vgg16", 13, 15_470_264_320 - 25_088 * 4096 - 4096 * 4096 - 4096 * 1000),
        ("mobilenet_v2", 52, 300_774_272 - 1280 * 1000),
    ],
)
def test_suites_of_networks_count_every_call(name: str, calls: int, macs: int) -> None:
    suite = layers.suite(name)

    assert sum(layer.count for layer in suite.layers) == calls
    assert sum(layer.count * layer.problem().macs for layer in suite.layers) == macs


def test_odd_has_what_breaks_libraries() -> None:
    problems = [layer.problem() for layer in layers.suite("odd").layers]

    assert any(one.q == 1 and one.stride[1] > 1 for one in problems)
    assert any(one.p == 1 for one in problems)
    assert any(one.stride[0] > one.r for one in problems)
    assert any(one.r % 2 == 0 for one in problems)
    assert any(one.r != one.s for one in problems)
    assert any(one.r > one.h for one in problems)
    assert any(one.groups == one.c and one.k > one.c for one in problems)
    assert {17, 161} <= {one.c for one in problems}


def test_deepbench_lists_its_batches() -> None:
    found = layers.suite("deepbench").layers

    assert len(found) == 56
    assert {batch for layer in found for batch in layer.batches} == {1, 2, 4, 8, 16, 32}
    assert "Baidu" in layers.suite("deepbench").source


def test_an_unknown_suite_comes_with_the_closest() -> None:
    with pytest.raises(UnknownName, match="unknown suite of layers 'clasic'; did you mean classic"):
        layers.suite("clasic")


@given(
    st.lists(
        st.builds(
            ConvLayer,
            st.sampled_from(["conv:k8-3x3-p1", "conv:k4-1x1"]),
            st.tuples(*[st.integers(1, 9)] * 3),
            st.integers(1, 9),
            st.lists(st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=5),
                     max_size=2, unique=True).map(tuple),
            st.lists(st.integers(1, 64), max_size=2).map(tuple),
        ),
        max_size=4,
    )
)  # fmt: skip
def test_a_file_holds_the_whole_suite(rows: list[ConvLayer]) -> None:
    text = layers.to_toml(Suite("any", 'a "quoted" one', "back\\slash", tuple(rows)))

    facts = tomllib.loads(text)

    assert (facts["meaning"], facts["source"]) == ('a "quoted" one', "back\\slash")
    assert [layers._layer(row) for row in facts["layers"]] == rows


def test_equal_layers_become_one() -> None:
    again = ConvLayer(BODY.architecture, BODY.input, 2, ("b", "c"), (8,))

    assert layers.merged([BODY, STEM, again]) == (
        ConvLayer(BODY.architecture, BODY.input, 5, ("a", "b", "c"), (8,)),
        STEM,
    )


def test_a_layer_is_a_workload_and_a_problem() -> None:
    assert BODY.workload(4).id == "conv:k64-3x3-p1/inference-b4-64x56x56"
    assert BODY.problem(4, Mode(precision="bf16")).text == "n4c64h56w56-k64-3x3-p1-bf16"


def test_a_share_is_count_times_seconds_over_the_whole() -> None:
    seconds = {STEM: 0.010, BODY: 0.002}

    of_sum = layers.shares([STEM, BODY], seconds)
    of_network = layers.shares([STEM, BODY], seconds, whole=0.032)

    assert [one.seconds for one in of_sum] == pytest.approx([0.010, 0.006])
    assert [one.fraction for one in of_sum] == pytest.approx([10 / 16, 6 / 16])
    assert [one.fraction for one in of_network] == pytest.approx([10 / 32, 6 / 32])
    assert layers.total([STEM, BODY], seconds) == pytest.approx(0.016)


def test_what_was_not_measured_has_no_share_and_makes_the_sum_unknown() -> None:
    stem, body = layers.shares([STEM, BODY], {BODY: 0.002})

    assert (stem.seconds, stem.fraction) == (None, None)
    assert (body.seconds, body.fraction) == (0.006, None)
    assert layers.shares([STEM, BODY], {BODY: 0.002}, 0.012)[1].fraction == pytest.approx(0.5)


def test_the_pretended_worker_takes_a_network_apart() -> None:
    with inquiry.asking(Fake()) as pool:
        found = inquiry.ask(pool, ExtractLayers(name="resnet18"), 1)

    assert [layer.count for layer in found.layers] == [1, 4]
    assert sum(one.count * one.problem().macs for one in found.layers) == found.macs
