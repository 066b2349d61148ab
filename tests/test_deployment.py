"""What can be said of deployment runtimes without any of them."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest

from cnnbench import deployment, suite
from cnnbench.cli import run
from cnnbench.errors import Unsupported, UsageError
from cnnbench.mode import DEPLOY_MODES, RUNTIMES, Mode
from cnnbench.spec import Device

EXTRAS = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf8")


def everything(_package: str) -> bool:
    return True


def nothing(_package: str) -> bool:
    return False


def test_every_runtime_has_a_row() -> None:
    assert tuple(deployment.NEEDS) == RUNTIMES


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_runtime_that_is_not_installed_says_what_installs_it(name: str) -> None:
    said = deployment.missing(Mode(compiler=name), nothing)
    packages = deployment.NEEDS[name].packages

    assert bool(said) == bool(packages)
    assert all(package in said for package in packages)
    if packages:
        extra = re.search(r"pip install 'cnnbench\[(.+)\]'", said)
        assert extra is not None
        assert re.search(rf"^{extra[1]} = ", EXTRAS, flags=re.MULTILINE)


def test_int8_of_openvino_needs_its_quantiser_too() -> None:
    mode = Mode(compiler="openvino", precision="int8")

    assert "cnnbench[int8]" in deployment.missing(mode, lambda package: package == "openvino")
    assert not deployment.missing(mode, everything)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("int8", "aoti+freezing+int8 or onnxruntime+int8 or openvino+int8"),
        ("compile+int8", "onnxruntime+int8 or openvino+int8"),
        ("aoti+int8", "aoti+freezing+int8"),
        ("freezing", "compile+freezing"),
        ("channels_last+freezing", "aoti+freezing"),
        ("openvino+channels_last", "leave channels_last out"),
        ("openvino+freezing", "leave freezing out"),
        ("openvino+bf16", "not run in bf16: openvino or openvino+amp=bf16 or openvino+int8"),
        ("onnxruntime+amp=bf16", "not run in amp=bf16: onnxruntime or onnxruntime+int8"),
        ("impl=im2col+openvino", "leave impl= out"),
    ],
)
def test_words_that_cannot_stand_together_are_refused_with_what_can(text: str, said: str) -> None:
    assert said in deployment.refusal(Mode.parse(text, "cpu"), everything)
    with pytest.raises(Unsupported, match=re.escape(said)):
        suite.modes((text,), Device())


@pytest.mark.parametrize("text", [*DEPLOY_MODES, "aoti+channels_last", "aoti+freezing+amp=bf16"])
def test_words_that_can_stand_together_are_not_refused(text: str) -> None:
    assert deployment.refusal(Mode.parse(text, "cpu"), everything) == ""


def test_deploy_is_what_is_installed_of_what_is_sensible() -> None:
    bare = deployment.sensible(has=nothing)

    assert deployment.sensible(has=everything) == DEPLOY_MODES
    assert bare == ("eager", "compile+freezing+channels_last", "aoti+freezing")
    assert suite.modes(("deploy",), Device()) == tuple(
        Mode.parse(text, "cpu") for text in deployment.sensible()
    )


def test_deploy_is_for_the_cpu() -> None:
    with pytest.raises(UsageError, match="on cpu alone"):
        suite.modes(("deploy",), Device("cuda"))


def test_what_later_rounds_may_use_again_is_known_of_a_mode() -> None:
    kept = {text: Mode.parse(text, "cpu").kept for text in ("eager", "compile", *RUNTIMES)}

    assert kept == {"eager": False, "compile": True, **dict.fromkeys(RUNTIMES, True)}
    assert not any(Mode(compiler=name).compiles for name in RUNTIMES)


def test_versions_are_of_what_is_there() -> None:
    def of(name: str) -> str:
        if name == "nncf":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    found = deployment.versions(of)

    assert "nncf" not in found
    assert found["openvino"] == "1.0"


def test_help_names_every_word_of_the_deployed_modes() -> None:
    words = {word for mode in DEPLOY_MODES for word in mode.split("+")}

    assert all(word in run._EPILOG for word in words)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("openvino", "OpenVINO runs inference only"),
        ("compile+freezing", "frozen weights cannot be trained"),
        ("compile", ""),
    ],
)
def test_what_cannot_train_is_known_beforehand(text: str, said: str) -> None:
    assert deployment.untrainable(Mode.parse(text, "cpu")).startswith(said)
    assert bool(deployment.untrainable(Mode.parse(text, "cpu"))) == bool(said)
