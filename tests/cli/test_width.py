"""Nothing that a command prints by default is wider than 80 columns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnnbench.cli import COMMANDS, output

RESULTS = Path(__file__).parents[2] / "results"
QUICK, MODES, ALL, LAB = (
    RESULTS / name for name in ("quick-cpu", "modes-cpu", "all-cpu", "conv-resnet18")
)
FAKE = "--executor fake"

# What stands in {braces} is made by the test.
COMMAND_LINES = [
    "list",
    "list resnet* tag:mobile",
    "conv --list",
    f"conv --from-model lenet --out conv {FAKE}",
    f"conv --unit conv+bn+relu --out unit {FAKE}",
    f"conv --direction backward_data --out backward {FAKE}",
    f"profile lenet --out profile {FAKE}",
    f"advise lenet --out advice {FAKE}",
    f"advise lenet --out advice --under 20ms --memory 200MB {FAKE}",
    f"ab eager channels_last --models lenet,resnet18 {FAKE}",
    f"cost resnet18,vgg16 {FAKE}",
    f"cost resnet18 --layers {FAKE}",
    f"gradients plain20_cifar resnet20_cifar {FAKE}",
    f"cost lenet --ops {FAKE}",
    f"cost lenet --cross-check {FAKE}",
    f"gradients lenet resnet18 plain56_cifar {FAKE}",
    f"max-batch --models resnet18,lenet --modes eager,compile {FAKE}",
    f"predict resnet18 mobilenet_v3_small {FAKE}",
    f"choose --under 8ms --threads 1 --modes eager,channels_last --out new {FAKE}",
    f"choose --under 8ms --threads 1 --from lenet,alexnet,resnet18 --out new {FAKE}",
    f"doctor {FAKE}",
    f"selftest --quick {FAKE}",
    f"run --models lenet,resnet18,mobilenet_v3_small --out new {FAKE}",
    f"run --models lenet --batch 1,2,4,8,16 --modes eager,compile --out new {FAKE}",
    f"run --models resnet18 --modes all --out new {FAKE}",
    f"run --models lenet,vgg11 --modes all --under 20ms --out new {FAKE}",
    f"run --models lenet --dry-run {FAKE}",
    "input --list",
    f"input --workers 0,2 --models lenet,resnet18 --dataset cifar10 --out new {FAKE}",
    "report a --dataset imagenet",
    "compare a b",
    "compare a b a",
    "check b --baseline baseline.json",
    "baseline show baseline.json",
    "history a b",
    f"history {QUICK} {MODES}",
    f"compare {QUICK} {MODES}",
    "shape conv --in 3x224x224 --out-channels 64 --kernel 7 --stride 2",
    "shape bottleneck --in 480x14x14 --out-channels 48 --kernel 5 --through 16",
    "shape head --in 512x7x7 --classes 1000 --hidden 4096,4096",
    "report a",
    "report a b",
    "report a --under 20ms --top1 50",
    "report a --scaling",
    "report a --pivot mode",
    "report a --sort -speedup --group-by family",
    "report a --filter latency<1us",
    f"report {QUICK}",
    f"report {MODES}",
    f"report {ALL}",
    f"report {ALL} --under 20ms --top1 70",
    f"report {QUICK} {MODES}",
    f"report {LAB} --lab",
]


@pytest.fixture
def kept(cnnbench_cli):
    """The command line where two runs and a baseline file of the first lie."""
    for name, modes in (("a", "eager,compile,amp"), ("b", "eager,channels_last,amp")):
        words = f"run --models lenet,resnet18 --modes {modes} --out {name} -q {FAKE}"
        assert cnnbench_cli(*words.split()).exit_code == 0
    assert cnnbench_cli("baseline", "save", "a").exit_code == 0
    return cnnbench_cli


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_no_line_is_wider_than_80_columns(kept, line: str) -> None:
    done = kept(*line.split())

    assert done.exit_code in {0, 1, 3}, done.output
    assert done.stdout.strip()
    assert [text for text in done.stdout.splitlines() if len(text) > 80] == []


def test_every_command_is_asked() -> None:
    asked = {line.split()[0] for line in COMMAND_LINES}

    # These print no tables, or only what they were given; two need more: test_bisect.py,
    # test_explain.py.
    assert {*COMMANDS} - asked == {"bisect", "explain", "export", "import", "merge", "site"}


def test_wide_shows_every_column(kept) -> None:
    narrow, wide = kept("list", "tag:mobile"), kept("list", "tag:mobile", "--wide")

    header = next(one for one in narrow.stdout.splitlines() if one.startswith("name"))
    assert header.split()[-2:] == ["top-1", "%"]
    assert re.search(r"^not shown \(--wide\): .*paper$", narrow.stdout, re.MULTILINE)
    assert wide.stdout.splitlines()[0].split()[-1] == "paper"
    assert "not shown" not in wide.stdout


def test_a_wide_terminal_shows_more(monkeypatch) -> None:
    monkeypatch.setattr(output.sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "132")

    assert output.width() == 132
    assert output.width(Path("file")) == 80


class Terminal:
    """A standard output that somebody sits before."""

    def isatty(self) -> bool:
        return True
