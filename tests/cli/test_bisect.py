"""``cnnbench bisect`` through the command line, on made repositories, with made-up numbers."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cnnbench.cli.progress import PairProgress
from cnnbench.runner.bisect import state
from cnnbench.runner.fake import FakeWorker
from tests import made
from tests.made import commit, git, repository

if TYPE_CHECKING:
    from click.testing import Result

LAST = 6
DOCS = Path(__file__).resolve().parents[2] / "docs"


def out_of(repo: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(repo), *words], capture_output=True, text=True,
                          check=True)  # fmt: skip
    return done.stdout.strip()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six commits after ``v1``; the fourth is a merge that brings two commits in."""
    path = repository(tmp_path_factory.mktemp("bisect") / "repo", {"net.py": "0\n"}, tag="v1")
    for place in range(1, 4):
        commit(path, {"net.py": f"{place}\n"})
    git(path, "switch", "--quiet", "--create", "side", "v1")
    for name in ("one.py", "two.py"):
        commit(path, {name: "\n"})
    git(path, "tag", "aside")
    git(path, "switch", "--quiet", "main")
    git(path, "merge", "--quiet", "--no-ff", "--message", "bring it in", "side")
    git(path, "tag", "merged")
    for place in range(5, LAST + 1):
        commit(path, {"net.py": f"{place}\n"})
    return path


@pytest.fixture
def bisect(cnnbench_cli: Callable[..., Result], line: Path) -> Callable[..., Result]:
    """``cnnbench bisect`` in that repository, with made-up numbers."""
    return lambda *words: cnnbench_cli("bisect", *words, "--repo", line, "--executor", "fake")


WHAT = ("--models", "net:net", "--threads", "1", "--out", "out")
NAMED = ("v1", "main", *WHAT, "--fake-culprit", "merged")


def test_the_commit_is_named_first_and_its_evidence_below(bisect, line: Path) -> None:
    result = bisect(*NAMED)

    assert result.exit_code == 0, result.output
    merged = out_of(line, "rev-parse", "merged")[:9]
    shown = made.flat(result.stdout)
    assert f"main ({out_of(line, 'rev-parse', 'main')[:9]}): 6 commits after GOOD" in shown
    assert re.search(
        rf"{merged} \(bring it in\) made it slower: \+\d+\.\d % \[.*\] against the commit",
        shown,
    )
    assert shown.index("made it slower") < shown.index("against GOOD verdict")
    assert "structure: the same at both ends" in shown
    assert shown.endswith(f"what it changed: git show {merged}")
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert re.search(r"it is one of 6 commits: .* against GOOD; \d comparisons, about \d+ s, left",
                     result.stderr)  # fmt: skip


def test_the_checkout_and_its_worktrees_are_left_alone(bisect, line: Path) -> None:
    before = [out_of(line, *words.split()) for words in ("status", "worktree list", "stash list")]
    assert bisect(*NAMED).exit_code == 0

    after = [out_of(line, *words.split()) for words in ("status", "worktree list", "stash list")]
    assert after == before


def test_json_names_the_commit_and_every_step(bisect, line: Path) -> None:
    result = bisect(*NAMED, "--json")

    data = json.loads(result.stdout)
    merged = out_of(line, "rev-parse", "merged")
    assert data["culprit"] == {"commit": merged, "subject": "bring it in", "place": 4}
    assert data["candidates"] == [data["culprit"]]
    assert (data["commits"], data["made_up"], data["structure"]) == (6, True, [])
    verdicts = {(one["commit"], one["against"]): one["verdict"] for one in data["steps"]}
    before = out_of(line, "rev-parse", "merged^")
    assert verdicts[merged, before] == "regression"
    assert verdicts[before, data["good"]["commit"]] == "unchanged"


def test_of_several_specs_the_clearest_is_followed(bisect) -> None:
    result = bisect("v1", "main", "--models", "net:net,net:other", *WHAT[2:], "--json",
                    "--fake-culprit", "merged")  # fmt: skip
    data = json.loads(result.stdout)
    last = data["bad"]["commit"]

    ends = [one for one in data["steps"] if one["commit"] == last]
    assert {one["spec"].partition("/")[0] for one in ends} == {"net:net", "net:other"}
    clearest = max(ends, key=lambda one: one["low"])
    assert data["spec"] == clearest["spec"]
    assert {one["spec"] for one in data["steps"] if one["commit"] != last} == {data["spec"]}
    assert data["culprit"]["place"] == 4


