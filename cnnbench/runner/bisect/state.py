"""What a bisection has found so far, kept as ``bisect.json`` so that it can go on later.

Data only: which commits are checked out is said on the command line, what may be built is asked of
``trust``, and everything read is checked. Schema history: 1, the first.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnbench import files, store
from cnnbench.codec import decode, encode
from cnnbench.errors import SchemaError, StoreError, UsageError
from cnnbench.gate.bisection import BisectionStep
from cnnbench.gate.rule import SequentialRule, Verdict
from cnnbench.plan import Plan
from cnnbench.record import Record, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAME = "bisect.json"
_KIND, _SCHEMA = "cnnbench bisection", 1
# Beyond these, the error of a look is no number of interest any more.
_MOST_ATTEMPTS = 20
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Looked:
    """What was found of the structure of a commit.

    Attributes:
        records: one per spec, as JSON; none if the commit could not be looked at.
        reason: why it could not.
    """

    records: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""

    @property
    def found(self) -> tuple[Record, ...] | None:
        """The records; ``None`` if there are none."""
        return tuple(map(from_json, self.records)) or None

    @classmethod
    def of(cls, records: Sequence[Record]) -> Looked:
        """What is kept of records, or of their first failure."""
        failed = next((one.failure for one in records if one.failure is not None), None)
        if failed is not None:
            return cls(reason=f"{failed.phase}: {failed.message}")
        return cls(tuple(map(to_json, records)))


@dataclass(frozen=True)
class State:
    """What a bisection was asked for, and what it knows.

    Attributes:
        commits: hashes from GOOD to BAD.
        specs: ids of what is compared.
        threshold, least, most, budget: of a comparison.
        plan: of a pair.
        executor: who measures.
        environment: fingerprint of where.
        timed: whether time is asked about.
        attempts: how often it was begun or gone on with after it had ended in doubt.
        looked: hash -> what was found of the structure.
        steps: what was timed, in order.
    """

    commits: tuple[str, ...]
    specs: tuple[str, ...]
    threshold: float
    least: int
    most: int
    budget: float
    plan: Mapping[str, Any]
    executor: str
    environment: str
    timed: bool = True
    attempts: int = 1
    looked: Mapping[str, Looked] = field(default_factory=dict)
    steps: tuple[BisectionStep, ...] = ()
    kind: str = _KIND
    schema: int = _SCHEMA

    def with_look(self, sha: str, looked: Looked) -> State:
        """With the structure of one commit more."""
        return replace(self, looked={**self.looked, sha: looked})

    def tried_again(self, *verdicts: Verdict) -> State:
        """A further attempt at the steps with these verdicts, which stay on record.

        The same if there are none.
        """
        steps = tuple(
            replace(one, set_aside=True) if one.verdict in verdicts else one for one in self.steps
        )
        if steps == self.steps:
            return self
        return replace(self, steps=steps, attempts=min(self.attempts + 1, _MOST_ATTEMPTS))


def write(folder: Path, state: State) -> None:
    """Keep a state, in place of the one before.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        store.write_whole(folder / NAME, encode(state))
    except OSError as error:
        raise StoreError(f"{folder / NAME}: {error.strerror}") from error


def read(folder: Path) -> State:
    """A state as it was kept.

    Raises:
        StoreError: there is none, or it cannot be read.
        SchemaError: it is not one, or says what cannot be.
    """
    path = folder / NAME
    try:
        data = json.loads(files.read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{folder} holds no bisection: it has no {NAME}") from None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError):
        raise SchemaError(f"{path}: not valid JSON") from None
    if not isinstance(data, dict) or data.get("kind") != _KIND:
        raise SchemaError(f"{path}: not a bisection of cnnbench")
    if data.get("schema") != _SCHEMA:
        raise SchemaError(f"{path}: schema {data.get('schema')} is not known to this version")
    try:
        found = decode(State, data, "state")
        wrong = _wrong(found)
    except UsageError as error:
        raise SchemaError(f"{path}: {error}") from None
    if wrong:
        raise SchemaError(f"{path}: {wrong}")
    return found


def _wrong(state: State) -> str:
    """What in a state contradicts the rest of it; empty if nothing does."""
    last = len(state.commits) - 1
    if last < 1 or not all(map(_HASH.fullmatch, state.commits)):
        return "commits: expected two hashes or more"
    if not 1 <= state.attempts <= _MOST_ATTEMPTS:
        return f"attempts: expected 1 to {_MOST_ATTEMPTS}"
    if not state.specs or not 0 < state.budget < math.inf:
        return "expected a spec or more, and a budget above zero"
    decode(Plan, dict(state.plan), "plan")
    SequentialRule(state.threshold, least=state.least, most=state.most)
    if not state.looked.keys() <= {*state.commits}:
        return "looked: a commit that is not on the line"
    for step in state.steps:
        if not 0 <= step.against < step.place <= last or step.spec not in state.specs:
            return "steps: a comparison of what is not compared"
    for looked in state.looked.values():
        records = looked.found or ()
        if records and [one.id for one in records] != [*state.specs]:
            return "looked: records of other specs"
    return ""
