"""``cnnbench shape``: what slides say, through the command line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cnnbench.cli import main


def shape(text: str) -> str:
    done = CliRunner().invoke(main, ["shape", *text.split()])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(
    ("words", "size"),
    [
        ("conv --in 28 --kernel 5 --padding 2 --stride 1", "28"),
        ("conv --in 227 --kernel 11 --stride 4", "55"),
        ("conv --in 32x48 --kernel 3 --dilation 2", "28x44"),
        ("pool --in 112 --kernel 3 --stride 2 --padding 1", "56"),
        ("pool --in 112 --kernel 3 --stride 2 --ceil", "56"),
        ("pool --in 2 --kernel 3 --stride 2 --ceil", "1"),
        ("pool --in 28 --kernel 2", "14"),
        ("transposed --in 14 --kernel 4 --stride 2 --padding 1", "28"),
        ("transposed --in 7x8 --kernel 3 --stride 2 --output-padding 1", "16x18"),
    ],
)
def test_output_sizes(words: str, size: str) -> None:
    assert shape(words).strip() == size


def test_a_layers_parameters_and_macs() -> None:
    words = "--in 3x224x224 --out-channels 64 --kernel 7 --stride 2 --padding 3 --no-bias --json"
    (layer,) = json.loads(shape(f"conv {words}"))

    assert layer["output"] == [64, 112, 112]
    assert layer["params"] == 64 * 3 * 49
    assert layer["macs"] == 64 * 112 * 112 * 3 * 49
    assert layer["bias_adds"] == 0


def test_pooling_of_a_whole_map() -> None:
    (layer,) = json.loads(shape("pool --in 64x112x112 --kernel 3 --stride 2 --padding 1 --json"))

    assert (layer["name"], layer["output"]) == ("pool 3x3", [64, 56, 56])
    assert (layer["params"], layer["macs"]) == (0, 0)


def test_the_matrices_of_a_convolution() -> None:
    words = "im2col --in 64x56x56 --out-channels 64 --kernel 3 --padding 1 --groups 4"
    found = json.loads(shape(f"{words} --json"))

    assert (found["patches"]["rows"], found["patches"]["columns"]) == (144, 3136)
    assert found["patches"]["bytes"] == 4 * 144 * 3136
    assert (found["expansion"], found["macs"]) == (9, 4 * 16 * 144 * 3136)
    assert "for each of 4 groups" in shape(words)


def test_what_is_equal_is_not_called_one_time_as_much() -> None:
    text = shape("fc-conv --in 512x1x1 --out-channels 10")

    assert "MACs: a 5120, b 5120: equal" in text
    assert "times" not in text


def test_a_fully_connected_layer() -> None:
    (layer,) = json.loads(shape("linear --in 512 --out-features 10 --json"))

    assert (layer["params"], layer["macs"], layer["mult_adds"]) == (5130, 5120, 5130)


def test_the_bottleneck_of_the_lecture() -> None:
    found = json.loads(
        shape(
            "bottleneck --in 480x14x14 --out-channels 48 --kernel 5 --through 16 --no-bias --json"
        )
    )

    assert [layer["macs"] for layer in found["left"]] == [112_896_000]
    assert [layer["macs"] for layer in found["right"]] == [1_505_280, 3_763_200]
    assert found["macs_ratio"] == pytest.approx(21.43, abs=0.01)


@pytest.mark.parametrize(
    ("words", "ratio"),
    [
        ("stack --in 64x56x56 --kernel 7 --small 3 --no-bias", 49 / 27),
        ("separable --in 32x112x112 --out-channels 64 --kernel 3 --no-bias", 9 * 64 / (9 + 64)),
        ("fc-conv --in 512x7x7 --out-channels 4096 --no-bias", 1.0),
        ("head --in 512x7x7 --classes 1000 --no-bias", 49.0),
        ("transposed --in 8x4x4 --out-channels 4 --kernel 2 --stride 2", 16 / 64),
        ("inception --in 4x8x8 --maps 1,1,1,1,1,1 --no-bias", 35 * 4 / (4 + 4 + 9 + 4 + 25 + 4)),
    ],
)
def test_classic_comparisons(words: str, ratio: float) -> None:
    found = json.loads(shape(f"{words} --json"))

    assert found["macs_ratio"] == pytest.approx(ratio)


def test_hidden_layers_of_one_width_are_layers_each() -> None:
    found = json.loads(shape("head --in 512x7x7 --classes 1000 --hidden 4096,4096 --json"))

    # VGG-16's head, layer by layer.
    assert [layer["params"] for layer in found["left"]] == [102_764_544, 16_781_312, 4_097_000]


def test_a_comparison_for_people_shows_both_ways_and_the_ratio() -> None:
    text = shape("stack --in 64x56x56 --kernel 7")

    assert text.count("conv 3x3") == 3
    assert "1.81 times" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("conv --in 3 --kernel 5", "does not fit"),
        ("conv --in 28 --kernel 3 --out-channels 4", "--in CxHxW"),
        ("conv --in 3x28x28 --kernel 3 --out-channels 4 --groups 2", "groups"),
        ("stack --in 64x56x56 --kernel 6", "stack"),
        ("inception --in 192x28x28 --maps 64,96,128", "six numbers"),
        ("transposed --in 28 --kernel 3 --out-channels 4", "--in CxHxW"),
        ("transposed --in 1 --kernel 1 --padding 1", "smaller padding"),
        ("cone --in 3", "cone"),
        ("conv --in 3x --kernel 5", "3x"),
    ],
)
def test_impossible_layers_are_one_line_that_names_the_numbers(words: str, said: str) -> None:
    done = CliRunner().invoke(main, ["shape", *words.split()])

    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr
