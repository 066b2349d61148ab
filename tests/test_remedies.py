"""A remedy that a message names exists where the message is read, and works when it is done."""

from __future__ import annotations

import ast
import copy
import re
import shlex
import shutil
import tomllib
import warnings
from dataclasses import replace
from inspect import signature
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner, Result

import cnnbench
from cnnbench import quiet
from cnnbench.cli import main
from cnnbench.errors import UsageError
from cnnbench.quiet import CoreUse
from cnnbench.runner import fake
from cnnbench.runner.fake import Fake
from tests import made, test_imported
from tests.messages import ARGUMENT, CALL, INSTALL, OPTION, PACKAGE, Message, messages
from tests.remedies import CASES, LAYER, NETS, OTHERS, WITH_TORCH, Case
from tests.test_quiet import Clock

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.record import Record

MESSAGES = list(messages())
SAID = [one for one in MESSAGES if one.names_a_remedy]
# A command that a message names, and the options behind it.
MENTION = re.compile(
    r"(?<!\ba )(?<!\bthe )(?<!another )(?<!newer )\bcnnbench "
    r"([a-z][a-z-]*(?: (?:save|show|update)\b)?)((?: [A-Z]+| --[a-z-]+| \{\})*)"
)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of known times, a repository, and a file that is none of ours."""
    folder = tmp_path_factory.mktemp("made")
    for name, milliseconds in (("here", 10), ("slower", 10.2), ("elsewhere", 10)):
        made.directory(folder / name, [_record(milliseconds, ensemble=name)])
    for name in ("larger", "larger here"):
        made.directory(folder / name, [_record(10, cost=replace(made.COST, params=70_000))])
    larger = _record(10, cost=replace(made.COST, params=70_000))
    made.directory(folder / "untimed", [replace(larger, runs=())])
    made.directory(folder / "renamed", [replace(_record(10), id=f"my{made.EAGER}")])
    hung = made.record("fake:hangs/inference-b1-3x32x32/eager/cpu-t1", [[10] * 3] * 3)
    made.directory(folder / "hung", [hung])
    environment = folder / "elsewhere" / "environment.json"
    environment.write_text(environment.read_text().replace("A Processor", "Another"))
    (folder / "other.json").write_text("{}")
    (folder / "own.csv").write_text("model,top1\nlenet,75\n")
    head = '{"cnnbench_operators": 1, "environment": {"hard": {}}}'
    (folder / "table.jsonl").write_text(head)
    test_imported.file(folder / "bench.json", 1.0)
    made.repository(folder / "repo", {"nets.py": "tiny = None\n"})
    made.commit(folder / "repo", {"nets.py": "tiny = 1\n"})
    return folder


@pytest.fixture
def place(made_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, which holds what was made once."""
    here = tmp_path / "place"
    shutil.copytree(made_once, here)
    monkeypatch.chdir(here)
    return here


def _record(milliseconds: float, **more: Any) -> Record:
    return made.record(made.EAGER, [[milliseconds] * 3] * 3, **more)


def _command(words: list[str]) -> tuple[click.Command, int]:
    """The command of a line, and how many words name it."""
    found: click.Command = main
    count = 0
    context = click.Context(main)
    while isinstance(found, click.Group) and words[count : count + 1]:
        inner = found.get_command(context, words[count])
        if inner is None:
            break
        found, count = inner, count + 1
    return found, count


def _options(command: click.Command) -> dict[str, click.Option]:
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    own = {
        name: one
        for one in command.params
        if isinstance(one, click.Option)
        for name in one.opts + one.secondary_opts
    }
    return {name: one for sub in inner for name, one in _options(sub).items()} | own


def _call(words: list[str]) -> Result:
    """A command line; the fake executor measures, unless the run says who does."""
    command, count = _command(words)
    fake = "--executor" in _options(command) and not {"--resume", "--executor"} & {*words}
    more = ["--executor", "fake"] if fake and count else []
    return CliRunner().invoke(main, [*words, *more], prog_name="cnnbench")


def _done(line: str, remedy: re.Match[str], case: Case) -> list[str]:
    """The command line that comes of doing what a message says."""
    (kind, text) = next((k, v) for k, v in remedy.groupdict().items() if v is not None)
    for blank, value in case.fill.items():
        assert blank in text, f"nothing to fill in for {blank} in {text}"
        text = text.replace(blank, value)
    words = shlex.split(text)
    if kind == "run":
        return words[words[0] == "cnnbench" :]
    left = _without(shlex.split(line), words[0])
    return left if kind == "drop" else [*left, *words]


def _without(words: list[str], option: str) -> list[str]:
    """A command line without the first occurrence of an option and its value."""
    if option not in words:
        return words
    place = words.index(option)
    takes = 1 if _options(_command(words)[0])[option].is_flag else 2
    return words[:place] + words[place + takes :]


def _pattern(said: str) -> re.Pattern[str]:
    return re.compile(r".*?".join(map(re.escape, said.split("{}"))))


@pytest.mark.parametrize("case", CASES, ids=lambda one: f"{one.line} -> {one.take}")
def test_doing_what_a_message_says_puts_the_line_right(case: Case, place: Path) -> None:
    del place
    _try(case)


def _try(case: Case) -> None:
    for line in case.before:
        assert _call(shlex.split(line)).exit_code in {0, 3}, line
    wrong = _call(shlex.split(case.line))

    printed = made.flat(wrong.output)
    assert wrong.exit_code == case.code, wrong.output
    assert _pattern(case.said).search(printed), wrong.output
    remedy = re.search(case.take, printed)
    assert remedy is not None, wrong.output

    words = _done(case.line, remedy, case)
    right = _call(words)
    assert right.exit_code == case.then, (words, right.output)
    shown = made.flat(right.output)
    assert case.shows or not _pattern(case.said).search(shown), (words, right.output)
    assert re.search(case.shows, right.output) or re.search(case.shows, shown), right.output


@pytest.mark.torch
@pytest.mark.parametrize("case", WITH_TORCH, ids=lambda one: f"{one.line} -> {one.take}")
def test_what_networks_need_puts_the_line_right(case: Case, place: Path) -> None:
    (place / "nets.py").write_text(NETS)

    _try(replace(case, line=f"{case.line} --executor process"))


# --- No message is missing, and what is named exists.


@pytest.mark.parametrize("message", SAID, ids=lambda one: f"{one.place}: {one.text}")
def test_a_message_that_names_a_remedy_is_run_or_argued(message: Message) -> None:
    assert any(one.said in message.text for one in (*CASES, *WITH_TORCH)) or any(
        part in message.text for part in OTHERS
    ), "give it a case in tests/remedies.py"


@pytest.mark.parametrize("case", [*CASES, *WITH_TORCH], ids=lambda one: one.said)
def test_a_case_is_about_a_message_of_the_source(case: Case) -> None:
    assert any(case.said in one.text for one in MESSAGES)


@pytest.mark.parametrize("part", OTHERS)
def test_what_is_argued_is_a_message_and_its_test_exists(part: str) -> None:
    assert any(part in one.text for one in SAID)
    why = OTHERS[part].why
    assert not why.startswith("test_") or callable(globals()[why])


@pytest.mark.parametrize("message", SAID, ids=lambda one: f"{one.place}: {one.text}")
def test_commands_and_options_exist_where_they_are_named(message: Message) -> None:
    text = message.text
    for found in MENTION.finditer(text):
        words = shlex.split(found[1])
        command, count = _command(words)
        assert count, f"no command {words[0]}"
        assert {*OPTION.findall(found[2])} <= {*_options(command)}
    bare = {one for one in OPTION.findall(MENTION.sub("", text)) if one != "--"}
    for name in _readers(text):
        command, _ = _command(name.split())
        assert bare <= {"--help", *_options(command)}, name


def _readers(text: str) -> set[str]:
    """The commands whose users read a message."""
    lines = [shlex.split(one.line) for one in (*CASES, *WITH_TORCH) if one.said in text]
    argued = {name for part, one in OTHERS.items() if part in text for name in one.commands}
    return argued | {" ".join(words[: _command(words)[1]]) for words in lines}


@pytest.mark.parametrize("message", SAID, ids=lambda one: f"{one.place}: {one.text}")
def test_calls_arguments_and_packages_exist(message: Message) -> None:
    for name in CALL.findall(message.text):
        assert name in cnnbench.__all__
    taken = {key for one in (cnnbench.run, cnnbench.cost) for key in signature(one).parameters}
    assert {*ARGUMENT.findall(message.text)} <= taken
    for written in re.findall(r"cnnbench\.\w+\(.*?\)", message.text):
        call = ast.parse(written.replace("{}", "x"), mode="eval").body
        assert isinstance(call, ast.Call)
        assert {one.arg for one in call.keywords} <= taken
    for package in INSTALL.findall(message.text):
        name, _, _ = package.strip("')").partition("==")
        assert name == "{}" or _is_declared(name)


def _is_declared(package: str) -> bool:
    """Whether something to install is an extra of ours, or a package that it needs."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    if extra := re.fullmatch(r"cnnbench\[(\w+)\]", package):
        return extra[1] in extras
    declared = [*project["dependencies"], *(one for of in extras.values() for one in of)]
    # Which timm needs, and cnnbench for files of that kind alone.
    return package in {"safetensors", *(re.split(r"[><=]", one)[0] for one in declared)}


# --- Remedies of what no command line brings about.


@pytest.mark.parametrize(
    "line",
    [
        "run --models fake:net --rounds 2",
        "advise fake:net --rounds 2",
        f"conv --layer {LAYER} --rounds 2",
    ],
)
def test_an_interrupted_run_goes_on(line: str, place: Path) -> None:
    del place
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cnnbench.runner.lanes.Session.run", _interrupted)
        stopped = _call([*shlex.split(line), "--out", "a run"])
    remedy = re.search(r"continue with: (cnnbench .*)", stopped.stderr)

    assert stopped.exit_code == 130
    assert remedy is not None
    assert _call(shlex.split(remedy[1])[1:]).exit_code == 0


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


BUSY = {
    "run": "run --models lenet --rounds 2",
    "conv": f"conv --layer {LAYER} --rounds 2",
    "advise": "advise lenet --rounds 2",
    "profile": "profile lenet",
    "ab": "ab eager eager --models lenet",
}


@pytest.mark.parametrize("line", BUSY.values(), ids=BUSY)
def test_a_busy_machine_is_waited_for(line: str, place: Path, monkeypatch) -> None:
    del place
    use = CoreUse(1.6, 2)
    monkeypatch.setattr(Fake, "core_use", lambda _: use)
    monkeypatch.setattr(quiet, "time", Clock())
    words = [*shlex.split(line), "--device", "cpu"]
    told = _call([*words, "--threads", "2"])
    remedies = re.search(r"; (--wait \w+) waits .*; started anew with (--threads 1),", told.stderr)

    assert remedies is not None, told.stderr
    waited = _call([*words, "--threads", "2", *remedies[1].split()])
    assert (waited.exit_code, "waiting for quiet, 10 min" in waited.stderr) == (0, True)
    alone = _call([*words, *remedies[2].split()])
    assert (alone.exit_code, "threads 1" in alone.stderr) == (0, False)


@pytest.mark.parametrize("line", BUSY.values(), ids=BUSY)
def test_fewer_threads_are_taken(line: str, place: Path, monkeypatch) -> None:
    del place
    monkeypatch.setattr(Fake, "core_use", lambda _: CoreUse(0.0, 2))
    words = [*shlex.split(line), "--device", "cpu"]
    told = _call([*words, "--threads", "4"])
    remedy = re.search(r"start anew with (--threads 2)", told.stderr)

    assert remedy is not None, told.stderr
    assert "--threads" not in _call([*words, *remedy[1].split()]).stderr


def test_a_bad_figure_leads_to_doctor(monkeypatch) -> None:
    monkeypatch.setattr(fake, "_CLOCK", replace(fake._CLOCK, sample_ns=5_000.0))
    told = _call(["selftest", "--quick"])
    remedy = re.search(r"see '(cnnbench doctor)'", told.stderr)

    assert remedy is not None
    assert _call(shlex.split(remedy[1])[1:]).exit_code == 0


def test_an_internal_error_is_shown_whole(monkeypatch) -> None:
    monkeypatch.setattr("cnnbench.cli.listing.catalogue.entries", lambda: 1 / 0)
    told = _call(["list"])
    remedy = re.search(r"rerun with 'cnnbench (--debug)'", told.stderr)

    assert remedy is not None, told.stderr
    assert "Traceback" not in told.stderr
    assert "Traceback" in _call([remedy[1], "list"]).stderr


def test_modes_that_advice_names_can_be_run(place: Path) -> None:
    del place
    told = _call(["advise", "lenet", "--device", "cpu", "--rounds", "2"])
    remedy = re.search(
        r"available here: (.*?) \((cnnbench run --modes) …\)", made.flat(told.stdout)
    )

    assert remedy is not None, told.stdout
    words = [*shlex.split(remedy[2])[1:], remedy[1].replace(" ", ""), "--models", "lenet"]
    shown = _call([*words, "--device", "cpu", "--dry-run"])
    assert (shown.exit_code, "not possible" in shown.stdout) == (0, False)


def test_what_is_to_be_installed_is_declared(place, cnnbench_process) -> None:
    del place
    line = "report place/here --format markdown -o t.md --pictures"
    told = cnnbench_process(
        code="import sys; sys.modules['matplotlib'] = None\n"
        f"from cnnbench.cli import main; main({shlex.split(line)!r})"
    )
    remedy = INSTALL.search(told.err)

    assert told.code == 2
    assert remedy is not None, told.err
    assert _is_declared(remedy[1].strip("'"))


@pytest.mark.torch
def test_real_tensors_are_run() -> None:
    import torch

    class Once:
        """What can be copied as it is, and has no form without values."""

        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor = tensor

        def __deepcopy__(self, memo: dict[int, Any]) -> Once:
            return Once(torch.tensor(copy.deepcopy(self.tensor, memo).tolist()))

    class Net(torch.nn.Module):
        def forward(self, x: Any) -> torch.Tensor:
            return (x.tensor if isinstance(x, Once) else x.dequantize()) * 2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = torch.quantize_per_tensor(torch.ones(1, 4), 0.1, 0, torch.quint8)
    for given in (whole, Once(torch.ones(1, 4))):
        with pytest.raises(UsageError, match=r"pass real=True"):
            cnnbench.cost(Net(), given)
        assert cnnbench.cost(Net(), given, real=True).params == 0
