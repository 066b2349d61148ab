from __future__ import annotations

import json
import random
import re
import shlex
import statistics
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from cnnbench import store
from cnnbench.cli import ab, check
from cnnbench.errors import WorkerError
from cnnbench.gate import baseline as kept
from cnnbench.gate import noise
from cnnbench.gate.noise import PastPairs
from cnnbench.gate.outcomes import PairedOutcome
from cnnbench.gate.rule import Decision, decide
from cnnbench.record import Failure
from cnnbench.report import comparison
from cnnbench.runner import inquiry
from cnnbench.runner.ab import paired
from cnnbench.runner.ab.session import PairedSession
from tests import made
from tests.cli.test_measuring import interrupt_at


@pytest.fixture
def baseline(cnnbench_cli, tmp_path, eager, twice_as_fast):
    run = made.directory(tmp_path / "old", [eager, twice_as_fast])
    assert cnnbench_cli("baseline", "save", run).exit_code == 0
    return tmp_path / "baseline.json"


@pytest.fixture
def slower(tmp_path):
    """Everything three times as slow, measured later."""
    return made.directory(tmp_path / "new", [
        made.record(made.EAGER, [[30, 30]] * 3, ensemble="later"),
        made.record(made.CHANNELS_LAST, [[15, 15]] * 3, ensemble="later"),
    ])  # fmt: skip


def test_the_run_itself_is_no_regression(cnnbench_cli, baseline, tmp_path) -> None:
    done = cnnbench_cli("check", "--baseline", baseline, tmp_path / "old")

    assert done.exit_code == 0
    assert "2 specs: 2 inconclusive" in done.stdout
    assert (
        cnnbench_cli("check", "--baseline", baseline, tmp_path / "old", "--strict").exit_code == 4
    )


def test_a_large_change_is_seen_by_a_stored_record(cnnbench_cli, baseline, slower) -> None:
    done = cnnbench_cli("check", "--baseline", baseline, slower)

    assert (done.exit_code, done.stderr) == (1, "cnnbench: 2 of 2 specs regressed\n")
    assert "10.0 ms -> 30.0 ms, +200 %" in made.flat(done.stdout)
    accept = f"cnnbench baseline update {baseline} {slower} --replace"
    # In one piece, to be copied, however long it is.
    assert done.stdout.splitlines()[-2:] == ["if the change is intended:", f"  {accept}"]
    assert cnnbench_cli(*accept.split()[1:]).exit_code == 0
    assert cnnbench_cli("check", "--baseline", baseline, slower).exit_code == 0


def test_where_a_run_is_the_baseline_nothing_is_to_be_updated(
    cnnbench_cli, baseline, slower, tmp_path
) -> None:
    done = cnnbench_cli("check", "--baseline", tmp_path / "old", slower)

    assert done.exit_code == 1
    assert "if the change is intended" not in done.stdout


def test_a_run_can_be_the_baseline(cnnbench_cli, tmp_path, baseline) -> None:
    assert cnnbench_cli("check", "--baseline", tmp_path / "old", tmp_path / "old").exit_code == 0


def test_missing_specs_are_not_passed_over(cnnbench_cli, baseline, tmp_path, eager) -> None:
    less = made.directory(tmp_path / "less", [eager])

    done = cnnbench_cli("check", "--baseline", baseline, less, "-t", "latency=off")

    assert done.exit_code == 3
    assert "1 are missing" in done.stderr


def fake_baseline(
    cnnbench_cli, models: str = "lenet,alexnet", *more: str, device: str = "cpu"
) -> None:
    words = ["--models", models, "--device", device, "--threads", "1", "--quiet"]
    done = cnnbench_cli("run", *words, "--out", "old", "--executor", "fake", *more)
    assert done.exit_code == 0, done.stderr
    assert cnnbench_cli("baseline", "save", "old").exit_code == 0


def test_structure_only_measures_no_time(cnnbench_cli, tmp_path) -> None:
    fake_baseline(cnnbench_cli)

    done = cnnbench_cli("check", "--baseline", "baseline.json", "--structure-only",
                        "--executor", "fake")  # fmt: skip

    assert done.exit_code == 0, done.stderr
    assert "now against baseline.json: 4 specs: 4 unchanged" in done.stdout
    assert not (tmp_path / "results").exists()