def test_markdown_goes_to_a_file(bisect, tmp_path: Path) -> None:
    result = bisect(*NAMED, "-o", "found.md")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "made it slower" in (tmp_path / "found.md").read_text()
    assert "| commit | against GOOD |" in (tmp_path / "found.md").read_text()


def test_where_they_do_not_differ_there_is_nothing_to_bisect(bisect) -> None:
    result = bisect("v1", "main", *WHAT)
    structure = bisect("v1", "main", *WHAT[:-1], "other", "--structure-only")

    assert (result.exit_code, structure.exit_code) == (2, 2)
    last = result.stderr.splitlines()[-1]
    assert last == (
        "cnnbench: nothing to bisect: main is not slower than v1, and the structure of both is"
        " the same"
    )
    assert structure.stderr.splitlines()[-1] == (
        "cnnbench: nothing to bisect: the structure of both is the same"
    )


def test_what_cannot_be_decided_is_exit_code_4_and_says_what_helps(bisect) -> None:
    # Half the threshold: where no rule can decide.
    result = bisect(*NAMED, "--fake-slowdown", "0.0247")

    assert result.exit_code == 4
    assert re.search(
        r"whether main is slower than v1 cannot be decided: .*; --threads 1 or a quiet machine",
        result.stderr.splitlines()[-1],
    )


def test_commits_that_do_not_build_end_in_a_range(bisect, line: Path, monkeypatch) -> None:
    broken = out_of(line, "rev-parse", "merged^")
    ask = FakeWorker.ask

    def fails(self, message, timeout):
        if message.get("task") == "analyze" and self._who.label == broken:
            raise made_up
        return ask(self, message, timeout)

    from cnnbench.errors import WorkerRaised

    made_up = WorkerRaised("ModuleNotFoundError: No module named 'layers'")
    monkeypatch.setattr(FakeWorker, "ask", fails)
    monkeypatch.setattr("cnnbench.runner.bisect.search.bisection.inspected_next",
                        lambda last, known, differ: 3 if 3 not in known else None)  # fmt: skip
    result = bisect(*NAMED)
    shown = made.flat(result.stdout)

    assert result.exit_code == 4
    assert "one of 2 commits" in shown
    assert "made it slower; which is open: the commits in between could not be judged" in shown
    assert f"{broken[:9]} was skipped: start: ModuleNotFoundError" in shown
    assert result.stderr.splitlines()[-1].startswith("cnnbench: it is one of 2 commits: ")


def test_an_older_commit_that_did_less_is_said_to_have_a_later_one_beside_it(
    bisect, line: Path, monkeypatch
) -> None:
    last = out_of(line, "rev-parse", "main")
    pretended = "cnnbench.cli.bisect.Fake"

    def slower_still(label: str, slowdown: float):
        from cnnbench.runner.fake import Fake

        return Fake(label, 0.5 if label == last else slowdown)

    monkeypatch.setattr(pretended, slower_still)
    result = bisect(*NAMED)
    shown = made.flat(result.stdout)

    merged = out_of(line, "rev-parse", "merged")[:9]
    assert result.exit_code == 0
    assert re.search(rf"{merged} \(bring it in\) made it slower: \+(9|10)\.\d %", shown), shown
    remedy = re.search(
        r"main is slower still, by \+\d\d\.\d % .* commit that made it so, give (\w+) as GOOD",
        shown,
    )
    assert remedy is not None
    assert remedy[1] == merged
    rest = bisect(merged, "main", *WHAT[:-1], "rest", "--fake-culprit", "main")
    assert rest.exit_code == 0
    assert f"{last[:9]} (another) made it slower" in made.flat(rest.stdout)


