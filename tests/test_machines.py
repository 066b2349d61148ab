"""The scripts for many machines, played without GitHub and SLURM: what is missing is named.

The steps and scripts run word for word in bash, and so does the command that a script names.
Pretended are the CI system, sbatch, pip and what is measured.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnnbench import store

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "docs" / "scripts"
PAGE = (ROOT / "docs" / "machines.md").read_text(encoding="utf8")
WORKFLOW = (SCRIPTS / "shards.yml").read_text(encoding="utf8")
# Small grids in place of those of the scripts: as many groups as there are shards, or more.
NETWORKS = "lenet,alexnet,vgg11,resnet18,squeezenet1_0"


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pip that does nothing, and an sbatch that runs every task of an array in turn."""
    cnnbench = f'{sys.executable} -m cnnbench "$@"'
    texts = {
        "python": 'case "$2" in pip) exit 0;; esac; exit 1',
        # Only what measures has an executor; a resumed run has its own.
        "cnnbench": f'case "$*" in "run --resume"*) ;; run*) exec {cnnbench} --executor fake -q'
                    f' --rounds 2;; esac; exec {cnnbench}',
        "sbatch": """array=none
            for word; do case "$word" in
              --array=*) array=${word#--array=};;
              --*) ;;
              *) script=$word;;
            esac; done
            if [ "$array" = none ]; then
              array=$(sed -n 's/^#SBATCH --array=//p' "$script")
            fi
            for part in $(echo "${array:-0}" | tr , ' '); do
              for number in $(seq ${part%-*} ${part#*-}); do
                SLURM_ARRAY_TASK_ID=$number bash "$script" > "slurm-$number.log" 2>&1
                code=$?
                [ -n "$array" ] || cat slurm-0.log >&2
              done
            done
            echo 17
            [ -n "$array" ] || exit $code""",
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("bin")
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def bash(tools: Path):
    """Runs lines as GitHub does, in a directory."""

    def run(script: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        cwd.mkdir(exist_ok=True)
        env = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-c", script],
            cwd=cwd, env=env | {"PYTHONPATH": str(ROOT)} | variables,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return run


def job(name: str) -> str:
    """A job of the workflow."""
    jobs = re.split(r"^  (\w+):\n", WORKFLOW.partition("\njobs:\n")[2], flags=re.MULTILINE)
    return dict(zip(jobs[1::2], jobs[2::2], strict=True))[name]


def steps(name: str) -> dict[str, str]:
    """The steps of a job that run something, in order."""
    found = re.findall(r"^      - name: (\w+)\n        run: \|\n((?: {10}.*\n)+)", job(name),
                       flags=re.MULTILINE)  # fmt: skip
    return {title: re.sub(r"^ {10}", "", text, flags=re.MULTILINE) for title, text in found}


def smaller(script: str) -> str:
    """With networks that the fake executor has done in no time."""
    made = re.sub(r"--models \S+", f"--models {NETWORKS}", script)
    assert made != script
    return made


def values(path: Path) -> list[str]:
    with path.open(newline="") as file:
        return [row["spec"] for row in csv.DictReader(file)]


def test_the_page_shows_the_scripts_as_they_are() -> None:
    for name, kind in (("shards.yml", "yaml"), ("shards.sbatch", "sh"), ("collect.sbatch", "sh")):
        text = (SCRIPTS / name).read_text(encoding="utf8")
        assert f"```{kind}\n{text}```" in PAGE, name
        assert f"(scripts/{name})" in PAGE


def test_the_workflow_is_read_whole() -> None:
    assert WORKFLOW.count("run: |") == len(steps("measure")) + len(steps("collect")) == 5
    assert not [text for name in ("measure", "collect") for text in steps(name).values()
                if "${{" in text]  # fmt: skip
    assert "fail-fast: false" in job("measure")
    for name in ("measure", "collect"):
        assert "if: always()" in job(name)


def test_a_matrix_measures_and_a_job_collects(bash, tmp_path: Path) -> None:
    (matrix,) = re.findall(r"shard: \[(.+)\]", job("measure"))
    numbers = matrix.split(", ")
    artefacts = tmp_path / "collect" / "shards"
    summary = tmp_path / "summary.md"

    def measure(number: str) -> None:
        place = tmp_path / f"runner-{number}"
        for script in steps("measure").values():
            script = smaller(script) if "--models" in script else script
            done = bash(script, place, SHARD=f"{number}/{len(numbers)}")
            assert done.returncode == 0, done.stderr
        shutil.copytree(place / "results", artefacts / f"shard-{number}")

    def collect() -> list[subprocess.CompletedProcess[str]]:
        done = []
        for script in steps("collect").values():
            done.append(bash(script, tmp_path / "collect", GITHUB_STEP_SUMMARY=str(summary),
                             GITHUB_RUN_ID="42"))  # fmt: skip
            if done[-1].returncode:
                break
        return done

    (tmp_path / "collect").mkdir()
    for number in numbers:
        if number != "3":
            measure(number)
    *_, failed = collect()
    measure("3")
    *_, report = collect()

    assert failed.returncode == 3
    assert "shard 3/4 of this grid not among these runs" in failed.stderr
    assert "not whole: shard 3 of 4 not measured to the end" in failed.stderr
    assert failed.stdout == ("::error::a shard is missing; measure it: gh run rerun 42 --failed\n")
    assert report.returncode == 0, report.stderr
    specs = store.planned(tmp_path / "collect" / "results" / "all")
    assert values(tmp_path / "collect" / "results" / "records.csv") == [*specs]
    assert len(specs) == 2 * len(NETWORKS.split(","))
    assert "| lenet" in summary.read_text()
    assert (tmp_path / "collect" / "results" / "dictionary.csv").exists()


def test_runners_of_several_kinds_are_reported_side_by_side(bash, tmp_path: Path) -> None:
    place = tmp_path / "collect"
    for number in (1, 2):
        words = f"--models lenet,vgg11 --modes eager --shard {number}/2"
        done = bash(f"cnnbench run {words} --out shards/shard-{number}", place)
        assert done.returncode == 0, done.stderr
    environment = place / "shards" / "shard-2" / store.ENVIRONMENT
    environment.write_text(environment.read_text().replace('"hard": {', '"hard": {"cpu": "other",'))
    summary = tmp_path / "summary.md"

    for name in ("merge", "report"):
        done = bash(steps("collect")[name], place, GITHUB_STEP_SUMMARY=str(summary))
        assert done.returncode == 0, done.stderr

    assert len(values(place / "results" / "records.csv")) == 2
    assert "different environments" in summary.read_text()


@pytest.fixture(scope="module")
def measured(bash, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a user of SLURM, where the array has run once."""
    place = tmp_path_factory.mktemp("home")
    for name in ("shards.sbatch", "collect.sbatch"):
        text = (SCRIPTS / name).read_text(encoding="utf8")
        (place / name).write_text(smaller(text) if name == "shards.sbatch" else text)
    done = bash("sbatch --parsable shards.sbatch", place)
    assert done.stdout == "17\n", done.stderr
    return place


@pytest.fixture
def submitted(measured: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(measured, tmp_path / "home")


def test_an_array_measures_and_a_dependent_job_collects(bash, submitted: Path) -> None:
    (first, last) = re.findall(r"^SHARDS=(\d+)", "\n".join(
        (submitted / name).read_text() for name in ("shards.sbatch", "collect.sbatch")),
        flags=re.MULTILINE)  # fmt: skip
    assert first == last == "4"
    assert len([*submitted.glob("results/shard-*/manifest.json")]) == 4

    done = bash("sbatch --dependency=afterany:17 collect.sbatch", submitted)

    assert done.returncode == 0, done.stderr
    assert values(submitted / "results" / "records.csv") == [
        *store.planned(submitted / "results" / "all")
    ]
    assert "lenet" in (submitted / "results" / "report.md").read_text()


def test_a_killed_and_a_lost_shard_are_named_with_the_command_that_measures_it(
    bash, submitted: Path
) -> None:
    results = submitted / "results"
    # One is gone, one was killed while it wrote a record.
    shutil.rmtree(results / "shard-2")
    lines = (results / "shard-3" / store.RECORDS).read_text().splitlines(keepends=True)
    (results / "shard-3" / store.RECORDS).write_text("".join(lines[:-1]) + lines[-1][:50])

    failed = bash("sbatch collect.sbatch", submitted)
    command = failed.stderr.strip().splitlines()[-1]
    assert not (results / "all").exists()
    again = bash(command, submitted)

    assert failed.returncode == 3
    assert "shard 2/4 of this grid not among these runs" in failed.stderr
    assert re.search(r"1 spec not measured yet: cnnbench run --resume \S*/shard-3", failed.stderr)
    assert command.endswith("--array=2,3 shards.sbatch) collect.sbatch")
    assert again.returncode == 0, again.stderr
    assert len(values(results / "records.csv")) == 2 * len(NETWORKS.split(","))


def test_what_is_no_run_yet_has_all_of_the_array_submitted_again(bash, submitted: Path) -> None:
    (submitted / "results" / "shard-4" / store.MANIFEST).unlink()

    failed = bash("sbatch collect.sbatch", submitted)
    command = failed.stderr.strip().splitlines()[-1]
    again = bash(command, submitted)

    assert failed.returncode == 2
    assert "shard-4 is not a cnnbench run" in failed.stderr
    assert "--array=1-4 shards.sbatch" in command
    assert again.returncode == 0, again.stderr
    assert len(values(submitted / "results" / "records.csv")) == 2 * len(NETWORKS.split(","))
