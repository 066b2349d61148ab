"""A cost in Python: a short text, the same as HTML, rows for a data frame, torchinfo's footer.

For notebooks, where the values live on the torch side, which may not import the report.
"""

from __future__ import annotations

import html
import itertools
import textwrap
from typing import TYPE_CHECKING, Any

from cnnbench import units
from cnnbench.costs import adding_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cnnbench.costs import CostTotals, LayerRow

# Whatever the network, below 2,000 characters in all: there are fewer rows where names are long.
_ROWS, _CHARACTERS = 10, 700
_HEADINGS = ("layer", "type", "output", "params", "MACs", "share")
# Of texts one below the other; a longer name has a line of its own. The columns that yield first.
_LINE, _NAME, _YIELDING = 80, 28, ("type", "output")
# Things that are listed, and characters of a sentence.
_LISTED, _SENTENCE = 5, 240


def records(one: CostTotals, layers: Sequence[LayerRow], depth: int | None) -> list[dict[str, Any]]:
    """Rows that add up, a plain value per column, every count raw."""
    trains = one.backward is not None
    return [_record(row, one.forward.macs, trains=trains) for row in adding_up(layers, depth)]


def _record(row: LayerRow, macs: int, *, trains: bool) -> dict[str, Any]:
    backward = row.backward if trains else None
    return {
        "name": row.name,
        "type": row.type,
        "depth": row.depth,
        "calls": row.calls,
        "input": row.input,
        "output": row.output,
        "params": row.params,
        "macs": row.totals.macs,
        "share": row.share(macs),
        "flops": row.totals.flops,
        "mult_adds": row.totals.mult_adds,
        "elementwise_flops": row.totals.elementwise_flops,
        "read_bytes": row.totals.read_bytes,
        "written_bytes": row.totals.written_bytes,
        "backward_macs": backward and backward.macs,
        "backward_read_bytes": backward and backward.read_bytes,
        "backward_written_bytes": backward and backward.written_bytes,
        "activation_bytes": row.activation_bytes,
    }


def text(one: CostTotals, layers: Sequence[LayerRow]) -> str:
    """Totals and the main parts of the network, in fewer than 2,000 characters."""
    head = [line for said in _head(one) for line in _wrapped(said)]
    return "\n".join([*head, "", *_laid_out(_cells(one, layers))])


def as_html(one: CostTotals, layers: Sequence[LayerRow]) -> str:
    """The same as a table."""
    head = "<br>".join(html.escape(line) for line in _head(one))
    rows = [_html_row(_HEADINGS, "th"), *(_html_row(row, "td") for row in _cells(one, layers))]
    return f"<div>{head}<table>{''.join(rows)}</table></div>"


def _html_row(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _head(one: CostTotals) -> list[str]:
    shapes = _listed([units.shape(shape) for shape in one.input])
    macs = f"{units.count(one.macs)} MACs ({units.count(one.inference.flops)} FLOPs)"
    if one.forward_macs is not None and one.training_macs is not None:
        macs += (
            f" in inference, {units.count(one.training_macs)} MACs per training step,"
            f" {units.count(one.forward_macs)} of them forward"
        )
    memory = one.memory
    lines = [
        f"{one.name}, {one.phase}, mode {one.mode}, batch {one.batch}, input {shapes}",
        f"{units.count(one.params)} params, {units.count(one.trainable_params)} trainable"
        + (f": {one.trained}" if one.trained else ""),
        macs,
        f"memory peak {units.size(memory.peak)}: params {units.size(memory.params)},"
        f" activations {units.size(memory.activations)}",
    ]
    if one.uncounted:
        lines.append(f"totals may be too low; operators without a rule: {_counts(one.uncounted)}")
    return lines + [
        textwrap.shorten(said, _SENTENCE, placeholder=" …") for said in one.assumptions[:2]
    ]


def _counts(counts: Mapping[str, int]) -> str:
    return _listed([f"{name} x{count}" for name, count in counts.items()])


def _listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = len(names) - _LISTED
    return ", ".join([*names[:_LISTED], *([f"and {more} more"] if more > 0 else [])])


def _cells(one: CostTotals, layers: Sequence[LayerRow]) -> list[tuple[str, ...]]:
    """The first level that shows several parts; what does not fit is said."""
    deepest = max((row.depth for row in layers), default=0)
    levels = (adding_up(layers, depth) for depth in range(1, deepest + 1))
    rows = next((rows for rows in levels if len(rows) > 2), adding_up(layers))
    lines: list[tuple[str, ...]] = []
    for row in rows[:_ROWS]:
        cells = (
            row.name, row.type, units.shape(row.output or ()), units.count(row.params),
            units.count(row.totals.macs), units.percent(row.share(one.forward.macs)),
        )  # fmt: skip
        if lines and sum(map(len, (*itertools.chain(*lines), *cells))) > _CHARACTERS:
            break
        lines.append(cells)
    rest = len(rows) - len(lines)
    return [*lines, (f"and {units.number(rest, 'row')} more",)] if rest else lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, _LINE, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _laid_out(rows: Sequence[Sequence[str]]) -> list[str]:
    """Texts to the left, numbers to the right; nothing is cut, but a column may be left out."""
    kept = list(_HEADINGS)
    for name in (*_YIELDING, ""):
        table = [_HEADINGS, *rows]
        widths = {of: _width([row[n] for row in table if len(row) > 1], n)
                  for n, of in enumerate(_HEADINGS) if of in kept}  # fmt: skip
        if not name or sum(widths.values()) + 2 * len(widths) - 2 <= _LINE:
            break
        kept.remove(name)
    lines = [line for row in table for line in _lines(row, widths)]
    gone = [name for name in _HEADINGS if name not in kept]
    return [*lines, *([f"not shown: {', '.join(gone)}"] if gone else [])]


def _width(texts: Sequence[str], place: int) -> int:
    longest = max(map(len, texts))
    return min(longest, _NAME) if place == 0 else longest


def _lines(row: Sequence[str], widths: Mapping[str, int]) -> list[str]:
    if len(row) == 1 or len(row[0]) > widths[_HEADINGS[0]]:
        return [row[0], *(_lines(("", *row[1:]), widths) if len(row) > 1 else ())]
    cells = dict(zip(_HEADINGS, row, strict=True))
    padded = [
        cells[name].ljust(width) if name in _HEADINGS[:3] else cells[name].rjust(width)
        for name, width in widths.items()
    ]
    return ["  ".join(padded).rstrip()]


def footer(one: CostTotals, layers: Sequence[LayerRow]) -> tuple[str, ...]:
    """The sizes below torchinfo's table, by its rules and in its megabytes (10^6 bytes).

    Source: torchinfo 1.8, ``model_statistics.py``.
    """
    outputs = sum(row.activation_bytes * row.calls for row in layers if row.leaf and row.params)
    given, params = one.memory.input, one.memory.params
    return (
        f"Input size (MB): {units.megabytes(given)}",
        f"Forward/backward pass size (MB): {units.megabytes(2 * outputs)}",
        f"Params size (MB): {units.megabytes(params)}",
        f"Estimated Total Size (MB): {units.megabytes(given + 2 * outputs + params)}",
        "the pass size is twice the outputs of layers with parameters, as torchinfo adds them up,"
        f" and no peak: {one.phase} is predicted to need {units.size(one.memory.peak)}",
    )
