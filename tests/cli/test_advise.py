"""``cnnbench advise`` through the command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cnnbench import deployment, machine, store
from cnnbench.advice import EMULATED, AdviceFinding
from cnnbench.cli.advise import _line
from tests import made

FAULTS = Path(__file__).parents[1] / "faults"
FAKE = ("--device", "cpu", "--threads", "2", "--executor", "fake", "--quiet")


def test_advice_in_plain_words_and_a_run_that_is_kept(cnnbench_cli, tmp_path: Path) -> None:
    done = cnnbench_cli("advise", "lenet", "--out", "kept", *FAKE)

    assert done.exit_code == 0, done.output
    for title in ("Advice", "The other modes", "Costs", "Limits", "Not tried"):
        assert f"\n{title}\n" in done.stdout
    assert "use channels_last" in done.stdout
    assert "compile: no C++ compiler found" in done.stdout
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert names == {"manifest.json", "environment.json", "records.jsonl", "advice.json"}
    assert cnnbench_cli("report", "kept").exit_code == 0


def test_json_names_the_mode_and_every_finding(cnnbench_cli, tmp_path: Path) -> None:
    done = cnnbench_cli("advise", "lenet", "--json", "--out", "kept", *FAKE)

    data = json.loads(done.stdout)
    assert (data["recommended"], data["verdict"]) == ("channels_last", "faster")
    assert data["spec"] == "lenet/inference-b1-3x32x32/channels_last/cpu-t2"
    assert {finding["kind"] for finding in data["findings"]} >= {"use", "untried"}
    assert json.loads((tmp_path / "kept" / "advice.json").read_text()) == data


def test_deploy_tries_what_is_installed_of_the_runtimes(cnnbench_cli) -> None:
    done = cnnbench_cli("advise", "lenet", "--deploy", "--json", "--out", "kept", *FAKE)

    data = json.loads(done.stdout)
    tried = {record.spec.mode.text for record in store.read(Path("kept")).records}
    compiled = {"aoti+freezing", "compile+freezing+channels_last"}
    assert done.exit_code == 0, done.output
    assert tried | data["untried"].keys() >= set(deployment.sensible())
    assert {*data["untried"]} >= compiled  # the pretended machine has no compiler


def test_a_small_budget_takes_fewer_modes_and_says_so(cnnbench_cli) -> None:
    done = cnnbench_cli("advise", "lenet", "--budget", "1s", "--json", *FAKE)

    data = json.loads(done.stdout)
    assert (data["recommended"], data["verdict"]) == ("eager", "alone")
    assert "budget" in data["untried"]["channels_last"]
    (use,) = [one["text"] for one in data["findings"] if one["kind"] == "use"]
    assert "stay with eager" not in use
    enough = re.fullmatch(
        r"cannot tell: no other mode was measured beside eager \(.* per call\); channels_last:"
        r" left out to fit the budget; --budget (\d+s) would be enough",
        use,
    )
    assert enough is not None
    again = json.loads(
        cnnbench_cli("advise", "lenet", "--budget", enough[1], "--json", *FAKE).stdout
    )
    assert "channels_last" not in again["untried"]


def test_help_says_what_a_budget_is_used_for(cnnbench_cli) -> None:
    told = " ".join(cnnbench_cli("advise", "--help").output.split())

    assert "modes that do not fit come last, if time is left" in told
    assert "what is left then verifies the choice" in told
    assert "widest intervals" not in told
    assert "widest intervals" in " ".join(cnnbench_cli("run", "--help").output.split())


def test_a_budget_takes_rounds_before_it_takes_modes(cnnbench_cli) -> None:
    full = cnnbench_cli("advise", "lenet", "--budget", "1h", "--out", "full", *FAKE)
    first = json.loads(cnnbench_cli("advise", "lenet", "--budget", "1s", "--json", *FAKE).stdout)
    listed = [why for why in first["untried"].values() if "--budget" in why]
    most = max(int(re.findall(r"--budget (\d+)s", why)[0]) for why in listed)
    some = cnnbench_cli("advise", "lenet", "--budget", f"{most}s", "--out", "some", *FAKE)

    assert (full.exit_code, some.exit_code) == (0, 0)
    assert store.read(Path("some")).manifest.specs == store.read(Path("full")).manifest.specs
    assert store.read(Path("some")).manifest.plan["rounds"] == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["lenett"], 2, "did you mean lenet"),
        (["resnet*"], 2, "one model"),
        (["lenet", "--rounds", "1"], 2, "--rounds"),
        (["lenet", "--budget", "soon"], 2, "'soon'"),
    ],
)
def test_bad_input_is_one_line(cnnbench_cli, words: list[str], code: int, said: str) -> None:
    done = cnnbench_cli("advise", *words, *FAKE)

    assert done.exit_code == code, done.output
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr


def test_the_ceilings_are_probed_beside_the_measurement(cnnbench_cli, tmp_path: Path) -> None:
    done = cnnbench_cli("advise", "lenet", "--out", "here", *FAKE)

    records = store.read(tmp_path / "here").records
    assert all(len(record.ceilings) == 2 for record in records), records
    assert "ceilings were not measured" not in done.stdout


def test_a_model_that_fails_has_no_advice_and_exit_code_3(cnnbench_cli) -> None:
    done = cnnbench_cli("advise", "fake:raises", *FAKE)

    assert done.exit_code == 3
    assert "could not be measured" in done.stderr


@pytest.mark.torch
@pytest.mark.slow
def test_a_real_network_without_a_compiler(tmp_path: Path) -> None:
    # The compiled modes do not fit this budget.
    done = subprocess.run(
        [sys.executable, "-m", "cnnbench", "advise", "bad_networks:fine", "--input", "3x16x16",
         "--device", "cpu", "--threads", "1", "--rounds", "2", "--budget", "40s", "--quiet",
         "--json", "--out", str(tmp_path / "run")],
        capture_output=True, text=True, cwd=FAULTS, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["recommended"] in {"eager", "channels_last", "amp=bf16", "channels_last+amp=bf16"}
    # On a slow machine, nor do some of the others.
    emulated = {mode for mode, why in data["untried"].items() if why == EMULATED}
    assert bool(emulated) == machine.emulates_bf16(machine.instruction_sets())
    plain = {"channels_last", "amp=bf16", "channels_last+amp=bf16"}
    compiled = {
        "compile", "compile+freezing+channels_last", "compile+freezing+channels_last+amp=bf16",
    }  # fmt: skip
    assert compiled <= {*data["untried"]} <= compiled | plain
    for mode, why in data["untried"].items():
        assert why.startswith("left out to fit the budget") or mode in emulated
    assert data["profiled"].startswith("bad_networks:fine/inference-b1-3x16x16/")


def test_a_directory_that_holds_a_run_offers_what_there_is(cnnbench_cli, tmp_path) -> None:
    made.directory(tmp_path / "a", [made.record(made.EAGER, [[10, 10]])])

    result = cnnbench_cli("advise", "lenet", "--executor", "fake", "--out", "a")

    assert result.exit_code == 2
    assert (
        "a holds another run; continue it with cnnbench run --resume a, or choose another --out"
        in result.stderr
    )


def test_what_holds_back_is_said_with_its_mode() -> None:
    assert (
        _line(AdviceFinding("bound", "limit", "memory: moves", "eager")) == "eager: memory: moves"
    )
    assert _line(AdviceFinding("use", "use", "use compile", "compile")) == "use compile"


def test_a_budget_is_answered_in_words_and_in_json(cnnbench_cli) -> None:
    words = ["advise", "lenet", "--executor", "fake", "-q", "--under", "5ms"]
    text = " ".join(cnnbench_cli(*words, "--out", "a").stdout.split())
    (found,) = json.loads(cnnbench_cli(*words, "--out", "b", "--json").stdout)["within"]

    assert "Under 5.00 ms: lenet in channels_last (3.75 ms, 40.9 MiB) is the only one" in text
    assert found["best"] == "lenet/inference-b1-3x32x32/channels_last/cpu-t2"
    assert found["budget"] == {"seconds": 0.005, "memory": None, "top1": None}
