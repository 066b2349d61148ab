from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.errors import SchemaError, StoreError
from cnnbench.prediction import kept
from cnnbench.prediction.contenders import ChoiceLimits, Contender

LIMITS = ChoiceLimits(0.02, 5e8)
ONE = Contender("lenet/inference-b1-3x32x32/eager/cpu-t1", 70.0, 100)
TOLD = Contender(ONE.spec, 70.0, 100, 50, 0.001, 0.002, 0.003, 0.002, 0.004)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kept.begin(tmp_path, LIMITS, ["nobody"], 2)
    kept.keep(tmp_path, [ONE])
    return tmp_path


def test_the_last_line_about_a_contender_counts(folder: Path) -> None:
    kept.keep(folder, [TOLD])

    found = kept.read(folder)

    assert found == kept.KeptChoice(LIMITS, {ONE.spec: TOLD}, ("nobody",), 2)


def test_a_directory_without_the_file_is_no_choice(tmp_path: Path) -> None:
    assert kept.read(tmp_path) is None
    assert kept.look(tmp_path) == (None, ())


def test_a_torn_line_is_closed_and_skipped_with_a_line_that_says_so(folder: Path) -> None:
    with (folder / kept.PREDICTIONS).open("a") as file:
        file.write('{"contender": {"spec"')
    kept.keep(folder, [TOLD])

    found = kept.read(folder)

    assert found is not None
    assert found.contenders == {ONE.spec: TOLD}
    assert found.problems == (f"{folder / kept.PREDICTIONS}:3: incomplete line skipped",)


@pytest.mark.parametrize(
    "line",
    ['{"contender": {}}', '{"run": "rm"}', "[]", '{"contender": {"spec": "?", "top1": 70}}',
     '{"contender": {"spec": "a/inference-b1-3x8x8/eager/cpu-t1", "top1": 1e999}}'],
)  # fmt: skip
def test_a_line_that_is_no_contender_is_one_message(folder: Path, line: str) -> None:
    with (folder / kept.PREDICTIONS).open("a") as file:
        file.write(line + "\n")

    found, problems = kept.look(folder)

    assert found is not None
    assert found.contenders == {ONE.spec: ONE}
    assert len(problems) == 1
    assert f"{kept.PREDICTIONS}:3: line skipped" in problems[0]


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", '{"cnnbench_predictions": 2}', '{"cnnbench_predictions": 1}',
     '{"cnnbench_predictions": 1, "limits": {"seconds": -1}}'],
)  # fmt: skip
def test_a_file_of_something_else_is_refused_and_a_report_goes_on(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / kept.PREDICTIONS).write_text(text)

    with pytest.raises(SchemaError, match=kept.PREDICTIONS):
        kept.read(tmp_path)
    found, (problem,) = kept.look(tmp_path)
    assert found is None
    assert kept.PREDICTIONS in problem


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path) -> None:
    (tmp_path / kept.PREDICTIONS).mkdir()

    with pytest.raises(StoreError):
        kept.read(tmp_path)
    with pytest.raises(StoreError):
        kept.keep(tmp_path, [ONE])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@given(st.binary(max_size=60) | _JSON.map(lambda data: json.dumps(data).encode()))
def test_any_line_is_read_or_said(tmp_path_factory: pytest.TempPathFactory, line: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    kept.begin(folder, LIMITS, [], 0)
    with (folder / kept.PREDICTIONS).open("ab") as file:
        file.write(line.replace(b"\n", b" ") + b"\n")

    found, problems = kept.look(folder)

    assert found is not None
    assert len(problems) == 1
