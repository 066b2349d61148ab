"""One map of checks: whatever runs them calls environments of tox.ini."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path

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


def test_the_tests_are_split_in_two_and_none_is_left_out() -> None:
    commands = {name: TOX[f"testenv:{name}"]["commands"] for name in ("pure", "tests{,-lowest}")}

    assert '-m "not torch" {posargs}' in commands["pure"]
    assert "-m torch {posargs}" in commands["tests{,-lowest}"]
    assert not re.search(r"--ignore|--deselect| -k ", "".join(commands.values()))
