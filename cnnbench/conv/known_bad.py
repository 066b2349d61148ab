"""Convolutions on which the library itself is known to be wrong or to kill its process.

Every case has one rule, stated here alone. The lab measures such layers like all others and shows
what happens; a row names the case it falls under. Tests hold each case to be true where it can be
(so that a fix upstream is noticed) and leave what it covers out of their random layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnnbench.conv.problem import ConvProblem, of_workload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.record import Record

# What goes through oneDNN's convolutions: the default under whatever flags, and with its weights
# reordered. The others multiply matrices, or are torch's own.
_WAYS = ("", "library", "prepacked", "folded")
# The first release with which the cases were seen, here in 2.11 (oneDNN 3.10), 2.14 and 2.15.
_SEEN_WITH = (2, 11)


@dataclass(frozen=True)
class KnownBad:
    """A region of layers in which a convolution of oneDNN cannot be trusted.

    Attributes:
        name: of the case.
        report: where it is known from.
        symptom: ``wrong`` numbers, or ``died``: the process is killed.
        covers: the region; not every layer in it goes wrong, none outside does.
        triggered: layers that it happens to, always.
        spared: layers one step outside.
        ways: names of the implementations that it happens to; the empty one is the default.
    """

    name: str
    report: str
    symptom: str
    covers: Callable[[ConvProblem], bool]
    triggered: tuple[str, ...]
    spared: tuple[str, ...]
    ways: tuple[str, ...] = _WAYS


def _one_column(dtype: str) -> Callable[[ConvProblem], bool]:
    return lambda problem: problem.dtype == dtype and problem.q == 1 and problem.stride[1] > 1


def _above_and_below(problem: ConvProblem) -> bool:
    return problem.dtype == "bf16" and problem.rows_read == 0


def _beside(problem: ConvProblem) -> bool:
    nhwc = problem.memory_format == "channels_last"
    return problem.dtype == "fp32" and nhwc and problem.columns_read == 0


CASES = (
    KnownBad(
        name="bf16, output width 1, horizontal stride over 1 (oneDNN brg_conv_fwd, AMX)",
        report="the trigger of pytorch#169688, there in conv3d",
        symptom="wrong",
        covers=_one_column("bf16"),
        triggered=("n1c1h8w6-k1-3x6-s1x2-bf16", "n1c3h9w5-k8-3x5-s1x2-bf16"),
        spared=("n1c1h8w6-k1-3x6-bf16", "n1c1h8w6-k1-3x6-s1x2", "n1c1h8w8-k1-3x6-s1x2-bf16"),
    ),
    KnownBad(
        # gdb: a null kernel called by brgemm_convolution_fwd_t::perform_outwork, as in that report;
        # its fix (oneDNN#5944) speaks of padded columns, and was not tried on padded rows.
        name="bf16, every tap of every output row falls on padding (oneDNN brg_conv_fwd, AMX)",
        report="dies where oneDNN#5942 does",
        symptom="died",
        covers=_above_and_below,
        triggered=("n1c16h1w8-k16-2x1-p2x0-d3x1-bf16", "n2c3h1w9-k12-2x2-s1x3-p2x1-d3-g3-bf16"),
        spared=(
            "n1c16h1w8-k16-2x1-p2x0-d3x1", "n1c16h1w8-k16-2x1-p1x0-bf16",
            "n1c16h8w1-k16-1x2-p0x2-d1x3-bf16", "n1c16h1w8-k16-2x1-p2x0-d3x1-fp16",
        ),
    ),
)  # fmt: skip


# Wrong by what happens to lie in memory that nobody wrote, so that no layer is wrong always and no
# test can insist: with NaN in freed blocks, n1c1h5w5-k1-4x4-s1x2 was wrong 293 times of 300, on AMX
# and with ONEDNN_MAX_CPU_ISA=AVX512_CORE alike.
UNSTEADY = (
    KnownBad(
        name="fp32, output width 1, horizontal stride over 1 (oneDNN, reordered weights)",
        report="seen here with torch 2.15; no report is known",
        symptom="wrong",
        covers=_one_column("fp32"),
        triggered=(),
        spared=(),
        ways=("prepacked",),
    ),
    KnownBad(
        # n2c6h10w1-k6-3x1-s3x2-p0x1-d3x2-g2-channels_last, always, where AVX2 is the widest; most
        # others that it covers are right, so that nothing is said to trigger it.
        name="fp32, NHWC, every tap of every output column falls on padding (oneDNN, AVX2)",
        report="seen here with torch 2.14; no report is known",
        symptom="died",
        covers=_beside,
        triggered=(),
        spared=(),
    ),
)


def known(problem: ConvProblem, implementation: str = "") -> KnownBad | None:
    """The case that applies to a layer computed by an implementation, given by name.

    None is known of transposed convolutions and of backward passes.
    """
    if problem.transposed or problem.direction:
        return None
    cases = (case for case in (*CASES, *UNSTEADY) if implementation in case.ways)
    return next((case for case in cases if case.covers(problem)), None)


def seen(record: Record) -> KnownBad | None:
    """The case whose symptom a record shows."""
    spec, failure = record.spec, record.failure
    if not spec.workload.is_layer or spec.device.kind != "cpu":
        return None
    if spec.workload.group != spec.workload:
        # A substitute is made of other layers.
        return None
    problem = of_workload(spec.workload, spec.mode)
    if spec.mode.precision == "amp=bf16":
        problem = replace(problem, dtype="bf16")
    case = known(problem, spec.mode.implementation)
    symptom = failure.kind if failure is not None else record.status
    return case if case is not None and case.symptom == symptom else None


def absent(hard: Mapping[str, Any]) -> str:
    """Why the cases cannot happen in an environment (given its hard part); empty if they must."""
    if "amx_bf16" not in hard["instruction_sets"]:
        return "the processor has no AMX"
    if not hard["torch"]["onednn"]:
        return "torch has no oneDNN"
    if "ONEDNN_MAX_CPU_ISA" in hard["variables"]:
        return "ONEDNN_MAX_CPU_ISA limits what oneDNN uses"
    version = hard["torch"]["version"]
    if tuple(map(int, version.split(".")[:2])) < _SEEN_WITH:
        return f"seen from torch 2.11 on; of {version} nothing is known"
    return ""
