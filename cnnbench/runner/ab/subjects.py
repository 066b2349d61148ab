"""What the words and options of a comparison mean together, before a side is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench import suite
from cnnbench.errors import UsageError
from cnnbench.runner.ab import sides

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cnnbench.runner.ab.sides import Named


def selection(
    models: Sequence[str] | None, modes: Sequence[str] | None, both: tuple[Named, Named]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which models and modes are compared: those that were asked for, or what the sides suggest.

    Raises:
        UsageError: the sides are models or modes already, or revisions without models.
    """
    kind = both[0].kind
    for given, name in ((models, "model"), (modes, "mode")):
        if given and kind == name:
            raise UsageError(f"BASE and HEAD are {name}s already; drop --{name}s")
    if not models and kind in {"rev", "worktree"}:
        raise UsageError("name the networks of the repository: --models package.module:factory")
    suggested = (both[0].value,) if kind == "model" else ("quick",)
    return tuple(models or suggested), tuple(modes or ("eager",))


def notices(models: Sequence[str], both: tuple[Named, Named], repo: Path | None) -> list[str]:
    """Notices for a user about the meaning of the result."""
    same = ours(models, both, repo)
    return [*sides.notices(*both, repo), *([same] if same else [])]


def ours(models: Sequence[str], both: tuple[Named, Named], repo: Path | None) -> str:
    """That models belong to cnnbench and not to the revisions compared; empty if none does."""
    if repo is None or both[0].kind not in {"rev", "worktree"} or sides.is_cnnbench(repo):
        return ""
    selected = suite.select(models)
    same = [name for name in selected if name not in suite.outside(selected)]
    return f"{', '.join(same)}: part of cnnbench, so it is the same in both revisions" * bool(same)
