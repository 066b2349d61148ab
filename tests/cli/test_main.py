from __future__ import annotations

import click
import pytest

import cnnbench
from cnnbench.cli import COMMANDS, main
from cnnbench.version import VERSION

LIGHT = """
import sys
from cnnbench.cli import main
try:
    main({words}, prog_name="cnnbench")
except SystemExit as end:
    assert not end.code, end.code
heavy = {{"torch", "torchvision", "pandas", "numpy", "fvcore"}}
if "list" in {words}:  # what answers, which only runs need, is a third of its time
    heavy |= {{"cnnbench.report.answers", "cnnbench.report.budget", "cnnbench.choice"}}
print("heavy:", sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["list"], ["list", "--json"], ["run", "--help"],
     ["run", "--executor", "fake", "--models", "lenet", "--out", "run"], ["report", "run"]],
    ids=" ".join,
)  # fmt: skip
def test_a_light_command_imports_nothing_heavy(cnnbench_process, tmp_path, words) -> None:
    if words[0] == "report":
        cnnbench.run("lenet", executor="fake", out=tmp_path / "run")

    done = cnnbench_process(code=LIGHT.format(words=words))

    assert done.code == 0, done.err
    assert done.out.endswith("heavy: []\n")


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_python_m_cnnbench_is_the_command(cnnbench_process, option: str) -> None:
    done = cnnbench_process(option)

    assert (done.code, done.out, done.err) == (0, f"cnnbench, version {VERSION}\n", "")
    assert cnnbench.__version__ == VERSION


def test_help_names_every_command_and_every_exit_code(cnnbench_cli) -> None:
    text = cnnbench_cli("--help").stdout

    for name, (_, line) in COMMANDS.items():
        assert f"  {name}" in text
        assert line.split()[0] in text
    for code in ("0 fine", "2 bad input", "70 an internal error of cnnbench", "128+N interrupted"):
        assert code in " ".join(text.split())


@pytest.mark.parametrize("words", [(), ("baseline",), ("shape",)])
def test_a_command_that_needs_a_subcommand_shows_its_help_without_one(cnnbench_cli, words) -> None:
    bare = cnnbench_cli(*words)

    assert (bare.exit_code, bare.stderr) == (0, "")
    assert bare.stdout == cnnbench_cli(*words, "--help").stdout


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_no_help_shows_the_marks_of_its_layout(cnnbench_cli, name: str | None) -> None:
    text = cnnbench_cli(*filter(None, [name]), "--help").stdout

    assert "\\b" not in text
    assert "\b" not in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_call_it(cnnbench_cli, name: str) -> None:
    result = cnnbench_cli(name, "--help")

    assert result.exit_code == 0
    assert f"Examples:\n    cnnbench {name}" in result.stdout


@pytest.mark.parametrize("columns", ["40", "80"])
@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_shown_as_they_are_written(cnnbench_cli, monkeypatch, name, columns) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    command = main.get_command(None, name)
    written = [line for line in command.epilog.splitlines() if line.startswith("  cnnbench ")]

    shown = cnnbench_cli(name, "--help").stdout.splitlines()

    assert written
    assert [line for line in written if f"  {line}" not in shown] == []


def leaves(command: click.Command) -> list[click.Command]:
    """A command, or those of a group."""
    if isinstance(command, click.Group):
        return [leaf for one in command.commands.values() for leaf in leaves(one)]
    return [command]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is(name: str) -> None:
    commands = leaves(main.get_command(None, name))
    options = [
        option for one in commands for option in one.params if option.param_type_name == "option"
    ]

    assert options
    assert [one.name for one in options if not one.help] == []


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in {"shape", "baseline"}])
def test_every_command_that_measures_or_reads_can_show_a_traceback(name: str) -> None:
    command = main.get_command(None, name)

    assert "debug" in {one.name for one in command.params}


def test_an_unknown_command_is_one_line_with_the_closest(cnnbench_cli) -> None:
    result = cnnbench_cli("runn")

    assert result.exit_code == 2
    assert result.stderr == (
        "cnnbench: unknown command 'runn'; did you mean run? (see 'cnnbench --help')\n"
    )


def test_an_unknown_option_is_bad_input(cnnbench_cli) -> None:
    result = cnnbench_cli("run", "--modells", "lenet")

    assert result.exit_code == 2
    assert "--models" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("place", [["--debug", "list", "x"], ["list", "x", "--debug"]])
def test_debug_shows_the_traceback(cnnbench_cli, place: list[str]) -> None:
    text = cnnbench_cli(*place).stderr

    assert "Traceback (most recent call last)" in text
    assert text.splitlines()[-1].startswith("cnnbench: unknown architecture 'x'")


def test_debug_works_in_a_process_of_its_own(cnnbench_process) -> None:
    done = cnnbench_process("list", "x", "--debug")

    assert (done.code, done.err.splitlines()[0]) == (2, "Traceback (most recent call last):")


def test_an_error_stays_on_one_line_whatever_was_typed(cnnbench_cli) -> None:
    result = cnnbench_cli("list", "a\nb")

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("command", ["list", "doctor"])
def test_ctrl_c_in_any_command_exits_130(cnnbench_cli, monkeypatch, command: str) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cnnbench.catalogue.select", interrupt)
    monkeypatch.setattr("cnnbench.cli.doctor.describe", interrupt)

    result = cnnbench_cli(command)

    assert (result.exit_code, result.stderr) == (130, "cnnbench: interrupted\n")


def test_what_nobody_expected_is_one_line_and_never_looks_like_a_regression(
    cnnbench_cli, monkeypatch
) -> None:
    def crash(*_: object) -> None:
        raise OverflowError("int too large\nto convert")

    monkeypatch.setattr("cnnbench.cli.listing.catalogue.entries", crash)

    result, shown = cnnbench_cli("list"), cnnbench_cli("list", "--debug")

    assert (result.exit_code, shown.exit_code) == (70, 70)
    (line,) = result.stderr.splitlines()
    assert "OverflowError: int too large to convert" in line
    assert "internal error: " in line
    assert "; rerun with 'cnnbench --debug' and please report it" in line
    assert "Traceback" in shown.stderr
