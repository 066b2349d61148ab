"""Which architectures run in deployment runtimes with a right answer, and why the others do not.

``python -m bench.runtime_sweep DIR [--modes MODE,…] [--minutes N]`` exports, converts and loads
every architecture of the catalogue in every mode and judges its answers as ``cnnbench run`` does;
nothing is timed for its speed, so it may run beside other work. It is ``output_sweep`` for these
modes, with a limit of time: it ends after so many minutes, and a second call goes on where the
first ended. Writes ``runtimes.jsonl``, a line per network and mode with how long it took to get
there, and ``runtimes.md``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench import output_sweep
from cnnbench import catalogue, units

MODES = "onnxruntime,openvino"


def report(rows: list[dict[str, Any]]) -> str:
    """Counts per mode, what it took, and every network that is not ok, by reason."""
    lines = ["# Deployment runtimes over the catalogue", ""]
    for text in dict.fromkeys(row["mode"] for row in rows):
        of = [row for row in rows if row["mode"] == text]
        counts = Counter(row["status"] for row in of)
        told = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        lines.append(f"- {text}: {len(of)} networks: {told}{_took(of)}{_agreement(of)}")
    lines += ["", "Not ok, by reason:", ""]
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row["status"] != "ok":
            key = (row["mode"], row["status"], row["reason"])
            reasons.setdefault(key, []).append(row["model"])
    lines += [
        f"- {mode}, {status}: {reason}: {', '.join(names)}"
        for (mode, status, reason), names in reasons.items()
    ] or ["- none"]
    return "\n".join([*lines, ""])


def _took(rows: list[dict[str, Any]]) -> str:
    found = [row["deployment"]["ns"] for row in rows if "deployment" in row]
    if not found:
        return ""
    parts = {
        part: statistics.median(ns[part] for ns in found) / 1e9
        for part in ("export", "convert", "load", "first")
    }
    return "; median " + ", ".join(f"{part} {units.seconds(one)}" for part, one in parts.items())


def _agreement(rows: list[dict[str, Any]]) -> str:
    found = [row["top1"] for row in rows if row.get("top1") is not None]
    if not found:
        return ""
    return f"; top-1 agreement of {len(found)} classifiers {units.percent(sum(found) / len(found))}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default="")
    parser.add_argument("--modes", default=MODES)
    parser.add_argument("--most-macs", type=float, default=5e9)
    parser.add_argument("--limit", type=float, default=600, help="seconds of a network")
    parser.add_argument("--minutes", type=float, default=60, help="of everything")
    given = parser.parse_args()
    until = time.monotonic() + 60 * given.minutes
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / "runtimes.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(row["model"], row["mode"]) for row in rows}
    wanted = given.models.split(",") if given.models else []
    entries = [one for one in catalogue.entries() if not wanted or one.name in wanted]
    with path.open("a", encoding="utf8") as file:
        for entry in sorted(entries, key=lambda one: one.macs):
            left = [one for one in given.modes.split(",") if (entry.name, one) not in done]
            limit = min(given.limit, until - time.monotonic())
            if not left or limit < 1:
                continue
            began, shape = time.monotonic(), output_sweep.size(entry, given.most_macs)
            new = output_sweep.swept(entry, shape, left, limit)
            if time.monotonic() >= until:
                break  # cut off by the clock, and no answer
            rows += new
            file.writelines(json.dumps(row) + "\n" for row in new)
            file.flush()
            told = dict(Counter(row["status"] for row in new))
            print(f"{entry.name}: {units.duration(time.monotonic() - began)}: {told}", flush=True)
    (given.folder / "runtimes.md").write_text(report(rows), encoding="utf8")


if __name__ == "__main__":
    main()
