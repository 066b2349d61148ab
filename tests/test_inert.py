"""Texts of strangers do nothing to a terminal, a log or an editor."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import inert

OBEYED = "\x00\x07\x08\x1b\x7f\x85\x9b\u200b\u200f\u202a\u202e\u2066\u2069\ufeff\ud800"


@pytest.mark.parametrize("character", OBEYED)
def test_what_is_obeyed_is_gone_or_written_as_an_escape(character: str) -> None:
    assert inert.inert(f"a{character}b").replace(" ", "") == "ab"
    assert inert.visible(f"a{character}b").startswith("a\\")
    assert inert.visible(f"a{character}b").isprintable()
    assert inert.visible("a ##[error]") == "a \\x23#[error]"


def test_what_separates_words_becomes_a_blank() -> None:
    assert inert.inert("a\nb\tc\r\nd\u2028e\x0bf") == "a b c  d e f"
    assert inert.inert("a\nb\x1b", keep="\n") == "a\nb"


def test_other_alphabets_and_signs_stay() -> None:
    text = "épreuve 模型 x²·µ±€ 🚀"

    assert inert.inert(text) == inert.visible(text) == text


@given(st.text())
def test_a_line_is_one_and_no_command(text: str) -> None:
    shown = inert.line(text)

    assert len(shown.splitlines()) <= 1
    assert not shown.lstrip().startswith("::")
    assert inert.inert(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", ": :error::x"),
        ("  ::stop-commands::x", "  : :stop-commands::x"),
        (":::::", ": ::::"),
        ("a ::error::x", "a ::error::x"),
        ("a ##[add-mask]x", "a ## [add-mask]x"),
        ("##vso[task.x]", "## vso[task.x]"),
        ("##teamcity[x]", "## teamcity[x]"),
        ("## heading", "## heading"),
        ("mypkg.nets:tiny", "mypkg.nets:tiny"),
    ],
)
def test_no_line_is_a_command_of_a_ci_system(text: str, shown: str) -> None:
    assert inert.lines(f"first\n{text}\nlast") == f"first\n{shown}\nlast"


@given(st.text())
def test_json_says_the_same(text: str) -> None:
    shown = inert.in_json(json.dumps(text + "##[error]\x7f"))

    assert json.loads(shown) == text + "##[error]\x7f"
    assert "##" not in shown
    assert shown.isprintable()


def test_long_names_are_cut_and_what_is_around_them_stays() -> None:
    name = "x" * 4000

    said = inert.shortened(f"out: '{name}' is not a spec id; use 'this' or /a/{'path/' * 20}")

    assert said.startswith("out: 'xxx")
    assert "…" in said
    assert said.endswith(f"x' is not a spec id; use 'this' or /a/{'path/' * 20}")
    assert len(said) < 400
    assert len(inert.shortened(name)) == 120
    assert len(inert.shortened("word " * 4000)) == 2000
    assert inert.shortened(f"'{'x' * 120}'") == f"'{'x' * 120}'"