def test_structure_only_sees_a_parameter_more(cnnbench_cli, tmp_path) -> None:
    fake_baseline(cnnbench_cli)
    path = tmp_path / "baseline.json"
    data = json.loads(path.read_text())
    name = "lenet/inference-b1-3x32x32/eager/cpu-t1"
    data["specs"][name]["cost"]["params"] -= 1
    path.write_text(json.dumps(data))

    done = cnnbench_cli("check", "--baseline", path, "--structure-only", "--executor", "fake")

    assert done.exit_code == 1
    assert f"{name}: regression\n  params: regression, " in done.stdout
    assert "  structure changed: parameters:" in done.stdout
    assert made.flat(done.stdout).endswith(
        f"if the change is intended: cnnbench baseline update {path} RUN --replace, where RUN is a"
        " new run of these specs"
    )


def test_without_a_run_the_head_is_measured_and_kept(cnnbench_cli, tmp_path) -> None:
    fake_baseline(cnnbench_cli)

    done = cnnbench_cli("check", "--baseline", "baseline.json", "--out", "new", "--quiet",
                        "--executor", "fake")  # fmt: skip

    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "new" / "records.jsonl").exists()
    assert "kept in new" in done.stderr


def repository(path: Path) -> None:
    """The test's directory as a clean repository, whatever the commands leave there."""
    made.repository(path / "repo", {".gitignore": "old\nresults\nbaseline.json\n"})
    for name in (".git", ".gitignore"):
        (path / "repo" / name).rename(path / name)
    (path / "repo").rmdir()


def test_a_recorded_revision_is_measured_beside_what_is_here(cnnbench_cli, tmp_path) -> None:
    repository(tmp_path)
    fake_baseline(cnnbench_cli, "lenet")

    done = cnnbench_cli("check", "--baseline", "baseline.json", "--json", "--executor", "fake")

    assert done.exit_code == 0, done.stderr
    assert "measuring revision" in done.stderr
    found = [row for row in json.loads(done.stdout) if row["metric"] == "latency"]
    assert {(row["verdict"], row["how"]) for row in found} == {("unchanged", "paired")}


def test_the_structure_is_told_first_and_shown_when_interrupted(
    cnnbench_cli, tmp_path, monkeypatch
) -> None:
    repository(tmp_path)
    fake_baseline(cnnbench_cli, "lenet")
    with monkeypatch.context() as patch:
        interrupt_at(patch, '"round": 2')
        done = cnnbench_cli("check", "--baseline", "baseline.json", "--executor", "fake")

    said = done.stderr.splitlines()
    order = ["structure of 2 specs: 2 unchanged", "measuring revision", "interrupted after 2 pairs"]
    places = [next(n for n, line in enumerate(said) if one in line) for one in order]
    assert done.exit_code == 130
    assert places == sorted(places)
    assert said[-1] == "cnnbench: interrupted; the table above is of the structure only"
    assert "2 specs: 2 unchanged" in done.stdout
    assert "same" in done.stdout


EAGER = "lenet/inference-b1-3x32x32/eager/cpu-t1"


def measured_as(
    pairs: tuple[float, ...], failure: Failure | None = None, failed: str = "head", models: str = ""
):
    """A session in which every comparison (of these models) shows these pairs or fails."""

    def measure(session, comparisons):
        for one in comparisons:
            found = decide(pairs, one.rule, spent=True)
            if failure is None or models not in one.base.id:
                confirmation = pairs if found.verdict == "regression" else ()
                yield PairedOutcome(one, found, pairs, confirmation)
                continue
            reason = f"{failed}: {failure.phase}: {failure.message}"
            found = Decision("failed", reason=reason)
            yield PairedOutcome(one, found, failure=failure, failed=failed)

    return measure


