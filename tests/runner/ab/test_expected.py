"""What the sides of a comparison should answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnbench.errors import WorkerRaised
from cnnbench.gate.outcomes import ROLES, PairedComparison
from cnnbench.gate.rule import SequentialRule
from cnnbench.plan import Plan
from cnnbench.runner.ab.expected import Expected, of_sides
from cnnbench.runner.fake import FakeWorker
from cnnbench.spec import Spec
from tests.runner.conftest import specs

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Pool:
    """Pretended workers of a side that write down what they are asked."""

    role: str
    asked: list[tuple[str, dict[str, Any]]]
    error: Exception | None = None

    def start(self) -> FakeWorker:
        pool = self

        class Listening(FakeWorker):
            def ask(self, message: dict[str, Any], timeout: float) -> Any:
                pool.asked.append((pool.role, message))
                if pool.error is not None:
                    raise pool.error
                return super().ask(message, timeout)

        return Listening()


@dataclass
class Asking:
    """``of_sides`` with such pools."""

    folder: Path
    error: Exception | None = None
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, base: Spec, head: Spec, *, one_code: bool) -> dict[str, Expected]:
        comparison = PairedComparison(base, head, SequentialRule(0.05))
        pools = {role: Pool(role, self.asked, self.error) for role in ROLES}
        return of_sides(comparison, pools, Plan(timeout=5), self.folder, one_code=one_code)


def both(*modes: str) -> tuple[Spec, Spec]:
    base, head = (specs(mode)[0] for mode in modes)
    return base, head


def test_two_plain_sides_cost_no_reference(tmp_path: Path) -> None:
    ask = Asking(tmp_path)

    found = ask(*both("eager", "eager"), one_code=True)

    assert not ask.asked
    assert {one.reference for one in found.values()} == {None}
    assert found["head"].reason == "plain fp32 eager is what outputs are compared with"


def test_two_modes_of_one_code_share_a_reference_that_knows_the_rounding_of_both(
    tmp_path: Path,
) -> None:
    ask = Asking(tmp_path)

    found = ask(*both("bf16", "amp=fp16"), one_code=True)

    ((_, message),) = ask.asked
    assert Spec.parse(message["spec"]).mode.text == "eager"
    assert message["precisions"] == ["amp=fp16", "bf16"]
    # Times are compared; to look at all of the user's pictures is for a run.
    assert message["every_image"] is False
    assert found["base"] == found["head"]
    assert found["head"].reference is not None
    assert found["head"].path.startswith(str(tmp_path))


def test_two_revisions_answer_each_for_their_own_code(tmp_path: Path) -> None:
    ask = Asking(tmp_path)

    found = ask(*both("bf16", "bf16"), one_code=False)

    assert [role for role, _ in ask.asked] == ["base", "head"]
    assert found["base"].path != found["head"].path


def test_two_networks_have_a_reference_each(tmp_path: Path) -> None:
    ask = Asking(tmp_path)
    base, head = both("bf16", "bf16")
    other = replace(head, workload=replace(head.workload, architecture="other"))

    ask(base, other, one_code=True)

    assert [Spec.parse(message["spec"]).workload for _, message in ask.asked] == [
        base.workload, other.workload,
    ]  # fmt: skip


def test_a_network_without_a_reference_is_compared_all_the_same(tmp_path: Path) -> None:
    ask = Asking(tmp_path, error=WorkerRaised("no picture fits", "error"))

    found = ask(*both("eager", "bf16"), one_code=True)

    assert found["head"].reference is None
    assert "no picture fits" in found["head"].reason
