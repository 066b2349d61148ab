"""The house rules of ARCHITECTURE.md, read off the sources."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cnnbench.cli import COMMANDS
from cnnbench.gate.facets import FACETS
from cnnbench.metrics import METRICS
from cnnbench.report import FORMATS
from cnnbench.report.exporting import EXPORTS
from cnnbench.runner.executor import EXECUTORS
from cnnbench.spec import WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
TORCH_SIDE = ("worker", "analysis", "architectures", "implementations", "inprocess")
TORCH = ("torch", "torchvision", "fvcore", "timm")

PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf8")
ARROWS = PAGE.partition("## Arrows")[2].partition("\n## ")[0]


def _levels() -> dict[str, int]:
    """What may import what, as the page draws it: name of a part -> its level, the lowest 0."""
    drawn = ARROWS.split("```")[1].partition("══")[0].strip().splitlines()
    return {
        "" if name.strip() == "cnnbench" else name.strip(): level
        for level, line in enumerate(reversed(drawn))
        for name in line.split("|")
    }


def _allowed() -> set[str]:
    """What the torch side may use, as the page says."""
    sentence = ARROWS.partition("The torch side may use:")[2].partition("\n\n")[0]
    return set(re.findall(r"`([a-z_.]+)`", sentence))


# A module may import only those of lower levels, and those of its own part.
LEVELS = _levels()
ALLOWED = _allowed()
# The door of api plays worker and runner in one process.
OWN_OF_THE_DOOR = {"store", "scratch"}
# codec raises errors; the two lowest of the table know each other and nothing else does.
ALLOWED_BESIDE = {("codec", "errors")}

# (file, function): what each checker takes.
Source = tuple[str, ast.Module]


@functools.cache
def sources() -> list[Source]:
    paths = sorted((ROOT / "cnnbench").rglob("*.py"))
    return [
        (path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf8")))
        for path in paths
    ]


def planted(path: str, text: str) -> list[Source]:
    """A file that breaks a rule."""
    return [(path, ast.parse(text))]


def part(path: str) -> str:
    """The level's name of a file: ``cnnbench/report/csv.py`` -> ``report``."""
    inner = path.removeprefix("cnnbench/").removesuffix(".py").removesuffix("/__init__")
    return "" if inner == "__init__" else level_of(inner.replace("/", "."))


def level_of(module: str) -> str:
    """The part that a module belongs to: itself if it has a level of its own, or its package."""
    names = module.split(".")
    return ".".join(names[:2]) if ".".join(names[:2]) in LEVELS else names[0]


