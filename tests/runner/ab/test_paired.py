"""From a baseline's source to verdicts: what ``check`` calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cnnbench import store
from cnnbench.errors import UsageError
from cnnbench.gate.rule import SequentialRule
from cnnbench.runner.ab import paired
from cnnbench.runner.ab.paired import PairedPlan
from cnnbench.spec import Spec
from tests.made import commit, repository
from tests.runner.ab.test_session import Ear
from tests.runner.conftest import specs

IDS = [spec.id for spec in specs("eager", models=("lenet", "alexnet"))]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A baseline's revision, and one more."""
    path = repository(tmp_path / "repo", {"net.py": "1\n"}, tag="baseline")
    commit(path, {"net.py": "2\n"})
    return path


def rule_of(spec: Spec) -> SequentialRule:
    return SequentialRule(0.5 if spec.workload.architecture == "alexnet" else 0.05)


def test_a_baselines_source_is_measured_again_with_a_rule_for_each_spec(
    repo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    found = paired.remeasure(
        IDS, ("baseline", "."), repo, rule_of, PairedPlan(), Ear(), out, "fake", slowdown=0.1
    )

    assert [one.comparison.base.id for one in found] == IDS
    assert [one.verdict for one in found] == ["regression", "unchanged"]
    assert [record.id for record in store.read(out / "head").records] == IDS[::-1]
    kept = json.loads((out / "verdicts.json").read_text())
    assert {one["base"]: one["threshold"] for one in kept["verdicts"]} == dict(
        zip(IDS, (0.05, 0.5), strict=True)
    )


def test_nothing_need_be_kept(repo: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    found = paired.remeasure(
        IDS, ("baseline", "main"), repo, rule_of, PairedPlan(), Ear(), executor="fake"
    )

    assert {one.verdict for one in found} == {"unchanged"}
    assert sorted(tmp_path.iterdir()) == before


def test_a_source_that_is_no_more_is_said(repo: Path) -> None:
    with pytest.raises(UsageError, match="unknown revision"):
        paired.remeasure(IDS, ("rev:gone", "."), repo, rule_of, PairedPlan(), Ear())


def test_slow_networks_get_fewer_slices_so_that_the_fewest_pairs_fit() -> None:
    plan, short = PairedPlan(budget=30.0).of_a_pair, PairedPlan(budget=3.0).of_a_pair

    assert plan.turns(0.001) == PairedPlan.plan.slices == 8
    assert plan.turns(0.15) == 5
    assert plan.turns(60.0) == 3
    assert short.turns(0.1) == 5
