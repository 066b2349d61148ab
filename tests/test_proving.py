from __future__ import annotations

from dataclasses import replace

from cnnbench.facts import Check
from cnnbench.prediction.contenders import Proof
from cnnbench.proving import proof, proofs
from tests import made


def test_a_record_proves_its_latency(eager) -> None:
    found = proof(eager)

    assert found.seconds is not None
    assert found.why == ""
    assert proofs([eager]) == {eager.id: found}


def test_a_failure_proves_nothing_and_says_why(failed) -> None:
    assert proof(failed) == Proof(None, why=failed.reason)


def test_a_time_of_one_round_is_doubtful(eager) -> None:
    once = replace(eager, runs=eager.runs[:1])

    assert proof(once).doubt == "of one round, which has no interval"


def test_a_wrong_output_is_no_usable_result() -> None:
    wrong = made.record(made.EAGER, [[1.0] * 3] * 3, check=Check("wrong", 1.0))

    found = proof(wrong)

    assert found.seconds is None
    assert found.why
