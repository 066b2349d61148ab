from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench import mode as words_of
from cnnbench.errors import UnknownName, UsageError
from cnnbench.spec import (
    DEVICE_KINDS,
    MODE_AXES,
    OPTIMIZERS,
    PHASES,
    SENSIBLE_MODES,
    WORDS,
    Device,
    Mode,
    Optimizer,
    Phase,
    Spec,
    Workload,
    arguments_of,
    is_layer,
    one_of,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
ODD = st.sampled_from(
    ["a/b", "a?b&c=d", "100%", "timm:x", "pkg.mod:make", "ключ", "a b\n", "=", "+"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
STEPS = st.just(("inference", OPTIMIZERS[0])) | st.tuples(
    st.sampled_from([phase for phase in PHASES if phase != "inference"]),
    st.sampled_from(OPTIMIZERS),
)
WORKLOADS = st.builds(
    lambda step, **more: Workload(phase=step[0], optimizer=step[1], **more),
    step=STEPS,
    architecture=TEXT | ODD,
    batch=st.integers(1, 10**6),
    input=st.lists(st.integers(1, 10**5), min_size=1, max_size=4).map(tuple),
    arguments=st.dictionaries(TEXT | ODD, VALUES, max_size=3).map(
        lambda d: arguments_of(d.items())
    ),
    settings=st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True),
        TEXT | ODD | st.sampled_from(["a-b", "/models/a-b=c.pt", "-x=y", "x-y=", "~"]),
        max_size=3,
    ).map(lambda d: tuple(sorted(d.items()))),
)


def every_mode(kind: str) -> list[Mode]:
    values = [
        [word.value for word in WORDS if word.axis == axis and kind in word.kinds]
        for axis in MODE_AXES
    ]
    return [Mode(*chosen) for chosen in itertools.product(*values)]


MODES = [(kind, mode) for kind in DEVICE_KINDS for mode in every_mode(kind)]


@given(WORKLOADS, st.sampled_from(MODES), st.integers(0, 99), st.integers(1, 512))
def test_an_id_reads_back_as_its_spec(
    workload: Workload, where: tuple[str, Mode], index: int, threads: int
) -> None:
    kind, mode = where
    spec = Spec(workload, mode, Device(kind, 0 if kind == "cpu" else index), threads)

    assert Spec.parse(spec.id) == spec


@given(WORKLOADS)
def test_an_id_has_four_parts_and_no_white_space(workload: Workload) -> None:
    name = Spec(workload, Mode(), Device(), 1).id

    assert name.count("/") == 3
    assert name.isascii()
    assert name.split() == [name]


@given(st.text(max_size=60))
def test_any_text_is_a_spec_id_or_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        Spec.parse(text)


@given(st.data())
def test_a_damaged_id_is_another_spec_or_a_usage_error(data: st.DataObject) -> None:
    name = "resnet18?width=2/training-adam-b8-3x64x64/compile+channels_last/cuda:1-t2"
    index = data.draw(st.integers(0, len(name) - 1))
    other = name[:index] + data.draw(st.characters(max_codepoint=127)) + name[index + 1 :]

    try:
        spec = Spec.parse(other)
    except UsageError:
        return

    assert Spec.parse(spec.id) == spec


def test_an_id_is_what_the_documentation_draws() -> None:
    workload = Workload("resnet50", 8, (3, 224, 224))
    spec = Spec(workload, Mode("default", "channels_last"), Device(), 2)

    assert spec.id == "resnet50/inference-b8-3x224x224/compile+channels_last/cpu-t2"


def test_an_optimizer_other_than_the_usual_is_part_of_the_id() -> None:
    ids = [Workload("resnet18", 8, (3, 9, 9), "training", optimizer=o).id for o in OPTIMIZERS]

    assert ids[0] == "resnet18/training-b8-3x9x9"
    assert "resnet18/training-adamw-b8-3x9x9" in ids
    assert len(set(ids)) == len(OPTIMIZERS)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet18/inference-adam-b8-3x9x9/eager/cpu-t1", "inference has no optimizer"),
        ("resnet18/training-adan-b8-3x9x9/eager/cpu-t1", "did you mean adam"),
        ("resnet18/training--b8-3x9x9/eager/cpu-t1", "not a spec id"),
    ],
)
def test_an_optimizer_that_makes_no_sense_is_a_usage_error(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Spec.parse(name)


def test_settings_are_part_of_the_id_and_a_path_survives_it() -> None:
    given = (("dummy", "b"), ("weights", "/my nets/res-18=x.pt"))
    workload = Workload("resnet18", 1, (3, 9, 9), settings=given)

    spec = Spec.parse(f"{workload.id}/eager/cpu-t2")

    assert spec.workload.id == (
        "resnet18/inference-b1-3x9x9-dummy=b-weights=%2Fmy%20nets%2Fres-18%3Dx.pt"
    )
    assert spec.workload == workload
    assert workload.setting("dummy", "a") == "b"
    assert Workload("resnet18", 1, (3, 9, 9)).setting("dummy", "a") == "a"


@pytest.mark.parametrize("tail", ["-a=1-a=2", "-a=", "-A=1", "-=1"])
def test_settings_that_make_no_sense_are_a_usage_error(tail: str) -> None:
    with pytest.raises(UsageError):
        Spec.parse(f"resnet18/inference-b1-3x9x9{tail}/eager/cpu-t2")


def test_arguments_are_sorted_and_become_keywords_again() -> None:
    workload = Workload("a", 1, (1,), arguments=arguments_of({"z": [1], "a": "x y"}.items()))

    assert workload.model == "a?a=%22x%20y%22&z=%5B1%5D"
    assert workload.keywords == {"a": "x y", "z": [1]}


def test_different_arguments_are_different_specs() -> None:
    one, other = (
        Workload("a", 1, (1,), arguments=arguments_of({"width": width}.items()))
        for width in (1, "1")
    )

    assert one.id != other.id


@pytest.mark.parametrize(("kind", "mode"), MODES, ids=[f"{k}-{m.text}" for k, m in MODES])
def test_a_mode_prints_what_it_is_parsed_from(kind: str, mode: Mode) -> None:
    assert Mode.parse(mode.text, kind) == mode


@pytest.mark.parametrize(("kind", "mode"), MODES, ids=[f"{k}-{m.text}" for k, m in MODES])
def test_the_order_of_words_does_not_matter(kind: str, mode: Mode) -> None:
    words = mode.text.split("+")

    parsed = {Mode.parse("+".join(order), kind) for order in itertools.permutations(words)}

    assert parsed == {mode}


def test_mode_texts_are_unique() -> None:
    for kind in DEVICE_KINDS:
        texts = [mode.text for mode in every_mode(kind)]

        assert len(set(texts)) == len(texts)


def test_the_default_of_every_axis_is_left_out() -> None:
    assert Mode().text == "eager"
    assert Mode.parse("eager+contiguous+fp32", "cpu").text == "eager"
    assert Mode.parse("eager + channels_last", "cpu").text == "channels_last"


@pytest.mark.parametrize(
    ("short", "kind", "text"),
    [
        ("amp", "cpu", "amp=bf16"),
        ("compile=default", "cpu", "compile"),
        ("compile=default", "cuda", "compile"),
        ("amp+compile", "cpu", "compile+amp=bf16"),
    ],
)
def test_short_forms_stand_for_their_word(short: str, kind: str, text: str) -> None:
    assert Mode.parse(short, kind).text == text


def test_amp_on_cuda_must_say_its_precision() -> None:
    with pytest.raises(UsageError, match="amp needs a precision: amp=fp16 or amp=bf16"):
        Mode.parse("amp", "cuda")


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("eager+compile", "compiler"),
        ("compile+compile=max-autotune", "compiler"),
        ("channels_last+contiguous", "memory format"),
        ("fp16+bf16", "precision"),
        ("amp+fp32", "precision"),
    ],
)
def test_words_of_one_axis_contradict_each_other(text: str, axis: str) -> None:
    with pytest.raises(UsageError, match=f"contradicts itself.*both set the {axis}; keep one"):
        Mode.parse(text, "cpu")