@pytest.mark.parametrize(
    ("pairs", "failure", "code", "verdict"),
    [
        ((0.1, 0.101, 0.099), None, 1, "regression"),
        ((-0.1, -0.101, -0.099), None, 0, "improvement"),
        ((0.0, 0.001, -0.001), None, 0, "unchanged"),
        ((0.02, 0.03, 0.025), None, 4, "inconclusive"),
        ((0.1,), Failure("build", "died", "killed"), 3, "failed"),
    ],
)
def test_the_same_pairs_get_the_same_answer_from_ab_and_from_check(
    cnnbench_cli, tmp_path, monkeypatch, pairs, failure, code: int, verdict: str
) -> None:
    repository(tmp_path)
    fake_baseline(cnnbench_cli, "lenet")
    monkeypatch.setattr(PairedSession, "measure", measured_as(pairs, failure))
    words = ("--strict", "--json", "--quiet", "--executor", "fake")

    by_check = cnnbench_cli("check", "--baseline", "baseline.json", *words)
    by_ab = cnnbench_cli("ab", "HEAD", ".", "--models", "lenet", "--threads", "1", *words)

    assert (by_check.exit_code, by_ab.exit_code) == (code, code), by_check.stderr
    told = ("verdict", "row_verdict", "threshold", "ratio", "ratio_low", "ratio_high", "how",
            "pairs", "resolvable", "reason")  # fmt: skip
    answers = [
        [row[name] for name in told]
        for done in (by_check, by_ab)
        for row in json.loads(done.stdout)
        if (row["spec"], row["metric"]) == (EAGER, "latency")
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] == verdict


def test_both_are_measured_under_the_conditions_of_the_baseline(cnnbench_cli, tmp_path) -> None:
    repository(tmp_path)
    conditions = ("--seed", "7", "--l2", "cold", "--cudnn-benchmark")
    fake_baseline(cnnbench_cli, "lenet", *conditions, device="cuda")

    done = cnnbench_cli("check", "--baseline", "baseline.json", "--executor", "fake",
                        "--out", "new")  # fmt: skip

    assert done.exit_code == 0, done.stderr
    for role in ("base", "head"):
        plan = store.read(tmp_path / "new" / role).manifest.plan
        assert (plan["seed"], plan["l2"], plan["cudnn_benchmark"]) == (7, "cold", True)
        assert (plan["rounds"], plan["slices"]) == (10, 8)


GONE = Failure("build", "raised", "ImportError: gone")


def test_an_old_revision_that_no_longer_runs_leaves_the_answer_to_the_stored_record(
    cnnbench_cli, tmp_path, monkeypatch
) -> None:
    repository(tmp_path)
    fake_baseline(cnnbench_cli, "lenet")
    monkeypatch.setattr(PairedSession, "measure", measured_as((), GONE, "base"))

    done = cnnbench_cli("check", "--baseline", "baseline.json", "--json", "--executor", "fake",
                        "--out", "new")  # fmt: skip

    assert done.exit_code == 0, done.stderr
    said = (
        "base: build: ImportError: gone; comparing with its stored times, which detect only large"
        " changes"
    )
    assert done.stderr.count(said) == 1
    found = [row for row in json.loads(done.stdout) if row["metric"] == "latency"]
    assert {row["how"] for row in found} == {"apart"}
    assert (tmp_path / "new" / "alone" / "records.jsonl").exists()


def test_one_network_that_the_old_revision_cannot_run_is_inconclusive(
    cnnbench_cli, tmp_path, monkeypatch
) -> None:
    repository(tmp_path)
    fake_baseline(cnnbench_cli)
    calm = (0.0, 0.001, -0.001)
    monkeypatch.setattr(PairedSession, "measure", measured_as(calm, GONE, "base", "alexnet"))
    words = ("check", "--baseline", "baseline.json", "--executor", "fake", "--quiet")

    done = cnnbench_cli(*words)

    assert done.exit_code == 0, done.stderr
    assert "4 specs: 2 inconclusive, 2 unchanged" in done.stdout
    reason = "the old revision could not be measured beside it: base: build: ImportError: gone"
    assert made.flat(done.stdout).count(f"latency: inconclusive: {reason}") == 2
    assert cnnbench_cli(*words, "--strict").exit_code == 4


