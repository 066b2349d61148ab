"""Networks that are called otherwise, are gone or are new: recognised, and kept in a baseline file.

A network is recognised by what it is made of and by what it computes, which do not depend on its
name. What was kept of it stays: rounds, and the noise that was learnt.
"""

from __future__ import annotations

import difflib
import shlex
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from cnnbench.errors import UsageError
from cnnbench.gate import values
from cnnbench.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from cnnbench.gate.baseline import Baseline
    from cnnbench.gate.changes import Comparison, Row, Side
    from cnnbench.record import Record


def renamed(what: Baseline, words: Iterable[str]) -> Baseline:
    """A baseline file in which networks have other names.

    Args:
        what: the file.
        words: ``OLD=NEW`` each; OLD may stand for a network with all its arguments.

    Raises:
        UsageError: it has no such network, has the new one already, or the new one is no name.
    """
    specs = dict(what.specs)
    for word in words:
        old, new = _pair(word, specs)
        places = {name: _called(name, old, new) for name in specs}
        taken = [name for name in places.values() if [*places.values()].count(name) > 1]
        if taken:
            raise UsageError(f"--rename {word}: the baseline file has {taken[0]} already")
        specs = {places[name]: entry for name, entry in specs.items()}
    return replace(what, specs=specs)


def without(what: Baseline, names: Iterable[str]) -> Baseline:
    """A baseline file without some networks or specs, each given by name, glob or id.

    Raises:
        UsageError: it has no such network, or no other.
    """
    specs = dict(what.specs)
    for name in names:
        gone = [spec for spec in specs if spec == name or _is(spec, name)]
        if not gone:
            raise UsageError(f"--remove {name}: {_has(specs)}")
        for spec in gone:
            del specs[spec]
    if not specs:
        raise UsageError("nothing would be left of the baseline file; delete it instead")
    return replace(what, specs=specs)


def _pair(word: str, specs: Iterable[str]) -> tuple[str, str]:
    """The two names; arguments of a network hold the sign that stands between them, too."""
    models = {name for spec in specs for name in _names(spec)}
    places = [place for place, sign in enumerate(word) if sign == "="]
    for place in reversed(places):
        if word[:place] in models and word[place + 1 :]:
            return word[:place], word[place + 1 :]
    if not places:
        raise UsageError(f"--rename {word}: needs the form OLD=NEW")
    raise UsageError(f"--rename {word}: {_has(specs)}")


def _has(specs: Iterable[str]) -> str:
    models = list(dict.fromkeys(Spec.parse(one).workload.model for one in specs))
    return f"the baseline file has no such network; it has {', '.join(models)}"


def _names(spec: str) -> tuple[str, str]:
    workload = Spec.parse(spec).workload
    return workload.model, workload.architecture


def _is(spec: str, name: str) -> bool:
    return any(one == name or fnmatchcase(one, name) for one in _names(spec))


def _called(name: str, old: str, new: str) -> str:
    """A spec's id after a renaming; itself if it is of another network."""
    spec = Spec.parse(name)
    if old == spec.workload.model:
        return Spec.parse(new + name.removeprefix(old)).id
    if old == spec.workload.architecture:
        return replace(spec, workload=replace(spec.workload, architecture=new)).id
    return name


def twins(old: Side, new: Side) -> dict[str, str]:
    """Networks of the old side alone -> the one of the new side alone that is the same."""
    gone = _by_model(old.records, new.records)
    come = _by_model(new.records, old.records)
    found = {}
    for model, records in gone.items():
        alike = [name for name, others in come.items() if _same(records, others)]
        # Of several that are alike, the one of the likeliest name.
        best = difflib.get_close_matches(model, alike, 1, 0) if len(alike) > 1 else alike
        if best:
            found[model] = best[0]
            del come[best[0]]
    return found


def _by_model(
    records: Mapping[str, Record], others: Mapping[str, Record]
) -> dict[str, dict[str, Record]]:
    """Model -> its records that the other side has not or not whole, by the rest of their ids."""
    found: dict[str, dict[str, Record]] = {}
    for name, record in records.items():
        there = name in others and others[name].failure is None
        if not there and record.failure is None:
            model = Spec.parse(name).workload.model
            found.setdefault(model, {})[name.removeprefix(model)] = record
    return found


def _same(records: Mapping[str, Record], others: Mapping[str, Record]) -> bool:
    both = [(one, others[rest]) for rest, one in records.items() if rest in others]
    return bool(both) and all(_is_twin(*pair) for pair in both)


def _is_twin(one: Record, other: Record) -> bool:
    if one.cost is None or one.cost != other.cost:
        return False
    if one.structure is not None and other.structure is not None:
        made = [(of.structure.outputs, of.structure.operators) for of in (one, other)]  # type: ignore[union-attr]
        if made[0] != made[1]:
            return False
    # What is not judged does not contradict; counts are exact.
    return not values.changed(one, other)


def accepted(found: Comparison, old: Side, new: Side, file: Path, run: Path | None) -> Comparison:
    """A comparison in which rows of one side alone say how to accept that.

    Args:
        found: of the two sides.
        old: the baseline file.
        new: what it is compared with.
        file: where the old side is kept.
        run: the run that the new side is; ``None`` for the current code.
    """
    known = twins(old, new)
    told: set[str] = set()
    return replace(found, rows=tuple(_told(row, known, told, file, run) for row in found.rows))


def _told(row: Row, known: Mapping[str, str], told: set[str], file: Path, run: Path | None) -> Row:
    model = Spec.parse(row.spec).workload.model
    where, reason = shlex.quote(str(file)), row.reason
    if row.state == "missing" or (row.state == "failed" and is_gone(row.reason)):
        twin = known.get(model)
        pair = shlex.quote(f"{model}={twin or 'NEW'}")
        if twin is not None:
            reason = f"{reason}; {twin} has the same structure and outputs: renamed?"
            remedy = f"if it is: cnnbench baseline update {where} --rename {pair}"
        else:
            remedy = (
                f"if it was removed: cnnbench baseline update {where} --remove {shlex.quote(model)}"
                f"\nif it has another name: cnnbench baseline update {where} --rename {pair}"
            )
    elif row.state == "added" and run is not None and model not in known.values():
        remedy = f"to keep it: cnnbench baseline update {where} {shlex.quote(str(run))}"
    else:
        return row
    # One command is for all specs of a network.
    again = model in told
    told.add(model)
    return replace(row, reason=reason, remedy="" if again else remedy)


def is_gone(reason: str) -> bool:
    """Whether a failure says that there is no such network any more."""
    return any(part in reason for part in _GONE)


# How the messages begin that say so (``architectures.sources``).
_GONE: Sequence[str] = ("no module '", "' has no '", "unknown architecture '", "unknown model '")