def test_a_word_said_twice_is_no_contradiction() -> None:
    assert Mode.parse("compile+compile=default", "cpu") == Mode("default")


def test_tf32_is_refused_on_the_cpu() -> None:
    with pytest.raises(UsageError, match="'tf32' exists on cuda only"):
        Mode.parse("tf32", "cpu")


def test_an_unknown_word_comes_with_the_closest() -> None:
    with pytest.raises(UnknownName) as caught:
        Mode.parse("eager+chanels_last", "cpu")

    assert "unknown mode word 'chanels_last'; did you mean channels_last" in str(caught.value)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("ort", "onnxruntime"), ("onnx", "onnxruntime"), ("quantize", "int8"),
        ("NHWC", "channels_last"), ("inductor", "compile"), ("half", "fp16"),
        ("freeze", "freezing"),
    ],
)  # fmt: skip
def test_what_others_call_a_word_is_understood_and_not_taken(word: str, meant: str) -> None:
    with pytest.raises(UnknownName) as caught:
        Mode.parse(word, "cpu")

    assert f"unknown mode word '{word}'; did you mean {meant}?" in str(caught.value)


def test_no_word_is_called_something_else() -> None:
    words = {word.text for word in WORDS} | {"amp"}

    assert not words & {*words_of._ELSEWHERE}
    assert {*words_of._ELSEWHERE.values()} - words == {"openvino+int8"}


@pytest.mark.parametrize("text", ["", "+", "eager+", "Eager", "amp=", "all"])
def test_broken_modes_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError):
        Mode.parse(text, "cpu")