@pytest.mark.parametrize(("role", "code"), [("base", 0), ("head", 2)])
def test_a_side_that_does_not_even_start(cnnbench_cli, tmp_path, monkeypatch, role, code) -> None:
    repository(tmp_path)
    fake_baseline(cnnbench_cli, "lenet")

    answers = iter(["base", "head"])

    def describe(pool):
        if next(answers) == role:
            raise WorkerError("ImportError: gone")
        return inquiry.describe(pool)

    monkeypatch.setattr(paired, "describe", describe)

    done = cnnbench_cli("check", "--baseline", "baseline.json", "--executor", "fake")

    assert done.exit_code == code, done.stderr
    ending = (
        "; comparing with its stored times, which detect only large changes"
        if role == "base"
        else ""
    )
    assert f"cnnbench: {role}, " in done.stderr
    assert f": ImportError: gone{ending}\n" in done.stderr


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"revision": None}, "the baseline file records no revision"),
        ({"dirty": True}, "the baseline file was measured with uncommitted changes"),
        (
            {"revision": "0" * 40},
            "revision 000000000000 of the baseline file is not in this repository",
        ),
    ],
)
def test_a_source_that_cannot_be_rebuilt_is_said_and_the_stored_record_decides(
    cnnbench_cli, tmp_path, change, reason: str
) -> None:
    repository(tmp_path)
    fake_baseline(cnnbench_cli, "lenet")
    path = tmp_path / "baseline.json"
    data = json.loads(path.read_text())
    data["source"] |= change
    path.write_text(json.dumps(data))

    done = cnnbench_cli("check", "--baseline", path, "--json", "--executor", "fake")

    assert done.exit_code == 0, done.stderr
    assert f"cnnbench: {reason}; comparing with its stored times, which detect" in done.stderr
    assert "paired" not in {row["how"] for row in json.loads(done.stdout)}


def test_a_network_that_no_longer_builds_fails_and_the_others_are_judged(
    cnnbench_cli, tmp_path
) -> None:
    fake_baseline(cnnbench_cli)
    path = tmp_path / "baseline.json"
    text = path.read_text().replace('"lenet/', '"fake:raises/')
    path.write_text(text)
    words = ["--structure-only", "--executor", "fake", "--allow", "fake:raises"]

    done = cnnbench_cli("check", "--baseline", path, *words)

    assert done.exit_code == 3
    assert "2 failed, 2 unchanged" in done.stdout
    assert "ValueError: made up" in done.stdout


def test_thresholds_come_from_pyproject_and_the_command_line_wins(
    cnnbench_cli, baseline, slower, tmp_path
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.cnnbench.check]\nlatency = "900%"\n')

    assert cnnbench_cli("check", "--baseline", baseline, slower).exit_code == 0
    assert cnnbench_cli("check", "--baseline", baseline, slower, "-t", "latency=5%").exit_code == 1


def test_files_for_ci(cnnbench_cli, baseline, slower, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))

    done = cnnbench_cli("check", "--baseline", baseline, slower, "--ci", "github",
                        "--junit", "check.xml", "--markdown", "check.md", "--json")  # fmt: skip

    assert done.exit_code == 1
    assert json.loads(done.stdout)
    assert done.stderr.count("::error title=regression%3A lenet") == 2
    suite = ET.parse(tmp_path / "check.xml").getroot()[0]
    assert suite.get("failures") == "2"
    for name in ("check.md", "summary.md"):
        page = (tmp_path / name).read_text()
        assert "2 regression" in page
        assert f"- if the change is intended: cnnbench baseline update {baseline}" in page


def test_outside_of_github_there_is_no_summary(cnnbench_cli, baseline, slower, monkeypatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)

    done = cnnbench_cli("check", "--baseline", baseline, slower, "--ci", "github")

    assert "GITHUB_STEP_SUMMARY is not set" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--baseline", "gone.json"], 2, "gone.json: No such file"),
        (["--baseline", "old/manifest.json"], 2, "not a baseline"),
        (["--baseline", "newer.json"], 5, "schema 9 is not known"),
        (["--baseline", "baseline.json", "gone"], 2, "gone is not a cnnbench run"),
        (["--baseline", "baseline.json", "other"], 5, "have no spec in common"),
        (["--baseline", "baseline.json", "old", "-t", "latncy=5%"], 2, "did you mean latency"),
        (["--baseline", "baseline.json", "old", "-t", "latency=5"], 2, "is not a share"),
        (["--baseline", "baseline.json", "--structure-only", "--out", "x"], 2, "drop --out"),
        (["--baseline", "bad", "--structure-only"], 2, "contains no spec that could be measured"),
        ([], 2, "Missing option '--baseline'"),
    ],
)
def test_bad_input_is_one_line(
    cnnbench_cli, baseline, tmp_path, failed, words, code, message
) -> None:
    (tmp_path / "newer.json").write_text('{"kind": "cnnbench baseline", "schema": 9}')
    made.directory(tmp_path / "other", [made.record("vgg16/inference-b1-3x4x4/eager/cpu-t1", [])])
    made.directory(tmp_path / "bad", [failed])

    done = cnnbench_cli("check", *words)

    assert done.exit_code == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_checking_a_stored_run_imports_no_torch(cnnbench_process, baseline, tmp_path) -> None:
    code = f"""
import sys
from cnnbench.cli import main
try:
    main(["check", "--baseline", {str(baseline)!r}, {str(tmp_path / "old")!r}])
except SystemExit as done:
    print(done.code, "torch" in sys.modules)
"""

    done = cnnbench_process(code=code)

    assert done.out.splitlines()[-1] == "0 False", done.err


