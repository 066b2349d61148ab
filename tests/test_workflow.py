"""The workflows of docs/ci.md, played on a local repository: pull requests of three revisions.

The steps run word for word in a shell. Pretended are the CI system, pip, gh and what is measured.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.made import commit, git, repository

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf8")
ACTION = (ROOT / "action.yml").read_text(encoding="utf8")
NET = "def tiny():\n    return {}\n"


def example(title: str) -> str:
    """The YAML below a heading."""
    found = re.search(rf"^## {title}\n.*?^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def blocks(text: str, indent: int) -> dict[str, str]:
    """Names at that depth -> what is indented further."""
    parts = re.split(rf"^ {{{indent}}}(?:- )?([\w.-]+):", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def values(text: str) -> dict[str, str]:
    """Lines ``key: value``, without quotes."""
    found = re.findall(r"^ +([\w-]+): (.+)$", text, flags=re.MULTILINE)
    return {key: value.strip("\"'") for key, value in found}


@dataclass(frozen=True)
class ActionStep:
    """A step of the action."""

    name: str
    env: Mapping[str, str]
    script: str


def action_steps() -> list[ActionStep]:
    parts = re.split(r"^    - name: (.+)\n", ACTION, flags=re.MULTILINE)
    found = []
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        keys = blocks(body, 6)
        assert keys["shell"].strip() == "bash"
        lines = keys["run"].removeprefix(" |\n").splitlines()
        script = "\n".join(line.removeprefix(" " * 8) for line in lines)
        found.append(ActionStep(name, values(keys["env"]), script))
    return found


DEFAULTS = {
    name: values(body).get("default", "")
    for name, body in blocks(ACTION.partition("\ninputs:\n")[2].partition("\nruns:")[0], 2).items()
}
JOBS = {
    name: values(body)
    for name, body in blocks(example("GitHub").partition("\njobs:\n")[2], 2).items()
}


@dataclass
class Place:
    """A machine of the CI system."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def sh(self, script: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=cwd, env=os.environ | {"PATH": path} | self.variables | variables,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def comments(self) -> list[str]:
        return [one["body"] for one in json.loads((self.folder / "comments.json").read_text())]

    def log(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


FOUND = ".comments[] | select(.viewerDidAuthor and (.body | startswith(env.MARKER))) | .url"
# What gh would do with one pull request's comments, kept as JSON: list, add and edit.
GH = (
    f"FOUND = {FOUND!r}"
    + """
import json, os, pathlib, sys
folder, *words = sys.argv[1:]
kept = pathlib.Path(folder, "comments.json")
known = json.loads(kept.read_text()) if kept.exists() else []
if words[:2] == ["pr", "view"]:
    assert words[2:] == [os.environ["PULL"], "--json", "comments", "--jq", FOUND]
    for number, one in enumerate(known):
        if one["viewerDidAuthor"] and one["body"].startswith(os.environ["MARKER"]):
            print(f"https://github.com/somebody/networks/pull/1#issuecomment-{number}")
    sys.exit()
if os.environ.get("GH_REFUSES"):
    sys.exit("HTTP 403: Resource not accessible by integration")
assert words[:2] == ["api", "--method"] and words[4] == "-F" and words[6] == "--silent"
field, _, path = words[5].partition("=@")
assert field == "body"
new = {"body": pathlib.Path(path).read_text(), "viewerDidAuthor": True}
repo = "repos/somebody/networks/issues"
if words[2:4] == ["POST", f"{repo}/{os.environ['PULL']}/comments"]:
    known.append(new)
else:
    assert words[2] == "PATCH"
    known[int(words[3].removeprefix(f"{repo}/comments/"))] = new
kept.write_text(json.dumps(known))
"""
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Without torch, with a pip that writes down what it is asked and a gh that keeps comments."""
    tools = {
        "python": f"""case "$1 $2" in
          "-m pip") shift 3; echo "$@" >> {tmp_path}/pip;;
          "-c import torch"*) exit 1;;
          *) exec {sys.executable} "$@";;
        esac""",
        "cnnbench": f'exec {sys.executable} -m cnnbench "$@" --executor fake $SLOWER',
        "gh": f'exec {sys.executable} -c "$GH" {tmp_path} "$@"',
    }
    for name, text in tools.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return Place(tmp_path, {"PYTHONPATH": str(ROOT), "SLOWER": "", "GH": GH})


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``main`` with a baseline file; pull requests 1 and 2, merged for a try as GitHub does."""
    path = repository(tmp_path_factory.mktemp("workflow") / "origin", {
        "mypkg/__init__.py": "", "mypkg/nets.py": NET.format(0),
    })  # fmt: skip
    words = ("--models", "mypkg.nets:tiny", "--input", "3x64x64", "--device", "cpu")
    made = ("baseline", "save", *words, "-o", "benchmarks/structure.json", "--executor", "fake")
    (path / "benchmarks").mkdir()
    subprocess.run([sys.executable, "-m", "cnnbench", *made], cwd=path, check=True,
                   env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True)  # fmt: skip
    commit(path, {})
    for number in (1, 2):
        git(path, "switch", "--quiet", "--create", f"topic{number}", "main")
        commit(path, {"mypkg/nets.py": NET.format(number)})
        git(path, "switch", "--quiet", "--detach", "main")
        git(path, "merge", "--quiet", "--no-ff", "--message", "try it", f"topic{number}")
        git(path, "update-ref", f"refs/pull/{number}/merge", "HEAD")
    git(path, "switch", "--quiet", "main")
    return path


