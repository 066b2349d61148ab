"""Are outputs by value the same whatever computes them? A sweep over processors, threads, layouts.

Every way runs in a process of its own, because a library reads its instruction set when it starts.
What is compared is what ``cnnbench check`` compares, by the same code; beside it, how far the
outputs are apart. ``python -m bench.output_values results/output-check`` writes ``values.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnbench.codec import decode
from cnnbench.facts import Values
from cnnbench.gate import values as judged
from cnnbench.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = (
    "lenet", "resnet18", "resnet50", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small",
    "shufflenet_v2_x1_0", "densenet121", "efficientnet_b0", "googlenet", "mnasnet0_5",
    "convnext_tiny", "regnet_y_400mf", "vit_b_16",
)  # fmt: skip
# Name of a way -> variables, threads; what leads to another spec is named in the id.
WAYS: dict[str, tuple[dict[str, str], int]] = {
    "default": ({}, 1),
    "again": ({}, 1),
    "2 threads": ({}, 2),
    "oneDNN AVX2": ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, 1),
    "oneDNN SSE41": ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, 1),
    "torch AVX2": ({"ATEN_CPU_CAPABILITY": "avx2"}, 1),
    "torch scalar": ({"ATEN_CPU_CAPABILITY": "default"}, 1),
    "MKL AVX2": ({"MKL_ENABLE_INSTRUCTIONS": "AVX2"}, 1),
    "all old, 2 threads": (
        {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default",
         "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}, 2,
    ),
}  # fmt: skip
_SHAPES = {"lenet": "3x32x32"}
_CHILD = """
import json, sys
from cnnbench.codec import encode
from cnnbench.spec import Spec
from cnnbench.worker import values
for name in sys.argv[1:]:
    print(json.dumps([name, encode(values.taken(Spec.parse(name), 0))]), flush=True)
"""


def spec(model: str, threads: int, phase: str, size: str) -> str:
    return f"{model}/{phase}-b1-{_SHAPES.get(model, size)}/eager/cpu-t{threads}"


def answers(names: list[str], variables: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """What a process with such variables computes; a network that is missing has died."""
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, *names],
        env=os.environ | variables, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        for line in child.stdout or ():
            name, data = json.loads(line)
            yield name.partition("/")[0], data


def distance(old: Values, new: Values) -> float:
    both = zip(old.outputs, new.outputs, strict=True)
    return max((judged.distance(a, b) for a, b in both if not a.digest), default=0.0)


def sweep(
    models: list[str], phase: str, size: str, path: Path
) -> dict[str, dict[str, dict[str, Any]]]:
    """Way -> model -> what became of it; what the file has already is not computed again."""
    found: dict[str, dict[str, dict[str, Any]]] = (
        json.loads(path.read_text()) if path.exists() else {}
    )
    for way, (variables, threads) in WAYS.items():
        key = f"{phase}: {way}"
        missing = [one for one in models if one not in found.setdefault(key, {})]
        names = [spec(model, threads, phase, size) for model in missing]
        for model, data in answers(names, variables) if names else ():
            found[key][model] = data
            path.write_text(json.dumps(found))
            print(f"{key}: {model}", file=sys.stderr)
    return found


def table(found: dict[str, dict[str, dict[str, Any]]], phase: str) -> list[str]:
    usual = {name: decode(Values, one) for name, one in found[f"{phase}: default"].items()}
    lines = [
        f"| {phase} | networks | called changed | not judged | largest distance | of |",
        "| :-- | --: | --: | --: | --: | :-- |",
    ]
    for way in list(WAYS)[1:]:
        new = {k: decode(Values, v) for k, v in found.get(f"{phase}: {way}", {}).items()}
        both = {name: (usual[name], one) for name, one in new.items() if name in usual}
        if not both:
            continue
        blank = Record("lenet/inference-b1-3x32x32/eager/cpu-t1", "", "")
        told = {
            name: judged.changed(*(replace(blank, values=one) for one in pair))
            for name, pair in both.items()
        }
        apart = {name: distance(*pair) for name, pair in both.items() if told[name] is not None}
        worst = max(apart, key=lambda name: apart[name], default="-")
        lines.append(
            f"| {way} | {len(both)} | {sum(bool(one) for one in told.values())} |"
            f" {sum(one is None for one in told.values())} | {apart.get(worst, 0):.1e} | {worst} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--phase", default="inference", choices=["inference", "training"])
    parser.add_argument("--size", default="3x224x224", help="of networks other than lenet")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / f"values-{given.phase}.json"
    found = sweep(given.models.split(","), given.phase, given.size, path)
    print("\n".join(table(found, given.phase)))


if __name__ == "__main__":
    main()
