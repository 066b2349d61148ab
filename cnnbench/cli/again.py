"""The command line that was typed, with some options changed: what a remedy is pasted as."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from cnnbench.cli import spelling
from cnnbench.gate import unsure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.gate import Judgement
    from cnnbench.gate.unsure import Options
    from cnnbench.spec import Spec

WORDS = "cnnbench.cli.words"
# Of options that name what the last time was written to: it is full now.
_LEFT_OUT = ("--out",)


def remedy(judgement: Judgement) -> str:
    """The one line most likely to make the inconclusive verdicts of a judgement conclusive.

    Of several causes the one that hides the others counts, then the noisiest comparison. Empty if
    nothing that was measured just now is inconclusive, or nothing that this command has would help.
    """
    outcomes = [
        one.change.outcome
        for one in judgement.findings("inconclusive")
        if one.change is not None and one.change.outcome is not None
    ]
    outcomes.sort(key=lambda one: -(one.decision.resolvable or 0.0))
    found = [(why, one) for one in outcomes if (why := unsure.of(one)) is not None]
    found.sort(key=lambda pair: unsure.CAUSES.index(pair[0].cause))
    lines = (_line(options, one.comparison.base) for why, one in found for options in why.helps)
    return next(filter(None, lines), "")


def _line(options: Options, spec: Spec) -> str:
    """The command with these options; empty if it has not all of them, or waits already.

    A threshold is that of ``spec`` alone where the command has one for each: what a noisy network
    needs would blind the gate for the others.
    """
    context = click.get_current_context()
    known = {name: one for one in context.command.params for name in one.opts}
    words: list[str] = list(context.meta.get(WORDS, ()))
    if not options.keys() <= known.keys() or ("--wait" in options and _given(words, "--wait")):
        return ""
    for name in (*options, *_LEFT_OUT):
        if name in known and not known[name].multiple:
            words = _without(words, known[name])
    for name, value in options.items():
        several = name == "--threshold" and known[name].multiple
        alone = f"{spec.workload.model}/{spec.mode.text}:latency={value}"
        # The last one that covers a spec counts.
        words += [name, alone if several else value]
    return shlex.join(["cnnbench", *words])


def _given(words: Sequence[str], name: str) -> bool:
    return any(_name(word) == name for word in words)


def _name(word: str) -> str:
    """The option of a word, by its own name."""
    name, _, _ = word.partition("=")
    return f"--{spelling.option(name.removeprefix('--'))}" if name.startswith("--") else name


def _without(words: Sequence[str], option: click.Parameter) -> list[str]:
    """The words without an option, wherever it stands, and its value."""
    left: list[str] = []
    ahead = list(words)
    while ahead:
        word = ahead.pop(0)
        if _name(word) not in option.opts:
            left.append(word)
        elif "=" not in word and ahead and _takes(option, ahead[0]):
            ahead.pop(0)
    return left


def _takes(option: click.Parameter, word: str) -> bool:
    """Whether the next word is the option's value, which some have only if they are given one."""
    assert isinstance(option, click.Option)  # noqa: S101 - arguments have no names to look for
    if option.is_flag:
        return False
    return option.flag_value is None or not word.startswith("-")
