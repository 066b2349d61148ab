"""Which models a file may have built: a file is data, and nothing that it names is run unasked.

Spec ids of a baseline file or a run directory name models. Those of the catalogue, of timm and of
installed packages that register theirs (entry points) are built for anybody. A
``package.module:factory`` is any function at all, so it is built only if the user allows it on the
command line, or if it is the user's own: the file that names it and the source that defines it both
lie in the working tree of the current directory. Sources are read for that, never imported.

What the user types, such as ``--models``, is not asked about here.
"""

from __future__ import annotations

import ast
import json
import math
import os
import re
import shlex
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnbench import axes, recipes
from cnnbench.catalogue import ACTIVATION, ACTIVATIONS, TIMM
from cnnbench.errors import UsageError
from cnnbench.spec import Spec, is_layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cnnbench.spec import Workload

OPTION = "--allow"

_IMPORTED = "imported:"
_PATH = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_FACTORY = re.compile(rf"({_PATH}):({_PATH})", flags=re.ASCII)
# Without the prefixes and addresses that have timm load a network from a hub or a directory.
_OF_TIMM = rf"{TIMM}\w[\w.-]*"
_OF_OURS = rf"{ACTIVATION}(?:{'|'.join(ACTIVATIONS)})"
_OFFERED = re.compile(rf"{_PATH}:{_PATH}|{_OF_TIMM}|\w[\w.-]*", flags=re.ASCII)
# A text that is a choice between variants; not a path, an address or a command.
_WORD = re.compile(r"[\w.+-]{0,64}", flags=re.ASCII)
# Builders load or download what arguments of such names point to; --weights is the safe way.
_LOADING = re.compile(r"weights|pretrained|checkpoint|ckpt")
_MOST_CHARACTERS, _MOST_DEEP, _LARGEST = 4096, 4, 1 << 53
_MOST_SOURCE = 1 << 20
_INSTALLED = frozenset({"site-packages", "dist-packages"})
# More options than this make no line that anybody reads.
_MOST_OPTIONS = 4

_ASSIGNED = (ast.Call, ast.Lambda)
_DEFINITIONS = (ast.FunctionDef, ast.ClassDef)


def specs(names: Iterable[str], file: Path, allowed: Sequence[str] = ()) -> tuple[Spec, ...]:
    """The specs of ids that a file holds, all of which may be built.

    Args:
        names: spec ids.
        file: the baseline file or run directory that they stand in.
        allowed: names and globs of models that the user allows.

    Raises:
        UsageError: something is not an id, or names what may not be built; says how to allow it.
    """
    try:
        # A setting that cannot be read might still be imported by a worker.
        found = tuple(axes.understood(Spec.parse(name)) for name in names)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    refused = _refused(found, file, allowed)
    if not refused:
        return found
    (model, why), *others = refused.items()
    more = f" (and {len(others)} more)" if others else ""
    can = options([one.id for one in found], file, allowed)
    remedy = f"; if you trust it, add{can}" if can else ""
    raise UsageError(f"{file} names '{model}'{more}: {why}, so nothing is built{remedy}")


def options(names: Iterable[str], file: Path, allowed: Sequence[str] = ()) -> str:
    """The options that allow every model of some ids, with a blank before each; may be empty."""
    refused = _refused(tuple(map(Spec.parse, names)), file, allowed)
    # What has no such form may be anything, a shell's commands too, and is not offered.
    models = [one for one in refused if _OFFERED.fullmatch(one) and not one.startswith(_IMPORTED)]
    if len(models) > _MOST_OPTIONS:
        models = list(dict.fromkeys(f"{one.partition(':')[0]}:*" for one in models))
    return "".join(f" {OPTION} {shlex.quote(one)}" for one in models[:_MOST_OPTIONS])


def _refused(found: Iterable[Spec], file: Path, allowed: Sequence[str]) -> dict[str, str]:
    """Model, or other code such as a loss -> why it may not be built."""
    refused = {}
    # Specs of one workload differ in what is no business of a builder's.
    for workload in dict.fromkeys(spec.workload for spec in found):
        model = workload.architecture
        for name in dict.fromkeys((model, *axes.callables(workload))):
            if any(fnmatchcase(name, one) for one in allowed) or name in refused:
                continue
            why = _why_not(name, file) or (_odd_argument(workload) if name == model else "")
            if why:
                refused[name] = why
    return refused


def _why_not(name: str, file: Path) -> str:
    ours = is_layer(name) or recipes.is_pipeline(name) or ":" not in name
    if ours or re.fullmatch(f"{_OF_TIMM}|{_OF_OURS}", name, re.ASCII):
        return ""
    if name.startswith(_IMPORTED):
        return "a result of another tool cannot be measured here"
    match = _FACTORY.fullmatch(name)
    if match is None:
        return "that is not the name of a model"
    root = tree(Path.cwd())
    if not _within(file, root):
        return "that is code, and the file lies outside of this working tree"
    shadowed = match[1].partition(".")[0] in sys.stdlib_module_names
    source = None if shadowed else _source(match[1], _roots(root), root)
    # A run directory that brings its code along is somebody's, wherever it was unpacked.
    if source is None or (file.is_dir() and source.resolve().is_relative_to(file.resolve())):
        return f"that is code, and '{match[1]}' lies outside of this working tree"
    path = match[2].split(".")
    if not _defined(source, path, root, set()) and not _absent(source, path):
        return f"that is code, and '{match[2]}' is not defined in this working tree"
    return ""


def tree(folder: Path) -> Path:
    """The root of the git working tree of a folder; the folder itself outside of any."""
    folder = folder.resolve()
    return next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder)


