from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cnnbench.choice import NO_GAIN
from cnnbench.facts import Check
from cnnbench.report import answers
from cnnbench.report.conclusions import conclusions
from cnnbench.report.entry import entries
from cnnbench.store import StoredRun
from tests import made
from tests.report.conftest import WORK, named, of, trained

SLOWER = NO_GAIN["slower"]

POINTS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12)


@given(POINTS)
def test_nothing_beats_the_front_and_everything_else_is_beaten(points) -> None:
    def beats(one, other) -> bool:
        return one[0] <= other[0] and one[1] >= other[1] and one != other

    front = answers.pareto(points)

    for index, point in enumerate(points):
        assert (index in front) == (not any(beats(other, point) for other in points))


def test_the_fastest_may_cost_one_point_of_accuracy() -> None:
    # resnet50 80.9 %, resnext50_32x4d 81.2 %, resnet18 69.8 %
    found = of(named("resnet50", "eager", 20), named("resnext50_32x4d", "eager", 30),
               named("resnet18", "eager", 5))  # fmt: skip
    (some,) = answers.candidates(found).values()

    fast = answers.fastest_within(some)

    assert fast.entry.record.spec.workload.model == "resnet50"
    assert [one.front for one in some] == [True, True, True]
    texts = [one.text for one in conclusions(found)]
    assert any(text.startswith("Fastest within 1 point of the best top-1: resnet50 in eager (80.9")
               for text in texts)  # fmt: skip


def test_an_accuracy_counts_only_for_what_was_published() -> None:
    small = replace(named("resnet18", "eager", 5), id="resnet18/inference-b1-3x96x96/eager/cpu-t2")
    other = replace(small, id=f"resnet18?num_classes=5/{WORK}/eager/cpu-t2")
    trained = replace(small, id="resnet18/training-b1-3x224x224/eager/cpu-t2")
    foreign = replace(small, id=f"my.nets%3Atiny/{WORK}/eager/cpu-t2")

    quantised = replace(small, id=f"resnet18/{WORK}/openvino+int8/cpu-t2")

    assert answers.candidates(of(small, other, trained, foreign, quantised)) == {}


def test_a_wrong_output_is_no_candidate_and_no_best_mode() -> None:
    check = Check("wrong", 0.5, 0.5, 0.2, "relative error 0.5")
    found = of(named("resnet18", "eager", 10), named("resnet18", "amp=bf16", 1, check=check),
               named("resnet18", "compile", 8))  # fmt: skip

    (some,) = answers.candidates(found).values()
    (best,) = answers.best_modes(found)

    assert {one.entry.record.spec.mode.text for one in some} == {"eager", "compile"}
    assert (best.entry.record.spec.mode.text, best.sure, best.tried) == ("compile", True, 2)


def test_where_nothing_is_clearly_faster_eager_stays_and_the_sentence_says_that_it_is_open(
    eager, noisy
) -> None:
    (best,) = answers.best_modes(of(eager, noisy))

    assert best.entry.record.spec.mode.text == "eager"
    assert not best.sure
    assert best.equal == "channels_last"
    (text,) = (one.text for one in conclusions(of(eager, noisy)) if "clear diff" in one.text)
    assert text.startswith("lenet (batch 8): there is no clear difference between plain eager and")


def test_one_round_is_called_not_repeated_rather_than_no_difference(eager, twice_as_fast) -> None:
    once = [replace(one, runs=one.runs[:1]) for one in (eager, twice_as_fast)]
    other = [replace(one, id=one.id.replace("lenet", "alexnet")) for one in once]
    more = [replace(one, id=one.id.replace("-b8-", f"-b{n}-")) for n in range(1, 6) for one in once]

    few, many = (
        [one.text for one in conclusions(of(*some))] for some in (once, once + other + more)
    )

    reason = "modes were measured in one round only, which cannot show a difference"
    assert f"lenet (batch 8): {reason}; channels_last is 2.00x as fast as eager." in few
    assert f"In 7 of 7 workloads {reason}." in many


def test_a_loose_mode_is_never_best_and_never_a_candidate_but_named() -> None:
    loose = Check("loose", 0.1, 0.1, 0.9, "relative error 0.1")
    found = of(named("resnet18", "eager", 10), named("resnet18", "amp=bf16", 1, check=loose),
               named("resnet18", "compile", 8), named("resnet50", "eager", 20))  # fmt: skip

    (best,) = answers.best_modes(found)
    (some,) = answers.candidates(found).values()

    assert best.entry.record.spec.mode.text == "compile"
    assert {one.entry.record.spec.mode.text for one in some} == {"eager", "compile"}
    assert any(
        one.text.endswith("; amp=bf16 would be faster, but its output is loose.")
        for one in conclusions(found)
    )


def test_where_eager_is_fastest_that_is_the_answer(eager) -> None:
    slow = made.record(made.CHANNELS_LAST, [[20, 20, 20]] * 3)

    found = of(eager, slow)

    (best,) = answers.best_modes(found)
    assert best.entry.record.spec.mode.text == "eager"
    assert f"lenet (batch 8): {SLOWER}." in [one.text for one in conclusions(found)]


def test_many_workloads_are_counted_instead_of_listed() -> None:
    records = [
        named(f"net{index}", mode, time)
        for index in range(9)
        for mode, time in (("eager", 10), ("compile", 5 if index < 7 else 12))
    ]

    texts = [one.text for one in conclusions(of(*records))]

    assert ("A mode is clearly faster than plain eager in 7 of 9 workloads, by 2.00x in the median."
            " Best mode: compile (7).") in texts  # fmt: skip
    assert f"In 2 of 9 workloads {SLOWER}." in texts


