"""How many injected faults the output check calls wrong, and how often it is wrong about good ones.

``python -m bench.output_faults DIR [--models NAME,…] [--threads N]`` wraps every network with every
kind of fault, in one mode at a time, and asks the check of ``cnnbench run`` about it: the same
reference, the same pictures, the same limits. A fault acts in its mode only, as one in a kernel, in
autocast or in a compiler's pass would; the reference never sees it. Beside it stand the same modes
without a fault, which must not be called wrong.

Writes ``faults.jsonl`` (a line per network, kind and mode) and ``report.md``. Compiled modes are
judged by the limits of their precision and by their outputs alone, as layers inside compiled code
cannot be listened to. Compiling forty networks for every kind would take days, so the report says
beside what is called wrong what would be by the outputs alone. A fault that changes no bit of the
fp32 eager outputs (in an auxiliary head, say, or a shift of a map of one pixel) is inert and is not
counted.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cnnbench import catalogue
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import build, checking, modes
from cnnbench.worker import reference as references

MODES = ("channels_last", "amp=bf16", "bf16")
SEED = 0
BATCH = 2


class Inapplicable(Exception):
    """The network has no place for this fault."""


def convolutions(module: nn.Module) -> list[nn.Module]:
    return [one for one in module.modules() if isinstance(one, (nn.Conv2d, nn.Conv3d))]


def middle(found: list[nn.Module]) -> nn.Module:
    """One from the middle half of the network, always the same."""
    inner = found[len(found) // 4 : max(3 * len(found) // 4, len(found) // 4 + 1)]
    if not inner:
        raise Inapplicable
    return random.Random(SEED).choice(inner)


def on_output(part: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    part.register_forward_hook(lambda _m, _i, out: change(out) if isinstance(out, Tensor) else out)


def on_input(part: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    def hook(_module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (change(given[0]), *given[1:])

    part.register_forward_pre_hook(hook)


def other_picture(module: nn.Module) -> None:
    """Answers for another picture than it is given."""
    on_input(module, lambda x: x.flip(0).flip(-1) * 0.8)


def fixed_picture(module: nn.Module) -> None:
    """Answers for the same picture whatever it is given."""
    kept: list[Tensor] = []

    def change(x: Tensor) -> Tensor:
        kept or kept.append(x.clone())
        return kept[0]

    on_input(module, change)


def stale_input(module: nn.Module) -> None:
    """Answers for the picture of the call before."""
    kept: list[Tensor] = []

    def change(x: Tensor) -> Tensor:
        kept.append(x.clone())
        return kept[-2] if len(kept) > 1 else x

    on_input(module, change)


def shifted_rows(module: nn.Module) -> None:
    """Answers of a batch are off by one row."""
    on_output(module, lambda out: out.roll(1, 0))


def first_row_only(module: nn.Module) -> None:
    """The right answer for the first sample, repeated for the others."""
    on_output(module, lambda out: out[:1].expand_as(out))


def zeroed_channels(module: nn.Module) -> None:
    """A block of 1/8 of the channels of a middle layer is zero."""

    def change(out: Tensor) -> Tensor:
        out = out.clone()
        out[:, : max(1, out.shape[1] // 8)] = 0
        return out

    on_output(middle(convolutions(module)), change)


def zeroed_channel(module: nn.Module) -> None:
    """One channel of a middle layer is zero."""

    def change(out: Tensor) -> Tensor:
        out = out.clone()
        out[:, out.shape[1] // 2] = 0
        return out

    on_output(middle(convolutions(module)), change)


def permuted_channels(module: nn.Module) -> None:
    """The channels of a middle layer in another order."""

    def change(out: Tensor) -> Tensor:
        if out.shape[1] < 2:
            raise Inapplicable
        return out.roll(1, 1)

    on_output(middle(convolutions(module)), change)


def shifted_map(module: nn.Module) -> None:
    """A middle layer's output is shifted by a pixel."""
    on_output(middle(convolutions(module)), lambda out: out.roll(1, -1))


def dropped_bias(module: nn.Module) -> None:
    """A middle layer's bias, or that of its normalisation, is lost."""
    found = [
        one for one in module.modules()
        if isinstance(getattr(one, "bias", None), Tensor) and float(one.bias.abs().max()) > 0
    ]  # fmt: skip
    with torch.no_grad():
        middle(found).bias.zero_()  # type: ignore[union-attr,operator]


def skipped_block(module: nn.Module) -> None:
    """A middle block of equal input and output is left out."""
    found: list[nn.Module] = []

    def look(part: nn.Module, given: Any, out: Any) -> None:
        same = isinstance(out, Tensor) and given and isinstance(given[0], Tensor)
        if same and any(part.children()) and given[0].shape == out.shape and out.dim() > 2:
            found.append(part)

    handles = [one.register_forward_hook(look) for one in module.modules()]
    try:
        module(*module.sample)  # type: ignore[operator,misc]
    finally:
        for handle in handles:
            handle.remove()
    part = middle(list(dict.fromkeys(found)))
    part.register_forward_hook(lambda _m, given, _o: given[0])


