"""The session of checks on a GPU: what may go wrong with one, the time, the evidence, the table."""

from __future__ import annotations

import ast
import json
import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from bench.device import __main__ as command
from bench.device import commands, evidence
from bench.device.check import NOT_SHOWN, PROVED, REFUTED, Check, NotShown, Rule, Verdict, judge
from bench.device.place import Place
from bench.device.session import Session
from bench.device.table import CHECKS

ROOT = Path(__file__).resolve().parents[1]


def check(function: str, seconds: float = 300, name: str = "", **more) -> Check:
    return Check(
        name or function, f"the claim of {function}", f"tests.device_checks:{function}", seconds,
        (Rule("the figure is 3", lambda facts: facts["figure"] == 3),),
        lambda facts: f"figure {facts['figure']}", **more,
    )  # fmt: skip


def verdicts(folder: Path, *checks: Check, seconds: float = 600, pretended: bool = False):
    session = Session(folder, seconds, pretended)
    return {one.check: one for _, one in session.verdicts(checks)}


# Checks that go wrong, and what is said of each.
WRONG = {
    "dies": "the check ended with signal 11 (SIGSEGV)",
    "leaves": "the check ended with exit code 3",
    "rubbish": "what the check left cannot be read: ",
    "no_object": "what the check left cannot be read: ",
    "raises": "the check broke: ValueError: a fault",
    "no_facts": "the check broke: [1, 2]",
    "other_facts": "the facts cannot be judged (KeyError: 'figure')",
    "not_there": "the check broke: AttributeError: ",
    "hangs": "the check was stopped after 2 s",
}


@pytest.fixture(scope="module")
def after_wrong_ones(tmp_path_factory) -> dict[str, Verdict]:
    """One session: everything that goes wrong, and then a check that does not."""
    wrong = [check(name, seconds=2 if name == "hangs" else 300) for name in WRONG]
    return verdicts(tmp_path_factory.mktemp("wrong"), *wrong, check("good"))


@pytest.mark.parametrize("function", WRONG)
def test_a_check_that_goes_wrong_shows_nothing(after_wrong_ones, function) -> None:
    found = after_wrong_ones[function]

    assert found.word == NOT_SHOWN
    assert found.why.startswith(WRONG[function])
    assert found.broken


def test_checks_that_go_wrong_cost_no_other_its_turn(after_wrong_ones) -> None:
    found = after_wrong_ones["good"]

    assert found == Verdict("good", PROVED, "", "figure 3", found.seconds)


def test_nothing_of_a_check_lives_on(tmp_path) -> None:
    found = verdicts(tmp_path, check("leaves_a_process"))

    left = json.loads((tmp_path / "leaves_a_process" / "facts.json").read_text())["facts"]["pid"]
    assert found["leaves_a_process"].word == PROVED
    status = Path(f"/proc/{left}/status")
    assert not status.exists() or "\nState:\tZ" in status.read_text()


def test_what_cannot_be_compared_is_not_shown_and_is_no_fault(tmp_path) -> None:
    found = verdicts(tmp_path, check("cannot_say"), check("refuting"))

    assert found["cannot_say"].why == "there is nothing to compare with"
    assert (found["cannot_say"].word, found["cannot_say"].broken) == (NOT_SHOWN, False)
    assert (found["refuting"].word, found["refuting"].why) == (
        REFUTED,
        "not so: the figure is 3",
    )
    assert found["refuting"].figure == "figure 4"


def test_no_check_begins_that_has_too_little_time_left(tmp_path) -> None:
    found = verdicts(
        tmp_path, check("hangs", seconds=3, name="first"), check("good", seconds=100), seconds=4
    )

    assert found["first"].why.startswith("the check was stopped after")
    assert found["good"].why.startswith("no time left: ")
    assert not found["good"].broken
    assert not (tmp_path / "good").exists()


def test_what_is_left_of_the_time_bounds_a_check(tmp_path) -> None:
    found = verdicts(tmp_path, check("hangs", seconds=9), seconds=5)

    assert found["hangs"].why.startswith("the check was stopped after ")
    assert found["hangs"].seconds < 9


