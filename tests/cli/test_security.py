"""Files of a stranger, given to every command that takes one: they are read, never obeyed."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from cnnbench import store
from cnnbench.gate import baseline
from cnnbench.gate.baseline import Source
from cnnbench.record import Failure
from cnnbench.spec import Device, Mode, Spec, Workload, arguments_of
from tests import made


def spec_id(name: str, **arguments: object) -> str:
    workload = Workload(name, 1, (3, 8, 8), arguments=arguments_of(arguments.items()))
    return Spec(workload, Mode(), Device(), 1).id


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that exists once anything of the stranger's has run."""
    return tmp_path / "it-ran"


@pytest.fixture
def ids(tmp_path_factory, marker: Path, monkeypatch) -> list[str]:
    """Ids that run something if they are built, or if what they name is imported."""
    evil = f"from pathlib import Path\nPath({str(marker)!r}).touch()\ndef net(**k): pass\n"
    installed = tmp_path_factory.mktemp("installed")
    (installed / "evil_installed.py").write_text(evil)
    monkeypatch.syspath_prepend(installed)
    monkeypatch.setenv("PYTHONPATH", f"{installed}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return [
        spec_id("subprocess:getoutput", cmd=f"touch {marker}"),
        spec_id("os:system", command=f"touch {marker}"),
        spec_id("evil_installed:net"),
        spec_id("evil_run:net"),
        spec_id("pathlib:Path.touch"),
    ]


@pytest.fixture
def files(cnnbench_cli, tmp_path: Path, ids: list[str]) -> dict[str, Path]:
    """A stranger's files, in the user's directory, and one honest run."""
    records = [made.record(name, [[10, 10]] * 2) for name in ids]
    honest = [made.record(one, [[1, 1]] * 2) for one in (made.EAGER, spec_id("conv:k4-3x3-p1"))]
    whole = made.directory(tmp_path / "whole", [*records, *honest])
    begun = made.directory(tmp_path / "begun", [made.failed(ids[0])], ids)
    code = "import pathlib\npathlib.Path('it-ran').touch()\ndef net(): pass\n"
    for run in (whole, begun):
        (run / "evil_run.py").write_text(code)
        (run / "layers.json").write_text(
            json.dumps({"model": ids[0], "extraction": {"__class__": "os.system"}})
        )
    kept = tmp_path / "baseline.json"
    baseline.write(kept, baseline.of_run(store.read(whole), Source()))
    export = tmp_path / "export.json"
    stats = {"median": 1e-3, "data": [1e-3]}
    rows = [{"fullname": name, "stats": stats} for name in ["subprocess:getoutput", *ids]]
    export.write_text(json.dumps({"benchmarks": rows, "machine_info": {}}))
    mine = made.directory(tmp_path / "mine", [made.record(made.EAGER, [[1, 1]] * 2)])
    return {"whole": whole, "begun": begun, "baseline": kept, "export": export, "mine": mine}


REFUSED = [
    "check --baseline {baseline}",
    "check --baseline {baseline} --structure-only",
    "check --baseline {whole} --structure-only",
    "check --baseline {whole} --ci github",
    "run --resume {begun}",
    "run --resume {begun} --retry-failed",
    "run --resume {begun} --retry-failed --allow evil_installed:no --allow subprocess:getoutput?*",
]


@pytest.mark.parametrize("words", REFUSED)
def test_what_a_file_names_is_not_built(cnnbench_cli, files, marker, words: str) -> None:
    done = cnnbench_cli(*words.format(**files).split())

    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert done.stderr.startswith(f"cnnbench: {files['mine'].parent}/")
    assert done.stderr.count("\n") == 1
    assert re.search(r" names '\S+' \(and [34] more\): that is code", done.stderr)
    assert "so nothing is built; if you trust it, add --allow" in done.stderr
    assert not marker.exists()


READ = [
    "report {whole} {begun}",
    "report {whole} --format csv",
    "report {whole} --format json",
    "report {whole} --format latex",
    "report {whole} --format markdown",
    "report {whole} --format html",
    "report {whole} --scaling",
    "report {whole} --pivot mode",
    "report {whole} --lab",
    "report {mine} --format html --baseline {whole}",
    "site {whole} {mine} -o site",
    "compare {whole} {begun}",
    "compare {mine} {whole} --format json",
    "check --baseline {baseline} {whole}",
    "check --baseline {baseline} {mine} --ci github --junit j.xml --markdown m.md",
    "baseline save {whole} -o b.json",
    "baseline show {baseline}",
    "baseline show {baseline} --json",
    "baseline update {baseline} {whole}",
    "history {whole} {begun}",
    "history {whole} --format html",
    "export {whole} --format pytest-benchmark",
    "export {whole} --format bmf",
    "export {whole} --format timm",
    "import {export} --out imported",
]


