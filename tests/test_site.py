"""The documentation as a site: every page is in its side bar, and every public name described."""

from __future__ import annotations

import configparser
import dataclasses
import inspect
import re
import tomllib
from functools import cached_property
from pathlib import Path, PurePosixPath

import pytest

import cnnbench
from cnnbench import axes
from cnnbench.asking import CALIBRATED
from cnnbench.costs import CostTotals, Totals
from cnnbench.named import LOSSES
from cnnbench.plan import IN_PROCESS, Plan, WarmUp
from cnnbench.record import Record
from cnnbench.results import Results
from cnnbench.spec import DEVICE_KINDS, OPTIMIZERS, PHASES, WORDS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for kind in ("*.md", "*.ipynb") for path in DOCS.rglob(kind))
REFERENCE = (DOCS / "api.md").read_text(encoding="utf8")


def toctree(text: str) -> list[str]:
    """What the toctrees of a page list, in order."""
    blocks = re.findall(r"^```\{toctree\}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(":")]


def listed(page: PurePosixPath) -> list[str]:
    """Every page below a page, as often as it is listed."""
    file = DOCS / f"{page}.md"
    names = toctree(file.read_text(encoding="utf8")) if file.exists() else []
    found = [page.parent / name for name in names]
    return [name for one in found for name in (str(one), *listed(one))]


def slugs(text: str) -> set[str]:
    """The anchors that GitHub and the site make of a page's headings."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#{1,3} (.+)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def described(kind: type) -> set[str]:
    """The names that the docstring of a class explains under Attributes."""
    text = (kind.__doc__ or "").partition("Attributes:")[2]
    lines = re.findall(r"^ {8}([\w, ]+):", text, flags=re.MULTILINE)
    return {name for line in lines for name in line.split(", ")}


def words(row: str) -> tuple[str, ...]:
    """The words in backticks of the row of the reference that begins so."""
    (line,) = re.findall(rf"^\| {row} \|(.*)$", REFERENCE, flags=re.MULTILINE)
    return tuple(re.findall(r"`([^`]+)`", line))


def test_every_page_is_in_the_side_bar_once() -> None:
    there = [str(page.relative_to(DOCS).with_suffix("")) for page in PAGES]

    assert sorted(["index", *listed(PurePosixPath("index"))]) == sorted(there)


def test_what_a_toctree_lists_is_read_without_its_options() -> None:
    text = "a\n```{toctree}\n:hidden:\none\n\ntwo/three\n```\n```sh\nfour\n```\n"

    assert toctree(text) == ["one", "two/three"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_to_headings_lead_to_one(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]*)#([^)\"]+)\)", page.read_text(encoding="utf8"))

    missing = [
        f"{target}#{anchor}"
        for target, anchor in links
        if anchor
        not in slugs(((page.parent / target) if target else page).read_text(encoding="utf8"))
    ]

    assert missing == []


def test_every_public_name_is_in_the_reference() -> None:
    pattern = r"^\.\. auto(?!module)\w+:: cnnbench\.(\w+)$"
    directives = re.findall(pattern, REFERENCE, flags=re.MULTILINE)

    assert sorted([*directives, "__version__"]) == sorted(cnnbench.__all__)
    assert "`cnnbench.__version__`" in REFERENCE


@pytest.mark.parametrize("kind", [Plan, WarmUp])
def test_every_field_of_a_plan_is_explained(kind: type) -> None:
    assert described(kind) == {field.name for field in dataclasses.fields(kind)}
    assert f".. autoclass:: cnnbench.plan.{kind.__name__}\n" in REFERENCE


def test_the_fields_that_need_no_workers_are_named_where_they_are_taken() -> None:
    assert [
        name for name in IN_PROCESS if f"``{name}``" not in (cnnbench.measure.__doc__ or "")
    ] == []


def test_the_words_of_modes_are_those_of_the_table() -> None:
    rows = re.findall(r"^\| `(.+)` \| (.+) \| (.+) \| (.+) \|$", REFERENCE, flags=re.MULTILINE)

    assert [row for row in rows if not row[0].startswith("cnnbench")] == [
        (word.text, word.axis.replace("_", " "), ", ".join(word.kinds), word.meaning)
        for word in WORDS
    ]


def test_the_other_words_of_a_spec_are_those_that_are_read() -> None:
    assert words("phase") == PHASES
    assert words("optimizer") == OPTIMIZERS
    assert words("loss") == LOSSES
    assert words("device") == DEVICE_KINDS


def test_the_further_settings_of_run_are_named() -> None:
    sentence = REFERENCE.partition("these further settings by keyword")[2]
    asked = {name for name, axis in axes.settings().items() if axis.asking is not None}

    assert set(re.findall(r"`(\w+)`", sentence)) == asked
    assert words("weights") == (CALIBRATED, "random", "pretrained")


@pytest.mark.parametrize("kind", [Results, Record, CostTotals, Totals])
def test_no_property_begins_with_a_colon_because_napoleon_reads_a_type_before_it(
    kind: type,
) -> None:
    found = inspect.getmembers_static(kind, lambda one: isinstance(one, property | cached_property))

    assert found
    assert [name for name, one in found if ": " in (one.__doc__ or "").partition("\n")[0]] == []


def test_the_extra_and_the_environment_install_the_same_and_the_build_allows_no_warning() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini", encoding="utf8")
    installed = tox["testenv:docs"]["deps"].split()

    assert set(project["optional-dependencies"]["docs"]) <= set(installed)
    assert "sphinx-build -W " in tox["testenv:docs"]["commands"]
