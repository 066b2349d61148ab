"""``cnnbench site``: a folder of pages, one line said, and bad input refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cnnbench import store

GRID = ("run", "--executor", "fake", "--models", "lenet,resnet18", "--modes", "eager,amp",
        "--device", "cpu", "--rounds", "2")  # fmt: skip


@pytest.fixture
def weeks(cnnbench_cli, tmp_path: Path) -> Path:
    for name in ("monday", "tuesday"):
        assert cnnbench_cli(*GRID, "--out", tmp_path / "results" / name).exit_code == 0
    return tmp_path / "results"


def test_a_directory_of_runs_becomes_a_site(cnnbench_cli, weeks: Path, tmp_path: Path) -> None:
    done = cnnbench_cli("site", weeks, "-o", "out", "--title", "Ours & theirs")

    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == "out: 4 pages about 8 records of 2 runs; open out/index.html\n"
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"index.html", "network-lenet.html", "network-resnet18.html", "page.js"} <= files
    index = (tmp_path / "out" / "index.html").read_text("utf8")
    assert "<h1>Ours &amp; theirs</h1>" in index
    assert "made up" in index


def test_it_is_replaced_by_the_next_one(cnnbench_cli, weeks: Path, tmp_path: Path) -> None:
    assert cnnbench_cli("site", weeks, "-o", "out").exit_code == 0
    (tmp_path / "out" / "network-gone.html").write_text("an older one")

    assert cnnbench_cli("site", weeks / "monday", "-o", "out").exit_code == 0
    assert not (tmp_path / "out" / "network-gone.html").exists()


def test_a_run_that_was_copied_counts_once(cnnbench_cli, weeks: Path) -> None:
    shutil.copytree(weeks / "monday", weeks / "copy")

    done = cnnbench_cli("site", weeks, weeks / "monday", "-o", "out")

    assert done.exit_code == 0
    assert done.stderr.count("left out: ") == 1
    assert "8 records of 2 runs" in done.stderr


def test_other_environments_get_a_page_and_a_comparison(cnnbench_cli, weeks, tmp_path) -> None:
    place = weeks / "tuesday" / store.ENVIRONMENT
    place.write_text(json.dumps({"hard": {"cpu": "<b>", "torch": {"version": "9"}}, "soft": {}}))

    done = cnnbench_cli("site", weeks, "-o", "out")

    assert done.exit_code == 0, done.stderr
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert sum(name.startswith("comparison-") for name in names) == 1
    (index,) = (tmp_path / "out").glob("index.html")
    assert "&lt;b&gt;" in index.read_text("utf8")
    assert "<b>" not in index.read_text("utf8").replace('<b class="t', "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{weeks}", "-o", "{full}"), "holds files and is no site of cnnbench; choose another"),
        (("{weeks}", "-o", "{file}"), "is a file"),
        (("{full}", "-o", "out"), "is neither a run directory nor contains any"),
        (("nowhere", "-o", "out"), "is neither a run directory nor contains any"),
        (("{empty}", "-o", "out"), "1 run without a record: nothing to show"),
        (("{damaged}", "-o", "out"), "not valid JSON"),
        (("{weeks}",), "Missing option '--out'"),
    ],
)
def test_bad_input_is_one_line(cnnbench_cli, weeks: Path, tmp_path: Path, words, said) -> None:
    places = {name: tmp_path / name for name in ("full", "file", "empty", "damaged")}
    places["full"].mkdir()
    (places["full"] / "letter.txt").write_text("mine")
    places["file"].write_text("mine")
    for name in ("empty", "damaged"):
        shutil.copytree(weeks / "monday", places[name])
    (places["empty"] / store.RECORDS).write_text("")
    (places["damaged"] / store.ENVIRONMENT).write_text("{")

    done = cnnbench_cli("site", *[word.format(weeks=weeks, **places) for word in words])

    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path("out").exists()
    assert (places["full"] / "letter.txt").read_text() == "mine"


def test_help_imports_neither_numpy_nor_the_library_of_templates(cnnbench_process) -> None:
    code = (
        "import sys\nfrom cnnbench.cli import main\n"
        "try:\n    main(['site', '--help'])\nexcept SystemExit:\n    pass\n"
        "print('numpy' in sys.modules, 'jinja2' in sys.modules, 'torch' in sys.modules)"
    )

    assert cnnbench_process(code=code).out.endswith("False False False\n")
