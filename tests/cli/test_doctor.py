from __future__ import annotations

import json

import pytest

from cnnbench.doctor import Beside
from cnnbench.environment import Environment
from cnnbench.quiet import CoreUse
from tests import made


@pytest.fixture(autouse=True)
def cores_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnbench.runner.sharing.slowest", lambda: Beside(0, 1, 0.98))
    monkeypatch.setattr("cnnbench.quiet.read", lambda: CoreUse(0.0, 2, waiting=0.25))


def test_doctor_says_what_it_knows_and_what_it_does_not(cnnbench_cli) -> None:
    result = cnnbench_cli("doctor", "--executor", "fake")

    assert result.exit_code == 0
    assert "fingerprint" in result.stdout
    assert "not known here" in result.stdout


def test_json_has_facts_findings_and_the_fingerprint(cnnbench_cli) -> None:
    data = json.loads(cnnbench_cli("doctor", "--executor", "fake", "--json").stdout)

    assert data["hard"] == {"fake": True}
    assert data["fingerprint"] == Environment({"fake": True}).fingerprint
    assert data["findings"] == []


def found(monkeypatch, hard, soft) -> None:
    environment = Environment(hard, {"compiler": "g++"} | soft)
    monkeypatch.setattr("cnnbench.cli.doctor.describe", lambda who, **_: environment)


def test_findings_stand_at_the_end_with_what_to_do(cnnbench_cli, monkeypatch) -> None:
    found(monkeypatch, {"cpu_quota": 2.0, "cores_usable": 8}, {"governor": "powersave"})

    lines = cnnbench_cli("doctor", "--wide").stdout.splitlines()

    assert lines[-1] == "2 findings"
    assert [line[0] for line in lines[-3:-1]] == ["!", "!"]
    assert "use --threads 2" in lines[-3]


def test_a_calm_machine_is_told_so(cnnbench_cli, monkeypatch) -> None:
    found(monkeypatch, {"gpus": [{"name": "a GPU"}], "variables": {"A": "b"}}, {})

    text = cnnbench_cli("doctor").stdout

    assert text.splitlines()[-1] == "nothing found that spoils measuring"
    assert "a GPU" in text
    assert "A=b" in text


def test_allocator_and_subnormal_numbers_are_told(cnnbench_cli, monkeypatch) -> None:
    found(monkeypatch, {}, {"libc": "glibc 2.36", "flags": {"flush_denormal": False}})

    text = cnnbench_cli("doctor").stdout

    assert "glibc 2.36" in text
    assert "computed, slowly" in text
    assert "MALLOC_MMAP_MAX_=0" in text
    assert text.splitlines()[-1] == "1 finding"


def test_an_unknown_executor_is_one_line(cnnbench_cli) -> None:
    result = cnnbench_cli("doctor", "--executor", "nobody")

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_hyperthreads_that_look_like_cores_are_told(cnnbench_cli, monkeypatch) -> None:
    found(monkeypatch, {}, {})
    monkeypatch.setattr("cnnbench.runner.sharing.slowest", lambda: Beside(0, 1, 0.655))

    text = made.flat(cnnbench_cli("doctor").stdout)
    data = json.loads(cnnbench_cli("doctor", "--json").stdout)

    assert "core 0 is 66 % as fast while core 1 works" in text
    assert "leave core 1 idle" in text
    assert data["sharing"] == {"core": 0, "other": 1, "speed": 0.655}
    assert [finding["name"] for finding in data["findings"]] == ["shared_core"]


def test_how_busy_it_is_now_is_told_and_decides(cnnbench_cli, monkeypatch) -> None:
    found(monkeypatch, {"cores_usable": 2}, {"load": [9.0, 9.0, 9.0]})
    calm = cnnbench_cli("doctor").stdout
    monkeypatch.setattr("cnnbench.quiet.read", lambda: CoreUse(1.6, 2))

    data = json.loads(cnnbench_cli("doctor", "--json").stdout)

    assert "0.0 of 2 cores; some process waits 25 % of it" in calm
    assert calm.splitlines()[-1] == "nothing found that spoils measuring"
    assert data["now"] == {"busy": 1.6, "cores": 2}
    assert [one["name"] for one in data["findings"]] == ["busy"]


def test_deployment_runtimes_are_told_with_what_they_do_or_what_installs_them(
    cnnbench_cli, monkeypatch
) -> None:
    soft = {
        "runtimes": {"openvino": "2026.4.1"},
        "runtimes_alone": {"openvino": "bfloat16, threads bound to cores"},
    }
    found(monkeypatch, {}, soft)

    text = made.flat(cnnbench_cli("doctor", "--wide").stdout)

    assert "OpenVINO openvino 2026.4.1; unless told: bfloat16, threads bound to cores" in text
    assert "OpenVINO int8 int8 needs nncf; install it with: pip install 'cnnbench[int8]'" in text
    assert "pip install 'cnnbench[onnxruntime]'" in text