def test_ctrl_c_says_how_to_go_on_and_that_works(
    bisect, line: Path, monkeypatch, tmp_path: Path
) -> None:
    real = PairProgress.judged

    def interrupts(self, outcome):
        real(self, outcome)
        if self.judged_so_far == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(PairProgress, "judged", interrupts)
    stopped = bisect(*NAMED, "--allocator", "system", "--no-explain")
    monkeypatch.setattr(PairProgress, "judged", real)
    remedy = re.search(r"interrupted; continue with: cnnbench bisect (.*)", stopped.stderr)

    assert stopped.exit_code == 130
    assert remedy is not None
    # What the directory does not hold: where the commits are, and the state of malloc.
    same = ["--repo", str(line), "--no-explain", "--allocator", "system"]
    assert shlex.split(remedy[1])[:9] == ["v1", "main", "--resume", "out", *same]
    known = state.read(tmp_path / "out").steps
    assert len(known) == 2
    result = bisect(*shlex.split(remedy[1]), "--fake-culprit", "merged")
    assert result.exit_code == 0, result.output
    assert "(bring it in) made it slower" in made.flat(result.stdout)
    assert state.read(tmp_path / "out").steps[:2] == known


def test_a_file_of_somebody_else_names_no_code(bisect, tmp_path: Path) -> None:
    assert bisect(*NAMED).exit_code == 0
    path = tmp_path / "out" / state.NAME
    path.write_text(path.read_text().replace("net:net", "os:system"))

    refused = bisect("v1", "main", "--resume", "out")
    others = bisect("v1", "merged", "--resume", "out")

    assert refused.exit_code == others.exit_code == 2
    assert "names 'os:system'" in refused.stderr
    assert "out is a bisection of other commits; give the same GOOD and BAD" in others.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["v1"], "Missing argument 'BAD'"),
        (["v1", "main"], "name the networks of the repository: --models"),
        (["nope", "main", *WHAT], "unknown revision 'nope'"),
        (["v1", ".", *WHAT], "unknown revision '.'"),
        (["main", "v1", *WHAT], "no commit lies after"),
        (["main", "main", *WHAT], "no commit lies after"),
        (["aside", "main", *WHAT], "is not among the first parents of"),
        (["v1", "main", *WHAT, "--pairs", "1"], "is not a range such as 3..10"),
        (["v1", "main", *WHAT, "--allow", "x"], "--allow goes with --resume DIR"),
        (["v1", "main", "--resume", "nowhere"], "nowhere holds no bisection"),
        (["v1", "main", "--resume", "x", "--threshold", "3%"], "drop --threshold"),
        (["v1", "main", *WHAT, "--modes", "tf32", "--device", "cpu"], "v1 (%s): mode 'tf32'"),
        (["v1", "main", *WHAT, "--format", "csv"], "unknown format 'csv'"),
    ],
)
def test_bad_input_is_one_line(bisect, line: Path, words: list[str], said: str) -> None:
    result = bisect(*words)

    assert result.exit_code == 2, result.output
    (told,) = result.stderr.strip().splitlines()
    assert (said % out_of(line, "rev-parse", "v1")[:9] if "%s" in said else said) in told


def test_outside_of_a_repository_it_says_so(cnnbench_cli) -> None:
    result = cnnbench_cli("bisect", "v1", "main", *WHAT, "--executor", "fake")

    assert result.exit_code == 2
    assert "this is not a git repository; see --repo" in result.stderr


def test_a_directory_that_holds_something_is_not_written_to(bisect, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("")

    result = bisect(*NAMED)

    assert result.exit_code == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["precious"]


def test_the_examples_of_the_documentation_run(cnnbench_cli, tmp_path: Path, monkeypatch) -> None:
    text = (DOCS / "commands" / "bisect.md").read_text(encoding="utf8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).splitlines()
    path = repository(tmp_path / "repo", {"mypkg/nets.py": "def tiny(): pass\n"}, tag="v1.0")
    for place in range(3):
        commit(path, {"mypkg/nets.py": f"def tiny(): {place}\n"})
    monkeypatch.chdir(path)

    assert len(lines) == 4
    for number, line in enumerate(lines):
        words = shlex.split(line.replace("bisect-TIME-ID", "0"))
        out = () if "--resume" in words else ("--out", f"results/{number}")
        slower = ("--fake-culprit", "main~1")
        result = cnnbench_cli(*words[1:], *out, *slower, "--executor", "fake")

        # What is made of pretended layers is the same everywhere.
        expected = 2 if "--structure-only" in words else 0
        assert (words[0], result.exit_code) == ("cnnbench", expected), f"{line}\n{result.output}"
