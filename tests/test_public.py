"""The names that the package itself offers, and what they cost to import."""

from __future__ import annotations

import inspect
import sys
from types import SimpleNamespace

import pytest

import cnnbench
from cnnbench import errors
from cnnbench.spec import Mode

ERRORS = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.CnnbenchError)
}


def test_every_error_is_a_name_of_the_package() -> None:
    assert ERRORS.keys() < set(cnnbench.__all__)
    assert {name: getattr(cnnbench, name) for name in ERRORS} == ERRORS


def test_a_caller_catches_what_is_raised_by_its_public_name() -> None:
    with pytest.raises(cnnbench.UnknownName, match="did you mean lenet") as caught:
        cnnbench.run("lenett", executor="fake")

    assert isinstance(caught.value, cnnbench.CnnbenchError)
    assert caught.value.closest[0].startswith("lenet")


def test_catching_an_error_imports_neither_the_api_nor_what_it_stands_on(cnnbench_process) -> None:
    code = "import cnnbench, sys; cnnbench.CnnbenchError; print('cnnbench.api' in sys.modules)"

    assert cnnbench_process(code=code).out == "False\n"


# What is wanted, and how it is asked for.
LIGHT = {
    "--help": ["--help"],
    "list": ["list"],
    "cost --help": ["cost", "--help"],
    "run --help": ["run", "--help"],
    "check --help": ["check", "--help"],
    "report": ["report", "run"],
    "report --format csv": ["report", "run", "--format", "csv"],
}
HEAVY = ("torch", "torchvision", "fvcore", "pandas", "numpy", "jinja2", "matplotlib")


@pytest.mark.parametrize("words", LIGHT.values(), ids=LIGHT)
def test_what_needs_no_library_imports_none(cnnbench_process, fake_run, words: list[str]) -> None:
    assert fake_run
    code = f"""
import atexit, sys
atexit.register(lambda: print(sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr))
from cnnbench.cli import main
main({words})
"""
    done = cnnbench_process(code=code)

    assert done.out
    assert (done.code, done.err) == (0, "[]\n")


def test_a_pivot_is_what_pandas_is_imported_for(cnnbench_process, fake_run) -> None:
    """So that the test above is known to see an import."""
    assert fake_run
    code = """
import atexit, sys
atexit.register(lambda: print("pandas" in sys.modules, file=sys.stderr))
from cnnbench.cli import main
main(["report", "run", "--pivot", "mode"])
"""

    assert cnnbench_process(code=code).err == "True\n"


def test_an_object_goes_through_the_door_with_all_that_was_said(monkeypatch, fake_run) -> None:
    said = []

    def measure(*words):
        said.append(words)
        return fake_run.runs[0]

    door = SimpleNamespace(measure=measure, work=lambda *words: words)
    monkeypatch.setitem(sys.modules, "cnnbench.inprocess", door)
    monkeypatch.setattr(cnnbench, "inprocess", sys.modules["cnnbench.inprocess"], raising=False)

    found = cnnbench.measure(
        "module", "input", kwargs={"mask": 1}, modes="eager,bf16", device="cuda:1", rounds=2,
        phase="training", optimizer="adam", loss=abs, train="head",
    )  # fmt: skip

    ((module, arguments, work, modes, device, plan),) = said
    assert (module, arguments) == ("module", (("input",), {"mask": 1}))
    assert work == ("training", "adam", abs, "head")
    assert (modes, device) == (("eager", "bf16"), "cuda:1")
    assert plan.rounds == 2
    assert found.records == fake_run.records


def test_an_object_is_counted_with_all_that_was_said(monkeypatch) -> None:
    said = []
    door = SimpleNamespace(
        cost=lambda *words, **more: said.append((words, more)) or "found",
        work=lambda *words, **_: words,
    )
    monkeypatch.setitem(sys.modules, "cnnbench.inprocess", door)
    monkeypatch.setattr(cnnbench, "inprocess", door, raising=False)

    module = object()
    found = cnnbench.cost(
        module, "input", phase="training", optimizer="adam", real=True, loss=abs, mode="amp",
        train="head",
    )  # fmt: skip

    assert found == "found"
    more = {"mode": Mode(precision="amp=bf16"), "real": True, "counted": True}
    assert said == [((module, (("input",), {}), ("training", "adam", abs, "head")), more)]
