"""How far ``cnnbench predict`` is from the latencies that are measured, family by family.

    python -m bench.prediction_evidence results/prediction --minutes 60

Every classifier of torchvision is measured as ``cnnbench run`` measures (eager, one thread, batch
1), and its operators are timed into the table below the folder; what the probe took is kept with
it. Each network is predicted by a model that is fitted on networks of other families alone: on all
of them, and on those that ``predict`` itself uses. A network appends a line to ``networks.jsonl``;
what is there is not measured again, so the script can be stopped at any time and loses no more than
a run of a few. Writes ``errors.jsonl`` and ``prediction.md`` as well, also with ``--minutes 0``.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnbench import catalogue, metrics, store, suite, units
from cnnbench.codec import decode, encode
from cnnbench.errors import CnnbenchError, Unsupported
from cnnbench.plan import Plan
from cnnbench.prediction import model, table
from cnnbench.prediction.table import MeasuredNetwork
from cnnbench.requests import TraceOperators
from cnnbench.runner.executor import executor
from cnnbench.runner.inquiry import ask, asking, describe
from cnnbench.runner.predicting import NETWORKS, OperatorProbe
from cnnbench.spec import Device, Mode, Spec, Workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cnnbench.runner.executor import AnyPool

ROUNDS = 3
# Networks of one run.
TOGETHER = 6
# A probe of a network is never cut short here: how long it takes is the question.
_PROBE_SECONDS = 3600.0
_GOAL = 0.10
Line = dict[str, Any]


def classifiers() -> list[catalogue.CatalogueEntry]:
    """Those of torchvision, the quickest first, so that a run that is stopped has most of them."""
    found = [
        entry
        for entry in catalogue.entries()
        if entry.source.split()[0] == "torchvision" and entry.task == "classification"
    ]
    return sorted(found, key=lambda entry: entry.macs or 0)


def spec_of(entry: catalogue.CatalogueEntry, mode: str) -> Spec:
    workload = Workload(entry.name, 1, entry.input)
    return Spec(workload, Mode.parse(mode, "cpu"), Device(), 1)


def measured(specs: Sequence[Spec]) -> dict[Spec, float | str]:
    """Seconds of a pass as ``cnnbench run`` has them, without the waiting for a core; or why not.

    One run measures several, because half of a run of one small network is imports.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        names = ",".join(spec.workload.architecture for spec in specs)
        words = ["run", names, "--modes", specs[0].mode.text, "--threads", "1",
                 "--rounds", str(ROUNDS), "--device", "cpu", "--out", str(out), "-q"]  # fmt: skip
        subprocess.run(
            [sys.executable, "-m", "cnnbench", *words],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        records = {record.spec: record for record in store.read(out).records}
    found: dict[Spec, float | str] = {}
    for spec in specs:
        record = records.get(spec)
        time_of = record and (metrics.latency_awake(record) or metrics.latency(record))
        why = "no record" if record is None else record.reason or "not measured"
        found[spec] = why if time_of is None else time_of.point
    return found


def several(specs: Mapping[Spec, str], folder: Path) -> Iterator[Line]:
    """Ground truth and terms of some networks (spec -> family), and how long their probe took."""
    plan = Plan()
    try:
        times = measured(list(specs))
    except CnnbenchError as error:
        times = dict.fromkeys(specs, str(error))
    with asking(executor("process")) as pool:
        environment = describe(pool)
        path = folder / table.file_name(environment)
        with table.adding(path, environment) as writer:
            for spec, family in specs.items():
                seconds = times[spec]
                try:
                    if isinstance(seconds, str):
                        raise Unsupported(seconds)
                    probe = OperatorProbe(pool, plan, writer, table.read(path), _PROBE_SECONDS)
                    yield one(spec, family, seconds, pool, probe)
                except CnnbenchError as error:
                    yield {"spec": spec.id, "why": str(error)}


def one(spec: Spec, family: str, seconds: float, pool: AnyPool, probe: OperatorProbe) -> Line:
    """What a network took, its terms, and how long its operators took to be timed."""
    plan = Plan()
    trace = ask(pool, TraceOperators.planned(spec, plan), plan.timeout)
    began = time.monotonic()
    probe.time_operators(trace, 1, 1.0)
    probed = time.monotonic() - began
    terms = model.terms(trace, probe.known.timed(1))
    row = MeasuredNetwork(
        spec.id, family, seconds, terms.alone.point, terms.calls, terms.held_bytes,
        terms.moved_bytes,
    )  # fmt: skip
    untimed = math.fsum(terms.untimed.values())
    return {"network": encode(row), "probe_seconds": probed, "operators": probe.operators,
            "untimed_share": untimed}  # fmt: skip


def batched(items: Iterable[Any], count: int) -> Iterator[list[Any]]:
    """Some at a time."""
    rest = iter(items)
    while some := list(islice(rest, count)):
        yield some


def read(path: Path) -> list[Line]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines() if line]