def wrong_padding(module: nn.Module) -> None:
    """A middle convolution pads at one side what belongs on both."""
    found = [
        one for one in convolutions(module)
        if isinstance(one.padding, tuple) and max(one.padding) > 0  # type: ignore[operator]
    ]  # fmt: skip
    on_input(middle(found), lambda x: x.roll(1, -1))


def stride_phase(module: nn.Module) -> None:
    """A convolution with a stride takes the odd positions instead of the even ones."""
    found = [one for one in convolutions(module) if max(one.stride) > 1]  # type: ignore[operator,arg-type]
    if not found:
        raise Inapplicable
    on_input(found[len(found) // 2], lambda x: x.roll(1, -2))


_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Sigmoid, nn.Hardsigmoid)


def other_activation(module: nn.Module) -> None:
    """A middle activation is another function: tanh."""
    part = middle([one for one in module.modules() if isinstance(one, _ACTIVATIONS)])
    part.register_forward_hook(lambda _m, given, _o: torch.tanh(given[0]))


def saturated_scale(module: nn.Module) -> None:
    """A middle layer's output saturates, as with an int8 scale that is too small."""

    def change(out: Tensor) -> Tensor:
        limit = 0.5 * out.abs().amax()
        return out.clamp(-limit * 0.5, limit * 0.5)

    on_output(middle(convolutions(module)), change)


def transposed_kernel(module: nn.Module) -> None:
    """A middle convolution's kernel is mirrored: a convolution in the mathematicians' sense."""
    found = [one for one in convolutions(module) if max(one.kernel_size) > 1]  # type: ignore[operator,arg-type]
    with torch.no_grad():
        weight = middle(found).weight
        weight.copy_(weight.flip(-1))  # type: ignore[operator,union-attr,arg-type]


def unnormalised(module: nn.Module) -> None:
    """A middle normalisation uses twice the variance."""
    found = [one for one in module.modules() if getattr(one, "running_var", None) is not None]
    if not found:
        raise Inapplicable
    with torch.no_grad():
        middle(found).running_var.mul_(2)  # type: ignore[operator,union-attr]


KINDS: dict[str, Callable[[nn.Module], None]] = {
    one.__name__: one
    for one in (
        other_picture, fixed_picture, stale_input, shifted_rows, first_row_only, zeroed_channels,
        zeroed_channel, permuted_channels, shifted_map, dropped_bias, skipped_block, wrong_padding,
        stride_phase,
        other_activation, saturated_scale, transposed_kernel, unnormalised,
    )
}  # fmt: skip

# Forty-one networks of the families that classify, small enough for two shared cores.
MODELS = (
    "lenet5,lenet,mnist_cnn,cifar_cnn,googlenet_cifar,shufflenet_v2_x0_5,resnet20_cifar,"
    "mobilenet_v1_025,residual_block_net,mobilenet_v3_small,resnet32_cifar,mnasnet0_5,"
    "resnet56_cifar,shufflenet_v2_x1_0,mobilenet_v1_050,vgg_cifar,nin_cifar,"
    "mobilenet_v3_large,preact_resnet110_cifar,densenet40_cifar,densenet_bc100_cifar,"
    "mobilenet_v2,mnasnet1_0,squeezenet1_1,highway_cifar,efficientnet_b0,regnet_y_400mf,"
    "regnet_x_400mf,nasnet_mobile,mobilenet_v1_100,squeezenet1_0,regnet_x_800mf,nin_imagenet,"
    "alexnet,efficientnet_b1,regnet_y_800mf,resnet18,preact_resnet18,googlenet,bn_inception,"
    "plain18"
)


@contextmanager
def prepared(name: str) -> Iterator[tuple[Spec, Path, Any, str]]:
    """A network's plain spec, and its reference with the rounding of every mode."""
    facts = {one.name: one for one in catalogue.entries()}
    spec = Spec(Workload(name, BATCH, facts[name].input), Mode(), Device(), torch.get_num_threads())
    with tempfile.TemporaryDirectory() as folder:
        weights, path = str(Path(folder) / "weights.npz"), Path(folder) / "reference.npz"
        architecture, module = build.construct(spec.workload, SEED)
        build.calibrate(spec.workload, architecture, module, SEED, weights)
        precisions = [Mode.parse(one, "cpu").precision for one in MODES]
        found = references.compute(
            spec, lambda of: build.built(of, SEED, weights), SEED, path,
            precisions=sorted(set(precisions) - {"fp32"}),
        )  # fmt: skip
        yield spec, path, found, weights


def faulty(spec: Spec, weights: str, fault: Any) -> build.Step:
    architecture, module = build.construct(spec.workload, SEED, weights)
    if fault is not None:
        module.sample = build.inputs.made(architecture, spec.workload, SEED).args
        with torch.no_grad():
            fault(module)
    return build.step(spec, architecture, module, SEED)


def inert(plain: Spec, path: Path, weights: str, fault: Any) -> bool:
    """Whether a fault changes nothing at all."""
    answers = references.observed(plain, faulty(plain, weights, fault), SEED).answers
    usual = references.kept(path, "fp32")
    return all(torch.equal(one, other) for one, other in zip(answers, usual, strict=True))


def judged(spec: Spec, path: Path, known: Any, weights: str, fault: Any) -> dict[str, Any]:
    step = faulty(spec, weights, fault)
    check = checking.check(spec, step, SEED, path, known)
    answers = references.observed(spec, faulty(spec, weights, fault), SEED).answers
    outputs = checking.compare(spec, answers, path, known)
    return {"status": check.status, "outputs": outputs.status, "error": check.error,
            "centred": check.error_centred, "top1": check.top1_agreement,
            "reason": check.reason}  # fmt: skip


def _silent(plain: Spec, path: Path, weights: str, fault: Any) -> bool:
    try:
        return inert(plain, path, weights, fault)
    except Exception:  # noqa: BLE001 - said where the fault is judged
        return False


def rows(name: str) -> Iterator[dict[str, Any]]:
    with prepared(name) as (plain, path, known, weights):
        silent = {kind for kind, fault in KINDS.items() if _silent(plain, path, weights, fault)}
        for mode in MODES:
            spec = replace(plain, mode=Mode.parse(mode, "cpu"))
            for kind, fault in {"none": None, **KINDS}.items():
                try:
                    found = (
                        {"status": "inert"} if kind in silent
                        else judged(spec, path, known, weights, fault)
                    )  # fmt: skip
                except Inapplicable:
                    found = {"status": "inapplicable"}
                except Exception as error:  # noqa: BLE001 - a fault may not fit a network; it is counted apart
                    found = {"status": "raised", "reason": f"{type(error).__name__}: {error}"}
                yield {"model": name, "mode": mode, "kind": kind,
                       "share": known.picture_share, **found}  # fmt: skip


def report(found: list[dict[str, Any]]) -> str:
    """Shares as Markdown: by kind and mode, and who was wrong about a good one."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in found:
        counts[row["kind"], row["mode"]][row["status"]] += 1
    models = len({row["model"] for row in found})
    applied = [row for row in found if row["kind"] != "none"
               and row["status"] not in {"inapplicable", "raised", "inert"}]  # fmt: skip
    silent = sum(row["status"] == "inert" for row in found)
    by_outputs = sum(row["outputs"] == "wrong" for row in applied)
    caught = sum(row["status"] == "wrong" for row in applied)
    blind = sum(row["status"] == "ok" and row["top1"] == 1 for row in applied)
    clean = [row for row in found if row["kind"] == "none"]
    false = [row for row in clean if row["status"] == "wrong"]
    lines = [
        "# Injected faults and what the output check says of them", "",
        f"{models} networks, {len(KINDS)} kinds of fault, {len(MODES)} modes, batch {BATCH}, torch"
        f" {torch.__version__}: {len(applied)} faults, of which {caught}"
        f" ({caught / max(len(applied), 1):.1%}) are called wrong and {blind} pass as `ok` with"
        f" top-1 agreement 1. Without a fault: {len(false)} of {len(clean)} called wrong."
        f" By the outputs alone, as in compiled modes: {by_outputs}"
        f" ({by_outputs / max(len(applied), 1):.1%}). {silent} more change no bit of the outputs.",
        "",
        "A cell: faults called `wrong` of those that the network has a place for"
        " (`loose`, `unchecked`, `ok` beside it).", "",
        "| fault | " + " | ".join(MODES) + " |", "| :-- |" + " --: |" * len(MODES),
    ]  # fmt: skip
    for kind in (*KINDS, "none"):
        lines.append(
            f"| {kind} | " + " | ".join(_cell(counts[kind, mode]) for mode in MODES) + " |"
        )
    missed = [row for row in applied if row["status"] != "wrong"]
    lines += ["", "Not called wrong:", ""]
    lines += [f"- {row['model']}, {row['mode']}, {row['kind']}: {row['status']} {row['reason']}"
              for row in missed] or ["- none"]  # fmt: skip
    return "\n".join(lines) + "\n"


def _cell(count: Counter[str]) -> str:
    applied = sum(count[one] for one in ("ok", "loose", "wrong", "unchecked"))
    beside = ", ".join(f"{count[one]} {one}" for one in ("loose", "unchecked", "ok") if count[one])
    return f"{count['wrong']} of {applied}" + (f" ({beside})" if beside else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    modes.set_flags(Mode(), given.threads)
    path = given.folder / "faults.jsonl"
    kept = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    with path.open("a", encoding="utf8") as file:
        for name in given.models.split(","):
            if name in {row["model"] for row in kept}:
                continue
            began = time.monotonic()
            for row in rows(name):
                kept.append(row)
                file.write(json.dumps(row) + "\n")
            file.flush()
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    (given.folder / "report.md").write_text(report(kept), encoding="utf8")


if __name__ == "__main__":
    main()
