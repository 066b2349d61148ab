"""How long ``cnnbench choose`` takes, and how far its choice is from that of measuring everything.

    python -m bench.choose_evidence results/choose --under 20ms --from 'torchvision:*,timm:*'

First the choice, with the clock and an operator table of its own, so that nothing was timed before.
Then every network that could have been a better choice is measured as ``cnnbench run`` measures:
those that are at least as accurate, unless their prediction is more than ``--beyond`` times the
limit, or what networks of so much work usually take where there is no prediction. The likeliest
come first. A network
appends a line to ``measured.jsonl``; what is there is not measured again, so the script can be
stopped at any time. Writes ``choose.md`` as well, also with ``--minutes 0``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cnnbench import proving, store, units
from cnnbench.report.filter import quantity
from cnnbench.spec import Spec

Line = dict[str, Any]
_CLI = (sys.executable, "-m", "cnnbench")


def choose(given: argparse.Namespace) -> Line:
    """The choice of a fresh run, or the one that is kept, with the seconds that it took."""
    path = given.folder / "choice.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf8"))
    tables, out = given.folder / "operators", given.folder / "run"
    words = ["choose", "--under", given.under, "--budget", given.budget, "--json",
             "--tables", str(tables), "--out", str(out)]  # fmt: skip
    for name in ("accuracy", "threads", "memory", "modes"):
        if (value := getattr(given, name)) is not None:
            words += [f"--{name}", str(value)]
    if given.patterns is not None:
        words += ["--from", given.patterns]
    began = time.monotonic()
    done = subprocess.run([*_CLI, *words], check=False, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)
    found["whole_seconds"] = time.monotonic() - began
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf8")
    return found


def rivals(choice: Line, beyond: float) -> list[Line]:
    """Contenders that could have been a better choice, the likeliest first."""
    known = {one["spec"]: one for one in choice["contenders"]}
    limit = choice["limits"]["seconds"]
    top1 = 0.0 if choice["best"] is None else known[choice["best"]]["top1"]
    found = [
        one
        for one in known.values()
        if one["top1"] >= top1
        and not one.get("out")
        and (one.get("seconds") or one.get("rough") or 0.0) <= beyond * limit
    ]
    return sorted(found, key=lambda one: one.get("seconds") or one.get("rough") or 0.0)


def measured(spec: Spec) -> Line:
    """A network as ``cnnbench run`` measures it."""
    with tempfile.TemporaryDirectory() as folder:
        out, work = Path(folder, "run"), spec.workload
        words = ["run", work.architecture, "--modes", spec.mode.text, "--rounds", "3", "--device",
                 "cpu", "--threads", str(spec.threads), "--batch", str(work.batch), "--size",
                 "x".join(map(str, work.input[-2:])), "--out", str(out), "-q"]  # fmt: skip
        subprocess.run([*_CLI, *words], check=False, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)  # fmt: skip
        try:
            proof = proving.proofs(store.read(out).records)[spec.id]
        except (store.StoreError, KeyError) as error:
            return {"spec": spec.id, "why": str(error)}
    return {"spec": spec.id, "seconds": proof.seconds, "memory": proof.memory, "why": proof.why}


def report(choice: Line, lines: list[Line], left: int) -> str:
    """What came of both, in Markdown."""
    rows = {one["spec"]: one for one in choice["contenders"]}
    limits, best = choice["limits"], rows.get(choice["best"])
    known = [
        (rows[line["spec"]]["top1"], line) for line in lines
        if line.get("seconds") and line["seconds"] <= limits["seconds"]
        and (limits.get("memory") is None or (line.get("memory") or 0) <= limits["memory"])
    ]  # fmt: skip
    top1, exhaustive = max(known, key=lambda pair: pair[0], default=(None, None))
    fates = ", ".join(f"{count} {fate}" for fate, count in choice["counts"].items() if count)
    text = [
        "# The choice against measuring everything that could be better",
        "",
        f"Under {units.seconds(limits['seconds'])}: {len(rows)} contenders ({fates});"
        f" {choice['operators']} operators were timed and {choice['networks']} networks measured to"
        f" fit predictions on.",
        f"The whole command took {units.duration(choice['whole_seconds'])}; it says that its answer"
        f" is {'' if choice['certain'] else 'not '}certain.",
        "",
        "| | network | top-1 | measured |",
        "|---|---|---|---|",
    ]
    if best is not None:
        time_of = units.seconds(best["measured"]["seconds"])
        text.append(f"| chosen | {best['network']} | {best['top1']:g} % | {time_of} |")
    if exhaustive is not None:
        name = Spec.parse(exhaustive["spec"]).workload.architecture
        text.append(
            f"| best of {len(lines)} measured apart | {name} | {top1:g} % |"
            f" {units.seconds(exhaustive['seconds'])} |"
        )
    if best is not None and top1 is not None:
        text += ["", f"Points of top-1 between them: {max(0.0, top1 - best['top1']):.3g}."]
    text += ["", f"{left} networks that could be better were not measured apart."]
    text += [f"\n{line['spec']}: {line['why']}" for line in lines if line.get("why")]
    return "\n".join(text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--under", default="20ms")
    parser.add_argument("--budget", default="6m")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--beyond", type=float, default=1.5)
    parser.add_argument("--accuracy", type=Path)
    parser.add_argument("--from", dest="patterns")
    parser.add_argument("--threads")
    parser.add_argument("--memory")
    parser.add_argument("--modes")
    given = parser.parse_args()
    if quantity(given.under, "seconds") is None:
        parser.error("--under takes a time with its unit, such as 20ms")
    given.folder.mkdir(parents=True, exist_ok=True)
    choice = choose(given)
    path, end = given.folder / "measured.jsonl", time.monotonic() + 60 * given.minutes
    text = path.read_text(encoding="utf8") if path.exists() else ""
    lines = [json.loads(line) for line in text.splitlines() if line]
    done = {line["spec"] for line in lines}
    waiting = [one for one in rivals(choice, given.beyond) if one["spec"] not in done]
    while waiting and time.monotonic() < end:
        line = measured(Spec.parse(waiting.pop(0)["spec"]))
        with path.open("a", encoding="utf8") as file:
            file.write(json.dumps(line) + "\n")
        lines.append(line)
        print(json.dumps(line), flush=True)
    told = report(choice, lines, len(waiting))
    (given.folder / "choose.md").write_text(told, encoding="utf8")
    print(told)


if __name__ == "__main__":
    main()
