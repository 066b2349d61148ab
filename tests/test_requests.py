"""What crosses the process border: every request comes out as it went in, under stable names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import requests
from cnnbench.codec import decode, encode
from cnnbench.errors import SchemaError, UnknownName
from cnnbench.facts import Reference
from cnnbench.messages import Request
from cnnbench.plan import Plan, WarmUp
from cnnbench.runner.fake import ANSWERS
from cnnbench.spec import OPTIMIZERS, PHASES, Spec
from tests import made

TEXT = st.text(max_size=9)
NUMBER = st.integers(0, 1 << 40)
SECONDS = st.floats(0, 1e6)
SHAPE = st.lists(st.integers(1, 999), max_size=4).map(tuple)
ARGUMENTS = st.dictionaries(TEXT, st.none() | st.booleans() | NUMBER | TEXT, max_size=3)
WARM_UP = st.builds(WarmUp, NUMBER, SECONDS, SECONDS, NUMBER)
REFERENCE = st.builds(
    Reference, st.booleans(), st.none() | SECONDS, st.none() | SECONDS, st.booleans()
)
# By the name of a field where its type does not say enough.
NAMED = {
    "arguments": ARGUMENTS, "shape": st.none() | SHAPE, "size": st.none() | SHAPE,
    "settings": st.dictionaries(TEXT, TEXT, max_size=3),
    "shapes": st.dictionaries(TEXT, SHAPE, max_size=3), "warm_up": WARM_UP,
    "reference": st.none() | REFERENCE, "specs": st.lists(TEXT, max_size=3).map(tuple),
    "precisions": st.lists(TEXT, max_size=3).map(tuple),
    "calls": st.lists(TEXT, max_size=3).map(tuple),
}  # fmt: skip
TYPED = {
    "str": TEXT, "int": NUMBER, "bool": st.booleans(), "float": SECONDS,
    "int | None": st.none() | NUMBER, "str | None": st.none() | TEXT,
    "Phase": st.sampled_from(PHASES), "Optimizer": st.sampled_from(OPTIMIZERS),
}  # fmt: skip


def any_of(kind: type[Request]) -> st.SearchStrategy[Request]:
    parts = {one.name: NAMED.get(one.name, TYPED.get(str(one.type))) for one in fields(kind)}
    return st.builds(kind, **parts)


@given(st.sampled_from(requests.REQUESTS).flatmap(any_of))
def test_a_request_comes_out_of_json_as_it_went_in(request: Request) -> None:
    assert requests.parse(json.loads(json.dumps(request.message))) == request


def with_more(value: Any) -> Any:
    """As JSON, with a field more in every object that is of a type with fields."""
    if is_dataclass(value):
        known = {one.name: with_more(getattr(value, one.name)) for one in fields(value)}
        return known | {"from_the_future": {"a": 1}}
    if isinstance(value, Mapping):
        return {name: with_more(part) for name, part in value.items()}
    return [with_more(part) for part in value] if isinstance(value, tuple) else value


@given(st.sampled_from(requests.REQUESTS).flatmap(any_of))
def test_what_another_revision_adds_is_not_looked_at(request: Request) -> None:
    message = request.message | with_more(request) | {"log": "file", "networks": []}

    assert requests.parse(json.loads(json.dumps(message))) == request


def test_names_are_unique_and_everything_has_one() -> None:
    names = [(kind.key, kind.task) for kind in requests.REQUESTS]
    commands = {
        requests.TakeSlice, requests.Finish, requests.TakeStructure, requests.TakeClocks,
    }  # fmt: skip

    assert len(set(names)) == len(names)
    assert all(task for _, task in names)
    assert {kind for kind in requests.REQUESTS if kind.key == "do"} == commands


def test_the_executor_that_pretends_answers_every_task() -> None:
    assert set(ANSWERS) == {kind for kind in requests.REQUESTS if kind.key == "task"}


# What every revision that 'cnnbench ab' can meet understands.
BETWEEN_REVISIONS = {
    "describe": {"runtimes"},
    "resolve": {"name", "arguments", "shape", "size", "settings", "memory_limit"},
    "fits": {"shapes"},
    "measure": {
        "spec", "seed", "memory_limit", "round", "ensemble", "warm_up", "compile_cache",
        "no_reference", "l2", "cudnn_benchmark", "reference", "reference_path", "weights",
        "nvtx", "energy",
    },
    "slice": {"turn", "seconds", "move"},
    "finish": set(),
}  # fmt: skip


def test_the_names_that_revisions_share_stay() -> None:
    found = {kind.task: {one.name for one in fields(kind)} for kind in requests.REQUESTS}

    assert {name: found[name] for name in BETWEEN_REVISIONS} == BETWEEN_REVISIONS
    message = requests.MeasureLatency.planned(
        Spec.parse(made.EAGER), Plan(), round=0, ensemble="e"
    ).message
    assert set(message["warm_up"]) == {"calls", "seconds", "limit", "fewest"}
    assert set(message) == {"task", *BETWEEN_REVISIONS["measure"]}


def test_a_worker_understands_a_runner_of_before_there_were_types() -> None:
    message = {
        "task": "measure", "spec": made.EAGER, "seed": 0, "memory_limit": None, "round": 1,
        "ensemble": "e", "warm_up": {"calls": 10, "seconds": 0.25, "limit": 6, "fewest": 2},
        "reference": None, "no_reference": "a duet", "reference_path": "x", "compile_cache": None,
    }  # fmt: skip

    request = requests.parse(message)

    assert request == requests.MeasureLatency(
        spec=made.EAGER, seed=0, round=1, ensemble="e", warm_up=WarmUp(10, 0.25, 6.0, 2),
        no_reference="a duet", reference_path="x",
    )  # fmt: skip


def test_a_run_of_an_older_revision_is_read() -> None:
    run = made.record(made.EAGER, [[1.0, 2.0]]).runs[0]
    data = encode(run)
    rows = [{"turn": one.turn, "iterations": one.iterations, "ns": list(one.ns)}
            for one in run.slices]  # fmt: skip

    assert list(requests.Finish.read(data | {"slices": rows}).slices) == list(run.slices)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"task": "mesure"}, "unknown task 'mesure'; did you mean measure"),
        ({"do": "slize"}, "unknown command 'slize'; did you mean slice"),
        ({}, "unknown command 'None'"),
        ({"task": "analyze", "spec": 3, "seed": 0}, "analyze.spec: expected str, found int"),
        ({"task": "analyze", "spec": "a"}, "analyze.seed: missing"),
        ({"do": "slice", "turn": "1", "seconds": 1}, "slice.turn: expected int, found str"),
    ],
)
def test_what_is_no_request_is_named(message: dict, said: str) -> None:
    with pytest.raises((UnknownName, SchemaError)) as caught:
        requests.parse(message)

    assert str(caught.value).startswith(said)


def test_an_answer_of_the_wrong_type_is_named() -> None:
    with pytest.raises(SchemaError, match=r"answer to 'measure'\.estimate: expected float"):
        requests.MeasureLatency.read({"estimate": "soon"})


def test_a_plan_says_all_that_it_knows_of_a_request() -> None:
    plan = Plan(
        seed=3, memory_limit=5, cudnn_benchmark=True, l2="cold", warm_up_calls=7,
        memory_warm_calls=1,
    )  # fmt: skip
    spec = Spec.parse(made.EAGER)

    latency = requests.MeasureLatency.planned(spec, plan, round=0, ensemble="e")
    memory = requests.MeasureMemory.planned(spec, plan, memory_limit=9)

    assert (latency.spec, latency.seed, latency.memory_limit) == (spec.id, 3, 5)
    assert (latency.cudnn_benchmark, latency.l2, latency.warm_up) == (True, "cold", plan.warm_up)
    assert (memory.cudnn_benchmark, memory.warm_calls, memory.memory_limit) == (True, 1, 9)


def test_defaults_of_requests_are_those_of_plans() -> None:
    plan = Plan()
    known = {"seed": plan.seed, "memory_limit": plan.memory_limit, "l2": plan.l2,
             "cudnn_benchmark": plan.cudnn_benchmark, "nvtx": plan.nvtx, "energy": plan.energy,
             "warm_calls": plan.memory_warm_calls}  # fmt: skip
    found = {
        (one.name, one.default)
        for kind in requests.REQUESTS
        for one in fields(kind)
        if one.name in known and one.default is not MISSING
    }

    assert found <= set(known.items())
    assert decode(WarmUp, encode(plan.warm_up)) == plan.warm_up
