"""What came of a choice -> a table whose first lines are the answer."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from cnnbench import units
from cnnbench.codec import encode
from cnnbench.prediction import contenders as fates
from cnnbench.prediction.contenders import FATES, WITHIN
from cnnbench.report.table import Column, Table, where
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.prediction.chosen import Chosen
    from cnnbench.prediction.contenders import Contender

_COLUMNS = (
    Column("network", "network", detail=-1),
    Column("mode", "mode", detail=0),
    Column("input", "input", detail=3),
    Column("top1", "top-1 %", "number", -1),
    Column("predicted", "predicted", "seconds", -1),
    Column("low", "from", "seconds", 1),
    Column("high", "to", "seconds", 1),
    Column("measured", "measured", "seconds", -1),
    Column("measured_low", "at least", "seconds", 3),
    Column("measured_high", "at most", "seconds", 3),
    Column("memory", "memory", "bytes", 3),
    Column("params", "params", "count", 2),
    Column("fate", "is", detail=0),
)
# Rows beside the picks, and names in a sentence.
_ROWS, _NAMED = 12, 3
# Other fates that rows are shown of, those that say most first; all others are only counted.
_SHOWN = (fates.OPEN, fates.FITS, fates.TOO_SLOW, fates.TOO_LARGE, fates.FAILED)
# Where no proof is possible, a prediction stands in for it.
_ELSEWHERE = {fates.FITS: "predicted within the limit", fates.TOO_SLOW: "predicted too slow",
              fates.OPEN: "not predicted"}  # fmt: skip


def table(found: Chosen) -> Table:
    """The answer, what was near it, and in counts what was left out."""
    rows = [*_picked(found)]
    known = {one.spec for one, _ in rows}
    near = [one for one in _near(found) if one.spec not in known][:_ROWS]
    rows += [(one, "") for one in near]
    return Table(
        _COLUMNS,
        tuple(_cells(found, one, word) for one, word in rows),
        captions=(*answer(found), *_conditions(found)),
        notes=(*_left_out(found), *_doubts(found)),
    )


def _picked(found: Chosen) -> list[tuple[Contender, str]]:
    """Each pick once, with what it is the best in."""
    state, words = found.state, dict[str, list[str]]()
    picks = (
        (state.best, "best"), (state.fastest, "fastest"), (state.smallest, "smallest"),
        (state.nearest, "nearest"),
    )  # fmt: skip
    known = {one.spec: one for one, _ in picks if one is not None}
    for one, word in picks:
        if one is not None:
            words.setdefault(one.spec, []).append(word)
    return [(known[spec], some[0]) for spec, some in words.items()]


def _near(found: Chosen) -> list[Contender]:
    """What was measured or may still be the answer, by fate, the most accurate first."""
    return [
        one
        for fate in _SHOWN
        for one in sorted(found.of_fate(fate), key=lambda one: -one.top1)
        if fate != fates.OPEN or one in found.state.could or one in found.state.near
    ]


def _cells(found: Chosen, one: Contender, word: str) -> tuple[Any, ...]:
    proof = found.proofs.get(one.spec) if found.here else None
    params = None if one.params is None else float(one.params)
    return (
        units.readable(one.network), one.mode, Spec.parse(one.spec).workload.shape_text, one.top1,
        one.seconds, one.low, one.high,
        *((None,) * 4 if proof is None else (proof.seconds, proof.low, proof.high, proof.memory)),
        params, word or found.state.fates[one.spec],
    )  # fmt: skip


def _said(found: Chosen, fate: str) -> str:
    return FATES[fate] if found.here else _ELSEWHERE.get(fate, FATES[fate])


def answer(found: Chosen) -> tuple[str, ...]:
    """The choice, its alternatives, and how certain it is, in sentences."""
    state = found.state
    limit = f"under {units.seconds(found.limits.seconds)}"
    if found.limits.memory is not None and found.here:
        limit += f", in {units.size(found.limits.memory)}"
    if state.best is None:
        return (f"nothing {_proven(found)} {limit}{_nearest(found)}", *_certainty(found))
    lines = [f"the most accurate {limit}: {_one(found, state.best)}"]
    if state.best.spec in found.proofs and (doubt := found.proofs[state.best.spec].doubt):
        lines.append(f"its time is {doubt}")
    for word, pick in (("fastest", state.fastest), ("smallest", state.smallest)):
        if pick is not None and pick != state.best:
            lines.append(f"the {word} within {WITHIN:g} point: {_one(found, pick)}")
    return (*lines, *_certainty(found))


def _proven(found: Chosen) -> str:
    return "is proven to fit" if found.here else "is predicted to fit"


def _nearest(found: Chosen) -> str:
    nearest = found.state.nearest
    return "" if nearest is None else f"; the nearest is {_one(found, nearest)}"


def _one(found: Chosen, one: Contender) -> str:
    """A network with its figures."""
    mode = f" in {one.mode}" if one.mode != "eager" else ""
    parts = [f"{units.readable(one.network)}{mode}", f"top-1 {one.top1:g} %"]
    proof = found.proofs.get(one.spec) if found.here else None
    if proof is not None and proof.seconds is not None:
        parts.append(f"{units.seconds(proof.seconds)} measured")
    if one.seconds is not None:
        parts.append(f"{units.seconds(one.seconds)} predicted")
    return ", ".join(parts)


def _certainty(found: Chosen) -> tuple[str, ...]:
    state = found.state
    if not found.here:
        held = "" if found.limits.memory is None else "; --memory was held against weights alone"
        return (f"predicted for the machine of the table; nothing was proven by measuring{held}",)
    if state.is_complete and state.is_certain:
        return (_but_for_failures(found),)
    again = f"go on with: cnnbench choose --resume {shlex.quote(found.place)}"
    if state.is_decided and state.close:
        return (_too_close(found), *((again,) if not state.is_complete else ()))
    if state.is_certain:
        count = units.number(len(state.near) + len(state.unseen), "network")
        return (f"certain; {count} may still be faster or smaller within a point; {again}",)
    rivals = [*state.could, *state.unseen]
    if state.best is not None:
        least = state.best.top1
        rivals = [one for one in rivals if one.top1 >= least]
    count = units.number(len(rivals), "network")
    return (f"not certain yet: {count} may be the answer: {_names(rivals)}; {again}",)


def _but_for_failures(found: Chosen) -> str:
    """That nothing else can be the answer, or what is more accurate and could not be measured."""
    least = 0.0 if found.state.best is None else found.state.best.top1
    failed = [one for one in found.of_fate(fates.FAILED) if one.top1 > least]
    if not failed:
        return "certain: nothing else can be the answer, by measurement or prediction"
    return (
        f"certain but for {units.number(len(failed), 'network')} more accurate without a usable"
        f" result: {_names(failed)}"
    )


def _too_close(found: Chosen) -> str:
    """Which measurements do not say on which side of the limit they are."""
    told = []
    for one in found.state.close[:_NAMED]:
        proof = found.proofs[one.spec]
        if proof.low is not None and proof.high is not None:
            ends = f"{units.seconds(proof.low)} to {units.seconds(proof.high)}"
            told.append(f"{units.readable(one.network)} (top-1 {one.top1:g} %, {ends})")
    rest = len(found.state.close) - len(told)
    more = f" and {rest} more" if rest > 0 else ""
    return f"too close to the limit to be certain: {', '.join(told)}{more}"


def _names(some: Sequence[Contender]) -> str:
    names = list(dict.fromkeys(units.readable(one.network) for one in some))
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _conditions(found: Chosen) -> tuple[str, ...]:
    spec = Spec.parse(found.contenders[0].spec)
    threads = units.number(spec.threads, "thread")
    modes = list(dict.fromkeys(one.mode for one in found.contenders))
    networks = len({one.network for one in found.contenders})
    lines = [
        where(found.environment),
        f"{', '.join(modes)}, batch {spec.workload.batch}, {threads};"
        f" {units.number(networks, 'network')} in {units.duration(found.seconds)}",
    ]
    if found.operators or found.networks:
        lines.append(
            f"timed for this: {units.number(found.operators, 'operator')}, and"
            f" {units.number(found.networks, 'network')} to fit predictions on"
        )
    if found.here:
        lines.append(f"kept in {found.place}")
    else:
        lines.append(f"by the table {found.place}")
    return tuple(lines)


def _left_out(found: Chosen) -> tuple[str, ...]:
    """Why the others are not the answer, in counts with examples."""
    shown = {fates.FITS}
    parts = []
    for fate in FATES:
        some = found.of_fate(fate)
        if some and fate not in shown:
            parts.append(f"{len(some)} {_said(found, fate)} ({_names(_examples(some))})")
    if found.unknown:
        names = list(map(units.readable, found.unknown))
        rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        parts.append(f"{len(names)} without a published top-1 ({', '.join(names[:_NAMED])}{rest})")
    lines = [f"left out: {'; '.join(parts)}"] if parts else []
    why = [one for one in found.contenders if one.why and found.state.fates[one.spec] == fates.OPEN]
    unbuilt = [one for one in found.of_fate(fates.UNBUILT) if one.why]
    for one in (*why, *unbuilt)[:_NAMED]:
        lines.append(f"{units.readable(one.network)}: {one.why}")
    failed = [(one, found.proofs[one.spec].why) for one in found.of_fate(fates.FAILED)]
    lines += [f"{units.readable(one.network)}: {why}" for one, why in failed[:_NAMED] if why]
    return tuple(dict.fromkeys(lines))


def _examples(some: Sequence[Contender]) -> list[Contender]:
    """The most accurate first: those that a reader would ask after."""
    return sorted(some, key=lambda one: -one.top1)


def _doubts(found: Chosen) -> tuple[str, ...]:
    lines = []
    if found.elsewhere:
        lines.append(
            f"the accuracy of {units.number(found.elsewhere, 'network')} is published of another"
            " input size or of other arguments"
        )
    if found.here and found.state.widening > 1:
        lines.append(
            "a measurement was outside of the interval of its prediction, so all intervals count as"
            f" {units.ratio(found.state.widening)} wider to either side"
        )
    return tuple(lines)


def facts(found: Chosen) -> dict[str, Any]:
    """Everything, as JSON: specs by their ids."""
    state = found.state
    picks = {"best": state.best, "fastest": state.fastest, "smallest": state.smallest,
             "nearest": state.nearest}  # fmt: skip
    rows = [
        encode(one)
        | {"network": one.network, "mode": one.mode, "fate": state.fates[one.spec]}
        | ({"measured": encode(found.proofs[one.spec])}
           if found.here and one.spec in found.proofs else {})
        for one in found.contenders
    ]  # fmt: skip
    return {
        "limits": encode(found.limits),
        **{name: None if one is None else one.spec for name, one in picks.items()},
        "certain": found.here and state.is_certain,
        "complete": found.here and state.is_complete,
        "proven": found.here and state.best is not None,
        "open": [one.spec for one in (*state.could, *state.near, *state.unseen)],
        "close": [one.spec for one in state.close] if found.here else [],
        "counts": {fate: len(found.of_fate(fate)) for fate in FATES},
        "widening": state.widening,
        "unknown": list(found.unknown),
        "place": found.place,
        "environment": encode(found.environment),
        "operators": found.operators,
        "networks": found.networks,
        "seconds": found.seconds,
        "contenders": rows,
    }
