"""What the package says to its users, read out of its source: texts that name a remedy.

A remedy is an option, a command, an installation, or a call or argument of the Python API. Help
texts and docstrings are no messages.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).resolve().parents[1] / "cnnbench"

OPTION = re.compile(r"(?<![\w-])--(?:[a-z][a-z0-9-]*|(?=\{))")
# "a cnnbench run" is a thing, not a command.
COMMAND = re.compile(r"(?<!\ba )(?<!\bthe )(?<!another )(?<!newer )\bcnnbench ([a-z][a-z-]*)")
INSTALL = re.compile(r"pip install (\S+)")
CALL = re.compile(r"(?<![\w.])cnnbench\.([a-z]+)\b")
ARGUMENT = re.compile(r"\b([a-z_]+)=(?:True|False)\b")

_NAMED = (OPTION, COMMAND, INSTALL, CALL, ARGUMENT)
# Where help texts stand.
_HELP_WORDS, _HELP_CALLS = {"help", "epilog"}, {"Asking"}
_HELP_NAMES = {"_EPILOG", "_HELP", "COMMANDS"}


@dataclass(frozen=True)
class Message:
    """A text of the package; ``{}`` stands for what is filled in."""

    place: str
    text: str

    @property
    def names_a_remedy(self) -> bool:
        """Whether it is a sentence, or part of one, that names something to do.

        An option that begins a message says where something is wrong.
        """
        said = self.text.strip()
        if " " not in said or "\n" in said or COMMAND.fullmatch(said):
            return False
        return any(one.search(said, one is OPTION) for one in _NAMED)


def messages() -> Iterator[Message]:
    """Every text in the source that is neither a docstring nor a help text."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf8"))
        skipped = {id(inner) for node in ast.walk(tree) for inner in _not_said(node)}
        for node in ast.walk(tree):
            text = None if id(node) in skipped else _text(node)
            if text is not None:
                yield Message(path.relative_to(PACKAGE).as_posix(), text)


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (one.value if isinstance(one, ast.Constant) else "{}" for one in node.values)
        return "".join(map(str, parts))
    return None


def _not_said(node: ast.AST) -> Iterator[ast.AST]:
    """Texts below a node that are documentation, or parts of a longer one."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        for value in node.values:
            if isinstance(value, ast.Constant):
                yield value
    elif (
        (isinstance(node, ast.keyword) and node.arg in _HELP_WORDS)
        or (
            isinstance(node, ast.Assign)
            and {ast.unparse(one) for one in node.targets} & _HELP_NAMES
        )
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in _HELP_CALLS)
    ):
        yield from ast.walk(node)