def judged(lines: list[Line], mode: str, fitted_on: str) -> list[Line]:
    """The error of each network, by a model that has seen no other of its family."""
    rows = [decode(MeasuredNetwork, line["network"]) for line in lines if "network" in line]
    rows = [row for row in rows if Spec.parse(row.spec).mode.text == mode]
    found = []
    for row in rows:
        others = [
            one
            for one in rows
            if one.family != row.family
            and (fitted_on == "all" or Spec.parse(one.spec).workload.architecture in NETWORKS)
        ]
        try:
            guess = model.Guess(row.alone, row.alone, row.alone)
            terms = model.Terms(guess, row.calls, row.held_bytes, row.moved_bytes, {})
            prediction = model.predict(model.fit(others), terms)
        except Unsupported as error:
            found.append({"spec": row.spec, "why": str(error), "fitted_on": fitted_on})
            continue
        found.append({
            "spec": row.spec, "family": row.family, "fitted_on": fitted_on,
            "measured": row.seconds, "alone": row.alone, **encode(replace(prediction, untimed={})),
            "error": prediction.seconds / row.seconds - 1,
            "alone_error": row.alone / row.seconds - 1,
            "holds": prediction.low <= row.seconds <= prediction.high,
        })  # fmt: skip
    return found


def report(lines: list[Line], mode: str) -> tuple[str, list[Line]]:
    probe = math.fsum(line.get("probe_seconds", 0.0) for line in lines)
    operators = sum(line.get("operators", 0) for line in lines)
    text = [
        "# Predicted latencies against measured ones",
        "",
        f"{mode}, one thread, batch 1; every network by a model that has seen none of its family.",
        f"{operators} operators were timed in {units.duration(probe)}.",
        "",
        "| fitted on | networks | mean error | within 10 % | worst | interval holds |"
        " its half width | operators alone: mean error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows: list[Line] = []
    for fitted_on in ("all", "predict's own"):
        found = judged(lines, mode, fitted_on)
        rows += found
        known = [row for row in found if "error" in row]
        if not known:
            continue
        off = [abs(row["error"]) for row in known]
        half = statistics.median(math.sqrt(row["high"] / row["low"]) - 1 for row in known)
        cells = (
            statistics.fmean(off),
            sum(one <= _GOAL for one in off) / len(off),
            max(off),
            sum(row["holds"] for row in known) / len(known),
            half,
            statistics.fmean(abs(row["alone_error"]) for row in known),
        )
        text.append(f"| {fitted_on} | {len(known)} | {' | '.join(map(units.percent, cells))} |")
    text += ["", "| network | measured | predicted | interval | error |", "|---|---|---|---|---|"]
    known = [row for row in rows if "error" in row and row["fitted_on"] == "all"]
    for row in sorted(known, key=lambda row: -abs(row["error"])):
        ends = f"{units.seconds(row['low'])} to {units.seconds(row['high'])}"
        text.append(
            f"| {Spec.parse(row['spec']).workload.architecture} | {units.seconds(row['measured'])}"
            f" | {units.seconds(row['seconds'])} | {ends}"
            f" | {units.percent(row['error'], sign=True)} |"
        )
    text += [f"\n{line['spec']}: {line['why']}" for line in [*lines, *rows] if line.get("why")]
    return "\n".join(text) + "\n", rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--mode", default="eager", choices=["eager", "channels_last"])
    parser.add_argument("--models", help="names and patterns; all classifiers by default")
    given = parser.parse_args()
    folder: Path = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    chosen = set(suite.select(given.models.split(","))) if given.models else None
    kept, end = folder / "networks.jsonl", time.monotonic() + 60 * given.minutes
    lines = read(kept)
    done = {line["network"]["spec"] if "network" in line else line["spec"] for line in lines}
    left = {
        spec: entry.family
        for entry in classifiers()
        if (spec := spec_of(entry, given.mode)).id not in done
        and (chosen is None or entry.name in chosen)
    }
    for some in batched(left.items(), TOGETHER):
        if time.monotonic() >= end:
            break
        for line in several(dict(some), folder):
            with kept.open("a", encoding="utf8") as file:
                file.write(json.dumps(line) + "\n")
            lines.append(line)
            print(json.dumps(line), flush=True)
    text, rows = report(lines, given.mode)
    (folder / "prediction.md").write_text(text, encoding="utf8")
    errors = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "errors.jsonl").write_text(errors, encoding="utf8")
    print(text)


if __name__ == "__main__":
    main()
