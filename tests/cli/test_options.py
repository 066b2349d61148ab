"""One option, one meaning: what several commands take is the same in all of them."""

from __future__ import annotations

import ast
import importlib
import json
from collections import defaultdict
from pathlib import Path

import click
import pytest

from cnnbench import axes, cli
from cnnbench.cli import COMMANDS
from tests import made

# Where a word of an axis has another sense: what history picks, and a parameter of a layer.
OTHER = {
    "history --model", "history --mode", "shape head --classes", "ab --budget",
    "bisect --budget", "advise --budget", "check --budget", "choose --budget",
}  # fmt: skip


def commands() -> dict[str, click.Command]:
    found = {}
    for name, (module, _) in COMMANDS.items():
        command = importlib.import_module(module).command
        inner = command.commands if isinstance(command, click.Group) else {"": command}
        found |= {f"{name} {word}".strip(): one for word, one in inner.items()}
    return found


def options() -> dict[str, dict[str, click.Option]]:
    """Option -> command -> what it is there."""
    found: dict[str, dict[str, click.Option]] = defaultdict(dict)
    for name, command in commands().items():
        for one in command.params:
            if isinstance(one, click.Option):
                found[one.opts[0]][name] = one
    return found


@pytest.mark.parametrize(
    "option",
    ["--device", "--batch", "--size", "--input", "--phase", "--optimizer", "--threads",
     "--model-arg", "--classes", "--in-channels", "--rounds", "--slices", "--seed", "--timeout",
     "--memory-limit",
     "--precision", "--budget", "--output", "--quiet", "--debug", "--executor", "--dry-run"],
)  # fmt: skip
def test_what_several_commands_take_has_one_help(option: str) -> None:
    found = {
        name: (one.help or "").partition("  [default")[0]
        for name, one in options()[option].items()
        if f"{name} {option}" not in OTHER
    }

    assert len(set(found.values())) == 1, found
    assert len(found) > 1 or option in {"--dry-run", "--memory-limit"}


@pytest.mark.parametrize("option", ["--size", "--input", "--phase", "--optimizer", "--model-arg"])
def test_a_workload_is_asked_for_in_the_same_words_everywhere(option: str) -> None:
    assert {"run", "ab", "profile", "advise", "max-batch", "cost", "baseline save"} <= set(
        options()[option]
    )


def test_out_is_a_directory_and_output_a_file_everywhere() -> None:
    table = options()

    for name, one in table["--out"].items():
        assert isinstance(one.type, click.Path)
        assert not one.type.file_okay
        # A site is no run: it is what the command writes, as a file is elsewhere.
        assert one.opts == (["--out", "-o"] if name == "site" else ["--out"])
    for one in table["--output"].values():
        assert isinstance(one.type, click.Path)
        assert not one.type.dir_okay
        assert one.opts == ["--output", "-o"]
    short = [name for name in table if "-o" in table[name]]
    assert short == []


@pytest.mark.parametrize("axis", [axis for axis, _ in axes.asked()], ids=lambda axis: axis.name)
def test_run_asks_for_every_axis(axis: axes.Axis) -> None:
    assert axis.asking is not None
    assert "run" in options()[axis.asking.option]


def test_no_command_takes_a_dictionary_of_options() -> None:
    untyped = []
    for path in sorted(Path(cli.__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf8"))
        untyped += [
            path.stem
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.args.kwarg is not None
            if any("click" in ast.unparse(mark) for mark in node.decorator_list)
        ]

    assert untyped == []


def test_names_may_be_separated_by_commas_or_spaces(cnnbench_cli) -> None:
    for words in (["lenet,alexnet"], ["lenet", "alexnet"]):
        assert cnnbench_cli("list", "--names", *words).stdout.split() == ["lenet", "alexnet"]
        assert cnnbench_cli("cost", *words, "--executor", "fake").stdout.count("net") >= 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["profile", "lenet", "--batch", "1,8"], "'1,8' is not a positive whole number"),
        (["run", "--batch", "0"], "Invalid value for '--batch'"),
        (["run", "--device", "gpu"], "use cpu, cuda or cuda:INDEX"),
        (["run", "--phase", "trainin"], "did you mean training"),
        (["run", "--optimizer", "adm"], "did you mean adam"),
        (["run", "--models", ","], "a value is missing"),
        (["choose", "--under", "20ms", "--budget", "30ms"], "is not a time such as 90s or 5m"),
        (["choose", "--under", "1e999s"], "'1e999s' is no limit such as 20ms"),
        (["run", "--shard", "1/1000000"], "the second of eight is 2/8, and there are at most"),
        (["predict", "lenet", "--mode", "compile"], "mode compile is not predicted"),
        (["advise", "lenet", "resnet18"], "name one, such as lenet"),
        (["run", "--out", ""], "'--out': the name is empty; is a variable of the shell not set?"),
        (["run", "--resume", ""], "'--resume': the name is empty"),
        (["run", "--size", "3x3x3"], "is not of the form 224 or 224x192"),
    ],
)
def test_a_wrong_value_names_its_option_in_one_line(cnnbench_cli, words, said: str) -> None:
    done = cnnbench_cli(*words, "--executor", "fake")

    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr


def test_a_stored_run_takes_no_grid_beside_it(cnnbench_cli, fake_run) -> None:
    del fake_run

    done = cnnbench_cli("baseline", "save", "run", "--batch", "8")

    assert done.exit_code == 2
    assert "run already defines what was measured; drop --batch" in done.stderr


