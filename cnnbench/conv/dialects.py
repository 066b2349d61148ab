"""Convolutions as vendors' tools write them: benchdnn's problem strings, MIOpenDriver's commands.

So that a layer can be taken from a vendor's log and a row of ours reproduced with a vendor's tool.
What those languages can say and ``ConvProblem`` cannot (three axes, other padding on one side,
integers), and other work than one pass (all of them, a gradient of the bias, operators joined to
it, an algorithm of the vendor's) is refused with a sentence. Words about how to measure are
ignored. ``read`` tells the languages apart, torch's own among them (``torch_text``).
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench.conv import torch_text
from cnnbench.conv.problem import ConvProblem
from cnnbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BENCHDNN_DTYPES = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "f64": "fp64"}
_BENCHDNN_TAGS = {
    "abx": "contiguous", "nchw": "contiguous", "abcd": "contiguous", "any": "contiguous",
    "axb": "channels_last", "nhwc": "channels_last", "acdb": "channels_last",
}  # fmt: skip
# Word of --dir -> ``ConvProblem.direction``; a forward convolution's bias is free.
_BENCHDNN_DIRECTIONS = {
    "FWD_B": "", "FWD_D": "", "FWD_I": "", "BWD_D": "bwd_d", "BWD_W": "bwd_w",
}  # fmt: skip
# What an option must be for the line to mean a plain convolution.
_BENCHDNN_PLAIN: Mapping[str, tuple[str, ...]] = {
    "alg": ("direct", "auto"),
    "attr-post-ops": ("", "relu"),
    "attr-scales": ("",),
    "attr-zero-points": ("",),
}
# Drivers of benchdnn; a line names one, or none, which is --conv to us.
_BENCHDNN_DRIVERS = {
    "binary", "bnorm", "brgemm", "concat", "conv", "deconv", "eltwise", "gnorm", "graph", "ip",
    "lnorm", "lrn", "matmul", "pool", "prelu", "reduction", "reorder", "resampling", "rnn", "sdpa",
    "shuffle", "softmax", "sum", "zeropad",
}  # fmt: skip
_TOKEN = re.compile(r"(mb|g|[io][cdhw]|[kspd][dhw])(\d+)_?", re.ASCII)

_MIOPEN_DTYPES = {"conv": "fp32", "convfp16": "fp16", "convbfp16": "bf16"}
# Letter -> (long name, usual value); what has none must be given.
_MIOPEN_NUMBERS: Mapping[str, tuple[str, int | None]] = {
    "n": ("batchsize", None), "c": ("in_channels", None), "H": ("in_h", None), "W": ("in_w", None),
    "k": ("out_channels", None), "y": ("fil_h", None), "x": ("fil_w", None),
    "p": ("pad_h", 0), "q": ("pad_w", 0), "u": ("conv_stride_h", 1), "v": ("conv_stride_w", 1),
    "l": ("dilation_h", 1), "j": ("dilation_w", 1), "g": ("group_count", 1),
    "Y": ("trans_output_pad_h", 0), "X": ("trans_output_pad_w", 0),
}  # fmt: skip
_MIOPEN_WORDS = {
    "F": "forw", "m": "mode", "_": "spatial_dim", "z": "pad_mode",
    "I": "in_layout", "O": "out_layout", "f": "fil_layout",
}  # fmt: skip
_MIOPEN_LONG = {
    **{letter: name for letter, (name, _) in _MIOPEN_NUMBERS.items()},
    **_MIOPEN_WORDS,
}
_MIOPEN_LAYOUTS = {"NCHW": "contiguous", "NHWC": "channels_last"}
# Number of --forw -> ``ConvProblem.direction``; the driver's usual 0 is every direction, of which
# forward is one.
_MIOPEN_DIRECTIONS = {"0": "", "1": "", "2": "bwd_d", "4": "bwd_w"}
# What a word must be for the command to mean a plain two-dimensional convolution.
_MIOPEN_PLAIN: Mapping[str, tuple[str, ...]] = {
    "mode": ("conv", "trans"), "spatial_dim": ("2",), "pad_mode": ("default",),
}  # fmt: skip


def to_benchdnn(problem: ConvProblem) -> str:
    """The arguments of ``benchdnn`` that run this layer, every axis written.

    Forward it has a bias, and a norm is left out: folded, it is weights and a bias.
    """
    tag = "axb" if problem.memory_format == "channels_last" else "abx"
    dtype = next(one for one, name in _BENCHDNN_DTYPES.items() if name == problem.dtype)
    descriptor = (
        (f"g{problem.groups}" if problem.groups > 1 else "")
        + f"mb{problem.n}ic{problem.c}ih{problem.h}iw{problem.w}"
        + f"oc{problem.k}oh{problem.p}ow{problem.q}kh{problem.r}kw{problem.s}"
        + "sh{}sw{}".format(*problem.stride)
        + "ph{}pw{}".format(*problem.padding)
        + "dh{}dw{}".format(*(one - 1 for one in problem.dilation))
    )
    post_ops = "--attr-post-ops=relu " if problem.activated else ""
    driver = "--deconv" if problem.transposed else "--conv"
    way = next(one for one, name in _BENCHDNN_DIRECTIONS.items() if name == problem.direction)
    return f"{driver} --dir={way} --dt={dtype} --stag={tag} --dtag={tag} {post_ops}{descriptor}"


def from_benchdnn(text: str) -> ConvProblem:
    """Read a problem string, alone or with ``--dt``, ``--mb``, ``--stag`` and ``--dtag`` before it.

    Its rules hold: a missing horizontal value is the vertical one, the usual batch is 2, a missing
    output is computed, padding is what makes the output come out; dilation counts from 0.

    Raises:
        UsageError: not of this form, or not a two-dimensional floating-point convolution.
    """
    options: dict[str, str] = {}
    descriptor = ""
    for word in text.split():
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            _check_benchdnn(name, value, text)
            options[name] = value
        elif not word.endswith("benchdnn"):
            descriptor = word
    given = _tokens(descriptor, text)
    dtype = _one(options.get("dt", "f32").split(":"), _BENCHDNN_DTYPES, text, "data type")
    tags = [options[name] for name in ("stag", "dtag") if name in options] or ["abx"]
    n = int(options["mb"]) if options.get("mb", "").isdigit() else given.get("mb", 2)
    memory_format = _one(tags, _BENCHDNN_TAGS, text, "memory tag")
    transposed = "deconv" in options
    found = _from_axes(given, n, dtype, memory_format, text, transposed=transposed)
    after = ("relu",) if options.get("attr-post-ops") else ()
    direction = _BENCHDNN_DIRECTIONS[options.get("dir", "FWD_B").upper()]
    return replace(found, post_ops=after, direction=direction)


def _check_benchdnn(name: str, value: str, text: str) -> None:
    """Refuse an option that makes it other work than one pass of a convolution."""
    if name in _BENCHDNN_DRIVERS - {"conv", "deconv"}:
        raise UsageError(f"'{text}': only --conv and --deconv are measured, not --{name}")
    if name == "dir" and value.upper() not in _BENCHDNN_DIRECTIONS:
        one = "BWD_W" if value.upper() == "BWD_WB" else "FWD_B, BWD_D or BWD_W"
        raise UsageError(f"'{text}': --dir={value} is not one measured pass; use --dir={one}")
    plain = _BENCHDNN_PLAIN.get(name)
    if plain is not None and value.lower() not in [one.lower() for one in plain]:
        kept = f"--{name}={plain[0]}" if plain[0] else f"no --{name}"
        raise UsageError(f"'{text}': only {kept} is measured, not --{name}={value}")


def _tokens(descriptor: str, text: str) -> dict[str, int]:
    given: dict[str, int] = {}
    # The layer's name, n"...", ends the string; no key has an n.
    rest = descriptor.partition("n")[0]
    place = 0
    while place < len(rest):
        match = _TOKEN.match(rest, place)
        if match is None:
            raise UsageError(
                f"'{text}' is not a benchdnn problem: cannot read '{rest[place:]}'; one looks like"
                " mb1ic64ih56oc64oh56kh3ph1"
            )
        given[match[1]] = int(match[2])
        place = match.end()
    if [name for name in given if name[-1] == "d" and given[name]]:
        raise UsageError(f"'{text}': three-dimensional convolutions are not measured")
    missing = [name for name in ("ic", "oc") if name not in given]
    if missing or not ({"ih", "iw"} & given.keys()):
        raise UsageError(f"'{text}': a benchdnn problem needs ic, oc and ih or iw")
    return given


def _from_axes(
    given: Mapping[str, int],
    n: int,
    dtype: str,
    memory_format: str,
    text: str,
    *,
    transposed: bool,
) -> ConvProblem:
    wide = any(one[-1] == "w" for one in given)
    high = any(one[-1] == "h" for one in given)
    # Only "w": a one-dimensional convolution, which is a two-dimensional one of height 1.
    axis = _transposed_axis if transposed else _axis
    vertical = axis(given, "h", text) if high else (1, 1, 1, 0, 1, 0)
    horizontal = axis(given, "w", text) if wide else axis(given, "h", text)
    h, r, stride_h, padding_h, dilation_h, more_h = vertical
    w, s, stride_w, padding_w, dilation_w, more_w = horizontal
    problem = ConvProblem(
        n, given["ic"], h, w, given["oc"], r, s, (stride_h, stride_w), (padding_h, padding_w),
        (dilation_h, dilation_w), given.get("g", 1), dtype, memory_format,
        transposed=transposed, output_padding=(more_h, more_w),
    )  # fmt: skip
    for name, found in (("oh", problem.p), ("ow", problem.q)):
        if given.get(name, found) != found:
            raise UsageError(
                f"'{text}': {name} is {given[name]}, but padding equal on both sides gives {found};"
                " such a layer is not measured"
            )
    return problem


# Input, kernel, stride, padding, dilation, output padding.
_Axis = tuple[int, int, int, int, int, int]


def _axis(given: Mapping[str, int], axis: str, text: str) -> _Axis:
    """What is along an axis."""
    size, kernel = given.get(f"i{axis}"), given.get(f"k{axis}")
    if size is None or kernel is None:
        raise UsageError(f"'{text}': a benchdnn problem needs i{axis} and k{axis}")
    stride, dilation = given.get(f"s{axis}", 1), given.get(f"d{axis}", 0) + 1
    extent = (kernel - 1) * dilation + 1
    output, padding = given.get(f"o{axis}"), given.get(f"p{axis}")
    if padding is None:
        padding = 0 if output is None else max(0, ((output - 1) * stride - size + extent) // 2)
    return size, kernel, stride, padding, dilation, 0


def _transposed_axis(given: Mapping[str, int], axis: str, text: str) -> _Axis:
    """The same of a transposed convolution: an output that is larger by some has output padding."""
    plain = {name: value for name, value in given.items() if name[0] != "o"}
    size, kernel, stride, _, dilation, _ = _axis(plain, axis, text)
    whole = (size - 1) * stride + (kernel - 1) * dilation + 1
    output, padding = given.get(f"o{axis}"), given.get(f"p{axis}")
    if output is None:
        output = whole - 2 * (padding or 0)
    if padding is None:
        padding = max(0, (whole - output + 1) // 2)
    return size, kernel, stride, padding, dilation, max(0, output - whole + 2 * padding)


def _one(words: list[str], table: Mapping[str, str], text: str, what: str) -> str:
    """The one value that all words stand for."""
    values = {table.get(word.strip()) for word in words}
    (value, *others) = values
    if others or value is None:
        raise UsageError(
            f"'{text}': {what} {':'.join(words)} is not one of {', '.join(table)} for all tensors"
        )
    return value


def from_miopen(text: str) -> ConvProblem:
    """Read a command line of MIOpenDriver.

    Its own usual values hold for padding, stride, dilation and groups; sizes must be given.

    Raises:
        UsageError: not of this form, or not a two-dimensional floating-point convolution.
    """
    driver, options = _miopen_words(text)
    for name, plain in _MIOPEN_PLAIN.items():
        if options.get(name, plain[0]) not in plain:
            raise UsageError(f"'{text}': only {name} {plain[0]} is measured, not {options[name]}")
    direction = options.get("forw", "0")
    if direction not in _MIOPEN_DIRECTIONS:
        raise UsageError(
            f"'{text}': -F {direction} is more than one pass; use -F 1 (forward), -F 2 (gradient of"
            " the input) or -F 4 (of the weights)"
        )
    layouts = [options[name] for name in ("in_layout", "out_layout") if name in options]
    number = _numbers(options, text)
    return ConvProblem(
        number("n"), number("c"), number("H"), number("W"), number("k"), number("y"), number("x"),
        (number("u"), number("v")), (number("p"), number("q")), (number("l"), number("j")),
        number("g"), _MIOPEN_DTYPES[driver],
        _one(layouts or ["NCHW"], _MIOPEN_LAYOUTS, text, "layout"),
        transposed=options.get("mode") == "trans", output_padding=(number("Y"), number("X")),
        direction=_MIOPEN_DIRECTIONS[direction],
    )  # fmt: skip


def _miopen_words(text: str) -> tuple[str, dict[str, str]]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"'{text}' is not a command line: {error}") from error
    start = next((at for at, word in enumerate(words) if word in _MIOPEN_DTYPES), None)
    if start is None:
        raise UsageError(
            f"'{text}' is not a MIOpenDriver convolution; one looks like"
            " conv -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -p 1 -q 1"
        )
    options: dict[str, str] = {}
    # Every option of the driver takes a value.
    rest = iter(re.sub(r"^(--\w+)=", r"\1\0", word) for word in words[start + 1 :])
    for word in rest:
        name, _, value = word.partition("\0")
        if not name.startswith("-"):
            raise UsageError(f"'{text}': '{name}' belongs to no option")
        key = name.lstrip("-")
        options[_MIOPEN_LONG.get(key, key)] = value or next(rest, "")
    return words[start], options


def _numbers(options: Mapping[str, str], text: str) -> Callable[[str], int]:
    def number(letter: str) -> int:
        name, usual = _MIOPEN_NUMBERS[letter]
        value = options.get(name, "" if usual is None else str(usual))
        if not re.fullmatch(r"-?\d+", value, re.ASCII):
            raise UsageError(f"'{text}': -{letter} ({name}) needs a number, not '{value}'")
        return int(value)

    return number


def read(text: str) -> ConvProblem:
    """Read a layer in any of the four languages, recognized by its beginning.

    Raises:
        UsageError: none of them.
    """
    if torch_text.is_one(text):
        return torch_text.read(text)
    words = text.split()
    if any(word in _MIOPEN_DTYPES for word in words):
        return from_miopen(text)
    if len(words) == 1 and not _TOKEN.match(text.strip()):
        return ConvProblem.parse(text)
    return from_benchdnn(text)