def _within(path: Path, root: Path) -> bool:
    """Whether a path lies in a working tree, and not in another one inside it."""
    path = path.resolve()
    inside = [one for one in (path, *path.parents) if one != root and one.is_relative_to(root)]
    return path.is_relative_to(root) and not any((one / ".git").exists() for one in inside)


def _roots(root: Path) -> list[Path]:
    """Where the modules of a working tree are looked for."""
    listed = [Path(one) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    here = Path.cwd()
    return [one for one in (here, here / "src", root, root / "src", *listed) if _within(one, root)]


def _source(module: str, roots: Iterable[Path], root: Path) -> Path | None:
    """The file of a module below one of the folders, found without importing anything."""
    for folder in roots:
        path = folder.joinpath(*module.split("."))
        for one in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if one.is_file() and _within(one, root) and not _INSTALLED & {*one.resolve().parts}:
                return one
    return None


def _defined(source: Path, path: Sequence[str], root: Path, seen: set[tuple[Path, str]]) -> bool:
    """Whether a function or class is defined in a file, or in one of the tree that it takes it of.

    What a module only imports, such as ``os.system``, is not its own.
    """
    if (source, path[0]) in seen:
        return False
    seen.add((source, path[0]))
    for node in _statements(_parsed(source) or ()):
        if isinstance(node, _DEFINITIONS) and node.name == path[0]:
            return _inside(node, path[1:])
        if len(path) == 1 and _assigns(node, path[0]):
            return True
        if isinstance(node, ast.ImportFrom):
            for other, name in _imported(node, path[0], source, root):
                if _defined(other, [name, *path[1:]], root, seen):
                    return True
    return False


def _parsed(source: Path) -> list[ast.stmt] | None:
    """The statements of a file; ``None`` if it cannot be read as Python."""
    try:
        if source.stat().st_size > _MOST_SOURCE:
            return None
        return ast.parse(source.read_bytes()).body
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _absent(source: Path, path: Sequence[str]) -> bool:
    """Whether nothing in a file gives a name a meaning, so that building it can only fail.

    So a network that was renamed or removed is a row, as it is where names are typed.
    """
    body = _parsed(source)
    if body is None or len(path) > 1:
        return False
    return not any(_means(node, path[0]) for node in ast.walk(ast.Module(body, [])))


# With these, a name may be given a meaning without standing in the file.
_DYNAMIC = frozenset({
    "globals", "locals", "vars", "setattr", "exec", "eval", "__import__", "import_module",
    "modules", "__dict__",
})  # fmt: skip


def _means(node: ast.AST, name: str) -> bool:
    """Whether a node may give a name of its module a meaning, or any name one."""
    if isinstance(node, ast.alias):
        called = (node.asname or node.name).partition(".")[0]
        return called == name or node.name in {"*", "builtins", *_DYNAMIC}
    if isinstance(node, ast.Name):
        return node.id in {name, "__builtins__", *_DYNAMIC}
    if isinstance(node, ast.Attribute):
        # Every network has a method that is called eval.
        return node.attr in {name, *_DYNAMIC} - {"eval"}
    return getattr(node, "name", None) in {name, "__getattr__"}


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those under ``if``, ``try`` and ``with`` too."""
    for node in body:
        yield node
        if not isinstance(node, _DEFINITIONS):
            inner = [*getattr(node, "body", ()), *getattr(node, "orelse", ())]
            yield from _statements([*inner, *getattr(node, "finalbody", ())])
            for handler in getattr(node, "handlers", ()):
                yield from _statements(handler.body)


def _inside(node: ast.stmt, path: Sequence[str]) -> bool:
    """Whether a definition holds another by name: a class in a class, a method."""
    if not path:
        return True
    if not isinstance(node, ast.ClassDef):
        return False
    return any(
        _inside(one, path[1:])
        for one in node.body
        if isinstance(one, _DEFINITIONS) and one.name == path[0]
    )


def _assigns(node: ast.stmt, name: str) -> bool:
    """Whether a statement makes something new of a name: ``tiny = partial(Net, 8)``."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    made = isinstance(getattr(node, "value", None), _ASSIGNED)
    return made and any(isinstance(one, ast.Name) and one.id == name for one in targets)


def _imported(
    node: ast.ImportFrom, name: str, source: Path, root: Path
) -> Iterator[tuple[Path, str]]:
    """Where in the tree ``from … import`` may take a name from, and its name there."""
    roots = _roots(root)
    if node.level:
        # In a package's own file and in a module of it, one dot is the folder that the file is in.
        roots = [source.parent, *source.parent.parents][node.level - 1 : node.level]
    there = _source(node.module or "__init__", roots, root)
    for alias in node.names if there is not None else ():
        if there is not None and alias.name == "*":
            yield there, name
        elif there is not None and (alias.asname or alias.name) == name:
            yield there, alias.name


def _odd_argument(workload: Workload) -> str:
    """Why arguments of a builder are none that a file may give; empty if they may be."""
    for key, text in workload.arguments:
        try:
            value = json.loads(text) if len(text) <= _MOST_CHARACTERS else None
            plain = len(text) <= _MOST_CHARACTERS and _plain(value)
        except (ValueError, RecursionError):
            plain = False
        if not plain or not key.isidentifier():
            return f"its argument '{key}' is more than numbers and plain words"
        # True stands for the usual weights, which torchvision downloads.
        if value and _LOADING.search(key):
            return f"its argument '{key}' may load or download something"
    return ""


def _plain(value: Any, deep: int = 0) -> bool:
    """Whether a value is a number, a plain word or a list of those.

    No objects: some builders import what an object names.
    """
    if isinstance(value, list):
        return deep < _MOST_DEEP and all(_plain(one, deep + 1) for one in value)
    if isinstance(value, str):
        return _WORD.fullmatch(value) is not None
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and abs(value) <= _LARGEST)
