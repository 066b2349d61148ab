"""The two sides of a paired comparison: revisions, interpreters, models or modes.

Turns what a user wrote into two sides, each an executor and what it changes of an order. Checks out
what must be checked out, and removes it again. Knows nothing of measuring.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnbench import catalogue, units
from cnnbench.errors import UnknownName, UsageError
from cnnbench.gate.baseline import Source
from cnnbench.gate.outcomes import ROLES
from cnnbench.runner.ab import revisions
from cnnbench.runner.origin import Origin
from cnnbench.runner.source import source
from cnnbench.spec import DEVICE_KINDS, WORDS, Mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# What a side can be, in the order in which a bare word is tried.
KINDS = ("rev", "worktree", "model", "mode")


@dataclass(frozen=True)
class Named:
    """The meaning of a user's word for a side.

    Attributes:
        kind: one of ``KINDS``, or ``same`` where only the interpreters differ.
        value: the revision, model or mode.
        commit: its hash, of a revision.
    """

    kind: str
    value: str = ""
    commit: str = ""

    @property
    def text(self) -> str:
        """The text for people."""
        if self.kind == "rev":
            short = self.commit[:9]
            return short if self.commit.startswith(self.value) else f"{self.value} ({short})"
        return "the working tree" if self.kind == "worktree" else self.value


@dataclass(frozen=True)
class CodeSide:
    """One side of a paired comparison, ready to be measured.

    Attributes:
        role: ``base`` or ``head``.
        named: what it is.
        origin: where its code comes from.
    """

    role: str
    named: Named
    origin: Origin = field(default_factory=Origin)

    @property
    def text(self) -> str:
        """The text for people."""
        python = self.origin.python
        if self.named.kind == "same":
            return python
        return self.named.text if python == sys.executable else f"{self.named.text}, {python}"

    @property
    def code(self) -> Source:
        """The commit that it is; that of the working tree where it is none."""
        if self.named.kind == "rev":
            return Source(revision=self.named.commit, dirty=False)
        return source(Path(self.origin.folder) if self.origin.folder else None)

    @property
    def source(self) -> Mapping[str, Any]:
        """The source, for a later measurement of the same code."""
        facts = {"kind": self.named.kind, "name": self.named.value, "commit": self.named.commit}
        python = "" if self.origin.python == sys.executable else self.origin.python
        return {key: value for key, value in (facts | {"python": python}).items() if value}


def named(word: str, repo: Path | None) -> Named:
    """The meaning of one word: tried as revision, model and mode, or as its prefix says.

    Raises:
        UsageError: nothing has this name; the closest are offered.
    """
    prefix, colon, rest = word.partition(":")
    if word == "." or prefix == "worktree":
        return _worktree(repo, word)
    if colon and prefix in KINDS:
        found = _KNOWN[prefix](rest, repo)
        if found is None:
            raise _unknown(rest, prefix, repo)
        return found
    for known in _KNOWN.values():
        found = known(word, repo)
        if found is not None:
            return found
    raise _unknown(word, "", repo)


def _worktree(repo: Path | None, word: str) -> Named:
    if repo is None:
        why = revisions.unusable(Path.cwd()) or "this is not a git repository; see --repo"
        raise UsageError(f"'{word}' is a working tree, but {why}")
    return Named("worktree", commit=revisions.commit(repo, "HEAD") or "")


def _revision(word: str, repo: Path | None) -> Named | None:
    found = revisions.commit(repo, word) if repo is not None and word else None
    return None if found is None else Named("rev", word, found)


def _model(word: str, _repo: Path | None) -> Named | None:
    # A name with a colon is somebody's factory; whether it exists is seen when it is imported.
    known = ":" in word or any(entry.name == word for entry in catalogue.entries())
    return Named("model", word) if known else None


def _mode(word: str, _repo: Path | None) -> Named | None:
    for kind in DEVICE_KINDS:
        try:
            Mode.parse(word, kind)
        except UsageError:
            continue
        return Named("mode", word)
    return None


_KNOWN = {"rev": _revision, "model": _model, "mode": _mode}


def _unknown(word: str, prefix: str, repo: Path | None) -> UnknownName:
    tables = {
        "rev": [] if repo is None else revisions.names(repo),
        "model": [entry.name for entry in catalogue.entries()],
        "mode": [one.text for one in WORDS],
    }
    where = (
        revisions.unusable(Path.cwd()) or "this is not a git repository; see --repo"
        if repo is None
        else f"repository {repo}{revisions.fetching(repo, word)}"
    )
    if prefix == "rev":
        return UnknownName("revision", word, tables["rev"], f"({where})")
    if prefix:
        return UnknownName(prefix, word, tables[prefix])
    every = [one for table in tables.values() for one in table]
    return UnknownName("revision, model or mode", word, every, f"({where})")


def pair(words: Sequence[str], repo: Path | None, *, pythons: bool) -> tuple[Named, Named]:
    """The meaning of the two words of a command.

    Args:
        words: BASE and HEAD; none if only the interpreters differ.
        repo: root of the user's repository, if there is one.
        pythons: whether the interpreters differ.

    Raises:
        UsageError: not two words, a name of nothing, or two that cannot be compared.
    """
    if pythons and not words:
        return Named("same"), Named("same")
    if len(words) != 2:
        raise UsageError("give BASE and HEAD, e.g. 'main HEAD', 'resnet18 resnet34' or 'eager amp'")
    base, head = (named(word, repo) for word in words)
    trees = {"rev", "worktree"}
    if base.kind != head.kind and {base.kind, head.kind} != trees:
        raise UsageError(
            f"'{words[0]}' is a {base.kind} and '{words[1]}' a {head.kind}; both must be of"
            " the same kind (a prefix says what a word is: rev:, model:, mode:)"
        )
    return base, head


def notices(base: Named, head: Named, repo: Path | None) -> list[str]:
    """Notices for a user about the meaning of the result."""
    if repo is None or {base.kind, head.kind} != {"rev"}:
        return []
    number = revisions.changed(repo)
    if not number:
        return []
    return [
        f"not part of any revision: {units.number(number, 'uncommitted change')}; use '.' for the"
        " working tree"
    ]


def interpreter(path: str) -> str:
    """A Python interpreter that workers can use.

    Raises:
        UsageError: there is none, or it is too old.
    """
    found = shutil.which(path)
    if found is None:
        raise UsageError(f"'{path}' is not an interpreter; give the path of a Python interpreter")
    # Not resolved: a virtual environment's python is a link that must be called by its own name.
    absolute = os.path.abspath(found)  # noqa: PTH100
    code = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter that the user named
            [absolute, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
        version = tuple(map(int, done.stdout.split()))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        version = ()
    if len(version) != 2:
        raise UsageError(f"'{path}' is not a Python interpreter")
    if version < (3, 11):
        raise UsageError(
            f"'{path}' is Python {version[0]}.{version[1]}; workers need 3.11 or newer"
        )
    return absolute


@contextmanager
def opened(
    both: tuple[Named, Named], repo: Path | None, pythons: tuple[str | None, str | None]
) -> Iterator[tuple[CodeSide, CodeSide]]:
    """Both sides, checked out; the checkouts are gone when the context ends.

    Raises:
        UsageError: a revision cannot be checked out, an interpreter cannot be used.
    """
    chosen = [sys.executable if path is None else interpreter(path) for path in pythons]
    with ExitStack() as stack:
        found = []
        for role, what, python in zip(ROLES, both, chosen, strict=True):
            origin = replace(_origin(what, repo, stack), python=python)
            found.append(CodeSide(role, what, origin))
        yield found[0], found[1]


@contextmanager
def at(what: Named, repo: Path) -> Iterator[CodeSide]:
    """One revision alone, checked out; the checkout is gone when the context ends.

    Raises:
        UsageError: it cannot be checked out.
    """
    with ExitStack() as stack:
        yield CodeSide(ROLES[1], what, _origin(what, repo, stack))


def _origin(what: Named, repo: Path | None, stack: ExitStack) -> Origin:
    if repo is None or what.kind not in {"rev", "worktree"}:
        return Origin()
    checkout = repo
    if what.kind == "rev":
        checkout = stack.enter_context(revisions.checked_out(repo, what.commit))
    here = _moved(Path.cwd(), repo, checkout)
    inside = here.is_relative_to(checkout) and here.is_dir()
    return Origin(
        package=str(checkout) if is_cnnbench(checkout) else None,
        networks=(*map(str, _roots(checkout)), *_moved_entries(repo, checkout)),
        folder=str(here if inside else checkout),
        variables=_variables(repo),
    )


def is_cnnbench(checkout: Path) -> bool:
    """Whether a checkout is of cnnbench itself, which is then what each side runs."""
    return (checkout / "cnnbench" / "worker" / "starter.py").is_file()


def _roots(checkout: Path) -> list[Path]:
    """Where a checkout's packages are: its root, and src where it has one."""
    return [path for path in (checkout, checkout / "src") if path.is_dir()]


def _moved(path: Path, repo: Path, checkout: Path) -> Path:
    """The same place in the checkout; a path outside the repository stays."""
    path, repo = path.resolve(), repo.resolve()
    return checkout / path.relative_to(repo) if path.is_relative_to(repo) else path


def _entries() -> list[Path]:
    """PYTHONPATH of this process."""
    return [Path(one) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]


def _moved_entries(repo: Path, checkout: Path) -> list[str]:
    """The entries of PYTHONPATH inside the repository, moved to the checkout."""
    return [str(_moved(one, repo, checkout)) for one in _entries() if _within(one, repo)]


def _variables(repo: Path) -> dict[str, str]:
    """PYTHONPATH without entries inside the repository, because each side has its own."""
    entries = _entries()
    others = [str(one.resolve()) for one in entries if not _within(one, repo)]
    return {"PYTHONPATH": os.pathsep.join(others)} if entries else {}


def _within(path: Path, repo: Path) -> bool:
    return path.resolve().is_relative_to(repo.resolve())
