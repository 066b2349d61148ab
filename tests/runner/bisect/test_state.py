"""What a bisection keeps: read back as it was written, and refused where it says what cannot be."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.codec import encode
from cnnbench.errors import StoreError
from cnnbench.gate.bisection import BisectionStep
from cnnbench.gate.rule import VERDICTS
from cnnbench.runner.bisect import state
from cnnbench.runner.bisect.state import Looked, State
from tests import made, mutated

COMMITS = tuple(f"{number:040x}" for number in range(6))
RECORD = made.record(made.EAGER, [])
STATE = State(
    commits=COMMITS,
    specs=(made.EAGER,),
    threshold=0.05,
    least=3,
    most=10,
    budget=40.0,
    plan={"slices": 8},
    executor="fake",
    environment="0123456789ab",
    looked={COMMITS[0]: Looked.of([RECORD]), COMMITS[1]: Looked(reason="build: x")},
    steps=(BisectionStep(5, 0, made.EAGER, "regression", 0.1, 0.08, 0.12, 6, 9.0),),
)

SHARES = st.none() | st.floats(-0.9, 9.0)
STEPS = st.builds(
    lambda ends, *rest: BisectionStep(max(ends), min(ends), made.EAGER, *rest),
    st.sets(st.integers(0, 5), min_size=2, max_size=2),
    st.sampled_from(VERDICTS), SHARES, SHARES, SHARES, st.integers(0, 20), st.floats(0, 1e6),
    st.text(max_size=20),
)  # fmt: skip


@given(st.lists(STEPS, max_size=6))
def test_what_is_read_is_what_was_written(
    tmp_path_factory: Any, steps: list[BisectionStep]
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    known = State(**{**vars(STATE), "steps": tuple(steps)})

    state.write(folder, known)

    assert state.read(folder) == known


def test_records_come_back_and_a_failure_is_a_reason(tmp_path: Path) -> None:
    state.write(tmp_path, STATE)
    looked = state.read(tmp_path).looked

    assert looked[COMMITS[0]].found == (RECORD,)
    assert looked[COMMITS[1]].found is None
    assert Looked.of([RECORD, made.failed(made.BF16)]).reason == "first call: ValueError: made up"


def change(**fields: Any) -> dict[str, Any]:
    return json.loads(json.dumps(fields))


STEP = {"place": 5, "against": 0, "spec": made.EAGER, "verdict": "regression"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (change(kind="cnnbench baseline"), "not a bisection"),
        (change(schema=2), "schema 2 is not known"),
        (change(extra=1), "extra"),
        (change(threshold="5%"), "threshold"),
        (change(commits=[COMMITS[0], "--upload-pack=x"]), "expected two hashes"),
        (change(commits=[COMMITS[0]]), "expected two hashes"),
        (change(looked={"main": {"reason": "x"}}), "not on the line"),
        (change(looked={COMMITS[0]: {"records": [{"id": "x"}]}}), "no schema number"),
        (change(specs=[made.BF16], steps=[]), "records of other specs"),
        (change(least=1), "1 to 10 pairs"),
        (change(threshold=-1.0), "must be above zero"),
        (change(attempts=0), "attempts: expected 1 to 20"),
        (change(attempts=2000), "attempts: expected 1 to 20"),
        (change(budget=-1.0), "a budget above zero"),
        (change(specs=[], steps=[], looked={}), "expected a spec or more"),
        (change(plan={"slices": 0}), "must be positive"),
        (change(plan={"slice": 1}), "slice"),
        (change(steps=[STEP | {"place": 6}]), "a comparison of what is not compared"),
        (change(steps=[STEP | {"against": 5}]), "a comparison of what is not compared"),
        (change(steps=[STEP | {"spec": made.BF16}]), "a comparison of what is not compared"),
        (change(steps=[STEP | {"verdict": "guilty"}]), "expected one of"),
        (change(steps=[STEP | {"estimate": "x"}]), "estimate"),
        (change(steps=[STEP | {"low": float("nan")}]), "not a number"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_of_ours_is_refused_in_one_line(
    tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    state.write(tmp_path, STATE)
    path = tmp_path / state.NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    with pytest.raises(StoreError, match=said) as error:
        state.read(tmp_path)
    assert "\n" not in str(error.value)


@given(st.integers(0, 1 << 30))
def test_nonsense_is_refused_in_one_line_or_read(tmp_path_factory: Any, seed: int) -> None:
    folder, dice = tmp_path_factory.mktemp("nonsense"), random.Random(seed)
    data, told = mutated.mutated(dice, json.loads(json.dumps(encode(STATE))))
    (folder / state.NAME).write_bytes(mutated.bytes_of(dice, data))

    said = str(folder)
    try:
        state.read(folder)
    except StoreError as error:
        said = str(error)

    assert said.startswith(str(folder)), told
    assert "\n" not in said.replace("a\nb", "")


def test_what_is_no_file_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no bisection: it has no bisect\.json"):
        state.read(tmp_path)
    (tmp_path / state.NAME).write_text("[" * 100_000)
    with pytest.raises(StoreError, match="not valid JSON"):
        state.read(tmp_path)
    (tmp_path / state.NAME).unlink()
    os.mkfifo(tmp_path / state.NAME)
    with pytest.raises(StoreError, match="not a regular file"):
        state.read(tmp_path)
