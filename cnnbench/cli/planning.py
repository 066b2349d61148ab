"""Options for the fields of a plan, each declared once; commands reach them through ``options``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from cnnbench.cli.bundle import bundle
from cnnbench.cli.parameters import Bytes, Percent, Quantity, Seconds
from cnnbench.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.cli.bundle import Decorator

# Field of a plan -> its option. A default comes from the plan that a command begins with.
_PLAN: Mapping[str, Mapping[str, Any]] = {
    "rounds": {
        "type": click.IntRange(min=1),
        "help": "Number of fresh starts of all workers; intervals need at least 2."},
    "precision": {
        "type": Percent(),
        "help": "Stop once every latency and speed-up has a 95 % interval within ±PERCENT."},
    "budget": {
        "type": Seconds(),
        "help": "Time for the whole run, e.g. 90s or 10m; the widest intervals get what is left."},
    "max_latency": {
        "type": Quantity("seconds", "TIME", "50ms"),
        "help": "After its first round, drop what is clearly slower per call, e.g. 50ms."},
    "slices": {"type": click.IntRange(min=1), "help": "Slices of each worker in a round."},
    "seed": {"type": int, "help": "Seed for weights, inputs and turn order."},
    "timeout": {
        "type": Seconds(),
        "help": "Time limit for one step of a worker, e.g. 90s or 10m."},
    "l2": {
        "type": click.Choice(["warm", "cold"]),
        "help": "Keep caches warm, or flush them before every sample (cold); on CUDA, the L2."},
    "energy": {
        "is_flag": True,
        "help": "Measure joules per sample too, by NVML or RAPL: 3 s more per spec and round."},
    "cold_start": {
        "is_flag": True,
        "help": "Measure what a fresh process takes from its start to its first answer, too."},
    "nvtx": {
        "is_flag": True,
        "help": "CUDA only: NVTX ranges for nsys, by phase and slice; in profile by module too."},
    "cudnn_benchmark": {
        "is_flag": True, "help": "CUDA only: set torch.backends.cudnn.benchmark."},
    "memory_limit": {
        "type": Bytes(),
        "help": "Memory limit of a CPU worker.  [default: 90 % of the free memory]"},
}  # fmt: skip


def plan(
    *fields: str,
    base: Plan | None = None,
    bound: int | None = None,
    told: Mapping[str, str] | None = None,
    **helps: str,
) -> Decorator:
    """Options for fields of a plan; the command gets a ``plan``.

    Args:
        fields: names, in the order of the help.
        base: the defaults.
        bound: the default of rounds where a precision or a budget is given.
        told: field -> its default in words, where it depends on the device.
        helps: what a field means to this command, where that is not what it means to ``run``.
    """
    start = base or Plan()
    said = {name: {"help": text} for name, text in helps.items()}
    options = {
        name: plan_option(name, start, told=(told or {}).get(name), **said.get(name, {}))
        for name in fields
    }

    def make(given: dict[str, Any]) -> Plan:
        asked = {name: one for name, one in given.items() if one is not None and one is not False}
        if bound is not None and {"precision", "budget"} & asked.keys():
            asked.setdefault("rounds", bound)
        return replace(start, **asked)

    return bundle("plan", options, make)


def plan_option(
    name: str, base: Plan | None = None, *, told: str | None = None, **more: Any
) -> Decorator:
    """The option of a single field; ``None`` if it is not given."""
    value = getattr(base or Plan(), name)
    # A time is read without its unit too, but not everybody knows that.
    unit = "s" if isinstance(_PLAN[name].get("type"), Seconds) else ""
    shown = told or (f"{value:g}{unit}" if isinstance(value, float) else str(value))
    words = {**_PLAN[name], **more}
    if "default" in words:
        words["show_default"] = True
    elif value is not None and value is not False:
        words["help"] += f"  [default: {shown}]"
    return click.option(f"--{name.replace('_', '-')}", **words)