def imported(path: str, tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Full names of everything imported anywhere in a file, inside functions too."""
    package = path.removesuffix("/__init__.py").removesuffix(".py").split("/")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = package[: len(package) - node.level] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of an expression, or an empty text."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


def calls(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := dotted(node.func)):
            yield name, node.lineno


def torch_imports(found: list[Source]) -> list[str]:
    return [
        f"{path}:{line} imports {name}"
        for path, tree in found
        if part(path) not in TORCH_SIDE
        for name, line in imported(path, tree)
        if name.split(".")[0] in TORCH
    ]


def ray_imports(found: list[Source]) -> list[str]:
    """Ray anywhere but where it is asked, or there before anybody wants it."""
    return [
        f"{path}:{line} imports {name}"
        for path, tree in found
        for name, line in imported(path, tree)
        if name.split(".")[0] == "ray"
        if path != "cnnbench/runner/cluster/on_ray.py"
        or line in {node.lineno for node in tree.body}
    ]


def doors(found: list[Source]) -> list[str]:
    """Imports of the torch side from the torch-free side."""
    return [
        f"{path} -> {name}"
        for path, tree in found
        if part(path) not in TORCH_SIDE
        for name, _ in imported(path, tree)
        if name.startswith("cnnbench.") and name.split(".")[1] in TORCH_SIDE
    ]


def upward_imports(found: list[Source]) -> list[str]:
    bad = []
    for path, tree in found:
        me = part(path)
        for name, line in imported(path, tree):
            if me in TORCH_SIDE or not name.startswith("cnnbench."):
                continue
            other = level_of(name.removeprefix("cnnbench."))
            if other == me or other in TORCH_SIDE or (me, other) in ALLOWED_BESIDE:
                continue
            if LEVELS[other] >= LEVELS[me]:
                bad.append(f"{path}:{line} {me} imports {other}")
    return bad


def torch_side_upward(found: list[Source]) -> list[str]:
    """The torch side may use what the page allows it: values, never those who run or report."""
    return [
        f"{path}:{line} imports {name}"
        for path, tree in found
        if part(path) in TORCH_SIDE
        for name, line in imported(path, tree)
        if name.startswith("cnnbench.") and not _allowed_there(name, part(path))
    ]


def _allowed_there(name: str, place: str) -> bool:
    other = level_of(name.removeprefix("cnnbench."))
    own = OWN_OF_THE_DOOR if place == "inprocess" else set()
    return other in {*TORCH_SIDE, *ALLOWED, *own}


def process_starts(found: list[Source]) -> list[str]:
    bad = []
    for path, tree in found:
        if part(path) != "runner":
            modules = [(n, i) for n, i in imported(path, tree)]
            bad += [
                f"{path}:{line} imports {name}"
                for name, line in modules
                if name.split(".")[0] in {"subprocess", "multiprocessing", "concurrent"}
            ]
        forks = ("os.fork", "os.forkpty", "os.system", "os.popen", "os.posix_spawn", "os.spawn")
        bad += [
            f"{path}:{line} calls {name}"
            for name, line in calls(tree)
            if name.startswith((*forks, "os.exec")) and path != "cnnbench/worker/starter.py"
        ]
    return bad


def prints(found: list[Source]) -> list[str]:
    speaking = ("print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write")
    return [
        f"{path}:{line} calls {name}"
        for path, tree in found
        if part(path) != "cli"
        for name, line in calls(tree)
        if name in speaking
    ]


def other_doors_to_stderr(found: list[Source]) -> list[str]:
    """Texts for stderr that may come from files and do not pass ``output.say``."""
    own = {"cnnbench/cli/output.py", "cnnbench/cli/progress.py"}
    return [
        f"{path}:{node.lineno} writes to stderr"
        for path, tree in found
        for node in ast.walk(tree)
        if path not in own and isinstance(node, ast.Call) and dotted(node.func) == "click.echo"
        if any(keyword.arg == "err" for keyword in node.keywords)
    ]


def blind_reads(found: list[Source]) -> list[str]:
    """Files of anybody opened without asking whether they are regular."""
    readers = ("store", "imported", "gate", "cli")
    return [
        f"{path}:{line} calls {name}"
        for path, tree in found
        if part(path) in readers
        for name, line in calls(tree)
        if name.endswith((".read_text", ".read_bytes")) and not name.startswith("files.")
    ]


def vague_names(found: list[Source]) -> list[str]:
    vague = {"utils", "util", "common", "helpers", "helper", "misc"}
    return [path for path, _ in found if vague & set(path.removesuffix(".py").split("/"))]


def flag_changes(found: list[Source]) -> list[str]:
    bad = []
    setters = (
        "torch.set_num_threads", "torch.set_num_interop_threads", "torch.set_flush_denormal",
        "torch.set_float32_matmul_precision", "torch.use_deterministic_algorithms",
    )  # fmt: skip
    for path, tree in found:
        if path == "cnnbench/worker/modes.py":
            continue
        bad += [f"{path}:{line} calls {name}" for name, line in calls(tree) if name in setters]
        for node in ast.walk(tree):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", 0)]
            bad += [
                f"{path}:{node.lineno} sets {dotted(target)}"
                for target in targets
                if isinstance(target, ast.Attribute) and dotted(target).startswith("torch.backends")
            ]
    return bad


def long_functions(found: list[Source], most: int = 60) -> list[str]:
    return [
        f"{path}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path, tree in found
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > most
    ]


def bare_modules(found: list[Source]) -> list[str]:
    return [path for path, tree in found if not ast.get_docstring(tree)]


def thawed_values(found: list[Source]) -> list[str]:
    """Public dataclasses that can be changed; working state is private or a worker's own."""
    return [
        f"{path}: {node.name}"
        for path, tree in found
        if part(path) != "worker"
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for mark in node.decorator_list
        if dotted(mark.func if isinstance(mark, ast.Call) else mark).endswith("dataclass")
        if not isinstance(mark, ast.Call)
        or not any(k.arg == "frozen" and getattr(k.value, "value", 0) for k in mark.keywords)
    ]


RULES: dict[str, tuple[Callable[[list[Source]], list[str]], str, str]] = {
    "torch is imported on the torch side only": (
        torch_imports, "cnnbench/report/csv.py", "def f():\n    import torch.nn"),
    "Ray is imported where it is asked, and only then": (
        ray_imports, "cnnbench/runner/cluster/on_ray.py", "import ray"),
    "imports point down and never to a sibling": (
        upward_imports, "cnnbench/report/csv.py", "from cnnbench.runner import plan"),
    "the torch side uses values only": (
        torch_side_upward, "cnnbench/worker/tasks.py", "from cnnbench import metrics"),
    "only the runner starts processes": (
        process_starts, "cnnbench/machine.py", "import subprocess"),
    "only the starter forks": (
        process_starts, "cnnbench/runner/process.py", "import os\nos.fork()"),
    "only the command line prints": (
        prints, "cnnbench/store.py", "print('read')"),
    "stderr has one door": (
        other_doors_to_stderr, "cnnbench/cli/run.py", "click.echo('x', err=True)"),
    "files are opened in one place": (
        blind_reads, "cnnbench/store.py", "path.read_text()"),
    "no module has a vague name": (
        vague_names, "cnnbench/report/utils.py", ""),
    "only worker/modes.py changes global flags": (
        flag_changes, "cnnbench/worker/build.py", "torch.backends.cudnn.benchmark = True"),
    "only worker/modes.py calls setters of global flags": (
        flag_changes, "cnnbench/worker/build.py", "torch.set_num_threads(1)"),
    "no function is longer than 60 lines": (
        long_functions, "cnnbench/store.py", "def f():\n" + "    x = 1\n" * 60),
    "every module says what it does": (
        bare_modules, "cnnbench/store.py", "x = 1"),
    "public values are frozen": (
        thawed_values, "cnnbench/record.py", "@dataclass\nclass Value:\n    x: int"),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_rule_holds(rule: str) -> None:
    checker = RULES[rule][0]

    broken = checker(sources())

    assert broken == []


@pytest.mark.parametrize("rule", RULES)
def test_rule_can_be_broken(rule: str) -> None:
    checker, path, text = RULES[rule]

    broken = checker(planted(path, text))

    assert len(broken) == 1
    assert path in broken[0]


def test_the_torch_side_has_one_door() -> None:
    found = doors(sources())

    assert {door.split(" -> ")[0] for door in found} == {"cnnbench/api.py"}
    assert {door.split(" -> ")[1].split(".")[1] for door in found} == {"analysis", "inprocess"}


def test_a_second_door_is_seen() -> None:
    text = "def f():\n    from cnnbench.analysis import analyze"

    found = doors(planted("cnnbench/store.py", text))

    assert found == ["cnnbench/store.py -> cnnbench.analysis.analyze"]


def test_every_module_has_a_level() -> None:
    parts = {part(path) for path, _ in sources()} - set(TORCH_SIDE)

    assert parts == set(LEVELS)


def test_the_page_allows_the_torch_side_nothing_idle() -> None:
    used = {
        level_of(name.removeprefix("cnnbench."))
        for path, tree in sources()
        if part(path) in TORCH_SIDE and part(path) != "inprocess"
        for name, _ in imported(path, tree)
        if name.startswith("cnnbench.")
    }

    assert used - set(TORCH_SIDE) == ALLOWED


def test_no_file_is_longer_than_400_lines() -> None:
    paths = (ROOT / "cnnbench").rglob("*.py")
    lengths = {path: len(path.read_text(encoding="utf8").splitlines()) for path in paths}

    assert {path.name: length for path, length in lengths.items() if length > 400} == {}


def test_everything_else_imports_with_torch_blocked(cnnbench_process) -> None:
    names = [
        path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path, _ in sources()
        if part(path) not in TORCH_SIDE and not path.endswith("__main__.py")
    ]
    code = f"""
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {TORCH}:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocker())
for name in {names}:
    importlib.import_module(name)
try:
    import torch
except ImportError:
    print(len({names}))
"""

    done = cnnbench_process(code=code)

    assert (done.code, done.out.strip()) == (0, str(len(names))), done.err


@pytest.mark.parametrize(
    "names",
    [
        [word.text for word in WORDS],
        [(word.axis, word.value) for word in WORDS],
        [metric.name for metric in METRICS],
        [column for metric in METRICS for column in (metric.column, *(metric.interval or ()))],
        [module for module, _ in COMMANDS.values()],
        list(FORMATS.values()),
        list(EXECUTORS.values()),
        list(EXPORTS.values()),
        [facet.name for facet in FACETS],
    ],
    ids=[
        "words",
        "meanings",
        "metrics",
        "columns",
        "commands",
        "formats",
        "executors",
        "exports",
        "facets",
    ],
)
def test_names_in_a_table_are_unique(names: list[object]) -> None:
    assert [name for name, count in Counter(names).items() if count > 1] == []


@pytest.mark.parametrize("name", [path for path, _ in sources() if part(path) not in TORCH_SIDE])
def test_tables_written_as_dictionaries_repeat_no_key(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text(encoding="utf8"))
    keys = [
        [key.value for key in node.keys if isinstance(key, ast.Constant)]
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
    ]

    assert [one for one in keys if len(one) != len(set(one))] == []


def test_optional_fields_of_values_default_to_none() -> None:
    # encode() leaves None out, so an optional field with another default would not survive.
    names = ["spec", "record", "store", "suite", "stats", "catalogue", "advice", "plan"]
    modules = [importlib.import_module(f"cnnbench.{name}") for name in names]
    values = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    }
    bad = [
        f"{kind.__name__}.{field.name}"
        for kind in values
        for field in dataclasses.fields(kind)
        if "None" in str(field.type) and field.default not in (None, dataclasses.MISSING)
    ]

    assert bad == []
    assert len(values) > 10