def checkout(origin: Path, path: Path, ref: str, depth: str) -> Path:
    """As the CI systems do it: one reference, not deeper than asked, detached."""
    path.mkdir()
    git(path, "init", "--quiet")
    git(path, "remote", "add", "origin", f"file://{origin}")
    git(path, "fetch", "--quiet", "--no-tags", f"--depth={depth}", "origin", ref)
    git(path, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    return path


def github(place: Place, origin: Path, number: int, job: str, **variables: str) -> dict[str, int]:
    """A job of the workflow on a pull request: step -> its exit code."""
    asked = JOBS[job]
    clone = checkout(origin, place.folder / job, f"refs/pull/{number}/merge",
                     asked.get("fetch-depth", "1"))  # fmt: skip
    given = {f"inputs.{name}": value for name, value in (DEFAULTS | asked).items()}
    context = given | {
        "github.action_path": "ACTION", "github.event.number": str(number), "github.token": "t",
        "github.repository": "somebody/networks", "runner.temp": str(place.folder / f"{job}-temp"),
    }  # fmt: skip
    codes: dict[str, int] = {}
    for step in action_steps():
        if step.name == "comment" and asked.get("comment", DEFAULTS["comment"]) != "true":
            continue
        env = {
            key: re.sub(r"\$\{\{ (.+?) \}\}", lambda found: context[found[1]], value)
            for key, value in step.env.items()
        }
        summary = {"GITHUB_STEP_SUMMARY": str(place.folder / f"{job}.md"), "GITHUB_JOB": job}
        done = place.sh(step.script, clone, **env, **summary, **variables)
        codes[step.name] = done.returncode
        with (place.folder / "output").open("a") as file:
            file.write(done.stdout + done.stderr)
    return codes


def test_the_jobs_of_the_example_are_read_whole() -> None:
    assert list(JOBS) == ["structure", "timing"]
    assert [step.name for step in action_steps()] == ["install", "compare", "comment"]
    assert set(DEFAULTS) == {"command", "install", "torch-index", "comment", "token"}
    inputs = re.findall(r"inputs\.([\w-]+)", ACTION)
    assert set(inputs) == set(DEFAULTS)


def test_no_text_of_a_pull_request_becomes_shell() -> None:
    assert not [step.name for step in action_steps() if "${{" in step.script]


def test_a_pull_request_that_changes_nothing_is_green_and_commented(
    place: Place, origin: Path
) -> None:
    structure = github(place, origin, 1, "structure")
    timing = github(place, origin, 1, "timing")

    output = "\n".join(place.log("output"))
    assert structure == {"install": 0, "compare": 0, "comment": 0}, output
    assert timing == {"install": 0, "compare": 0}, output
    index = f"--index-url {DEFAULTS['torch-index']} torch torchvision"
    assert place.log("pip") == [index, "ACTION", "."] * 2
    (comment,) = place.comments()
    assert comment.startswith("<!-- cnnbench check, job structure -->\n")
    assert "### cnnbench check: 1 spec: 1 unchanged" in comment
    assert "### cnnbench ab: 1 spec: 1 unchanged" in "\n".join(place.log("timing.md"))


def test_a_job_edits_its_own_comment_and_no_other(place: Place, origin: Path) -> None:
    marker = "<!-- cnnbench check, job structure -->"
    others = [
        {"body": f"{marker}\nquoted by somebody", "viewerDidAuthor": False},
        {"body": f"coverage 98 %, see {marker}", "viewerDidAuthor": True},
        {"body": "<!-- cnnbench check, job other -->\nof another job", "viewerDidAuthor": True},
        {"body": f"{marker}\nof the push before", "viewerDidAuthor": True},
        {"body": "the last that this token wrote", "viewerDidAuthor": True},
    ]
    (place.folder / "comments.json").write_text(json.dumps(others))
    codes = github(place, origin, 1, "structure")

    assert codes["comment"] == 0, "\n".join(place.log("output"))
    comments = place.comments()
    assert comments[:3] + comments[4:] == [one["body"] for one in others[:3] + others[4:]]
    assert comments[3].startswith(f"{marker}\n### cnnbench check: 1 spec: 1 unchanged")


def test_a_slower_pull_request_from_a_fork_fails_without_a_token_to_comment(
    place: Place, origin: Path
) -> None:
    place.variables |= {"SLOWER": "--fake-slowdown 0.3"}
    timing = github(place, origin, 2, "timing")
    place.variables |= {"SLOWER": "", "GH_REFUSES": "1"}
    structure = github(place, origin, 2, "structure")

    output = "\n".join(place.log("output"))
    assert (timing["compare"], structure["compare"]) == (1, 0), output
    assert structure["comment"] == 0
    assert "::notice::no comment: the token of a pull request from a fork may not write" in output
    assert "::error title=regression" in output
    assert "### cnnbench ab: 1 spec: 1 regression" in "\n".join(place.log("timing.md"))


def test_the_base_is_not_there_at_depth_one_and_the_message_says_what_brings_it(
    place: Place, origin: Path
) -> None:
    clone = checkout(origin, place.folder / "clone", "refs/pull/2/merge", "1")
    line = f"cnnbench {JOBS['timing']['command']}"
    lacking = place.sh(line, clone)
    remedy = re.search(r"this clone is shallow: (git fetch .*)\)", lacking.stderr)

    assert lacking.returncode == 2
    assert remedy is not None, lacking.stderr
    again = place.sh(f"{remedy[1]}\n{line}", clone)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(("slower", "code"), [("", 0), ("--fake-slowdown 0.3", 1)])
def test_the_jobs_for_gitlab(place: Place, origin: Path, slower: str, code: int) -> None:
    jobs = blocks(example("GitLab"), 0)
    before = re.findall(r"^    - (python .*)$", jobs[".cnnbench"], flags=re.MULTILINE)
    assert len(before) == 2
    base = subprocess.run(["git", "-C", str(origin), "rev-parse", "main"], capture_output=True,
                          text=True, check=True).stdout.strip()  # fmt: skip
    for job in ("structure", "timing"):
        script = re.findall(r"^    - (.*)$", jobs[job], flags=re.MULTILINE)
        clone = checkout(origin, place.folder / job, "topic2", values(jobs[job])["GIT_DEPTH"])
        place.variables |= {"SLOWER": slower if job == "timing" else ""}
        lines = "\n".join([*before, *script])
        done = place.sh(lines, clone, CI_MERGE_REQUEST_DIFF_BASE_SHA=base)

        assert done.returncode == (code if job == "timing" else 0), done.stderr
        kept = values(jobs[".cnnbench"])
        assert (clone / kept["junit"]).is_file()
        assert "### cnnbench" in (clone / kept["paths"].strip("[]")).read_text()
    assert len(place.log("pip")) == 4
