"""Tables and the plot of gradients: one network, several, and what has none."""

from __future__ import annotations

from cnnbench.gradients import Gradients, LayerGradient
from cnnbench.report import gradients, render


def network(name: str, *norms: float) -> Gradients:
    layers = tuple(
        LayerGradient(f"conv{n}", "Conv2d", 9, norm, 2.0 * n) for n, norm in enumerate(norms)
    )
    return Gradients(name, 8, 0, (3, 32, 32), "cross entropy", layers)


PLAIN, TWIN = network("plain", 8.0, 2.0, 0.5), network("twin", 1.0, 0.5)


def test_one_network_has_its_layers_and_a_norm_relative_to_weights() -> None:
    table = gradients.layers([PLAIN])

    assert [column.name for column in table.columns][:2] == ["number", "layer"]
    assert [row[-3:] for row in table.rows] == [
        (8.0, 0.0, None),
        (2.0, 2.0, 1.0),
        (0.5, 4.0, 0.125),
    ]
    assert table.notes == ("plain: 3 layers; the largest gradient is 16.0 times the smallest",)


def test_several_networks_stand_side_by_side_and_a_shorter_one_ends_earlier() -> None:
    table = gradients.layers([PLAIN, TWIN])

    assert [column.title for column in table.columns] == ["#", "plain", "twin"]
    assert table.rows == ((1, 8.0, 1.0), (2, 2.0, 0.5), (3, 0.5, None))
    assert "input 3x32x32, batch 8, seed 0, loss cross entropy" in table.captions[1]
    assert max(map(len, render(table, "table", 80).splitlines())) <= 80


def test_machines_get_a_row_per_network_and_layer() -> None:
    table = gradients.tidy([PLAIN, TWIN])

    assert [row[:3] for row in table.rows][2:4] == [("plain", 3, "conv2"), ("twin", 1, "conv0")]
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_a_gradient_of_zero_is_no_smallest_one_and_has_no_place_in_the_plot() -> None:
    dead = network("dead", 0.0, 4.0, 2.0)

    assert dead.span == 2.0
    assert [(one.x, one.y) for one in gradients.plot([dead, TWIN]).points] == [
        (2, 4.0), (3, 2.0), (1, 1.0), (2, 0.5),
    ]  # fmt: skip
    assert gradients.layers([network("none", 0.0)]).notes == ("none: every gradient is zero",)
