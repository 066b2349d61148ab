"""The example notebook: every cell runs, and prints what is kept in it."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "example.ipynb"


def code_cells(book: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in book["cells"] if cell["cell_type"] == "code"]


def kept(cell: dict[str, Any]) -> str:
    return "".join(line for output in cell["outputs"] for line in output["text"])


def measures(cell: dict[str, Any]) -> bool:
    """Whether its output depends on the machine: a cell that measures, and all that read it."""
    names = ("measured", "measure(", "record", "results", "rows", "again")
    return any(name in "".join(cell["source"]) for name in names)


@pytest.mark.torch
@pytest.mark.slow
def test_every_cell_of_the_example_runs_and_counts_what_is_kept(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    book = json.loads(NOTEBOOK.read_text(encoding="utf8"))
    names: dict[str, Any] = {}
    for cell in code_cells(book):
        with redirect_stdout(StringIO()) as said:
            exec("".join(cell["source"]), names)  # A notebook's cells share their names.
        cell["printed"] = said.getvalue()

    if request.config.getoption("--overwrite"):
        NOTEBOOK.write_text(with_outputs(book), encoding="utf8")
        return
    assert [len(run) for run in (names["measured"], names["results"], names["again"])] == [2, 2, 2]
    counted = [cell for cell in code_cells(book) if not measures(cell)]
    assert [kept(cell) for cell in counted] == [cell["printed"] for cell in counted]


def with_outputs(book: dict[str, Any]) -> str:
    """The notebook as text, with what the cells that only count have printed."""
    for cell in code_cells(book):
        printed = cell.pop("printed")
        text = [] if measures(cell) else printed.splitlines(keepends=True)
        cell["outputs"] = (
            [{"name": "stdout", "output_type": "stream", "text": text}] if text else []
        )
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def test_the_example_shows_all_four_functions_and_keeps_no_time() -> None:
    cells = code_cells(json.loads(NOTEBOOK.read_text(encoding="utf8")))
    source = "".join("".join(cell["source"]) for cell in cells)

    for name in ("cost", "measure", "run", "load"):
        assert f"cnnbench.{name}(" in source
    assert "executor" not in source
    assert [kept(cell) for cell in cells if measures(cell)] == [""] * sum(map(measures, cells))
    assert [cell for cell in cells if cell["execution_count"] is not None] == []
