from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.errors import CnnbenchError, UnknownName, UsageError
from cnnbench.gate import Threshold, judging, thresholds
from cnnbench.spec import Spec
from tests import made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latency=5%", Threshold("latency", 0.05)),
        ("peak_memory = 2.5 %", Threshold("peak_memory", 0.025)),
        ("params=0", Threshold("params", 0)),
        ("structure=0", Threshold("structure", 0)),
        ("kernels=3", Threshold("kernels", 3)),
        ("params=off", Threshold("params", None)),
        ("resnet*:latency=3%", Threshold("latency", 0.03, "resnet*")),
        ("resnet*/compile*:latency=8%", Threshold("latency", 0.08, "resnet*", "compile*")),
        ("*/amp=bf16:latency=8%", Threshold("latency", 0.08, "*", "amp=bf16")),
        ("timm:resnet50d:latency=8%", Threshold("latency", 0.08, "timm:resnet50d")),
    ],
)
def test_a_threshold_as_users_write_it(text: str, expected: Threshold) -> None:
    assert thresholds.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency", "--threshold 'latency': needs the form latency=5%"),
        ("latency=5", "--threshold 'latency=5': '5' is not a share such as 5%, or 0, or off"),
        ("latency=", "--threshold 'latency=': '' is not a share such as 5%, or 0, or off"),
        ("latency=-5%", "--threshold 'latency=-5%': '-5%' is not a share"),
        ("latency=0", "--threshold 'latency=0': no latency is ever exactly the same"),
        ("kernels=5%", "--threshold 'kernels=5%': '5%' is not a number of differences such as 0"),
    ],
)
def test_what_does_not_parse_says_where(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        thresholds.parse(text)

    assert str(caught.value).startswith(message)


def test_an_unknown_metric_offers_the_closest() -> None:
    with pytest.raises(UnknownName, match="did you mean latency"):
        thresholds.parse("latncy=5%")


@given(st.text(max_size=30))
def test_any_text_parses_or_is_refused_in_one_line(text: str) -> None:
    try:
        found = thresholds.parse(text)
    except CnnbenchError as error:
        assert error.exit_code == 2  # noqa: PT017 - either is fine, a traceback is not
    else:
        assert found.metric in thresholds.names()


def toml(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf8")
    return path


def test_a_file_and_the_command_line_stand_behind_the_defaults(tmp_path) -> None:
    toml(
        tmp_path / "pyproject.toml",
        """
[tool.cnnbench.check]
latency = "8%"
params = 0
[[tool.cnnbench.check.where]]
model = "resnet*"
mode = "compile*"
latency = "12%"
""",
    )

    found = thresholds.in_force(None, ["latency=3%"], tmp_path)

    assert found == [
        *thresholds.defaults(),
        Threshold("latency", 0.08),
        Threshold("params", 0),
        Threshold("latency", 0.12, "resnet*", "compile*"),
        Threshold("latency", 0.03),
    ]


def test_a_file_of_its_own_has_a_short_table(tmp_path) -> None:
    file = toml(tmp_path / "thresholds.toml", '[check]\nlatency = "8%"\n')

    assert thresholds.from_toml(file) == [Threshold("latency", 0.08)]


def test_a_project_without_the_table_has_the_defaults(tmp_path) -> None:
    toml(tmp_path / "pyproject.toml", "[project]\nname = 'x'\n")

    assert thresholds.in_force(None, [], tmp_path) == thresholds.defaults()
    assert thresholds.in_force(None, [], tmp_path / "empty") == thresholds.defaults()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[check]\nlatency = 0.05\n", "check.latency: '0.05' is not a share such as 5%"),
        ("[check]\nlatency = true\n", "check.latency: 'True' is not a share"),
        (
            "[check]\nlatncy = '5%'\n",
            "unknown metric 'latncy'; did you mean latency, latency_awake?",
        ),
        ("[[check.where]]\nmodel = 3\n", "check.where[0].model: expected a name or glob"),
        ("[check.where]\nlatency = '5%'\n", "check.where: write it in double brackets"),
        ("check = 3\n", "check: expected a table of thresholds"),
        ("[check\n", "not TOML"),
        ("[other]\n", "has neither [tool.cnnbench.check] nor [check]"),
    ],
)
def test_a_file_that_does_not_parse_says_where(tmp_path, text: str, message: str) -> None:
    file = toml(tmp_path / "thresholds.toml", text)

    with pytest.raises(UsageError) as caught:
        thresholds.from_toml(file)

    assert message in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"gone\.toml: No such file"):
        thresholds.from_toml(tmp_path / "gone.toml")


def test_every_default_is_for_something_that_exists() -> None:
    assert {one.metric for one in thresholds.defaults()} <= set(thresholds.names())
    assert not any(one.asked for one in thresholds.defaults())


def test_auto_is_of_latency_and_of_single_models_and_modes(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text('[check]\nlatency = "auto"\n')
    (one,) = thresholds.from_toml(path)
    word = thresholds.parse("resnet*/eager:latency=auto")

    assert (one.auto, one.limit, one.learnt) == (True, 0.05, {})
    assert (word.auto, word.model, word.mode) == (True, "resnet*", "eager")
    assert not thresholds.parse("latency=5%").auto
    with pytest.raises(UsageError, match="only latency can be auto; give params a limit"):
        thresholds.parse("params=auto")
    with pytest.raises(UsageError, match="or 0, or off, or auto"):
        thresholds.parse("latency=car")


def test_what_is_learnt_replaces_the_limit_of_auto_and_of_nothing_else() -> None:
    spec = Spec.parse(made.EAGER)
    learnt = replace(thresholds.parse("latency=auto"), learnt={made.EAGER: 0.035})

    assert judging.limits(spec, [learnt])["latency"].limit == 0.035
    assert judging.limits(Spec.parse(made.CHANNELS_LAST), [learnt])["latency"].limit == 0.05
    assert judging.limits(spec, [learnt, thresholds.parse("latency=8%")])["latency"].limit == 0.08
    assert judging.limits(spec, [thresholds.parse("latency=8%"), learnt])["latency"].limit == 0.035
