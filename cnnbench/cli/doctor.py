"""``cnnbench doctor``: what this machine offers, and what will spoil a measurement on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cnnbench import deployment, doctor, units
from cnnbench.cli import options
from cnnbench.cli.output import paragraph
from cnnbench.codec import encode
from cnnbench.mode import Mode
from cnnbench.runner import sharing
from cnnbench.runner.executor import executor
from cnnbench.runner.inquiry import asking, describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.environment import Environment
    from cnnbench.quiet import CoreUse

_EPILOG = """\b
Examples:
  cnnbench doctor
  cnnbench doctor --json
"""


@click.command(epilog=_EPILOG)
@options.as_json
@options.executor
@options.wide
@options.debug
def command(as_json: bool, who: str) -> None:
    """Say what this machine offers, and what will spoil a measurement.

    Threads, quota, governor, allocator, subnormal numbers, compiler, CUDA, busy neighbours, and
    whether cores are hyperthreads of one, which is measured; findings come with what to do, as any
    user.
    """
    measures = executor(who)
    with asking(measures) as pool:
        environment = describe(pool, runtimes=True)
    now = measures.core_use()
    # Measured, so only where this very machine is meant.
    pair = sharing.slowest() if who == "process" else None
    findings = doctor.findings(environment, now)
    if (shared := doctor.shared_core(pair)) is not None:
        findings = (*findings, shared)
    if as_json:
        data = encode(environment) | {
            "fingerprint": environment.fingerprint,
            "now": None if now is None else encode(now),
            "sharing": None if pair is None else encode(pair),
            "findings": encode(findings),
        }
        click.echo(json.dumps(data, indent=1))
        return
    measured = [("busy now", _busy(now)), ("a core beside a busy one", _beside(pair))]
    for title, value in [*_facts(environment), *measured]:
        click.echo(paragraph(f"{title:24} {_text(value)}"))
    click.echo()
    for finding in findings:
        click.echo(paragraph(f"! {finding.what}: {finding.fix}"))
    count = units.number(len(findings), "finding")
    click.echo(count if findings else "nothing found that spoils measuring")


def _facts(environment: Environment) -> list[tuple[str, Any]]:
    hard, soft = environment.hard, environment.soft
    torch = hard.get("torch") or {}
    return [
        ("processor", hard.get("cpu")),
        ("instruction sets", hard.get("instruction_sets")),
        ("cores usable", hard.get("cores_usable")),
        ("CPU quota (cores)", hard.get("cpu_quota") or "none"),
        ("memory (GiB)", hard.get("memory_gib")),
        ("hypervisor", soft.get("hypervisor")),
        ("frequency governor", soft.get("governor")),
        ("load", soft.get("load")),
        ("CUDA devices", [gpu.get("name") for gpu in hard.get("gpus") or []] or "none"),
        ("C++ compiler", soft.get("compiler")),
        ("Python", hard.get("python")),
        ("torch", torch.get("version")),
        ("torchvision", torch.get("torchvision")),
        ("torch CPU kernels", torch.get("cpu_capability")),
        ("oneDNN", torch.get("onednn")),
        *_runtimes(soft.get("runtimes") or {}, soft.get("runtimes_alone") or {}),
        ("variables", [f"{k}={v}" for k, v in (hard.get("variables") or {}).items()] or "none"),
        ("allocator", soft.get("libc")),
        ("subnormal numbers", _subnormals(soft.get("flags") or {})),
        ("fingerprint", environment.fingerprint),
    ]


def _runtimes(versions: Mapping[str, str], alone: Mapping[str, str]) -> list[tuple[str, str]]:
    """Deployment runtimes: their versions and what they do unless told, or what installs them."""

    def told(mode: Mode, packages: tuple[str, ...]) -> str:
        lacks = deployment.missing(mode, versions.__contains__)
        return lacks or ", ".join(f"{one} {versions[one]}" for one in packages)

    rows = [
        (
            needs.title,
            told(Mode(compiler=name), needs.packages)
            + (f"; unless told: {alone[name]}" if name in alone else ""),
        )
        for name, needs in deployment.NEEDS.items()
        if needs.packages
    ]
    int8 = [
        (f"{needs.title} int8", told(Mode(compiler=name, precision="int8"), needs.quantiser))
        for name, needs in deployment.NEEDS.items()
        if needs.quantiser
    ]
    return [*rows, *int8]


def _busy(now: CoreUse | None) -> str | None:
    if now is None:
        return None
    waiting = "" if now.waiting is None else f"; some process waits {100 * now.waiting:.0f} % of it"
    return f"{now.busy:.1f} of {now.cores} cores{waiting}"


def _beside(pair: doctor.Beside | None) -> str | None:
    if pair is None:
        return None
    return f"core {pair.core} is {100 * pair.speed:.0f} % as fast while core {pair.other} works"


def _subnormals(flags: Mapping[str, Any]) -> str | None:
    flushed = flags.get("flush_denormal")
    if flushed is None:
        return None
    return "become zero" if flushed else "computed, slowly; a row says where a network has them"


def _text(value: Any) -> str:
    if value is None:
        return "not known here"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(str(round(v, 2) if isinstance(v, float) else v) for v in value)
    return str(value)
