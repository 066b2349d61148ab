"""The primitive of measuring.

Workers of the specs that will be compared live at the same time and take turns.

What is minutes apart on a shared machine differs ten times more than what is 100 ms apart, so all
modes of a workload are sampled in alternating slices, in a new random order every turn, while
exactly one works and the others sleep.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnnbench.errors import WorkerError, WorkerRaised
from cnnbench.facts import Check, worse
from cnnbench.record import Failure, Run
from cnnbench.requests import AGAIN, Finish, TakeSlice
from cnnbench.runner.inquiry import tell
from cnnbench.runner.process import StarterDied

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.messages import Answer, Request
    from cnnbench.plan import Plan
    from cnnbench.requests import MeasureLatency
    from cnnbench.runner.executor import AnyPool, AnyWorker
    from cnnbench.spec import Spec


@dataclass(frozen=True)
class Lost:
    """The pool went down with this spec in it.

    It may be innocent and deserves another try, alone.
    """

    message: str


Outcome = Run | Failure | Lost


def failure(error: WorkerError) -> Failure:
    """The failure of a worker, as a value."""
    kept = error.traceback if isinstance(error, WorkerRaised) else ""
    notes = "\n".join(getattr(error, "__notes__", []))
    return Failure(
        phase=error.phase,
        kind=error.kind,
        message=str(error),
        details=kept or notes,
    )


def _unfinished(worker: AnyWorker, lost: Outcome) -> Outcome:
    """The slices of a worker that was lost after the last of them; what it left undone is said."""
    if isinstance(lost, Run):
        return lost
    run = Finish.read(worker.kept)
    what = "no check" if worker.phase == AGAIN else f"lost in '{worker.phase}'"
    late = Check("unchecked", reason=f"{what} after the measurement: {lost.message}")
    return replace(run, check=late if run.check is None else worse(run.check, late))


class Ensemble:
    """The workers of one workload in one round."""

    def __init__(self, pool: AnyPool, plan: Plan, order: str) -> None:
        """Args: pool: starts the workers. plan: how long. order: seeds turns, beside the plan."""
        self._pool = pool
        self._plan = plan
        self._random = random.Random(f"{plan.seed}/{order}")
        self._workers: dict[str, AnyWorker] = {}
        self._outcomes: dict[str, Outcome] = {}

    def measure(
        self, specs: Sequence[Spec], request: Callable[[Spec], MeasureLatency]
    ) -> dict[str, Outcome]:
        """Prepare a worker per spec, let them take turns, collect.

        Args:
            specs: what to measure side by side.
            request: what to ask about a spec.

        Returns:
            An outcome for every spec, by id.
        """
        estimates = [self._prepare(spec, request(spec)) for spec in self._shuffled(specs)]
        turns = self._plan.turns(max(estimates, default=0.0))
        for turn in range(turns):
            for name in self._shuffled(list(self._workers)):
                self._ask(name, TakeSlice(turn=turn, seconds=self._plan.slice_seconds))
        for name in list(self._workers):
            worker = self._workers[name]
            result = self._ask(name, Finish())
            if result is not None:
                self._outcomes[name] = result
                self._workers.pop(name).close()
            elif worker.kept is not None:
                self._outcomes[name] = _unfinished(worker, self._outcomes[name])
        return self._outcomes

    def _shuffled(self, items: Sequence[Any]) -> list[Any]:
        return self._random.sample(items, len(items))

    def _prepare(self, spec: Spec, request: MeasureLatency) -> float:
        """Start a worker and bring it to where it can be sampled.

        Its estimate of seconds per call.
        """
        try:
            self._workers[spec.id] = self._pool.start()
        except WorkerError as error:
            self._outcomes[spec.id] = Lost(str(error))
            return 0.0
        result = self._ask(spec.id, request)
        return 0.0 if result is None else result.estimate

    def _ask(self, name: str, request: Request[Answer]) -> Answer | None:
        """The worker's answer, or ``None`` if there is none.

        Then its outcome is set and it takes no further part.
        """
        worker = self._workers[name]
        try:
            return tell(worker, request, self._plan.timeout)
        except StarterDied as error:
            self._outcomes[name] = Lost(str(error))
        except WorkerError as error:
            self._outcomes[name] = failure(error)
        del self._workers[name]
        return None