@pytest.mark.parametrize("words", READ)
def test_what_a_file_names_is_shown_and_not_run(cnnbench_cli, files, marker, words: str) -> None:
    done = cnnbench_cli(*words.format(**files).split())

    assert done.exit_code in {0, 1, 2, 3, 5}, done.output
    assert "Traceback" not in done.output
    assert not marker.exists()


def test_imported_results_are_not_built_either(cnnbench_cli, files, marker) -> None:
    assert cnnbench_cli("import", files["export"], "--out", "imported").exit_code == 0
    manifest = files["mine"].parent / "imported" / store.MANIFEST
    manifest.write_text(manifest.read_text().replace("import pytest-benchmark", "process"))
    (manifest.parent / store.RECORDS).write_text("")

    for words in (("run", "--resume", "imported"), ("check", "--baseline", "imported")):
        done = cnnbench_cli(*words)
        assert done.exit_code == 2, done.output
        assert "Traceback" not in done.output
    assert not marker.exists()


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["baseline", "run"])
def test_the_users_own_network_is_built_in_one_line(cnnbench_process, tmp_path, kind: str) -> None:
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n\n"
        "def tiny(width=2):\n    return nn.Sequential(nn.Conv2d(3, width, 3), nn.Flatten())\n"
    )
    own = ["--models", "nets:tiny", "--input", "3x8x8", "--device", "cpu", "--threads", "1"]
    if kind == "baseline":
        made_ = cnnbench_process("baseline", "save", *own, "--modes", "eager")
        done = cnnbench_process("check", "--baseline", "baseline.json", "--structure-only")
    else:
        made_ = cnnbench_process("run", *own, "--out", "out", "--modes", "eager", "--rounds", "1")
        (tmp_path / "out" / store.RECORDS).write_text("")
        done = cnnbench_process("run", "--resume", "out")

    assert (made_.code, done.code) == (0, 0), made_.err + done.err
    assert "nets:tiny" in done.out


@pytest.mark.torch
def test_what_is_allowed_is_built(cnnbench_process, tmp_path, marker) -> None:
    name = spec_id("subprocess:getoutput", cmd=f"touch {marker}")
    run = made.directory(tmp_path / "run", [made.record(name, [[1, 1]] * 2)])

    done = cnnbench_process("check", "--baseline", run, "--structure-only",
                            "--allow", "subprocess:getoutput")  # fmt: skip

    # So the tests above would see it if something ran.
    assert marker.exists()
    assert (done.code, "returned str, not a torch.nn.Module" in made.flat(done.out)) == (3, True), (
        done.err
    )


def test_permission_that_has_no_effect_is_refused(cnnbench_cli, files) -> None:
    run = cnnbench_cli("run", "--models", "lenet", "--allow", "a:b")
    check = cnnbench_cli("check", "--baseline", files["baseline"], files["mine"], "--allow", "a:b")

    assert (run.exit_code, check.exit_code) == (2, 2)
    assert "--allow goes with --resume DIR" in run.stderr
    assert "drop --allow" in check.stderr


def test_an_interrupted_run_says_what_must_be_allowed_to_go_on(
    cnnbench_cli, tmp_path, monkeypatch
) -> None:
    words = ["--models", "fake:net", "--device", "cpu", "--quiet", "--executor", "fake"]
    monkeypatch.setattr("cnnbench.runner.lanes.Session.run", interrupted)
    done = cnnbench_cli("run", *words, "--out", "out")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)

    last = done.stderr.splitlines()[-1]
    assert last.endswith("continue with: cnnbench run --resume out --allow fake:net")
    assert cnnbench_cli("run", "--resume", "out").exit_code == 2
    resumed = cnnbench_cli(*last.rpartition("cnnbench ")[2].split())
    assert resumed.exit_code == 0, resumed.stderr


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_revision_that_is_not_in_the_history_is_not_checked_out(cnnbench_cli, tmp_path) -> None:
    repo = made.repository(tmp_path / "repo", {"a": "mine"})
    made.git(repo, "checkout", "--quiet", "-b", "stranger")
    made.commit(repo, {"lenet.py": "evil"})
    made.git(repo, "tag", "evil")
    made.git(repo, "checkout", "--quiet", "main")
    run = made.directory(tmp_path / "run", [made.record(made.EAGER, [[1, 1]] * 2)])
    kept = baseline.of_run(store.read(run), Source(revision="evil", dirty=False))
    baseline.write(repo / "baseline.json", replace(kept, plan={}))
    os.chdir(repo)

    done = cnnbench_cli("check", "--baseline", "baseline.json", "--executor", "fake")

    assert "revision evil of the baseline file is not in HEAD's history" in done.stderr
    assert "side by side" not in done.stderr


