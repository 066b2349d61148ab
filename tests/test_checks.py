"""One map of checks: whatever runs them calls environments of tox.ini."""

from __future__ import annotations

import configparser
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

ROOT = Path(__file__).parents[1]
TOX = configparser.ConfigParser()
TOX.read(ROOT / "tox.ini", encoding="utf8")
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf8")
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf8")


def environments() -> set[str]:
    """Every environment that tox.ini describes."""
    names = [name.removeprefix("testenv:") for name in TOX.sections() if ":" in name]
    return {name.replace("{,-lowest}", end) for name in names for end in ("", "-lowest")}


def usual() -> set[str]:
    return set(TOX["tox"]["env_list"].split(", "))


def called(text: str) -> set[str]:
    """The environments that commands of a text name."""
    return {name for words in re.findall(r"tox -e ([\w,-]+)", text) for name in words.split(",")}


def test_the_workflow_runs_every_usual_environment_and_the_lowest_torch() -> None:
    from_the_matrix = set(re.findall(r"environment: (\S+)", WORKFLOW))

    assert called(WORKFLOW) | from_the_matrix == usual() | {"tests-lowest"}


def test_the_workflow_checks_with_tox_alone() -> None:
    commands = re.findall(r"- run: (.+)", WORKFLOW)

    assert commands
    assert {" ".join(command.split()[:3]) for command in commands} == {
        "python -m pip", "python -m tox",
    }  # fmt: skip


def test_what_contributors_are_told_to_call_is_there_and_nothing_is_left_out() -> None:
    listed = {
        name
        for line in re.findall(r"^\| `.*", PAGE, flags=re.MULTILINE)
        for name in re.findall(r"`([\w-]+)`", line.split("|")[1])
    }

    assert listed == environments()
    assert called(PAGE) <= environments()


def test_the_lowest_torch_that_is_tested_is_the_lowest_that_is_supported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    supported = dict(
        found.groups()
        for line in project["dependencies"]
        if (found := re.fullmatch(r"(torch|torchvision)>=(\S+)", line))
    )

    tested = dict(re.findall(r"lowest: (\w+)==(\S+)\.\*", TOX["testenv:tests{,-lowest}"]["deps"]))

    assert tested == supported
    assert project["requires-python"] == ">=3.11"
    assert re.search(r'python: \["3\.11"', WORKFLOW)


def pytest_calls(environment: str) -> list[list[str]]:
    """The arguments of each call of pytest in an environment's commands."""
    calls = [shlex.split(line, comments=True) for line in commands(environment)]
    return [words[words.index("pytest") + 1 :] for words in calls if "pytest" in words]


def commands(environment: str) -> list[str]:
    return TOX[f"testenv:{environment}"]["commands"].splitlines()


def selected(words: list[str], names: set[str]) -> bool:
    """Whether a call of pytest runs a test that has these marks."""
    marks = words[words.index("-m") + 1] if "-m" in words else ""
    return not marks or Expression.compile(marks).evaluate(lambda name, **_: name in names)


def test_the_tests_are_split_in_two_and_none_is_left_out() -> None:
    (pure,), (tests,) = pytest_calls("pure"), pytest_calls("tests{,-lowest}")

    for others in ({"slow"}, {"cuda"}, {"slow", "cuda"}, set[str]()):
        assert selected(pure, others)
        assert not selected(tests, others)
        assert selected(tests, others | {"torch"})
        assert not selected(pure, others | {"torch"})


@pytest.mark.parametrize("environment", ["pure", "tests{,-lowest}"])
def test_no_test_is_taken_out_by_its_name_or_its_place(environment: str) -> None:
    (words,) = pytest_calls(environment)

    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= {"-n", "-m"}
    assert [word for word in words if word.endswith(".py") or "/" in word] == []
    assert words[-1] == "{posargs}"
