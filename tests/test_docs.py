"""The documentation is true: its commands run, and CI calls what the README says."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cnnbench.cli import COMMANDS, main
from cnnbench.report.table import tidy
from cnnbench.report.variables import TABLES

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
RUNS = sorted(path.parent for path in (ROOT / "results").glob("*/manifest.json"))
# Commands that measure; in a test they pretend to.
MEASURING = {
    "run", "ab", "doctor", "cost", "list", "check", "profile", "advise", "selftest", "max-batch",
    "conv", "gradients", "input", "predict", "choose",
}  # fmt: skip


def console_examples(text: str) -> list[tuple[str, str]]:
    """Every line that a reader may type, with the output that is printed below it."""
    blocks = re.findall(r"^```console\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    parts = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    typed = [part.partition("\n") for part in parts]
    return [(line, shown.strip("\n")) for line, _, shown in typed]


def console_lines(text: str) -> list[str]:
    return [line for line, _ in console_examples(text)]


def in_order(shown: str, output: str) -> bool:
    """Whether the output is what is shown, where lines of … stand for any lines."""
    parts = [re.escape(part) for part in re.split(r"^…\n?", f"{shown}\n", flags=re.MULTILINE)]
    return re.fullmatch("(?:.*\n)*".join(parts), output) is not None


LECTURE_PAGE = (ROOT / "docs" / "lecture.md").read_text(encoding="utf8")
LECTURE = console_examples(LECTURE_PAGE)
# Rows of the table of claims: what is counted, and the command that counts it.
CLAIMS = re.findall(
    r"^\| [^|]+ \| ([^|]+) \| [^|]+ \| `(cnnbench [^`]+)` \|$", LECTURE_PAGE, flags=re.MULTILINE
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_console_line_of_the_documentation_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in console_lines(page.read_text(encoding="utf8")):
        words = shlex.split(line)
        assert words[0] == "cnnbench", line
        keeps = words[1] == "baseline" and words[2] in {"save", "update"}
        measures = words[1] in MEASURING or keeps
        fake = ["--executor", "fake"] if measures and "--resume" not in words else []

        result = CliRunner().invoke(main, [*words[1:], *fake])

        assert result.exit_code == 0, f"{line}\n{result.output}"


def _marks(line: str) -> list[pytest.MarkDecorator]:
    """Formulas and the catalogue need no torch."""
    return [] if shlex.split(line)[1] in {"shape", "list"} else [pytest.mark.torch]


@functools.cache
def _done(line: str) -> Result:
    """A command of the page; several places show one."""
    return CliRunner().invoke(main, shlex.split(line)[1:])


@pytest.mark.parametrize(
    ("line", "shown"),
    [pytest.param(line, shown, marks=_marks(line)) for line, shown in LECTURE if shown],
)
def test_the_lectures_tables_are_what_the_commands_print(line: str, shown: str) -> None:
    result = _done(line)

    assert result.exit_code == 0, result.output
    output = "".join(f"{line.rstrip()}\n" for line in result.stdout.splitlines())
    assert in_order(shown, output), result.stdout


@pytest.mark.parametrize(
    ("counted", "line"),
    [pytest.param(*row, marks=_marks(row[1])) for row in CLAIMS],
)
def test_every_figure_of_a_claim_is_what_its_command_prints(counted: str, line: str) -> None:
    figures = re.findall(r"\d[\d.]*", re.sub(r"(?<=\d),(?=\d{3})", "", counted))

    result = _done(line)

    assert result.exit_code == 0, result.output
    assert figures
    assert set(figures) <= set(re.findall(r"\d[\d.]*", result.stdout)), result.stdout


def test_every_claim_of_the_lecture_has_its_command() -> None:
    section = LECTURE_PAGE.partition("## Claims on slides")[2].partition("\n## ")[0]

    rows = [line for line in section.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(CLAIMS) > 28


def test_only_the_lectures_tables_show_outputs_because_only_they_are_compared() -> None:
    others = [page for page in PAGES if page.name != "lecture.md"]

    assert not [
        line
        for page in others
        for line, shown in console_examples(page.read_text(encoding="utf8"))
        if shown
    ]


def test_every_command_has_an_example_in_the_documentation() -> None:
    lines = [line for page in PAGES for line in console_lines(page.read_text(encoding="utf8"))]

    assert {shlex.split(line)[1] for line in lines} >= set(COMMANDS)


def test_the_readme_opens_with_the_two_commands_and_ci_calls_the_second() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf8")
    blocks = re.findall(r"^```sh\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf8")

    assert blocks[0].startswith("python -m pip install . && cnnbench run")
    assert blocks[1].startswith("python -m pip install tox tox-uv")
    pattern = re.search(r"/(\^python[^/]*)/&/p", ci)
    assert pattern is not None
    assert re.search(pattern[1], blocks[1], flags=re.MULTILINE)


LINKING = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "bench" / "README.md",
    ROOT / "results" / "README.md",
    *PAGES,
]


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_of_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf8")):
        assert (page.parent / target).exists(), target


def test_every_command_of_the_readme_has_only_options_that_there_are() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf8")
    shell = "".join(re.findall(r"^```sh\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL))
    lines = re.findall(r"cnnbench ([^\n&]+)", shell)

    assert lines
    for line in lines:
        # The second word may be a command of a group.
        name, *words = shlex.split(line)
        known = (
            CliRunner()
            .invoke(main, [name, *[w for w in words[:1] if w.isalpha()], "--help"])
            .output
        )
        options = [word for word in words if word.startswith("--")]
        assert name in COMMANDS, line
        assert [option for option in options if option not in known] == [], line


def test_every_script_of_bench_is_explained() -> None:
    page = (ROOT / "bench" / "README.md").read_text(encoding="utf8")

    assert [path.name for path in (ROOT / "bench").glob("*.py") if path.name not in page] == []


def test_pictures_are_small() -> None:
    pictures = list((ROOT / "docs" / "pictures").iterdir())

    assert pictures
    assert [path.name for path in pictures if path.stat().st_size >= 200_000] == []


def test_the_ci_script_is_valid_shell() -> None:
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_kept_results_are_rendered_from_their_records(cnnbench_cli, run: Path, tmp_path) -> None:
    lab = ["--lab"] if (run / "layers.json").exists() else []
    markdown = cnnbench_cli("report", run, "--format", "markdown", *lab)
    cnnbench_cli("report", run, "--format", "csv", *lab, "-o", tmp_path / "report.csv")

    assert markdown.stdout == (run / "report.md").read_text(encoding="utf8")
    assert (tmp_path / "report.csv").read_bytes() == (run / "report.csv").read_bytes()


README = (ROOT / "README.md").read_text(encoding="utf8")
SHOWN = re.findall(
    r"<!-- cnnbench (.+?) -->\n```text\n(.*?)\n```\n<!-- end -->", README, flags=re.DOTALL
)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        pytest.param(line, text, marks=pytest.mark.torch if line.startswith("cost") else ())
        for line, text in SHOWN
    ],
    ids=[line for line, _ in SHOWN],
)
def test_the_readme_shows_what_its_commands_print(cnnbench_cli, line: str, text: str) -> None:
    done = cnnbench_cli(*[str(ROOT / one) if "/" in one else one for one in shlex.split(line)])

    assert done.exit_code == 0, done.output
    assert done.stdout.rstrip("\n") == text


def test_the_readme_shows_answers() -> None:
    assert len(SHOWN) == 3


def explained(heading: str) -> list[tuple[str, ...]]:
    """The rows below a heading of the page of columns, without links and backticks."""
    page = (ROOT / "docs" / "columns.md").read_text(encoding="utf8")
    part = page.partition(f"{heading}\n")[2].partition("\n#")[0]
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", part).replace("\\|", "/").replace("`", "")
    rows = [line.strip("|").split("|") for line in plain.splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in row) for row in rows[1:]]


def test_the_page_of_columns_says_what_the_dictionary_says() -> None:
    names = [column.name for column in tidy([]).columns]
    records = TABLES["records"]

    assert explained("# Columns") == [(one.name, one.meaning) for one in records[: len(names)]]
    for heading, some in (
        ("## Further columns of the exported data", records[len(names) :]),
        ("## Slices", TABLES["slices"]),
    ):
        told = [(one.name, one.type, one.unit, one.meaning) for one in some]
        assert explained(heading) == told
    assert [one.name for one in records[: len(names)]] == names