def test_the_commands_of_the_workflow_examples_parse() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ci.md").read_text(encoding="utf8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    typed = r"(?:cnnbench|command:)"
    lines = [line for block in blocks for line in re.findall(rf"{typed} ((?:check|ab) .*)", block)]

    assert [line.split()[0] for line in lines] == ["check", "ab", "check", "ab"]
    for line in lines:
        name, *words = shlex.split(line)
        # Parses every option; raises a usage error for one that does not exist.
        {"check": check.command, "ab": ab.command}[name].make_context(name, words)


def test_every_column_for_machines_is_explained() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ci.md").read_text(encoding="utf8")
    rows = re.findall(r"^\| (`.*?) \| ", page.split("## Tables for machines")[1], re.MULTILINE)

    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert explained == [column.name for column in comparison.tidy([]).columns]


def test_what_is_measured_already_keeps_no_run(cnnbench_cli, baseline, tmp_path) -> None:
    run = tmp_path / "run"

    result = cnnbench_cli("check", run, "--baseline", baseline, "--out", tmp_path / "out")

    assert result.exit_code == 2
    assert "measured already" in result.stderr
    assert not (tmp_path / "out").exists()


def taught(cnnbench_cli, tmp_path: Path, deviation: float, runs: int) -> Path:
    """A baseline file in a repository, with so many comparisons of pairs that differ by so much."""
    repository(tmp_path)
    fake_baseline(cnnbench_cli, "lenet")
    path = tmp_path / "baseline.json"
    old = kept.read(path)
    chance = random.Random(1)
    for number in range(runs):
        pairs = [chance.gauss(0, deviation) for _ in range(10)]
        past = PastPairs(f"check-{number}", f"2026-01-{number + 1:02}", old.fingerprint, 10,
                         statistics.stdev(pairs), 0.0)  # fmt: skip
        old = kept.taught(old, {EAGER: past})
    kept.write(path, old)
    return path


def said_by_check(cnnbench_cli, *words: str) -> tuple[str, dict[str, Any]]:
    command = ("check", "--baseline", "baseline.json", "--executor", "fake", "--quiet", *words)
    text = cnnbench_cli(*command)
    data = json.loads(cnnbench_cli(*command, "--json").stdout)
    (row,) = [one for one in data if (one["spec"], one["metric"]) == (EAGER, "latency")]
    return made.flat(text.stdout), row


def test_a_threshold_finer_than_the_noise_is_said_and_stays(cnnbench_cli, tmp_path) -> None:
    taught(cnnbench_cli, tmp_path, 0.019, 6)
    text, row = said_by_check(cnnbench_cli, "-t", "latency=3%")
    coarse, _ = said_by_check(cnnbench_cli, "-t", "latency=9%")

    found = re.search(
        r"lenet/eager: pairs differ by \d\.\d % here \(6 runs\), so 3\.0 % cannot be decided in 10"
        r" pairs; (--threshold '(lenet/eager:latency=[\d.]+%)') can",
        text,
    )
    assert found is not None, text
    assert row["threshold"] == 0.03
    assert "pairs differ by" not in coarse
    # What it names is decided, and nothing more is said of it.
    again, row = said_by_check(cnnbench_cli, *shlex.split(found[1]))
    assert "pairs differ by" not in again
    assert (row["verdict"], row["threshold"]) == ("unchanged", pytest.approx(0.06, abs=0.015))


@pytest.mark.parametrize(
    ("deviation", "runs", "limit", "said"),
    [
        (0.019, 3, 0.05, "auto: 5.0 %, 3 runs here so far, 5 teach its noise"),
        (0.002, 6, 0.02, r"auto: 2.0 %, pairs differ by 0.2 % here (6 runs), never less"),
        (0.2, 6, 0.10, r"auto: 10.0 %, pairs differ by"),
    ],
)
def test_auto_is_said_in_the_verdict_with_its_floor_and_its_cap(
    cnnbench_cli, tmp_path, deviation: float, runs: int, limit: float, said: str
) -> None:
    taught(cnnbench_cli, tmp_path, deviation, runs)
    text, row = said_by_check(cnnbench_cli, "-t", "latency=auto")

    assert f"{EAGER}: {said}" in text
    assert row["threshold"] == limit


