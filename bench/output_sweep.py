"""Whether the output check is wrong about networks without a fault: all architectures, CPU modes.

``python -m bench.output_sweep DIR [--models NAME,…] [--modes MODE,…] [--most-macs N]`` asks the
check of ``cnnbench run`` about every architecture of the catalogue in every mode: the same weights,
pictures, reference and limits. Nothing is timed, so it may run beside other work.

Every network has a process of its own, which may die or take too long; then its row says so.
Networks with more multiply-accumulates than ``--most-macs`` are given smaller pictures, and the
report says which. Writes ``sweep.jsonl`` (a line per network and mode; a second call goes on where
the first ended) and ``sweep.md``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cnnbench import catalogue, units
from cnnbench.codec import encode
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, checking, modes
from cnnbench.worker import reference as references

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.connection import Connection

    from cnnbench.catalogue import CatalogueEntry

MODES = "eager,channels_last,amp=bf16,channels_last+amp=bf16,bf16,fp16,amp=fp16"
SEED = 0
SMALL = (224, 160, 128, 96, 64)


def size(entry: CatalogueEntry, most: float) -> tuple[int, ...]:
    """Its own input, or one small enough for the multiply-accumulates that are allowed."""
    shape = entry.input
    for side in SMALL:
        share = shape[-1] * shape[-2] / (entry.input[-1] * entry.input[-2])
        if entry.macs * share <= most or side >= min(shape[-2:]):
            continue
        if entry.min_size is None or side >= entry.min_size:
            shape = (*shape[:-2], side, side)
    return shape


def workload(entry: CatalogueEntry, shape: tuple[int, ...]) -> Workload:
    """A network on such pictures; detectors are told, or they would enlarge them again."""
    if shape == entry.input or "_fpn" not in entry.name:
        return Workload(entry.name, 1, shape)
    side = str(shape[-1])
    return Workload(entry.name, 1, shape, arguments=(("max_size", side), ("min_size", side)))


def rows(of: Workload, texts: list[str], told: Connection) -> None:
    """Send a row for every mode of a network."""
    torch.set_num_threads(1)
    modes.set_flags(Mode(), 1)
    chosen = [Mode.parse(text, "cpu") for text in texts]
    spec = Spec(of, Mode(), Device(), 1)
    with tempfile.TemporaryDirectory() as folder:
        weights, path = str(Path(folder) / "weights.npz"), Path(folder) / "reference.npz"
        architecture, module = build.construct(spec.workload, SEED)
        build.calibrate(spec.workload, architecture, module, SEED, weights)
        del module
        known = references.compute(
            spec, lambda of: build.built(of, SEED, weights), SEED, path,
            precisions=sorted({mode.precision for mode in chosen} - {"fp32"}),
        )  # fmt: skip
        facts = {"share": known.picture_share, "subnormal": known.subnormal_share,
                 "repeatable": known.repeatable, "nonfinite": known.nonfinite}  # fmt: skip
        for mode in chosen:
            told.send(facts | _row(replace(spec, mode=mode), weights, path, known))
    told.send(None)


def _row(spec: Spec, weights: str, path: Path, known: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"mode": spec.mode.text}
    rounding = known.rounding.get(spec.mode.precision, ())
    row["explained"] = [one.centred for one in rounding]
    try:
        torch._dynamo.reset()  # noqa: SLF001
        modes.set_flags(spec.mode, 1)
        step = build.built(spec, SEED, weights)
        check = checking.check(spec, step, SEED, path, known)
    except Exception as error:  # noqa: BLE001 - a network need not run in every mode
        return row | {"status": "failed", "reason": _said(error)}
    if (deployment := step.deployment()) is not None:
        row["deployment"] = encode(deployment)
    return row | {"status": check.status, "reason": check.reason, "error": check.error,
                  "centred": check.error_centred, "top1": check.top1_agreement}  # fmt: skip


def _said(error: Exception) -> str:
    """An error in a line, without the folders in which a library was built."""
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {re.sub(r'/[^ ]*/', '', first)}"[:200]


def swept(entry: CatalogueEntry, shape: tuple[int, ...], texts: list[str], limit: float) -> Any:
    """The rows of one network, from a process of its own."""
    context = multiprocessing.get_context("fork")
    mine, its = context.Pipe(duplex=False)
    process = context.Process(target=rows, args=(workload(entry, shape), texts, its), daemon=True)
    process.start()
    its.close()
    until, found = time.monotonic() + limit, []
    try:
        while mine.poll(max(0.0, until - time.monotonic())) and (row := mine.recv()) is not None:
            found.append(row)
    except EOFError:
        pass
    process.kill()
    missing = texts[len(found) :]
    reason = f"died or took longer than {limit:.0f} s"
    found += [{"mode": text, "status": "failed", "reason": reason} for text in missing]
    who = {"model": entry.name, "family": entry.family, "task": entry.task,
           "input": "x".join(map(str, shape))}  # fmt: skip
    return [who | row for row in found]


def report(found: list[dict[str, Any]]) -> str:
    """Counts per mode and family, and every row that is not simply ok."""
    names = list(dict.fromkeys(row["model"] for row in found))
    texts = list(dict.fromkeys(row["mode"] for row in found))
    by_mode, by_family = _counts(found, "mode"), _counts(found, "family")
    false = [row for row in found if row["status"] == "wrong"]
    unjudged = {row["model"] for row in found if row["status"] == "unchecked"}
    subnormal = sorted({row["model"] for row in found if row.get("subnormal")})
    cpu = "no" if not torch.cpu._is_amx_tile_supported() else "with"  # noqa: SLF001
    return "\n".join([
        "# The output check on networks without a fault", "",
        f"{len(names)} architectures, batch 1, torch {torch.__version__}, a processor {cpu} AMX:"
        f" {len(false)} of {len(found)} rows called wrong. {len(names) - len(unjudged)} of"
        f" {len(names)} can be judged in every mode in which they run. Networks with subnormal"
        f" activations: {', '.join(subnormal) or 'none'}.", "",
        *_table("mode", texts, by_mode), "",
        *_table("family", sorted(by_family), by_family), "",
        "Wrong, loose or not judged:", "",
        *_lines(row for row in found if row["status"] in {"wrong", "loose", "unchecked"}), "",
        "Does not run:", "",
        *_lines(row for row in found if row["status"] == "failed"), "",
        "Smaller pictures than their own: " + ", ".join(_smaller(found)) + ".", "",
    ])  # fmt: skip


STATUSES = ("ok", "loose", "unchecked", "wrong", "failed")


def _counts(found: list[dict[str, Any]], key: str) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in found:
        counts[row[key]][row["status"]] += 1
    return counts


def _table(title: str, keys: Iterable[str], counts: dict[str, Counter[str]]) -> list[str]:
    head = [f"| {title} | " + " | ".join(STATUSES) + " |", "| :-- |" + " --: |" * len(STATUSES)]
    cells = [
        f"| {key} | " + " | ".join(str(counts[key][one]) for one in STATUSES) + " |" for key in keys
    ]
    return head + cells


def _lines(some: Iterable[dict[str, Any]]) -> list[str]:
    """A line per network and reason, with its modes."""
    modes_of: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in some:
        modes_of[row["model"], row["status"], row["reason"]].append(row["mode"])
    return [f"- {model}, {', '.join(texts)}: {status}: {reason}"
            for (model, status, reason), texts in modes_of.items()] or ["- none"]  # fmt: skip


def _smaller(found: list[dict[str, Any]]) -> list[str]:
    own = {one.name: "x".join(map(str, one.input)) for one in catalogue.entries()}
    changed = {row["model"]: row["input"] for row in found if row["input"] != own[row["model"]]}
    return [f"{name} ({shape})" for name, shape in changed.items()] or ["none"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default="")
    parser.add_argument("--modes", default=MODES)
    parser.add_argument("--most-macs", type=float, default=5e9)
    parser.add_argument("--limit", type=float, default=600, help="seconds of a network")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / "sweep.jsonl"
    kept = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    texts = given.modes.split(",")
    done = {(row["model"], row["mode"]) for row in kept}
    wanted = given.models.split(",") if given.models else [one.name for one in catalogue.entries()]
    entries = sorted(
        (one for one in catalogue.entries() if one.name in wanted), key=lambda one: one.macs
    )
    with path.open("a", encoding="utf8") as file:
        for entry in entries:
            left = [text for text in texts if (entry.name, text) not in done]
            if not left:
                continue
            began = time.monotonic()
            new = swept(entry, size(entry, given.most_macs), left, given.limit)
            kept += new
            file.writelines(json.dumps(row) + "\n" for row in new)
            file.flush()
            took = units.duration(time.monotonic() - began)
            print(f"{entry.name} {new[0]['input']}: {took}:",
                  dict(Counter(row["status"] for row in new)), flush=True)  # fmt: skip
    (given.folder / "sweep.md").write_text(report(kept), encoding="utf8")


if __name__ == "__main__":
    main()
