"""What came of a choice, for those who show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cnnbench.environment import Environment
from cnnbench.prediction.contenders import ChoiceLimits, ChoiceState, Contender, Proof


@dataclass(frozen=True)
class Chosen:
    """The result of a choice.

    Attributes:
        limits: what was asked for.
        contenders: in the order in which they were named.
        proofs: by spec; of another machine there are none.
        state: what follows.
        environment: whose latencies these are.
        here: it is this machine, where things are proven by measuring them.
        place: the run directory, or the table of another machine.
        unknown: names of networks without a published accuracy.
        elsewhere: networks that are asked about at another input size than their accuracy is of.
        operators, networks: timed and measured for this.
        seconds: that this took.
        problems: lines for people.
    """

    limits: ChoiceLimits
    contenders: tuple[Contender, ...]
    proofs: Mapping[str, Proof]
    state: ChoiceState
    environment: Environment
    here: bool
    place: str
    unknown: tuple[str, ...] = ()
    elsewhere: int = 0
    operators: int = 0
    networks: int = 0
    seconds: float = 0.0
    problems: tuple[str, ...] = ()

    def of_fate(self, fate: str) -> tuple[Contender, ...]:
        """The contenders that something became of."""
        return tuple(one for one in self.contenders if self.state.fates[one.spec] == fate)
