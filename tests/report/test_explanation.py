"""An explanation as text."""

from __future__ import annotations

from dataclasses import replace

from cnnbench.gate.explanation import Explanation, NamedPart, Span
from cnnbench.report import explanation, markdown, terminal

MS = 1e6
SLOWER = NamedPart(
    "layer3.0.conv2", "module", Span(1.9 * MS, 1.7 * MS, 2.1 * MS), "Conv2d",
    reasons=("kernel brg_conv_fwd:avx512_core -> ref:any",),
)  # fmt: skip
FOUND = Explanation(
    "resnet18/…", Span(2.3 * MS, 2.1 * MS, 2.5 * MS), 40 * MS, (SLOWER,), ("relu (ReLU): new",),
    Span(2.2 * MS, 2.0 * MS, 2.4 * MS), 0.012, 90, 6, 41.0, ("a note",), "results/ab-1",
)  # fmt: skip


def test_the_terminal_gets_few_short_lines_and_the_command_for_the_rest() -> None:
    lines = explanation.lines(FOUND)

    assert lines == [
        "layer3.0.conv2 +1.90 ms [+1.70, +2.10] of +2.30 ms:"
        " kernel brg_conv_fwd:avx512_core -> ref:any",
        "not named: +400 µs",
        "more: cnnbench explain results/ab-1",
    ]


def test_a_long_reason_is_cut_after_two_lines() -> None:
    reasons = (", ".join(f"kernel number {n}" for n in range(20)),)

    (line, *_) = explanation.lines(replace(FOUND, named=(replace(SLOWER, reasons=reasons),)))

    assert len(line) <= 150
    assert line.endswith("…")


def test_many_parts_are_still_few_lines() -> None:
    many = Explanation("s", FOUND.total, 1.0, (SLOWER,) * 9, pairs=6, where="o")

    lines = explanation.lines(many)

    assert len(lines) == explanation.LINES
    assert "6 more parts" in lines[-2]


def test_nothing_named_says_what_was_looked_at() -> None:
    none = Explanation("s", Span(0.0), 1.0, parts=90, pairs=6, seconds=41.0)

    (line,) = explanation.lines(none)
    assert line.startswith("no module is clearly slower or faster (90 parts compared in 6 pairs")
    assert len(line) <= 150


def test_what_could_not_be_measured_says_why() -> None:
    none = Explanation("s", Span(0.0), notes=("modules cannot be timed: mode compile",))

    assert explanation.lines(none) == ["not explained: modules cannot be timed: mode compile"]
    assert explanation.comment(none) == "Not explained: modules cannot be timed: mode compile"


def test_the_whole_has_every_part_the_residual_and_the_notes() -> None:
    text = terminal.render(explanation.table(FOUND))

    for words in ("layer3.0.conv2", "82.6 %", "not named", "17.4 %", "relu (ReLU): new", "a note",
                  "with clocks a step takes +1.2 %"):  # fmt: skip
        assert words in text


def test_no_share_of_a_change_that_may_be_none() -> None:
    unsure = Explanation("s", Span(1.0, -1.0, 3.0), 9.0, (SLOWER,), pairs=6)

    assert [row[2] for row in explanation.table(unsure).rows] == [None, None]


def test_a_comment_has_a_table_that_no_name_breaks() -> None:
    odd = NamedPart("a|b<script>", "module", Span(MS), "T", reasons=("x | y",))
    text = explanation.comment(Explanation("s", Span(MS), MS, (odd,), pairs=5))

    assert "**Where the time went**" in text
    assert "<script>" not in text
    assert markdown.escape("a|b<script>") in text


def test_every_kind_of_part_has_words() -> None:
    span = Span(MS)
    titles = [
        explanation.title(NamedPart("", "module", span)),
        explanation.title(NamedPart("layer1", "within", span, members=7)),
        explanation.title(NamedPart("ReLU", "class", span, members=3)),
        explanation.title(NamedPart("loss", "outside", span)),
        explanation.title(NamedPart("7x7 pixels", "stage", span, members=2)),
    ]

    assert titles == [
        "the network itself, without its modules",
        "all of layer1 (7 modules)",
        "every ReLU (3)",
        "loss (outside of the network)",
        "modules that return 7x7 pixels (2)",
    ]
    assert explanation.why(NamedPart("a", "module", span, "T", state="new")) == "new (T)"
    assert explanation.why(NamedPart("a", "module", span, "T", was="b")) == "was b"
    assert explanation.why(NamedPart("a", "module", span, "T")) == "same operators and kernels"
