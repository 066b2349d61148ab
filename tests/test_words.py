"""Prose of the documentation and of the program: no retired words; the glossary is in order."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    ROOT / "bench" / "README.md",
    ROOT / "results" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

# Pattern of a retired word (case aside, whole words) -> what to write instead.
RETIRED = {
    # One word for one thing, the field's own.
    r"roofs?": "roofline bound, or the column's name in backticks",
    r"canar(y|ies)": "calibration probe",
    r"witness(es|ed)?": "counter",
    r"crews?": "worker pool",
    r"(duet|bout|contest)s?": "paired comparison",
    r"(?<!of )courses?": "series",
    r"bargains?": "candidate",
    r"mend(s|ed|ing)?": "fix",
    r"baselines?(?! files?\b)": "baseline file for the file in git, reference mode for plain eager",
    r"(library|library's|best|fastest|right) ways?": "implementation",
    r"optimisers?": "optimizer",
    r"instrument": "cnnbench, or the tool",
    # Expressions that read as translated.
    r"whoever": "name who it is",
    r"so many": "N, or the number",
    r"what there is( now)?": "name what it is",
    r"surely|for sure|beyond doubt": "clearly",
    r"unlike (machines?|environments?|versions?|values?)": "different",
    r"luck": "say that samples from one process are correlated, or that processes differ",
    r"told apart": "no clear difference",
    r"without further words": "by default",
    r"all the same": "still",
    r"a mistake of": "internal error",
}

# Text that is not prose of ours: code, kept output, names in backticks, quoted output.
_NOT_PROSE = (
    r"^```.*?^```",
    r"<!-- results/.*?<!-- end -->",
    r"`[^`]*`",
    # A link to a command's page is the command's name.
    r"\[[\w-]+\]\(commands/[^)]*\)",
    r"\]\([^)]*\)",
    r"(?<!\*)\*[^*\n]+\*(?!\*)",
    r'"[^"]*"',
)


def prose(text: str) -> str:
    """The text without what is not prose; lines keep their numbers."""
    for pattern in _NOT_PROSE:
        text = re.sub(
            pattern,
            lambda match: "\n" * match[0].count("\n"),
            text,
            flags=re.MULTILINE | re.DOTALL,
        )
    return text


def retired(text: str) -> list[str]:
    """``LINE: WORD -> INSTEAD`` for every retired word in the prose of a page."""
    shown = prose(text)
    return [
        f"{shown.count(chr(10), 0, match.start()) + 1}: '{match[0]}' -> {instead}"
        for pattern, instead in RETIRED.items()
        for match in re.finditer(rf"\b(?:{pattern})\b", shown, flags=re.IGNORECASE)
    ]


def fragments(text: str) -> list[str]:
    """Sentences and cells that begin with a bare "Of"."""
    return re.findall(r"(?:^|[.:|] +)(Of (?!course)[^.|\n]*)", prose(text), flags=re.MULTILINE)


# What measures is reworded elsewhere; what it says is checked from then on.
PACKAGE = ROOT / "cnnbench"
MODULES = sorted(PACKAGE.rglob("*.py"))


# What is no prose in the program: commands, options, files, and attributes that docstrings name.
_NAMES = re.compile(r"cnnbench [\w-]+|--[\w-]+|[\w/-]+\.json|^ +[\w, ]+: ", flags=re.MULTILINE)


def spoken(source: str) -> list[str]:
    """Docstrings and texts of a module: strings of two words and more, formatted ones whole."""
    tree = ast.parse(source)
    parts = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in ast.walk(node)
        if part is not node
    }
    texts = [
        "".join(str(one.value) if isinstance(one, ast.Constant) else "`x`" for one in node.values)
        if isinstance(node, ast.JoinedStr)
        else str(node.value)
        for node in ast.walk(tree)
        if id(node) not in parts
        and (isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", 0), str))
        and isinstance(node, ast.JoinedStr | ast.Constant)
    ]
    return [_NAMES.sub("", text) for text in texts if " " in text.strip()]


def entries(text: str) -> list[str]:
    return re.findall(r"^- \*\*(.+?)\*\*: \S", text, flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_documentation_has_no_retired_word_and_no_clipped_sentence(page: Path) -> None:
    text = page.read_text(encoding="utf8")

    assert retired(text) == []
    assert fragments(text) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_program_says_no_retired_word_and_no_clipped_sentence(path: Path) -> None:
    texts = spoken(path.read_text(encoding="utf8"))

    assert [found for text in texts for found in retired(text)] == []
    assert [found for text in texts for found in fragments(text)] == []


def test_docstrings_and_texts_are_found_but_not_names() -> None:
    source = 'def f(crew):\n    """The first crew."""\n    return f"a {crew} roof" + "crew"\n'

    assert sorted(spoken(source)) == ["The first crew.", "a `x` roof"]


def test_a_retired_word_is_found_with_its_line_but_not_in_code_or_quoted_output() -> None:
    text = 'A word.\n```\nthe crew\n```\n`roof`, *told apart* and "the duet".\nA Crew and a roof.\n'

    assert [line.partition(" ->")[0] for line in retired(text)] == ["6: 'roof'", "6: 'Crew'"]


def test_a_sentence_that_begins_with_of_is_found() -> None:
    assert fragments("Seconds. Of weights and inputs.\nOf course not.\n") == [
        "Of weights and inputs"
    ]


def test_the_glossary_is_alphabetical_and_has_every_word_once() -> None:
    text = GLOSSARY.read_text(encoding="utf8")
    found = entries(text)

    assert len(found) == text.count("\n- ")
    assert found == sorted(found, key=str.casefold)
    assert [word for word, count in Counter(map(str.casefold, found)).items() if count > 1] == []


def test_the_glossary_defines_no_retired_word() -> None:
    found = entries(GLOSSARY.read_text(encoding="utf8"))

    assert found
    assert retired("\n".join(word for word in found if word != "baseline file")) == []


def test_the_readme_the_map_and_the_list_of_commands_lead_to_the_glossary() -> None:
    for page in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "docs" / "commands.md"):
        assert "glossary.md)" in page.read_text(encoding="utf8"), page
