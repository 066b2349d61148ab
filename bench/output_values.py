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
    "all old and 2 threads": (
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
if "own" == sys.argv[1]:
    values._DOUBLE = values._OWN
for name in sys.argv[2:]:
    print(json.dumps([name, encode(values.taken(Spec.parse(name), 0))]), flush=True)
"""


def spec(model: str, threads: int, phase: str, size: str) -> str:
    return f"{model}/{phase}-b1-{_SHAPES.get(model, size)}/eager/cpu-t{threads}"


def answers(
    names: list[str], precision: str, variables: dict[str, str]
) -> Iterator[tuple[str, Any]]:
    """What a process with such variables computes; a network that is missing has died."""
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, precision, *names],
        env=os.environ | variables, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        for line in child.stdout or ():
            name, data = json.loads(line)
            yield name.partition("/")[0], data


def sweep(given: argparse.Namespace, path: Path) -> dict[str, dict[str, Any]]:
    """Way -> model -> its values; what the file has already is not computed again."""
    found = json.loads(path.read_text()) if path.exists() else {}
    for way in given.ways.split(","):
        variables, threads = WAYS[way]
        known = found.setdefault(way, {})
        names = [
            spec(model, threads, given.phase, given.size)
            for model in given.models.split(",")
            if model not in known
        ]
        for model, data in answers(names, given.precision, variables) if names else ():
            known[model] = data
            path.write_text(json.dumps(found))
            print(f"{way}: {model}", file=sys.stderr)
    return found


def table(found: dict[str, dict[str, Any]], title: str) -> list[str]:
    """Every way against the default."""
    sides = {
        way: {model: decode(Values, data) for model, data in models.items()}
        for way, models in found.items()
    }
    usual = sides.pop("default")
    blank = Record("lenet/inference-b1-3x32x32/eager/cpu-t1", "", "")
    lines = [
        f"| {title} | networks | called changed | not judged | largest distance | of its limit |",
        "| :-- | --: | --: | --: | --: | --: |",
    ]
    for way, models in sides.items():
        both = [(usual[name], one) for name, one in models.items() if name in usual]
        told = [judged.changed(*(replace(blank, values=one) for one in pair)) for pair in both]
        outputs = [
            (judged.distance(*pair), judged.tolerance(*pair))
            for (old, new), lines_ in zip(both, told, strict=True)
            if lines_ is not None
            for pair in zip(old.outputs, new.outputs, strict=True)
            if not pair[0].digest
        ]
        far = max((one for one, _ in outputs), default=0.0)
        share = max((one / limit for one, limit in outputs), default=0.0)
        lines.append(
            f"| {way} | {len(both)} | {sum(bool(one) for one in told)} |"
            f" {sum(one is None for one in told)} | {far:.1e} | {share:.1%} |"
        )
    return lines


def main() -> None:
    """Sweep, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--phase", default="inference", choices=["inference", "training"])
    parser.add_argument("--precision", default="float64", choices=["float64", "own"])
    parser.add_argument("--size", default="3x224x224", help="of networks other than lenet")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    title = f"{given.phase}, {given.precision}"
    path = given.folder / f"values-{given.phase}-{given.precision}.json"
    print("\n".join(table(sweep(given, path), title)))


if __name__ == "__main__":
    main()