def test_the_noise_of_another_machine_is_not_this_ones(cnnbench_cli, tmp_path) -> None:
    path = taught(cnnbench_cli, tmp_path, 0.05, 6)
    data = json.loads(path.read_text())
    for one in data["specs"][EAGER]["past"]:
        one["environment"] = "another"
    path.write_text(json.dumps(data))

    assert "pairs differ by" not in said_by_check(cnnbench_cli, "-t", "latency=3%")[0]
    text, row = said_by_check(cnnbench_cli, "-t", "latency=auto")
    assert "auto: 5.0 %, 0 runs here so far" in text
    assert row["threshold"] == 0.05


def test_auto_of_what_was_measured_apart_is_the_usual_limit_and_says_so(
    cnnbench_cli, baseline, slower
) -> None:
    done = cnnbench_cli("check", "--baseline", baseline, slower, "-t", "latency=auto")

    assert done.exit_code == 1
    assert "auto: 5.0 %, because the two sides were not measured side by side" in made.flat(
        done.stdout
    )


def test_what_a_check_keeps_teaches_the_baseline_file(cnnbench_cli, tmp_path) -> None:
    repository(tmp_path)
    fake_baseline(cnnbench_cli, "lenet")
    command = ("check", "--baseline", "baseline.json", "--executor", "fake", "--quiet")
    for number in range(5):
        done = cnnbench_cli(*command, "--out", f"results/check-{number}")
        assert done.exit_code == 0, done.stderr
    places = [f"results/check-{number}" for number in range(5)]
    first = cnnbench_cli("baseline", "learn", "baseline.json", *places[:2])
    assert first.stderr == (
        "baseline.json: learnt from 2 comparisons; 5 of a machine are needed, 2 are kept\n"
    )
    done = cnnbench_cli("baseline", "learn", "baseline.json", *places)
    again = cnnbench_cli("baseline", "learn", "baseline.json", places[0])

    assert (done.exit_code, done.stderr) == (0, "baseline.json: learnt from 5 comparisons\n")
    assert again.exit_code == 0
    entry = kept.read(tmp_path / "baseline.json").specs[EAGER]
    assert len(entry.past) == 5
    learnt = noise.learnt(entry.past, kept.read(tmp_path / "baseline.json").fingerprint)
    assert learnt is not None
    shown = made.flat(cnnbench_cli("baseline", "show", "baseline.json", "--wide").stdout)
    assert "comparisons" in shown
    text, row = said_by_check(cnnbench_cli, "-t", "latency=auto")
    assert "here (5 runs)" in text
    assert noise.FLOOR <= row["threshold"] <= noise.CAP
    # An accepted change keeps what is known of the noise.
    assert cnnbench_cli("baseline", "update", "baseline.json", "old", "--replace").exit_code == 0
    assert kept.read(tmp_path / "baseline.json").specs[EAGER].past == entry.past


def test_the_example_of_the_documentation_runs(cnnbench_cli, tmp_path) -> None:
    repository(tmp_path)
    fake_baseline(cnnbench_cli, "lenet")
    page = Path(__file__).resolve().parents[2] / "docs" / "commands" / "baseline.md"
    (block,) = re.findall(r"^```sh\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)

    lines = [shlex.split(line) for line in block.splitlines()]
    assert [words[1] for words in lines] == ["check", "baseline", "check"]
    for words in lines:
        fake = ("--executor", "fake") if words[1] == "check" else ()
        done = cnnbench_cli(*words[1:], *fake)
        assert done.exit_code == 0, done.stderr
    assert "auto: 5.0 %, 1 run here so far, 5 teach its noise" in made.flat(done.stdout)


def test_what_teaches_nothing_is_refused(cnnbench_cli, tmp_path, baseline) -> None:
    alone = cnnbench_cli("baseline", "learn", baseline, "old")
    for role in ("base", "head"):
        made.directory(tmp_path / "both" / role, [made.record(made.BF16, [[1.0]] * 3)])
    other = cnnbench_cli("baseline", "learn", baseline, "both")

    assert (alone.exit_code, other.exit_code) == (2, 2)
    assert "old holds no comparison side by side: it has no base and head" in alone.stderr
    assert "nothing was learnt: no pairs of a spec of" in other.stderr