def test_failures_wrong_outputs_and_the_environment_are_said(eager, wrong) -> None:
    failed = made.failed(made.CHANNELS_LAST, kind="out_of_memory")
    marked = {one.text: one.mark for one in conclusions(of(eager, wrong, failed))}

    assert marked["1 spec failed: 1 out_of_memory."] == "bad"
    assert marked["The output of 1 spec is wrong: amp=bf16 (1)."] == "bad"
    assert any(text.startswith("There is no C++ compiler") for text in marked)


def test_made_up_numbers_and_nothing_at_all_are_said_first(eager) -> None:
    environment = replace(made.ENVIRONMENT, hard={**made.ENVIRONMENT.hard, "fake": True})
    (entry,) = of(eager)

    assert conclusions([replace(entry, environment=environment)])[0].mark == "bad"
    assert [one.text for one in conclusions([])] == ["There are no records to show."]


def test_entries_of_two_runs_do_not_share_a_front(tmp_path) -> None:
    one, two = named("resnet18", "eager", 5), named("resnet50", "eager", 20)

    found = [*of(one, run="a"), *of(two, run="b")]

    assert len(answers.candidates(found)) == 2
    assert entries([StoredRun(tmp_path, None, made.ENVIRONMENT, ())]) == []  # type: ignore[arg-type]


def test_sentences_say_which_of_two_alike_workloads_they_are_about() -> None:
    texts = [one.text for one in conclusions(trained())]

    assert any(
        one.startswith("lenet (batch 8, optimizer momentum): channels_last is the best")
        for one in texts
    )
    assert f"lenet (batch 8, optimizer adamw): {SLOWER}." in texts


def test_workloads_are_named_by_what_tells_them_apart() -> None:
    found = trained()
    other = of(named("lenet", "eager", 10))

    assert {answers.names(found)(one) for one in found} == {
        "lenet, optimizer momentum",
        "lenet, optimizer adamw",
    }
    assert {answers.names([*found, *other])(one) for one in found} == {
        "lenet, training, optimizer momentum, batch 8, 3x32x32",
        "lenet, training, optimizer adamw, batch 8, 3x32x32",
    }  # fmt: skip
    assert len({one.setting for one in found}) == 2


def test_a_substitute_is_no_mode_of_the_layer_nor_its_own_best() -> None:
    records = [
        made.record(f"conv:k64-3x3{tail}/inference-b1-64x8x8/{mode}/cpu-t1", [[time] * 3] * 3)
        for tail, mode, time in (
            ("", "eager", 8), ("", "channels_last", 4),
            ("~ghost", "eager", 2), ("~ghost", "channels_last", 3),
        )
    ]  # fmt: skip

    (best,) = answers.best_modes(of(*records))

    assert best.entry.record.id == records[1].id


def test_ways_that_do_not_apply_are_no_failures() -> None:
    refused = made.failed("conv:k64-3x3/inference-b1-64x8x8/impl=fft/cpu-t1", "no", "unsupported")

    texts = [one.text for one in conclusions(of(refused))]

    assert "Left out because an implementation does not apply: 1 spec." in texts
    assert not any("failed" in text for text in texts)


def test_a_run_named_twice_is_not_told_apart_from_itself(eager, twice_as_fast) -> None:
    (best,) = answers.best_modes([*of(eager, twice_as_fast), *of(eager, twice_as_fast)])

    assert (best.tried, best.equal) == (2, "")


def test_a_mode_is_answered_over_all_workloads() -> None:
    def twice(model: str, *times: float, **more):
        own = [[time] * 3 for time in times]
        eager = made.record(f"{model}/{WORK}/eager/cpu-t2", [[10] * 3] * len(own), ensemble=model)
        other = made.record(f"{model}/{WORK}/compile/cpu-t2", own, ensemble=model, **more)
        return eager, other

    loose = Check("loose", 0.5, 0.5, 0.2, "relative error 0.5")
    found = of(*twice("resnet18", 5, 5, 5), *twice("resnet34", 20, 20, 20),
               *twice("resnet50", 10, 10.01, 10), *twice("vgg11", 9, 10, 11),
               *twice("vgg13", 5), *twice("vgg16", 1, 1, 1, check=loose))  # fmt: skip
    (answer,) = answers.by_mode(found)

    assert answer.mode == "compile"
    assert [
        [one.record.spec.workload.model for one in some]
        for some in (answer.faster, answer.slower, answer.level, answer.unclear, answer.once,
                     answer.unfit)
    ] == [["resnet18"], ["resnet34"], ["resnet50"], ["vgg11"], ["vgg13"], ["vgg16"]]  # fmt: skip
    assert [one.text for one in conclusions(found) if one.text.startswith("compile:")] == [
        "compile: faster in 1, slower in 1, no gain in 1 of 6 workloads, 1.00x in the median of"
        " those repeated; cannot tell: no clear difference in 1, not repeated in 1; output wrong or"
        " loose in 1; outputs equal."
    ]


def test_the_error_of_a_mode_is_the_largest_of_all_processes() -> None:
    plain, other = (made.record(name, [[time]] * 3) for name, time in
                    ((made.EAGER, 10), (made.CHANNELS_LAST, 5)))  # fmt: skip
    errors = (1e-7, 3e-6, 2e-7)
    runs = tuple(replace(run, check=Check("ok", error))
                 for run, error in zip(other.runs, errors, strict=True))  # fmt: skip

    (found,) = answers.by_mode(of(plain, replace(other, runs=runs)))

    assert found.error == 3e-6
