"""Other tools' names of a convolution: read back, their own rules kept, the rest refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.conv.dialects import from_benchdnn, from_miopen, read, to_benchdnn
from cnnbench.conv.problem import ConvProblem
from cnnbench.errors import UsageError
from tests.layers import conv_problems, transposed_problems

RESNET = ConvProblem(1, 64, 56, 56, 64, 3, 3, padding=(1, 1))


@given(conv_problems(dtypes=("fp32", "bf16", "fp16", "fp64"), units=("conv", "conv+relu")))
def test_a_benchdnn_line_reads_back(problem: ConvProblem) -> None:
    assert from_benchdnn(to_benchdnn(problem)) == problem
    assert read(to_benchdnn(problem)) == problem
    assert read(problem.text) == problem


@given(transposed_problems(dtypes=("fp32", "bf16", "fp16", "fp64")))
def test_a_line_of_deconv_reads_back(problem: ConvProblem) -> None:
    assert to_benchdnn(problem).startswith("--deconv ")
    assert read(to_benchdnn(problem)) == read(problem.text) == problem


@given(st.text(max_size=30) | st.text("mbghickoswdp0123_- ", max_size=30))
def test_any_text_is_a_problem_or_a_usage_error(text: str) -> None:
    for reader in (from_benchdnn, from_miopen, read):
        try:
            problem = reader(text)
        except UsageError:
            continue
        assert problem.macs > 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mb1ic64ih56oc64oh56kh3ph1", "n1c64h56w56-k64-3x3-p1"),
        ("mb1ic64ih56oc64oh56kh3ph1nconv1", "n1c64h56w56-k64-3x3-p1"),
        ('mb1_ic64ih56_oc64oh56_kh3ph1_n"resnet_50:res2a"', "n1c64h56w56-k64-3x3-p1"),
        ("--attr-post-ops=relu mb1ic64ih56oc64oh56kh3ph1", "n1c64h56w56-k64-3x3-p1-relu"),
        ("--deconv mb1ic64ih28oc32oh56kh4sh2ph1", "n1c64h28w28-k32-4x4-s2-p1-t"),
        ("--deconv mb1ic64ih28oc32oh56kh3sh2ph1", "n1c64h28w28-k32-3x3-s2-p1-t1"),
        # Padding left out: what makes the output come out, also here.
        ("--deconv mb1ic64ih28oc32oh56kh4sh2", "n1c64h28w28-k32-4x4-s2-p1-t"),
        ("--deconv mb1ic64ih28oc32kh2sh2", "n1c64h28w28-k32-2x2-s2-t"),
        # The line that oneDNN's verbose mode prints.
        (
            "mb1_ic128oc128_ih14oh14kh3sh1dh0ph1_iw14ow14kw3sw1dw0pw1",
            "n1c128h14w14-k128-3x3-p1",
        ),
        ("ic3ih224oc64oh112kh7sh2ph3", "n2c3h224w224-k64-7x7-s2-p3"),
        # Padding left out: what makes the output come out; nothing given: none.
        ("mb1ic3ih227oc64oh227kh5", "n1c3h227w227-k64-5x5-p2"),
        ("mb1ic3ih227oc64kh5", "n1c3h227w227-k64-5x5"),
        ("--dt=bf16 --mb=4 g32mb1ic32ih112oc32oh112kh3ph1", "n4c32h112w112-k32-3x3-p1-g32-bf16"),
        ("mb1ic8ih30oc8kh3ph2dh1", "n1c8h30w30-k8-3x3-p2-d2"),
        ("mb1ic8iw30oc8kw3pw1", "n1c8h1w30-k8-1x3-p0x1"),
        (
            "--stag=axb --dtag=nhwc --dt=f16:f16:f16 mb1ic8ih8oc8kh1",
            "n1c8h8w8-k8-1x1-fp16-channels_last",
        ),
    ],
)  # fmt: skip
def test_benchdnns_own_rules_hold(text: str, problem: str) -> None:
    assert from_benchdnn(text) == ConvProblem.parse(problem)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("mb1ic64ih56oc64oh56kh2ph1", "oh is 56"),
        ("mb1ic64id8ih56oc64kd3kh3", "three-dimensional"),
        ("--dt=u8:s8:u8 mb1ic64ih56oc64kh3", "u8:s8:u8"),
        ("--dt=bf16:bf16:f32 mb1ic64ih56oc64kh3", "bf16:bf16:f32"),
        ("--stag=axb --dtag=abx mb1ic64ih56oc64kh3", "axb:abx"),
        ("mb1ic64ih56oc64", "kh"),
        ("mb1oc64ih56kh3", "needs ic"),
        ("mb1ic64ih56oc64kh3zz7", "'zz7'"),
        ("mb1ic64ih5oc64kh7", "7x7"),
        ("g5mb1ic64ih56oc64kh3", "5 groups"),
        ("--dir=BWD_WB mb1ic64ih56oc64kh3", "not one measured pass; use --dir=BWD_W"),
        ("--dir=FWD mb1ic64ih56oc64kh3", "use --dir=FWD_B, BWD_D or BWD_W"),
        ("--dir=BWD_D --attr-post-ops=relu mb1ic64ih56oc64kh3", "alone, not of conv.relu"),
        ("--pool mb1ic64ih56oc64kh3", "only --conv and --deconv are measured, not --pool"),
        ("--attr-post-ops=sum mb1ic64ih56oc64kh3", "only no --attr-post-ops is measured"),
        ("--alg=WINO mb1ic64ih56oc64kh3", "--alg=WINO"),
    ],
)
def test_what_benchdnn_can_say_and_we_cannot_is_refused(text: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        from_benchdnn(text)


@pytest.mark.parametrize(
    "words", ["--conv", "--dir=FWD_I", "--dir=fwd_d", "--alg=auto", "--mode=P", "--attr-post-ops="]
)
def test_words_that_leave_a_forward_convolution_are_ignored(words: str) -> None:
    assert from_benchdnn(f"{words} mb1ic64ih56oc64oh56kh3ph1") == RESNET


def test_a_norm_is_weights_and_a_bias_to_benchdnn() -> None:
    unit = ConvProblem.parse("n1c64h56w56-k64-3x3-p1-bn-relu")

    assert from_benchdnn(to_benchdnn(unit)).post_ops == ("relu",)


EVERYTHING = ConvProblem(
    8, 32, 9, 7, 64, 3, 1, (2, 1), (1, 0), (2, 1), 4, "bf16", "channels_last"
)  # fmt: skip


def test_what_is_printed_is_what_benchdnn_takes() -> None:
    assert to_benchdnn(EVERYTHING) == (
        "--conv --dir=FWD_B --dt=bf16 --stag=axb --dtag=axb"
        " g4mb8ic32ih9iw7oc64oh4ow7kh3kw1sh2sw1ph1pw0dh1dw0"
    )


@given(conv_problems() | transposed_problems(), st.sampled_from(("bwd_d", "bwd_w")))
def test_a_backward_pass_reads_back(problem: ConvProblem, direction: str) -> None:
    problem = replace(problem, direction=direction)

    assert f"--dir={direction.upper()} " in to_benchdnn(problem)
    assert read(to_benchdnn(problem)) == read(problem.text) == problem


def test_miopens_numbers_of_passes_are_read() -> None:
    line = "conv -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -p 1 -q 1"
    passes = {"-F 1": "", "-F 0": "", "--forw 2": "bwd_d", "-F 2": "bwd_d", "-F 4": "bwd_w"}

    for words, direction in passes.items():
        assert from_miopen(f"{line} {words}") == replace(RESNET, direction=direction)
    assert from_miopen(f"{line} -m trans -F 2").text == "n1c64h56w56-k64-3x3-p1-t-bwd_d"


@pytest.mark.parametrize("reader", [from_miopen, read])
def test_every_word_of_a_miopen_line_is_read(reader: Callable[[str], ConvProblem]) -> None:
    text = (
        "MIOpenDriver convbfp16 -n 8 -c 32 -H 9 -W 7 -k 64 -y 3 -x 1 -p 1 -q 0 -u 2 -v 1"
        " -l 2 -j 1 -g 4 -F 1 --in_layout NHWC --fil_layout NHWC --out_layout NHWC"
    )

    assert reader(text) == EVERYTHING


def test_miopens_transposed_mode_is_a_transposed_layer() -> None:
    text = "conv -m trans -n 1 -c 64 -H 28 -W 28 -k 32 -y 3 -x 3 -p 1 -q 1 -u 2 -v 2 -Y 1 -X 1"

    assert from_miopen(text) == ConvProblem.parse("n1c64h28w28-k32-3x3-s2-p1-t1")


@pytest.mark.parametrize(
    "text",
    [
        "conv -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -p 1 -q 1 -u 1 -v 1 -l 1 -j 1 -g 1",
        "./bin/MIOpenDriver conv -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -p 1 -q 1 -t 1 -V 0",
        "conv --batchsize 1 --in_channels=64 --in_h 56 --in_w 56 --out_channels 64 --fil_h 3"
        " --fil_w 3 --pad_h 1 --pad_w 1 -m conv -I NCHW",
    ],
)
def test_miopens_short_and_long_words_mean_the_same(text: str) -> None:
    assert from_miopen(text) == RESNET


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("conv -n 1 -c 64 -H 56 -W 56 -k 64 -y 3", "fil_w"),
        ("conv -n one -c 64 -H 56 -W 56 -k 64 -y 3 -x 3", "'one'"),
        ("conv -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -m depthwise", "depthwise"),
        ("conv -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -_ 3", "spatial_dim"),
        (
            "conv -F 3 -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3",
            "-F 3 is more than one pass; use -F 1",
        ),
        ("conv -F 5 -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3", "-F 5 is more"),
        ("conv -F 6 -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3", "-F 6 is more"),
        ("conv -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -I NHWC -O NCHW", "NHWC:NCHW"),
        ("convint8 -n 1", "not a MIOpenDriver"),
        ("conv 'x", "quotation"),
        ("conv 1 2", "'1'"),
        ("conv -n 1 -c 64 -H 5 -W 5 -k 64 -y 7 -x 7", "7x7"),
    ],
)
def test_what_miopen_can_say_and_we_cannot_is_refused(text: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        from_miopen(text)


@pytest.mark.parametrize(
    ("axes", "padding", "output"),
    [("mb1ic8ih7oc16kh5sh4ph1", (1, 1), 27), ("mb1ic8ih5oc16kh3sh2ph1", (1, 1), 9),
     ("mb1ic8ih5oc16oh10kh3sh2ph1", (1, 1), 10), ("mb1ic8ih5oc16kh3sh2", (0, 0), 11)],
)  # fmt: skip
def test_a_transposed_layer_without_its_output_has_no_output_padding(
    axes: str, padding: tuple[int, int], output: int
) -> None:
    found = from_benchdnn(f"--deconv {axes}")

    assert found.padding == padding
    assert found.output_shape[-1] == output
