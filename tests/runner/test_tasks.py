"""What GPUs have to do is cut into tasks, each of whole groups, and each is taken once."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from cnnbench.runner import tasks
from cnnbench.runner.tasks import LaneTask, Tasks
from cnnbench.spec import Spec
from tests.runner.gpus import specs

names = st.integers(1, 12).map(lambda count: [f"net{n}" for n in range(count)])


def seconds(spec: Spec) -> float:
    return 1.0 + len(spec.mode.text)


@given(
    models=names,
    lanes=st.integers(1, 8),
    begun=st.dictionaries(st.integers(0, 11), st.sampled_from("ab"), max_size=6),
    whole=st.booleans(),
)
def test_every_spec_is_in_one_task_with_its_group(
    models: list[str], lanes: int, begun: dict[int, str], whole: bool
) -> None:
    work = specs(*models)
    homes = {one.id: begun[n // 2] for n, one in enumerate(work) if n // 2 in begun}

    cut = tasks.cut(work, seconds, lanes, homes, whole=whole)

    found = [spec for task in cut for spec in task.specs]
    assert sorted(one.id for one in found) == sorted(one.id for one in work)
    for task in cut:
        for batch in task.batches:
            assert len(batch) == 2 * len({one.workload for one in batch})
        places = {homes.get(one.id, "") for one in task.specs} - {""}
        assert places <= {task.home}
    if whole:
        assert len(cut) <= lanes + len({*homes.values()})


def test_a_group_that_was_begun_on_two_gpus_is_at_home_on_none() -> None:
    work = specs("lenet")

    (task,) = tasks.cut(work, seconds, 2, {work[0].id: "a", work[1].id: "b"})

    assert (task.home, task.specs) == ("", work)


def test_few_groups_are_cut_fine_enough_for_all_gpus() -> None:
    cut = tasks.cut(specs(*[f"net{n}" for n in range(8)]), seconds, 4)

    assert len(cut) == 8


def test_whoever_is_free_takes_the_next() -> None:
    cut = [LaneTask([specs(name)]) for name in ("a", "b", "c")]
    cost = dict(zip(cut, (5.0, 1.0, 1.0), strict=True))

    assert tasks.expected(cut, cost.__getitem__, 2) == [[cut[0]], [cut[1], cut[2]]]


def test_a_task_goes_to_its_home_and_no_other_takes_it_while_that_lives() -> None:
    free, own = LaneTask([specs("a")]), LaneTask([specs("b")], "y")
    left = Tasks([own, free], ["x", "y"])

    assert left.take("x") is free
    assert left.take("y") is own


def test_what_a_lost_gpu_leaves_goes_to_whoever_waits() -> None:
    first, second = LaneTask([specs("a"), specs("b")]), LaneTask([specs("c")], "y")
    left = Tasks([first, second], ["x", "y"])
    assert left.take("y") is second
    assert left.take("x") is first
    taken: list[LaneTask | None] = []

    def wait() -> None:
        left.done("x", [], lost=False)
        taken.append(left.take("x"))

    waiting = threading.Thread(target=wait)
    waiting.start()
    left.done("y", [one.id for one in specs("c")], lost=True)
    waiting.join(10)

    assert taken[0] is not None
    assert taken[0].specs == specs("c")
    assert left.left
    left.done("x", [], lost=False)
    assert left.take("x") is None
    assert not left.left


def test_whoever_waits_is_woken_by_the_end() -> None:
    left = Tasks([LaneTask([specs("a")])], ["x", "y"])
    left.take("x")
    taken: list[LaneTask | None] = []
    waiting = threading.Thread(target=lambda: taken.append(left.take("y")))
    waiting.start()

    left.end()
    waiting.join(10)

    assert taken == [None]
