"""Deployment runtimes as data: what each takes, what it needs, and whether that is installed.

Knows no runtime: what each does stands in ``worker/runtimes`` under the same name.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.mode import DEPLOY_MODES, RUNTIMES, Mode

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Needs:
    """What a runtime takes and needs.

    Attributes:
        title: its own name.
        packages: what must be importable.
        imports: what a process imports that only loads an artefact and calls it.
        install: what pip is to install for it; empty if torch brings it.
        precisions: those of its modes.
        quantiser: what int8 needs besides.
        lays_out: it takes the memory format of the module; others choose layouts by themselves.
        freezes: its artefact may or may not hold the weights as constants; of others, it does.
    """

    title: str
    packages: tuple[str, ...]
    imports: tuple[str, ...]
    install: str
    precisions: tuple[str, ...]
    quantiser: tuple[str, ...] = ()
    lays_out: bool = False
    freezes: bool = False


# One row per value of ``mode.RUNTIMES``.
NEEDS: dict[str, Needs] = {
    "aoti": Needs(
        "AOTInductor",
        (),
        ("torch",),
        "",
        ("fp32", "amp=bf16", "bf16", "fp16", "int8"),
        ("torchao",),
        lays_out=True,
        freezes=True,
    ),
    "onnxruntime": Needs(
        "ONNX Runtime",
        ("onnxruntime", "onnx", "onnxscript"),
        ("onnxruntime",),
        "'cnnbench[onnxruntime]'",
        ("fp32", "int8"),
    ),
    "openvino": Needs(
        "OpenVINO",
        ("openvino",),
        ("openvino",),
        "'cnnbench[openvino]'",
        ("fp32", "amp=bf16", "int8"),
        ("nncf",),
    ),
}
_INT8 = "int8"


def present(package: str) -> bool:
    """Whether a package can be imported; it is not."""
    return importlib.util.find_spec(package) is not None


def refusal(mode: Mode, has: Callable[[str], bool] = present) -> str:
    """Why a mode cannot be, in one line; empty if it can, as far as is known without torch.

    Args:
        mode: of any kind.
        has: whether a package is installed.
    """
    return _contradiction(mode) or missing(mode, has)


def untrainable(mode: Mode) -> str:
    """Why a mode cannot train; empty if it can."""
    if mode.runtime:
        return f"{NEEDS[mode.runtime].title} runs inference only"
    return "frozen weights cannot be trained; leave freezing out" if mode.freezing == "on" else ""


def missing(mode: Mode, has: Callable[[str], bool] = present) -> str:
    """What to install for a mode; empty if nothing is missing."""
    if not mode.runtime:
        return ""
    needs = NEEDS[mode.runtime]
    lacking = [one for one in needs.packages if not has(one)]
    if lacking:
        return (
            f"{mode.runtime} needs {', '.join(lacking)}; install it with:"
            f" pip install {needs.install}"
        )
    lacking = [one for one in needs.quantiser if mode.precision == _INT8 and not has(one)]
    if lacking:
        return f"int8 needs {', '.join(lacking)}; install it with: pip install 'cnnbench[int8]'"
    return ""


def _contradiction(mode: Mode) -> str:
    """Words that cannot stand together."""
    if not mode.runtime:
        if mode.precision == _INT8:
            able = [_in(name, _INT8) for name, one in NEEDS.items() if _INT8 in one.precisions]
            return f"int8 needs a runtime that quantises: {' or '.join(able)}"
        if mode.freezing == "on" and not mode.compiles:
            return "freezing says what a compiler does: compile+freezing or aoti+freezing"
        return ""
    needs = NEEDS[mode.runtime]
    if mode.implementation:
        return f"{mode.runtime} chooses its own implementations; leave impl= out"
    if mode.precision not in needs.precisions:
        able = [_in(mode.runtime, precision) for precision in needs.precisions]
        return f"{mode.runtime} does not run in {mode.precision}: {' or '.join(able)}"
    if mode.memory_format != Mode.memory_format and not needs.lays_out:
        return f"{mode.runtime} chooses its own layouts; leave {mode.memory_format} out"
    if mode.freezing == "on" and not needs.freezes:
        return f"{mode.runtime} always holds the weights as constants; leave freezing out"
    if mode.precision == _INT8 and needs.freezes and mode.freezing != "on":
        return f"{mode.runtime} quantises frozen weights only: {_in(mode.runtime, _INT8)}"
    return ""


def _in(runtime: str, precision: str) -> str:
    """The plainest mode in which a runtime computes in a precision."""
    frozen = precision == _INT8 and NEEDS[runtime].freezes
    freezing = "on" if frozen else Mode.freezing
    return Mode(compiler=runtime, precision=precision, freezing=freezing).text


def versions(of: Callable[[str], str] = importlib.metadata.version) -> dict[str, str]:
    """Version of every package that a runtime or its quantiser needs, of those that are there."""
    names = dict.fromkeys(
        one for needs in NEEDS.values() for one in (*needs.packages, *needs.quantiser)
    )
    found = {}
    for name in names:
        try:
            found[name] = of(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def installed(has: Callable[[str], bool] = present) -> tuple[str, ...]:
    """The runtimes that can be used here."""
    return tuple(name for name in RUNTIMES if not missing(Mode(compiler=name), has))


def sensible(kind: str = "cpu", has: Callable[[str], bool] = present) -> tuple[str, ...]:
    """The modes of ``--modes deploy``: those of ``DEPLOY_MODES`` whose packages are installed."""
    return tuple(text for text in DEPLOY_MODES if not missing(Mode.parse(text, kind), has))
