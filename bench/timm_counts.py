"""MACs of every timm network, ours beside torch's FlopCounterMode, both on the meta device.

``python -m bench.timm_counts DIR [--models NAME,…] [--limit SECONDS]`` builds every name of
``timm.list_models()`` without weights and counts an inference pass at batch 1 and at the input of
its configuration twice: as ``cnnbench cost timm:NAME`` does, and with FlopCounterMode (its FLOPs
halved). Nothing is timed, so it may run beside other work.

The names are taken in an order that spreads, so that a sweep that was cut off is a sample of all.
Writes ``timm.jsonl`` (a line per name; a second call goes on where the first ended) and
``report.md``.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import re
import signal
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import torch
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from cnnbench import architectures
from cnnbench.analysis import analyze, build_on_meta
from cnnbench.spec import Workload
from cnnbench.worker import build, inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import nn

# Coprime to the number of names, or a few would be taken twice and others never.
STRIDE = 97


def spread(names: list[str]) -> list[str]:
    """The same names in an order of which every beginning is spread over all."""
    places = [place * STRIDE % len(names) for place in range(len(names))]
    return [names[place] for place in dict.fromkeys([*places, *range(len(names))])]


class TooSlow(BaseException):
    """The limit of a name has passed; no handler of errors on the way may take it."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Leave with ``TooSlow`` after that time."""

    def stop(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def row(name: str, limit: float) -> dict[str, Any]:
    """Both counts of one name, by operator, or why there is none."""
    found: dict[str, Any] = {"model": name}
    # Ours comes first: it leaves the module as it was, and sets no mode.
    steps = (("ours", ours), ("theirs", theirs))
    module: Any = None
    for key, count in steps:
        try:
            with within(limit):
                module = module or _made(name)
                found |= {key: count(*module)}
        except TooSlow:
            found |= {f"{key}_failed": f"took longer than {limit:.0f} s"}
        except Exception as error:  # noqa: BLE001 - that is what is asked
            found |= {f"{key}_failed": said(error)}
    return found


def _made(name: str) -> tuple[nn.Module, inputs.Given]:
    architecture = architectures.resolve(f"timm:{name}")
    workload = Workload(architecture.name, 1, architecture.input)
    module = build_on_meta(lambda: build.made(architecture, workload))
    return module, inputs.made(architecture, workload, 0, dtype=inputs.dtype_for(module))


def ours(module: nn.Module, given: inputs.Given) -> dict[str, Any]:
    """Our MACs by operator, and what has no rule."""
    found = analyze(module, *given)
    counts: Counter[str] = Counter()
    for one in found.recording.rows:
        counts[one.plan.name.partition(".")[0].partition("::")[2]] += one.macs
    by_operator = {key: macs for key, macs in counts.items() if macs}
    uncounted, assumed = dict(found.uncounted), list(found.assumptions)
    return {"macs": found.macs, "operators": by_operator, "uncounted": uncounted,
            "assumptions": assumed}  # fmt: skip


def theirs(module: nn.Module, given: inputs.Given) -> dict[str, Any]:
    """The FLOPs of FlopCounterMode by operator, halved."""
    args, kwargs = tree_map_only(
        torch.Tensor, lambda tensor: tensor.to("meta"), (given.args, dict(given.kwargs))
    )
    counter = FlopCounterMode(display=False)
    # It fails where a parameter is the input of a module, as class tokens are, and has a gradient.
    module.eval().requires_grad_(requires_grad=False)
    with torch.no_grad(), counter:
        module(*args, **kwargs)
    flops = counter.get_flop_counts().get("Global", {})
    by_operator = {str(key).rpartition(".")[2]: count // 2 for key, count in flops.items()}
    return {"macs": sum(by_operator.values()), "operators": by_operator}


def said(error: Exception) -> str:
    """An error in a line, without the folders in which a library was built."""
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {re.sub(r'/[^ ]*/', '', first)}"[:300]


# What torch's counter has a formula for, by name.
THEIR_RULES = frozenset(str(operator).rpartition(".")[2] for operator in flop_registry)


def verdict(found: dict[str, Any]) -> tuple[str, str]:
    """``equal``, ``explained``, ``different`` or ``failed``, and why."""
    if "ours_failed" in found:
        return "failed", found["ours_failed"]
    if "theirs_failed" in found:
        return "no baseline", found["theirs_failed"]
    mine, other = found["ours"], found["theirs"]
    if mine["macs"] == other["macs"]:
        return "equal", ""
    without = {name: macs for name, macs in mine["operators"].items() if name not in THEIR_RULES}
    if mine["macs"] - other["macs"] == sum(without.values()):
        return "explained", f"FlopCounterMode has no rule for {', '.join(sorted(without))}"
    return "different", f"ours {mine['macs']:,}, FlopCounterMode {other['macs']:,}"


def report(found: list[dict[str, Any]]) -> str:
    """Counts per verdict, then every name that is not simply equal."""
    verdicts = {one["model"]: verdict(one) for one in found}
    counts = Counter(kind for kind, _ in verdicts.values())
    good = counts["equal"] + counts["explained"]
    said = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    uncounted = Counter(name for one in found for name in one.get("ours", {}).get("uncounted", ()))
    return "\n".join([
        "# MACs of timm's networks", "",
        f"timm {timm.__version__}, torch {torch.__version__}, inference, batch 1, on meta:"
        f" {good} of {len(found)} names ({100 * good / len(found):.1f} %) agree with"
        f" FlopCounterMode or differ by a class that is explained ({said}) of"
        f" {len(timm.list_models())} names that timm lists.", "",
        "Not equal, by reason:", "",
        *_lines(verdicts), "",
        "Operators without a rule of ours, and the number of networks:"
        f" {', '.join(f'{name} {count}' for name, count in uncounted.most_common()) or 'none'}.",
        "",
    ])  # fmt: skip


def _lines(verdicts: dict[str, tuple[str, str]]) -> Iterable[str]:
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, (kind, why) in sorted(verdicts.items()):
        if kind != "equal":
            names[kind, why].append(name)
    return [
        f"- {kind}: {why}: {len(some)}: {', '.join(some)}" for (kind, why), some in names.items()
    ] or ["- none"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default="", help="these instead of all")
    parser.add_argument("--limit", type=float, default=60, help="seconds of a count")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    gc.freeze()
    path = given.folder / "timm.jsonl"
    kept = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {one["model"] for one in kept}
    wanted = given.models.split(",") if given.models else spread(timm.list_models())
    with path.open("a", encoding="utf8") as file:
        for name in wanted:
            if name in done:
                continue
            new = row(name, given.limit)
            kept.append(new)
            file.write(json.dumps(new) + "\n")
            file.flush()
            print(name, *verdict(new), flush=True)
    (given.folder / "report.md").write_text(report(kept), encoding="utf8")


if __name__ == "__main__":
    main()
