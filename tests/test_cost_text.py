"""A cost as a notebook shows it: short for any network, nothing hidden, torchinfo's own figures."""

from __future__ import annotations

from dataclasses import replace

from cnnbench import cost_text
from tests.test_cost_json import LAYER, TOTALS

WIDE = replace(
    TOTALS,
    name="N" * 500,
    input=((1, 3, 224, 224),) * 90,
    uncounted={f"library.operator_{number}": number for number in range(90)},
    assumptions=("guessed " * 90,) * 9,
)
MANY = tuple(replace(LAYER, name=f"{'part' * 20}{i}", type="T" * 90) for i in range(400))


def test_the_text_is_short_whatever_the_network_and_says_what_it_leaves_out() -> None:
    text = cost_text.text(WIDE, MANY)

    assert len(text) < 2000
    assert "totals may be too low" in text
    assert "library.operator_4 x4, and 85 more" in text
    shown = text.count("part" * 20)
    assert f"and {400 - shown} rows more" in text
    assert "T" * 90 not in text
    assert text.splitlines()[-1] == "not shown: type"


def test_no_name_is_cut_and_lines_fit_the_window() -> None:
    name = "features.denseblock1.denselayer1.norm_relu_conv"
    rows = [replace(LAYER, name=name, type="DeformConvolution2d"), replace(LAYER, name="head")]

    lines = cost_text.text(TOTALS, rows).splitlines()

    assert name in lines
    assert any("DeformConvolution2d" in line for line in lines)
    assert "…" not in "".join(lines)
    assert max(map(len, lines)) <= 80


def test_the_text_has_totals_and_parts() -> None:
    text = cost_text.text(TOTALS, (LAYER,))

    assert text.splitlines()[0] == "net, training, mode eager, batch 2, input 2x3x8x8"
    assert "100 MACs (200 FLOPs) in inference, 300 MACs per training step, 100 of them" in text
    assert text.splitlines()[-1].split() == [
        "conv", "Conv2d", "2x4", "5", "25", "25.0", "%",
    ]  # fmt: skip


def test_html_holds_the_same_and_no_foreign_tags() -> None:
    page = cost_text.as_html(TOTALS, (replace(LAYER, name="<b>"),))

    assert "<td>&lt;b&gt;</td>" in page
    assert page.count("<tr>") == 2


def test_records_add_up_and_backward_is_none_without_training() -> None:
    (row,) = cost_text.records(TOTALS, (LAYER,), None)
    (still,) = cost_text.records(replace(TOTALS, backward=None), (LAYER,), None)

    assert (row["macs"], row["backward_macs"], row["calls"], row["params"]) == (25, 50, 1, 5)
    assert still["backward_macs"] is None


def test_the_footer_is_torchinfo_s_and_says_that_it_is_no_peak() -> None:
    million = replace(LAYER, activation_bytes=1_500_000, calls=2)

    lines = cost_text.footer(TOTALS, (million, replace(million, params=0)))

    assert lines[1] == "Forward/backward pass size (MB): 6.00"
    assert lines[-1].endswith("no peak: training is predicted to need 8.00 B")
