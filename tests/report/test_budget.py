"""What fits a budget: the best, the front, what is left out, and what that would have changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cnnbench import units
from cnnbench.facts import Check
from cnnbench.record import Memory
from cnnbench.report import budget, conclusions
from cnnbench.report.budget import Budget
from tests import made
from tests.report.conftest import WORK, named, of
from tests.report.test_times import waiting

MIB = 1 << 20


def texts(found, **limits) -> list[str]:
    return [one.text for one in conclusions.brief(found, Budget(**limits))]


def modes(found) -> list[str]:
    return [entry.record.spec.mode.text for entry in found]


def models(found) -> list[str]:
    return [entry.record.spec.workload.model for entry in found]


def once(model: str, milliseconds: float, mode: str = "eager"):
    return made.record(f"{model}/{WORK}/{mode}/cpu-t2", [[milliseconds] * 3])


# resnet18 69.8 %, resnet50 80.9 %, mobilenet_v2 72.2 %, vgg11 69.0 %


def test_the_best_is_the_most_accurate_that_fits_and_the_front_is_faster() -> None:
    found = of(named("resnet18", "eager", 9), named("resnet50", "eager", 30),
               named("mobilenet_v2", "eager", 12), named("vgg11", "eager", 15))  # fmt: skip
    (fit,) = budget.fits(found, Budget(seconds=0.020))

    assert fit.best is fit.fitting[0]
    assert models(fit.fitting) == ["mobilenet_v2", "resnet18", "vgg11"]
    assert models(fit.front) == ["mobilenet_v2", "resnet18"]
    assert texts(found, seconds=0.020)[:2] == [
        "Under 20.0 ms: mobilenet_v2 in eager (72.2 %, 12.0 ms, 3.00 MiB) is the most accurate of 3"
        " that fit.",
        "Faster, but less accurate: resnet18 in eager (69.8 %, 9.00 ms, 3.00 MiB).",
    ]


def test_every_limit_counts() -> None:
    small, large = Memory(cpu_peak_bytes=10 * MIB), Memory(cpu_peak_bytes=500 * MIB)
    found = of(named("resnet18", "eager", 9, memory=small),
               named("mobilenet_v2", "eager", 12, memory=large))  # fmt: skip

    (fit,) = budget.fits(found, Budget(memory=100 * MIB))
    assert models(fit.fitting) == ["resnet18"]
    (fit,) = budget.fits(found, Budget(top1=70))
    assert models(fit.fitting) == ["mobilenet_v2"]
    (fit,) = budget.fits(found, Budget(memory=100 * MIB, top1=70))
    assert fit.best is None
    assert fit.nearest is found[0]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (once("resnet50", 10), "one round only"),
        (named("resnet50", "eager", 10, check=Check("wrong", 1, 1, 0, "wrong")),
         "output wrong"),
        (named("lenet", "eager", 10), "no top-1 known"),
        (waiting(f"resnet50/{WORK}/eager/cpu-t2", 0.5), "disturbed"),
    ],
)  # fmt: skip
def test_what_is_left_out_says_why(other, why) -> None:
    (fit,) = budget.fits(of(named("resnet18", "eager", 9), other), Budget(seconds=0.020))

    assert models(fit.fitting) == ["resnet18"]
    assert {name: len(some) for name, some in fit.left_out.items()} == {why: 1}


def test_what_one_more_round_may_change_is_said() -> None:
    found = of(named("resnet18", "eager", 9), once("resnet50", 10))

    said = texts(found, seconds=0.020)

    assert (
        "resnet50 in eager (80.9 %, 10.0 ms, 3.00 MiB) would be better, but is of one round, which"
        " has no interval."
    ) in said
    assert "Left out although their known figures fit: one round only (1 network)." in said
    # What would not be better changes nothing.
    worse = of(named("resnet50", "eager", 9), once("resnet18", 10))
    assert not any("would be better" in text for text in texts(worse, seconds=0.020))


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (20e6, "in 20 MB"),
        (10 * MIB, "in 10 MiB"),
        (1.5e9, "in 1.5 GB"),
        (123_456_789, "in 118 MiB"),
    ],
)
def test_a_limit_is_repeated_in_the_unit_that_it_was_given_in(size: float, said: str) -> None:
    assert Budget(memory=size).text == said


def test_the_most_accurate_is_named_in_the_mode_that_a_budget_names() -> None:
    # compile seems a little faster, but not clearly: eager stays, here and there.
    times = [[9] * 3, [10] * 3, [10.9] * 3]
    compiled = made.record(f"resnet50/{WORK}/compile/cpu-t2", times, ensemble="resnet50")
    found = of(named("resnet50", "eager", 10), compiled, named("resnet18", "eager", 9.995))

    (line,) = [one.text for one in conclusions.conclusions(found) if "most accurate" in one.text]
    assert "resnet50 in eager" in line
    assert any("resnet50 in eager" in text for text in texts(found, top1=75))


def test_networks_are_left_out_and_not_their_rows() -> None:
    modes = ("eager", "compile", "channels_last")
    unknown = [named(name, mode, 9) for name in ("lenet", "cifar_cnn") for mode in modes]
    partly = [named("resnet18", "eager", 9), once("resnet18", 8, "compile")]

    said = texts(of(*unknown, *partly), seconds=0.020)
    alone = texts(of(once("lenet", 9), once("lenet", 8, "compile")), seconds=0.020)

    assert "Left out although their known figures fit: no top-1 known (2 networks)." in said
    assert "Left out although their known figures fit: one round only (2 modes)." in alone
    slow = texts(of(*unknown[:3], named("resnet18", "eager", 90)), seconds=0.020)
    assert "Left out although their known figures fit: no top-1 known (1 network)." in slow


def test_the_mode_is_the_one_to_use_and_a_faster_one_only_where_that_does_not_fit() -> None:
    # compile seems a little faster, but not clearly: eager stays.
    level = [named("resnet18", "eager", 10), named("resnet18", "compile", 9.99)]
    gain = [named("resnet50", "eager", 30), named("resnet50", "compile", 15)]

    (fit,) = budget.fits(of(*level, *gain), Budget(seconds=0.020))

    assert models(fit.fitting) == ["resnet50", "resnet18"]
    assert modes(fit.fitting)[0] == "compile"


def test_a_mode_that_surely_fits_goes_before_one_whose_interval_does_not() -> None:
    wide = made.record(f"resnet18/{WORK}/eager/cpu-t2", [[12] * 3, [19] * 3, [30] * 3])
    narrow = named("resnet18", "compile", 18)

    (fit,) = budget.fits(of(wide, narrow), Budget(seconds=0.020))

    assert modes(fit.fitting) == ["compile"]


def test_whatever_may_exceed_the_limit_is_named_with_the_end_of_its_interval() -> None:
    wide = made.record(f"resnet18/{WORK}/eager/cpu-t2", [[18] * 3, [19] * 3, [20] * 3])
    near = made.record(f"vgg11/{WORK}/eager/cpu-t2", [[12] * 3, [13] * 3, [14] * 3])
    found = of(named("mobilenet_v2", "eager", 19.5), wide, near)
    (fit,) = budget.fits(found, Budget(seconds=0.020))
    (high,) = [one.latency.high for one in found if one.record is wide]

    assert models(fit.fitting) == ["mobilenet_v2", "resnet18", "vgg11"]
    assert (
        f"Not clearly under 20.0 ms: resnet18 in eager (interval up to {units.seconds(high)})."
    ) in texts(found, seconds=0.020)
    assert not any("Not clearly" in text for text in texts(found, seconds=0.030))
    # Of the best it is said where it is named.
    said = texts(of(wide, near), seconds=0.020)
    assert "though its interval reaches" in said[0]
    assert not any("Not clearly" in text for text in said)


def test_one_network_needs_no_top1() -> None:
    found = of(named("lenet", "eager", 9), named("lenet", "compile", 4))

    (fit,) = budget.fits(found, Budget(seconds=0.020))

    assert modes(fit.fitting) == ["compile"]
    assert texts(found, seconds=0.020)[0] == (
        "Under 20.0 ms: lenet in compile (4.00 ms, 3.00 MiB) is the only one that fits."
    )


def test_nothing_that_fits_names_the_nearest() -> None:
    found = of(named("resnet18", "eager", 9), named("resnet50", "eager", 30))

    assert texts(found, seconds=0.005)[0] == (
        "Under 5.00 ms: nothing that was reliably measured fits; the nearest is resnet18 in eager"
        " (69.8 %, 9.00 ms, 3.00 MiB)."
    )


def test_where_all_is_in_doubt_the_nearest_is_named_with_its_doubt() -> None:
    found = of(once("resnet18", 30), waiting(f"resnet50/{WORK}/eager/cpu-t2", 0.5))
    nearest = min(found, key=lambda one: one.latency.point)
    (fit,) = budget.fits(found, Budget(seconds=1e-4))

    assert fit.nearest is nearest
    assert nearest.flaw.said
    said = texts(found, seconds=1e-4)[0]
    assert said.startswith("Under 100 µs: nothing that was reliably measured fits; the nearest is ")
    assert said.endswith(f"), {nearest.flaw.said}.")
    # A wrong answer is near nothing, and what seems to fit is named for itself.
    wrong = named("resnet50", "eager", 10, check=Check("wrong", 1, 1, 0, "wrong"))
    assert texts(of(wrong), seconds=0.001)[0].endswith("reliably measured fits.")
    (fit,) = budget.fits(of(once("resnet18", 30), once("resnet50", 300)), Budget(seconds=0.1))
    assert fit.nearest is None


def test_settings_are_answered_apart() -> None:
    one = named("resnet18", "eager", 9)
    large = replace(one, id=one.id.replace("-b1-", "-b8-"))

    assert len(budget.fits(of(one, large), Budget(seconds=1))) == 2