def test_a_pretended_device_shows_only_what_can_be_pretended() -> None:
    real = check("good", unpretended="a CPU has none")

    shown = [judge(one, {"figure": 3}, 1.0, pretended=True).word for one in (check("good"), real)]
    assert shown == [PROVED, NOT_SHOWN]
    assert judge(real, {"figure": 3}, 1.0).word == PROVED
    assert judge(real, {}, 1.0, pretended=True).broken
    said = judge(real, {"figure": 3}, 1.0, pretended=True).why
    assert said == "not shown here: a CPU has none; it ran to its end"


def told(*words: str) -> list[tuple[Check, Verdict]]:
    return [
        (check("good", name=f"c{place}"), Verdict(f"c{place}", word, "a | b\nc", "fig", 1.25))
        for place, word in enumerate(words)
    ]


def test_the_report_has_a_row_per_claim_and_says_if_no_gpu_was_there() -> None:
    text = evidence.report(told(PROVED, REFUTED, NOT_SHOWN), pretended=False)

    assert "1 proved, 1 refuted, 1 not shown" in text
    assert "| the claim of good (`c1`) | refuted | fig | 1.2 |" in text
    assert "- `c1`: a | b c\n" in text
    assert "No GPU was used" not in text
    assert "No GPU was used" in evidence.report(told(PROVED), pretended=True)


def test_the_archive_is_small_whatever_the_checks_left(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(evidence, "MOST", 80_000)
    monkeypatch.setattr(evidence, "OF_A_FILE", 30_000)
    work, folder = tmp_path / "work", tmp_path / "out"
    folder.mkdir()
    for name in ("a", "b", "c", "d"):
        (work / name).mkdir(parents=True)
        (work / name / "noise.bin").write_bytes(os.urandom(20_000))
    (work / "a" / "large.bin").write_bytes(b"0" * 40_000)
    (work / "a" / "stdout.txt").write_text("first" + "." * 40_000 + "last", encoding="utf8")
    (work / "a" / "link.txt").symlink_to("/etc/hostname")

    evidence.write(folder, work, told(PROVED), pretended=False)

    assert (folder / "evidence.tar.gz").stat().st_size < 80_000
    with tarfile.open(folder / "evidence.tar.gz") as archive:
        names = archive.getnames()
        left_out = archive.extractfile("left_out.txt").read().decode()
        text = archive.extractfile("a/stdout.txt").read().decode()
    assert {"report.md", "verdicts.json", "a/noise.bin"} <= set(names)
    assert "a/link.txt" not in names
    assert "a/large.bin (40000 bytes)" in left_out
    assert "d/noise.bin (20000 bytes)" in left_out
    assert len(text) == 30_000
    assert text.endswith("last")


def test_an_interrupted_session_keeps_what_it_knew(tmp_path, monkeypatch) -> None:
    def verdicts(session, checks):
        yield checks[0], Verdict(checks[0].name, PROVED)
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "verdicts", verdicts)
    with pytest.raises(KeyboardInterrupt):
        command.run(tmp_path, 8, CHECKS, pretended=False)

    (kept,) = json.loads((tmp_path / "verdicts.json").read_text())
    assert (kept["check"], kept["word"]) == (CHECKS[0].name, PROVED)


@pytest.mark.parametrize(
    ("word", "broken", "code"),
    [(PROVED, False, 0), (NOT_SHOWN, False, 0), (REFUTED, False, 1), (NOT_SHOWN, True, 1)],
)
def test_the_exit_code_says_whether_something_is_refuted_or_broke(
    tmp_path, monkeypatch, word, broken, code
) -> None:
    one = Verdict("c0", word, broken=broken)
    monkeypatch.setattr(Session, "verdicts", lambda *_: iter([(check("good"), one)]))

    assert command.run(tmp_path, 8, CHECKS, pretended=False) == code


def test_the_table_is_in_order() -> None:
    names = [one.name for one in CHECKS]

    assert len(set(names)) == len(names)
    for place, one in enumerate(CHECKS):
        assert one.needs in {"", *names[:place]}
        assert one.dry or one.unpretended
        assert one.rules
        assert one.seconds <= 120
        module, _, function = one.run.partition(":")
        text = (ROOT / "bench" / "device" / f"{module}.py").read_text(encoding="utf8")
        known = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
        assert function in known, one.run


