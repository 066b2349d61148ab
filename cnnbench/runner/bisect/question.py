"""What a bisection is asked, and the state that it begins with or goes on from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench import trust
from cnnbench.codec import encode
from cnnbench.errors import Incomparable, StoreError, UsageError, WorkerError
from cnnbench.gate import bisection
from cnnbench.gate.bisected import Commit
from cnnbench.runner import campaign
from cnnbench.runner.ab import paired, revisions, sides
from cnnbench.runner.ab.sides import Named
from cnnbench.runner.bisect import state as kept
from cnnbench.runner.bisect.state import State
from cnnbench.runner.inquiry import asking, describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.runner.ab.paired import Maker, PairedPlan
    from cnnbench.suite import Grid


@dataclass(frozen=True)
class Question:
    """The two commits and the line between them.

    Attributes:
        repo: the user's repository.
        names: of both, as the user wrote them.
        commits: from GOOD to BAD.
    """

    repo: Path
    names: tuple[str, str]
    commits: tuple[Commit, ...]

    def named(self, place: int) -> Named:
        """A commit as a side of a comparison."""
        sha = self.commits[place].sha
        return Named("rev", sha, sha)

    def text(self, place: int) -> str:
        """A commit for people."""
        if place in {0, len(self.commits) - 1}:
            return f"{self.names[bool(place)]} ({self.commits[place].short})"
        return f"{self.commits[place].short} ({self.commits[place].subject})"


def question(good: str, bad: str, repo: Path | None) -> Question:
    """What the two words of a command ask.

    Raises:
        UsageError: not revisions, or the first is not among the first parents of the second.
    """
    if repo is None:
        why = revisions.unusable(Path.cwd()) or "this is not a git repository; see --repo"
        raise UsageError(why)
    both = [sides.named(f"rev:{word.removeprefix('rev:')}", repo) for word in (good, bad)]
    return Question(repo, (good, bad), revisions.line(repo, both[0].commit, both[1].commit))


def prepare(
    asked: Question, grid: Grid, how: PairedPlan, who: Maker | str, *, timed: bool
) -> State:
    """The state of a bisection that begins: what is compared, and how.

    Args:
        asked: commits.
        grid: models, modes, device.
        how: how pairs are measured; the error of its looks is replaced by what many of them allow.
        who: the executor's name, or what makes the executor of a side.
        timed: ask about time, not only about the structure.

    Raises:
        UsageError: something in the grid is wrong, or not possible at GOOD.
    """
    with sides.at(asked.named(0), asked.repo) as side:
        try:
            job = campaign.prepare(grid, how.plan, paired.executor_of(side, who))
        except (UsageError, WorkerError) as error:
            raise UsageError(f"{asked.text(0)}: {error}") from error
    impossible = list(job.impossible.values())
    if impossible:
        raise UsageError(f"{asked.text(0)}: {impossible[0]}")
    return State(
        commits=tuple(one.sha for one in asked.commits),
        specs=tuple(spec.id for spec in job.specs),
        threshold=how.rule.threshold,
        least=how.rule.least,
        most=how.rule.most,
        budget=how.budget,
        plan=encode(how.plan),
        executor=job.executor.name,
        environment=job.environment.fingerprint,
        timed=timed,
    )


def resumed(folder: Path, asked: Question, who: Maker | str, allowed: Sequence[str]) -> State:
    """The state of a bisection that goes on; where it had ended in doubt, doubts are measured anew.

    Args:
        folder: where it is kept.
        asked: the commits, which must be the same.
        who: the executor's name, or what makes the executor of a side.
        allowed: models that may be built although they are not the user's own.

    Raises:
        StoreError: there is none, or it is of other commits.
        UsageError: it names models that may not be built.
        Incomparable: the machine or software is not the one that it was started on.
    """
    found = kept.read(folder)
    if found.commits != tuple(one.sha for one in asked.commits):
        raise StoreError(f"{folder} is a bisection of other commits; give the same GOOD and BAD")
    trust.specs(found.specs, folder / kept.NAME, allowed)
    with sides.at(asked.named(0), asked.repo) as side:
        executor = paired.executor_of(side, who)
        with asking(executor) as pool:
            environment = describe(pool)
    if (environment.fingerprint, executor.name) != (found.environment, found.executor):
        raise Incomparable(f"{folder} was started in another environment; begin a new bisection")
    standing = [one for one in found.steps if not one.set_aside]
    followed = bisection.clearest([one for one in standing if one.place == len(found.commits) - 1])
    if followed is None:
        return found.tried_again("inconclusive", "failed")
    steps = [one for one in found.steps if one.spec == followed.spec]
    search = bisection.of_steps(len(found.commits) - 1, steps)
    ended = search.next is None and search.named is None
    return found.tried_again("inconclusive") if ended else found