def planted(folder: Path, *names: str) -> Path:
    """A file elsewhere that links of these names in a folder lead to."""
    target = folder.parent / "theirs"
    target.write_text("theirs")
    for name in names:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)
    return target


def test_resuming_writes_nothing_through_links(cnnbench_cli, tmp_path) -> None:
    fake_run(cnnbench_cli)
    lines = (tmp_path / "out" / store.RECORDS).read_text().splitlines(keepends=True)
    (tmp_path / "out" / store.RECORDS).write_text(lines[0])
    target = planted(tmp_path / "out", "report.md", "report.csv")

    done = cnnbench_cli("run", "--resume", "out", "--quiet")

    assert done.exit_code == 0, done.stderr
    assert target.read_text() == "theirs"
    assert (tmp_path / "out" / "report.md").read_text().count("lenet") == 3


def test_records_are_not_appended_through_a_link(cnnbench_cli, tmp_path) -> None:
    fake_run(cnnbench_cli)
    target = planted(tmp_path / "out", store.RECORDS)
    target.write_text("")

    done = cnnbench_cli("run", "--resume", "out", "--quiet")

    assert (done.exit_code, target.read_text()) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        "cnnbench: out/records.jsonl: a link, which nothing is written through"
    )


def test_a_complete_run_that_is_resumed_is_not_touched(cnnbench_cli, tmp_path) -> None:
    fake_run(cnnbench_cli)
    target = planted(tmp_path / "out", "report.md", "report.csv")
    before = {path: path.lstat().st_mtime_ns for path in (tmp_path / "out").iterdir()}

    done = cnnbench_cli("run", "--resume", "out")

    assert (done.exit_code, target.read_text()) == (0, "theirs")
    assert done.stderr == "cnnbench: out is complete; nothing was measured\n"
    assert {path: path.lstat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_a_baseline_file_is_not_written_through_links_beside_it(cnnbench_cli, files) -> None:
    target = planted(files["mine"].parent, "b.json.tmp", "b.json")

    done = cnnbench_cli("baseline", "save", files["mine"], "-o", "b.json", "--force")

    assert (done.exit_code, target.read_text()) == (0, "theirs")


PIPES = [
    ("mine/records.jsonl", "report mine"),
    ("mine/manifest.json", "compare mine whole"),
    ("mine/environment.json", "history mine"),
    ("whole/layers.json", "report whole --lab"),
    ("mine/records.jsonl", "run --resume mine"),
    ("mine/records.jsonl", "export mine --format bmf"),
    ("baseline.json", "check --baseline baseline.json mine"),
    ("baseline.json", "baseline show baseline.json"),
    ("export.json", "import export.json --out imported"),
    ("limits.toml", "check --baseline whole mine --config limits.toml"),
]


@pytest.mark.parametrize(("name", "words"), PIPES)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_regular_file_is_one_line(cnnbench_cli, files, name, words, kind) -> None:
    path = files["mine"].parent / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")

    done = cnnbench_cli(*words.split())

    assert done.exit_code == 2, done.output
    assert done.stderr == f"cnnbench: {name}: not a regular file\n"


@pytest.mark.parametrize("text", ["a = " + "[" * 9999, "a = " + "{a=" * 9999])
def test_deeply_nested_toml_is_one_line(cnnbench_cli, files, text: str) -> None:
    (files["mine"].parent / "limits.toml").write_text(text)

    done = cnnbench_cli("check", "--baseline", "whole", "mine", "--config", "limits.toml")

    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("cnnbench: limits.toml: not ")


@pytest.mark.parametrize("text", ["[" * 200_000, '{"model": 1}', "[]", '{"a": ' * 200_000])
def test_odd_lists_of_layers_are_one_line(cnnbench_cli, files, text: str) -> None:
    (files["whole"] / "layers.json").write_text(text)

    done = cnnbench_cli("report", "whole", "--lab")

    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_deeply_nested_arguments_are_one_line(cnnbench_cli) -> None:
    done = cnnbench_cli("run", "--models", "lenet", "--model-arg", f"width={'[' * 200_000}")

    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def fake_run(cnnbench_cli) -> None:
    words = ["--models", "lenet", "--device", "cpu", "--quiet", "--executor", "fake"]
    assert cnnbench_cli("run", *words, "--out", "out").exit_code == 0


SAID = "a\x1b]0;t\x07\x1b[2J\u202eb\n::error::x ##[add-mask]y @user https://e.example"


@pytest.fixture
def talking(cnnbench_cli, tmp_path) -> Path:
    """A run whose every free text does what a terminal, a CI system or GitHub obeys."""
    failure = Failure(SAID, SAID, SAID)
    slow = made.record(made.EAGER, [[10, 10]] * 2, notes=(SAID,))
    bad = replace(made.failed(made.BF16), failure=failure, notes=(SAID,))
    odd = made.record("::error::x/inference-b1-3x8x8/eager/cpu-t1", [[1, 1]] * 2)
    run = made.directory(tmp_path / "run", [slow, bad, odd])
    manifest = json.loads((run / store.MANIFEST).read_text())
    (run / store.MANIFEST).write_text(json.dumps(manifest | {"run": f"::error::{SAID}"}))
    facts = json.loads((run / store.ENVIRONMENT).read_text())
    facts["hard"]["cpu"] = SAID
    (run / store.ENVIRONMENT).write_text(json.dumps(facts))
    with (run / store.RECORDS).open("a") as file:
        file.write('{"id":')
    return run


def obeyed(text: str) -> list[str]:
    """What a terminal or a CI system would obey in a text, line by line."""
    return [
        line
        for line in text.split("\n")
        if not line.removesuffix("\r").isprintable()
        or line.lstrip().startswith("::")
        or re.search(r"##\w*\[", line)
    ]


@pytest.mark.parametrize(
    "words",
    [
        "report run",
        "report run --format csv",
        "report run --format json",
        "report run --format markdown",
        "report run --format latex",
        "report run --pivot mode",
        "report run --group-by status",
        "compare run run",
        "compare run run --format csv",
        "compare run run --format json",
        "check --baseline run run",
        "history run",
        "history run --points",
        "baseline save run",
        "export run --format timm",
        "export run --format bmf",
        "run --resume run",
    ],
)
def test_nothing_of_a_file_is_obeyed(cnnbench_cli, talking: Path, words: str) -> None:
    done = cnnbench_cli(*words.split())

    assert done.exit_code in {0, 1, 2, 3, 5}, done.output
    assert done.output
    assert obeyed(done.stdout) == []
    assert obeyed(done.stderr) == []


def test_annotations_are_the_only_commands_of_a_check_for_github(
    cnnbench_cli, talking: Path, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    old = made.directory(tmp_path / "old", [
        made.record(made.EAGER, [[1, 1]] * 2), made.record(made.BF16, [[1, 1]] * 2),
        made.record("::error::x/inference-b1-3x8x8/eager/cpu-t1", [[1, 1]] * 2),
    ])  # fmt: skip
    for kind in ("table", "csv", "json", "markdown", "latex"):
        done = cnnbench_cli("check", "--baseline", old, talking, "--force", "--ci", "github",
                            "--format", kind, "--markdown", "comment.md")  # fmt: skip

        assert obeyed(done.stdout) == []
        commands = obeyed(done.stderr)
        assert commands
        assert [
            one for one in commands if not re.match(r"::(error|warning) title=\w+%3A ", one)
        ] == []
        assert [one for one in commands if not one.isprintable()] == []
    for page in ("summary.md", "comment.md"):
        text = (tmp_path / page).read_text()
        assert "@<!-- -->user https:<!-- -->//e.example" in text
        assert "@user" not in text


@pytest.mark.parametrize("name", ["x" * 4000, "a b" * 2000, "'" * 4000])
@pytest.mark.parametrize(
    "words",
    ["report whole", "check --baseline baseline.json --structure-only", "run --resume begun"],
)
def test_an_error_shortens_what_a_stranger_wrote(cnnbench_cli, files, name, words) -> None:
    for path in (*files["mine"].parent.glob("*/*.json*"), files["baseline"]):
        text = path.read_text()
        path.write_text(text.replace("subprocess:getoutput", name).replace("os:system", name))

    done = cnnbench_cli(*words.split())

    assert done.exit_code in {0, 2}, done.output
    if done.exit_code:
        assert len(done.stderr) < 2200


def test_an_id_that_a_terminal_would_obey_is_none(cnnbench_cli, files) -> None:
    for path in files["mine"].iterdir():
        path.write_text(path.read_text().replace('"lenet/', '"lenet\\u001b[2J/'))

    done = cnnbench_cli("report", "mine")

    assert done.exit_code == 2
    assert done.stderr.startswith("cnnbench: mine/records.jsonl:1: 'lenet[2J/inference-b8")
    assert "is not a spec id" in done.stderr
