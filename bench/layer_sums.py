"""Whether tables of layers and operators add up to the network: the catalogue and a share of timm.

``python -m bench.layer_sums DIR [--timm N] [--models NAME,…] [--limit SECONDS]`` counts every
architecture of the catalogue and N evenly spread names of timm on meta, in inference and in
training at batch 2, and adds up the tables of layers at every depth and the table of operators: all
columns that are counts, forward and backward. Nothing is timed.

Writes ``sums.jsonl`` (a line per name and phase; a second call goes on where the first ended, and
tries again what took too long) and ``report.md``.
"""

from __future__ import annotations

import argparse
import gc
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch

from bench.timm_counts import TooSlow, said, within
from cnnbench import architectures, catalogue
from cnnbench.analysis import layers
from cnnbench.costs import adding_up
from cnnbench.spec import Workload
from cnnbench.worker import build

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.analysis import Analysis
    from cnnbench.costs import LayerRow
    from cnnbench.spec import Phase

PHASES: tuple[Phase, ...] = ("inference", "training")
COLUMNS = ("calls", "macs", "bias_adds", "read_bytes", "written_bytes", "elementwise_flops")


def tables(found: Analysis) -> Iterator[str]:
    """A line per table: empty, or which column does not add up and by how much."""
    rows = found.layers
    for depth in (None, *range(max(row.depth for row in rows) + 2)):
        yield ", ".join(_differences(found, adding_up(rows, depth), depth))
    yield ", ".join(_operators(found))


def _differences(found: Analysis, rows: Sequence[LayerRow], depth: int | None) -> Iterator[str]:
    if len({row.name for row in rows}) < len(rows):
        yield f"depth {depth}: a name stands twice"
    if (params := sum(row.params for row in rows)) != found.params:
        yield f"depth {depth}: params {params} of {found.params}"
    sides = [("forward", found.forward, [row.totals for row in rows])]
    if found.backward is not None:
        sides.append(("backward", found.backward, [row.backward for row in rows]))
    for side, whole, parts in sides:
        for name in COLUMNS:
            total = sum(getattr(part, name) for part in parts)
            if total != getattr(whole, name):
                yield f"depth {depth}: {side} {name} {total} of {getattr(whole, name)}"


def _operators(found: Analysis) -> Iterator[str]:
    ops = [op for op in found.ops if op.kind != "view"]
    sides = [one for one in (found.forward, found.backward) if one is not None]
    if len(ops) != sum(side.calls for side in sides):
        yield f"operators: calls {len(ops)} of {sum(side.calls for side in sides)}"
    for name in COLUMNS[1:]:
        total, whole = sum(getattr(op, name) for op in ops), sum(getattr(s, name) for s in sides)
        if total != whole:
            yield f"operators: {name} {total} of {whole}"


def counted(name: str, phase: Phase) -> Analysis:
    """As a run counts it: on meta, or on real tensors where values decide (losses of detectors)."""
    architecture = architectures.resolve(name)
    return build.counted(Workload(name, 2, architecture.input, phase=phase), 0)


def checked(name: str, phase: Phase, limit: float) -> dict[str, Any]:
    """The number of tables of a network in a phase, and those that do not add up."""
    row: dict[str, Any] = {"model": name, "phase": phase}
    try:
        with within(limit):
            lines = list(tables(counted(name, phase)))
    except TooSlow:
        return row | {"failed": f"took longer than {limit:.0f} s"}
    except Exception as error:  # noqa: BLE001 - a network need not run in every phase
        return row | {"failed": said(error)}
    return row | {"tables": len(lines), "wrong": [line for line in lines if line]}


def report(found: list[dict[str, Any]]) -> str:
    """How many tables there are, and every one that does not add up."""
    good = [row for row in found if "tables" in row]
    wrong = [(row, line) for row in good for line in row["wrong"]]
    phases = [f"{sum(row['phase'] == one for row in good)} in {one}" for one in PHASES]
    lines = [
        "# Tables whose rows add up", "",
        f"torch {torch.__version__}, batch 2: {sum(row['tables'] for row in good):,} tables of"
        f" {len({row['model'] for row in good})} networks (leaves, every depth, operators;"
        f" {', '.join(phases)}):"
        f" {len(wrong)} do not add up to the network in params and, forward and backward, in"
        f" {', '.join(COLUMNS)}.", "",
        "Wrong:", "",
        *([f"- {row['model']}, {row['phase']}: {line}" for row, line in wrong] or ["- none"]), "",
        "Not counted:", "",
        *([f"- {row['model']}, {row['phase']}: {row['failed']}" for row in found if "failed" in row]
          or ["- none"]), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _names(timm_names: int) -> list[str]:
    import timm

    theirs = timm.list_models()
    some = [f"timm:{theirs[i * len(theirs) // timm_names]}" for i in range(timm_names)]
    # Those that have to run, to train, need the most arithmetic.
    own = sorted(catalogue.entries(), key=lambda one: one.macs)
    return [*(one.name for one in own), *some]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--timm", type=int, default=100, help="names of timm")
    parser.add_argument("--models", default="", help="these instead of all")
    parser.add_argument("--limit", type=float, default=120, help="seconds of a network and phase")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    gc.freeze()
    path = given.folder / "sums.jsonl"
    kept = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    kept = [row for row in kept if not row.get("failed", "").startswith("took longer")]
    done = {(row["model"], row["phase"]) for row in kept}
    names = given.models.split(",") if given.models else _names(given.timm)
    # Receptive fields are not asked about, and take most of the time.
    with (
        path.open("a", encoding="utf8") as file,
        mock.patch.object(layers.receptive, "follow", lambda rows, *_: ([None] * len(rows), {})),
    ):
        for name, phase in ((name, phase) for name in names for phase in PHASES):
            if (name, phase) in done:
                continue
            new = checked(name, phase, given.limit)
            kept.append(new)
            file.write(json.dumps(new) + "\n")
            file.flush()
            print(*new.values(), flush=True)
    (given.folder / "report.md").write_text(report(kept), encoding="utf8")


if __name__ == "__main__":
    main()
