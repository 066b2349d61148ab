"""Names beside marks: all placed, none on another, at every width."""

from __future__ import annotations

import itertools
import random

import pytest

from cnnbench.report.page.labels import PlotName, place

WIDTHS = (840.0, 1000.0, 1250.0)


def frame(one: PlotName, spot, width: float):
    x, y = one.across * width + spot.right, one.down + spot.down
    return x - one.wide / 2, y - 6.5, x + one.wide / 2, y + 6.5


def overlaps(names, spots, width: float) -> int:
    frames = [frame(*pair, width) for pair in zip(names, spots, strict=True)]
    return sum(
        a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
        for a, b in itertools.combinations(frames, 2)
    )


def a_front(count: int) -> list[PlotName]:
    """A steep front, as crowded as that of two hundred networks."""
    dice = random.Random(0)
    xs = sorted(dice.random() ** 2 for _ in range(count))
    return [
        PlotName(
            0.05 + 0.9 * x, 480 - 400 * x**0.4, f"some_network_v{n}_large"[: dice.randint(8, 23)]
        )
        for n, x in enumerate(xs)
    ]


@pytest.mark.parametrize("count", [1, 2, 12, 30])
def test_no_name_lies_on_another_at_any_width_nor_outside(count: int) -> None:
    names = a_front(count)

    spots = place(names, WIDTHS, 520)

    assert len(spots) == count
    for width in (*WIDTHS, 920.0, 1100.0):
        assert overlaps(names, spots, width) == 0
        for one, spot in zip(names, spots, strict=True):
            left, top, right, bottom = frame(one, spot, width)
            assert left >= 0
            assert right <= width
            assert 0 <= top < bottom <= 520


def test_a_mark_by_itself_has_its_name_at_its_left_without_a_line() -> None:
    (spot,) = place([PlotName(0.5, 100, "resnet18")], WIDTHS, 500)

    assert spot.right < 0
    assert not spot.far


def test_where_there_is_no_room_at_all_there_is_a_name_all_the_same() -> None:
    names = [PlotName(0.5, 10, "x" * 200)] * 3

    assert len(place(names, (300.0,), 20)) == 3