class Told(Exception):
    """The command line that a check would have given."""


class Teller(Place):
    """Calls nothing."""

    def cnnbench(self, *words, env=None):
        raise Told(*words)


RUNS = [one.run.partition(":")[2] for one in CHECKS if one.run.startswith("commands:")]


@pytest.mark.parametrize("pretended", [False, True])
def test_every_run_says_at_which_batch(tmp_path, pretended) -> None:
    """What is usual on CUDA is batch 256 too, halved where it is out of memory: minutes."""
    told = []
    for function in RUNS:
        try:
            getattr(commands, function)(Teller(tmp_path, pretended))
        except Told as words:
            told.append(words.args)
        except NotShown:
            assert function == "report"  # it reads the run of another check

    runs = [words for words in told if words[0] == "run"]
    assert len(runs) >= 8
    assert all("--batch" in words and "--rounds" in words for words in runs)


def test_the_list_fits_a_terminal_and_imports_no_torch(tmp_path) -> None:
    code = (
        "import sys; from bench.device.__main__ import main; code = main(['--list'])\n"
        "sys.exit(code or ('torch' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if line[0] != " "] == [one.name for one in CHECKS]


def test_only_takes_names_and_what_they_need() -> None:
    found = command.chosen("report, clock")

    assert [one.name for one in found] == ["clock", "modes", "report"]
    assert command.chosen("") == list(CHECKS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "clok"], "no check 'clok'; there are environment, "),
        (
            ["--minutes", "0", "--pretend"],
            "--minutes 0 leaves no time for a check; give at least 1",
        ),
        (["--minutes", "nan", "--pretend"], "--minutes nan leaves no time for a check"),
        ([], "torch sees no CUDA device here; --pretend is a dry run without one"),
    ],
)
def test_bad_input_is_one_line_and_code_2(monkeypatch, capsys, tmp_path, words, said) -> None:
    monkeypatch.setattr(command, "sees_a_device", lambda: False)

    with pytest.raises(SystemExit) as ended:
        command.main([str(tmp_path), *words])

    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("held", "said"), [("verdicts.json", "holds the evidence of another"), ("", "cannot be made")]
)
def test_what_another_session_has_left_is_not_overwritten(tmp_path, capsys, held, said) -> None:
    folder = tmp_path / "out"
    (folder.mkdir if held else folder.touch)()
    if held:
        (folder / held).write_text("[]", encoding="utf8")

    with pytest.raises(SystemExit) as ended:
        command.main([str(folder), "--pretend", "--only", "driver"])

    assert ended.value.code == 2
    assert f"{said}" in capsys.readouterr().err
    assert [one.name for one in tmp_path.rglob("*")] == ["out", *([held] if held else [])]


@pytest.mark.torch
@pytest.mark.slow
def test_a_dry_run_of_some_checks_packs_its_evidence(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.device", str(tmp_path), "--pretend", "--only", "driver,hang"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    found = {one["check"]: one for one in json.loads((tmp_path / "verdicts.json").read_text())}
    assert found["driver"]["word"] == PROVED
    assert "1980 MHz" in found["driver"]["figure"]
    assert found["hang"]["why"].startswith("not shown here: ")
    assert "No GPU was used" in (tmp_path / "report.md").read_text(encoding="utf8")
    with tarfile.open(tmp_path / "evidence.tar.gz") as archive:
        assert {"driver/facts.json", "driver/stdout.txt"} <= set(archive.getnames())


def test_the_documented_calls_are_calls_that_there_are() -> None:
    page = (ROOT / "bench" / "README.md").read_text(encoding="utf8")
    lines = [line for line in page.splitlines() if line.startswith("python -m bench.device")]

    assert len(lines) >= 4
    for line in lines:
        given = command.parser().parse_args(shlex.split(line, comments=True)[3:])
        assert command.chosen(given.only)
        assert given.minutes >= 8