def test_two_formats_at_once_are_refused(cnnbench_cli, tmp_path) -> None:
    result = cnnbench_cli("cost", "lenet", "--json", "--format", "csv", "--executor", "fake")

    assert result.exit_code == 2
    assert "--json and --format csv contradict each other; keep one" in result.stderr


WANTED = {"lenet", "vgg11"}


@pytest.mark.parametrize(
    "models",
    [["lenet", "vgg11"], ["lenet,vgg11"], ["lenet", "--models", "vgg11"],
     ["--model", "lenet,vgg11"], ["--model", "lenet", "--model", "vgg11"]],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize(
    "command", [["run", "--dry-run"], ["cost"], ["list"], ["max-batch", "--up-to", "1"]],
    ids=lambda words: words[0],
)  # fmt: skip
def test_models_are_words_or_an_option_or_both(cnnbench_cli, command, models) -> None:
    done = cnnbench_cli(*command, *models, "--executor", "fake", "--json")

    found = json.loads(done.stdout)
    rows = found["specs"] if command[0] == "run" else found
    key = {"run": "spec", "max-batch": "id"}.get(command[0], "name")
    assert {row[key].partition("/")[0] for row in rows} == WANTED


@pytest.mark.parametrize("command", ["profile", "advise"])
@pytest.mark.parametrize(
    "models", [["lenet"], ["--model", "lenet"], ["--models", "lenet"]], ids=" ".join
)
def test_one_model_is_a_word_or_an_option(cnnbench_cli, command: str, models) -> None:
    done = cnnbench_cli(command, *models, "--device", "cpu", "--executor", "fake")
    two = cnnbench_cli(command, *models, "alexnet", "--device", "cpu", "--executor", "fake")

    assert done.exit_code == 0, done.output
    assert (two.exit_code, two.stderr.count("\n")) == (2, 1)
    assert "is for one model in one" in two.stderr


def test_the_model_of_the_lab_is_a_word_or_an_option(cnnbench_cli) -> None:
    how = ("--device", "cpu", "--dry-run", "--executor", "fake")

    word = cnnbench_cli("conv", "lenet", *how)
    option = cnnbench_cli("conv", "--from-model", "lenet", *how)

    assert (word.exit_code, word.stdout) == (0, option.stdout)
    assert "conv:" in word.stdout


@pytest.mark.parametrize("command", ["run", "cost", "profile", "advise", "max-batch"])
def test_without_a_word_the_default_holds_or_a_line_asks_for_a_model(cnnbench_cli, command) -> None:
    done = cnnbench_cli(command, *["--dry-run"][command != "run" :], "--executor", "fake")

    if command == "run":
        assert "squeezenet1_1/" in done.stdout
    else:
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == "cnnbench: no model given; name one, a pattern, or quick\n"


def test_a_model_beside_resume_is_refused_as_it_was_written(cnnbench_cli, fake_run) -> None:
    del fake_run

    done = cnnbench_cli("run", "lenet", "vgg11", "--resume", "run")

    assert (done.exit_code, "; drop lenet vgg11\n" in done.stderr) == (2, True)


SECOND = [
    (["run", "lenet", "--dry-run"], "--model", "--models", "vgg11"),
    (["run", "lenet", "--dry-run"], "--mode", "--modes", "bf16"),
    (["run", "lenet", "--dry-run"], "--batch-size", "--batch", "3"),
    (["run", "lenet", "--dry-run"], "--image-size", "--size", "64"),
    (["cost", "lenet"], "--modes", "--mode", "bf16"),
    (["cost", "lenet"], "--batch-size", "--batch", "3"),
    (["max-batch", "lenet", "--up-to", "2"], "--mode", "--modes", "bf16"),
]


@pytest.mark.parametrize(("words", "second", "own", "value"), SECOND)
def test_a_second_name_means_the_option_and_is_in_no_help(
    cnnbench_cli, monkeypatch, words, second: str, own: str, value: str
) -> None:
    # What is free differs from one call to the next, and a search for a batch says how much it was.
    monkeypatch.setattr("cnnbench.machine.memory_available", lambda: 8 << 30)
    results = [cnnbench_cli(*words, name, value, "--executor", "fake") for name in (own, second)]
    text = cnnbench_cli(words[0], "--help").stdout

    assert [one.exit_code for one in results] == [0, 0], results[1].stderr
    assert results[0].stdout == results[1].stdout
    assert own in text.split()
    assert second not in text.split()


def test_an_option_that_a_command_lacks_is_named_as_it_was_written(cnnbench_cli) -> None:
    done = cnnbench_cli("advise", "lenet", "--mode=eager")

    assert done.exit_code == 2
    assert done.stderr.startswith("cnnbench: No such option")
    assert "--mode" in done.stderr
    assert "--modes" not in done.stderr


def test_a_wrong_value_of_a_second_name_is_said_of_the_option(cnnbench_cli) -> None:
    done = cnnbench_cli("run", "lenet", "--batch-size", "0", "--executor", "fake")

    assert (done.exit_code, "Invalid value for '--batch': '0'" in done.stderr) == (2, True)


def test_text_is_another_word_for_the_table(cnnbench_cli, tmp_path, eager) -> None:
    run = made.directory(tmp_path / "run", [eager])

    text = cnnbench_cli("report", run, "--format", "text")

    assert text.exit_code == 0, text.output
    assert text.stdout == cnnbench_cli("report", run, "--format", "table").stdout
