"""Inputs as users write them: read, written again, kept in ids, refused in one line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cnnbench
from cnnbench import axes, inputs
from cnnbench.errors import UsageError
from cnnbench.inputs import TYPES, TypedInput
from cnnbench.record import from_json, to_json
from cnnbench.spec import Spec, Workload

TYPED = st.builds(
    TypedInput,
    shape=st.lists(st.integers(1, 999), max_size=4).map(tuple),
    type=st.sampled_from(["", *TYPES]),
    name=st.sampled_from(["", "mask", "x_1"]),
)


@given(TYPED)
def test_one_is_written_as_it_is_read(one: TypedInput) -> None:
    assert inputs.read(one.text) == one


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3x224x224", TypedInput((3, 224, 224))),
        ("int64:20", TypedInput((20,), "int64")),
        ("int64<1000:20", TypedInput((20,), "int64", 1000)),
        ("mask=bool:10", TypedInput((10,), "bool", name="mask")),
        ("bfloat16:3x32x32", TypedInput((3, 32, 32), "bfloat16")),
        ("t=int64<1000:scalar", TypedInput((), "int64", 1000, "t")),
    ],
)
def test_what_users_write(text: str, expected: TypedInput) -> None:
    assert inputs.read(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not of the form"),
        ("3x", "is not of the form"),
        ("0x3", "is not of the form"),
        ("1x2x3x4x5", "is not of the form"),
        ("int46:3", "did you mean int64"),
        ("float32<9:3", "has no numbers below 9"),
        ("uint8<257:3", "has no numbers below 257"),
        ("m=3,m=4", "'m' is given twice"),
    ],
)
def test_what_cannot_be_read_is_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        inputs.read_all(text)
    assert "\n" not in str(caught.value)


def test_the_plain_case_has_the_id_that_it_always_had(tmp_path) -> None:
    found = cnnbench.run("lenet", "eager", input=(3, 40, 40), device="cpu", threads=1,
                         executor="fake", out=tmp_path / "run")  # fmt: skip

    assert found.records[0].id == "lenet/inference-b1-3x40x40/eager/cpu-t1"


@pytest.mark.parametrize(
    "given",
    [
        ["int64<1000:20", "3x16x16", "mask=bool:10"],
        "int64<1000:20,3x16x16,mask=bool:10",
        ["int64<1000:20", (3, 16, 16), "mask=bool:10"],
    ],
)
def test_everything_else_is_kept_in_the_id_and_read_back(tmp_path, given: object) -> None:
    found = cnnbench.run(
        "pkg:net", "eager", input=given, input_factory="pkg.data:batch", device="cpu", threads=1,
        executor="fake", out=tmp_path / "run",
    )  # fmt: skip
    (record,) = found.records
    workload = record.spec.workload

    assert workload.setting("inputs", "") == "int64<1000:20,3x16x16,mask=bool:10"
    assert workload.setting("input_factory", "") == "pkg.data:batch"
    assert Spec.parse(record.id) == record.spec
    assert from_json(to_json(record)).id == record.id
    assert axes.understood(record.spec) == record.spec


def test_an_id_with_inputs_that_cannot_be_read_is_refused() -> None:
    spec = Spec.parse("a:b/inference-b1-3-inputs=int46%3A3/eager/cpu-t1")

    with pytest.raises(UsageError, match="int46"):
        axes.understood(spec)


@pytest.mark.parametrize(
    ("architecture", "factory", "expected"),
    [
        ("lenet", "", ()),
        ("timm:resnet18", "", ()),
        ("conv:k64-3x3-p1", "", ()),
        ("pkg.nets:tiny", "", ("pkg.nets:tiny",)),
        ("lenet", "pkg.data:batch", ("pkg.data:batch",)),
        ("pkg.nets:tiny", "pkg.data:batch", ("pkg.nets:tiny", "pkg.data:batch")),
    ],
)
def test_a_workload_lists_the_code_of_others_that_it_calls(
    architecture: str, factory: str, expected: tuple[str, ...]
) -> None:
    settings = (("input_factory", factory),) if factory else ()

    assert axes.callables(Workload(architecture, 1, (3,), settings=settings)) == expected
