"""The output of ``conv`` and ``report --lab``, and the extra files of a run of the lab.

``layers.json`` holds the convolutions of the model that was taken apart, over many hosts beside the
runs of all; ``applied/`` the run in which the changed model was measured.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cnnbench import files, store
from cnnbench.cli.output import keep, width
from cnnbench.codec import decode, encode
from cnnbench.conv.layers import Extraction
from cnnbench.conv.network import changes, networks, outcomes
from cnnbench.errors import StoreError
from cnnbench.report import lab, network
from cnnbench.runner.cluster import directory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cnnbench.conv.network import Network, NetworkOutcome
    from cnnbench.report.table import Table
    from cnnbench.store import StoredRun

LAYERS, APPLIED = "layers.json", "applied"


def keep_layers(path: Path, model: str, found: Extraction) -> None:
    """Keep which layers a model has, and how often, in a run's directory, or a campaign's."""
    keep(json.dumps({"model": model, "extraction": encode(found)}, indent=1) + "\n", path / LAYERS)


def found_networks(run: StoredRun) -> tuple[Network, ...]:
    """The model whose layers a run measured; none if it was given layers.

    Raises:
        StoreError: the file of its layers cannot be read.
    """
    path = run.path / LAYERS
    if not path.exists() and directory.holds(run.path.parent):
        path = run.path.parent / LAYERS
    if not path.exists():
        return ()
    try:
        data: Any = json.loads(files.read_text(path))
        model, extraction = data["model"], decode(Extraction, data["extraction"])
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{path}: not a list of layers ({error})") from error
    return networks(run.records, model, extraction, lab.benches([run]))


def text(runs: Sequence[StoredRun], kind: str) -> str:
    """The whole report of the convolution lab on some runs, in a format.

    People get one for each environment.
    """
    kinds: dict[str, list[StoredRun]] = {}
    for run in runs:
        kinds.setdefault(run.environment.fingerprint, []).append(run)
    if kind not in ("csv", "json") and len(kinds) > 1:
        return "\n".join(text(some, kind) for some in kinds.values())
    found = [(one, _outcomes(run, one)) for run in runs for one in found_networks(run)]
    if kind == "json":
        return lab.to_json(runs, [network.to_dict(*pair) for pair in found])
    return lab.to_text(runs, kind, [table for pair in found for table in _tables(*pair)], width())


def _outcomes(run: StoredRun, one: Network) -> tuple[NetworkOutcome, ...]:
    """The outcomes of ``--apply``; empty if it was not used."""
    applied = run.path / APPLIED
    records = store.read(applied).records if applied.exists() else ()
    return outcomes(one, changes(one), records) if records else ()


def _tables(one: Network, done: tuple[NetworkOutcome, ...]) -> list[Table]:
    return [network.shares(one), *([network.outcomes(one, done)] if done else [])]