@given(st.text(max_size=30), st.sampled_from(DEVICE_KINDS))
def test_any_text_is_a_mode_or_a_usage_error(text: str, kind: str) -> None:
    try:
        mode = Mode.parse(text, kind)
    except UsageError:
        return

    assert Mode.parse(mode.text, kind) == mode


@pytest.mark.parametrize("kind", DEVICE_KINDS)
def test_sensible_modes_exist_differ_and_begin_with_eager(kind: str) -> None:
    parsed = [Mode.parse(text, kind) for text in SENSIBLE_MODES[kind]]

    assert len(set(parsed)) == len(parsed)
    assert parsed[0] == Mode()
    assert [mode.text for mode in parsed] == list(SENSIBLE_MODES[kind])


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("cpu", Device("cpu")),
        ("cuda", Device("cuda", 0)),
        ("cuda:0", Device("cuda", 0)),
        (" cuda:12 ", Device("cuda", 12)),
    ],
)
def test_devices_are_read(text: str, device: Device) -> None:
    assert Device.parse(text) == device
    assert Device.parse(device.text) == device


@pytest.mark.parametrize(
    "text", ["", "gpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda 0", "CPU"]
)
def test_other_devices_are_refused_with_what_can_be_said(text: str) -> None:
    with pytest.raises(UsageError, match="use cpu, cuda or cuda:INDEX"):
        Device.parse(text)


@pytest.mark.parametrize(
    "change", [{"batch": 0}, {"batch": -1}, {"input": ()}, {"input": (3, 0)}, {"phase": "testing"}]
)
def test_impossible_workloads_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(Workload("a", 1, (3, 8, 8)), **change)


def test_no_threads_is_refused() -> None:
    with pytest.raises(UsageError, match="threads 0"):
        Spec(Workload("a", 1, (1,)), Mode(), Device(), 0)


def test_the_baseline_is_plain_eager_on_the_same_workload_and_device() -> None:
    name = "a?b=1/training-b2-3x8x8/{}/cuda:1-t4"

    baseline = Spec.parse(name.format("compile+channels_last+tf32")).baseline

    assert baseline.id == name.format("eager")


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_arguments_do_not_depend_on_their_order(pairs: dict[str, object]) -> None:
    backwards = dict(reversed(pairs.items()))

    kept = arguments_of(pairs.items())

    assert kept == arguments_of(backwards.items())
    assert {key: json.loads(value) for key, value in kept} == pairs


def test_an_implementation_is_a_word_of_the_mode() -> None:
    mode = Mode.parse("channels_last+impl=im2col", "cpu")

    assert mode.implementation == "im2col"
    assert mode.text == "impl=im2col+channels_last"
    assert Mode.parse(mode.text, "cpu") == mode


def test_a_substitute_is_compared_with_what_it_stands_for() -> None:
    spec = Spec.parse("conv:k64-3x3-p1~ghost/inference-b1-64x56x56/channels_last/cpu-t2")

    assert spec.baseline.id == "conv:k64-3x3-p1/inference-b1-64x56x56/eager/cpu-t2"
    assert spec.plain.id == "conv:k64-3x3-p1~ghost/inference-b1-64x56x56/eager/cpu-t2"
    assert Spec.parse(spec.id) == spec


def test_a_network_s_mode_names_an_implementation_per_layer() -> None:
    text = "impl=im2col@64x56x56-k64-3x3-s2x1-p1;mec@3x8x8-k1-1x1+channels_last"
    spec = Spec.parse(f"resnet18/inference-b1-3x224x224/{text}/cpu-t1")

    assert spec.mode.replacements == {
        "64x56x56-k64-3x3-s2x1-p1": "im2col", "3x8x8-k1-1x1": "mec",
    }  # fmt: skip
    assert spec.id.split("/")[2] == text
    assert Mode(implementation="im2col").replacements == {}


def test_phases_and_optimizers_are_those_of_their_types_the_default_first() -> None:
    assert get_args(Phase) == PHASES
    assert get_args(Optimizer) == OPTIMIZERS
    workload = Workload("resnet18", 1, (3, 9, 9))
    assert (workload.phase, workload.optimizer) == (PHASES[0], OPTIMIZERS[0])
    for kind, names in (("phase", PHASES), ("optimizer", OPTIMIZERS)):
        with pytest.raises(UnknownName, match=kind):
            one_of(kind, "nothing", names)


@pytest.mark.parametrize(
    ("architecture", "layer"),
    [("conv:k64-3x3-p1", True), ("conv:k64-3x3-p1~ghost", True), ("resnet18", False),
     ("my.conv:net", False)],
)  # fmt: skip
def test_a_workload_is_a_layer_or_a_network(architecture: str, layer: bool) -> None:
    assert Workload(architecture, 1, (3, 9, 9)).is_layer is layer
    assert is_layer(architecture) is layer
