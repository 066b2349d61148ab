"""A step's answers to every picture of the user's: agreement with fp32 eager, and accuracy.

The reference worker leaves fp32 eager's five likeliest classes of every picture, and the class that
each has, beside the reference outputs. Every timed process then answers once through the very step
that it times. Pictures come in a seeded order, so that those that the time does for are a fair
sample.
"""

from __future__ import annotations

import random
import re
import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from cnnbench.asking import CALIBRATED, IMAGES_SECONDS, PRETRAINED, RANDOM
from cnnbench.worker import images, outputs, weights
from cnnbench.worker.inputs import Given

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cnnbench.architectures.registry import Architecture
    from cnnbench.facts import Check, Reference
    from cnnbench.spec import Spec, Workload
    from cnnbench.worker.build import Step

# As many of the likeliest classes are kept.
_LIKELIEST = 5
# What is not known of a picture: its class, or an answer.
_UNKNOWN = -1
_WORDNET = re.compile(r"n\d{8}")
_WORDNET_CLASSES = 1000


@dataclass(frozen=True)
class Answered:
    """The answers to pictures, in the order in which they were asked.

    Attributes:
        ranked: of shape (pictures, up to 5), the likeliest class first; -1 where nothing was asked.
        classes: how many the network tells apart.
    """

    ranked: Tensor
    classes: int

    @property
    def asked(self) -> Tensor:
        """Which pictures were answered."""
        return self.ranked[:, 0] != _UNKNOWN

    def accuracy(self, labels: Tensor, best: int) -> float | None:
        """Share of answered pictures whose class is among the ``best`` likeliest.

        ``None`` without answers or classes, or where fewer classes could not be missed.
        """
        known = self.asked & (labels != _UNKNOWN)
        if not known.any() or self.classes <= best:
            return None
        hits = self.ranked[known, :best] == labels[known, None]
        return float(hits.any(1).double().mean())


def refer(
    spec: Spec, architecture: Architecture, step: Step, path: Path, known: Reference
) -> Reference:
    """Keep fp32 eager's answers to every picture, and add what is known of them.

    Args:
        spec: the plain spec.
        architecture: whose weights may name their classes.
        step: its iteration; afterwards it holds its own picture again.
        path: of the reference's arrays.
        known: the reference so far.
    """
    pictures = images.pictures(spec.workload)
    found = answers(spec.workload, step, pictures)
    if found is None:
        why = "top-1 agreement is that of the output check alone: " + _no_scores(spec.workload)
        return replace(known, notes=(*known.notes, *pictures.remarks, f"--images: {why}"))
    labels, reason = _labels(spec.workload, architecture, pictures.directory, found.classes)
    with _beside(path).open("wb") as file:
        np.savez(file, ranked=found.ranked.numpy(), labels=labels.numpy())
    remarks = [reason, _one_class(found.ranked[found.asked, 0])]
    asked, usable = int(found.asked.sum()), len(labels) - len(pictures.unreadable)
    if asked < usable:
        remarks.append(
            f"fp32 eager's pass ended after {IMAGES_SECONDS} s with {asked:,} of {usable:,}"
            " pictures, drawn at random"
        )
    return replace(
        known,
        accuracy_top1=found.accuracy(labels, 1),
        accuracy_top5=found.accuracy(labels, _LIKELIEST),
        notes=(*known.notes, *pictures.remarks, *(f"--images: {one}" for one in remarks if one)),
    )


def _one_class(best: Tensor) -> str:
    """That every picture is of one class to fp32 eager, so that hardly a fault would change it."""
    if len(best) < 2 or len({*best.tolist()}) > 1:
        return ""
    return (
        f"fp32 eager answers class {int(best[0])} for every picture, so that top-1 agreement says"
        " little of a mode; relative_error_centred tells more"
    )


def complete(spec: Spec, step: Step, path: Path, check: Check) -> Check:
    """A check, with what a mode answers to every picture in place of the few of the check."""
    kept = _kept(path)
    if kept is None:
        return check
    found = answers(spec.workload, step, images.pictures(spec.workload))
    if found is None:
        return check
    usual, labels = kept["ranked"], kept["labels"]
    found.ranked[usual[:, 0] == _UNKNOWN] = _UNKNOWN  # a slower reference did not come to it
    same = found.ranked[found.asked, 0] == usual[found.asked, 0]
    return replace(
        check,
        top1_agreement=float(same.double().mean()),
        top1_pictures=len(same),
        accuracy_top1=found.accuracy(labels, 1),
        accuracy_top5=found.accuracy(labels, _LIKELIEST),
    )


def answers(workload: Workload, step: Step, pictures: images.Pictures) -> Answered | None:
    """What a step answers to every picture, as far as the time goes.

    ``None`` if its output is no scores of classes: no tensor of shape (batch, classes).
    """
    if workload.phase != "inference":
        return None
    files = _order(pictures.directory)
    place = {file: index for index, file in enumerate(files)}
    asked: list[list[Path]] = []

    def others() -> Any:
        for group, values in pictures.batches(files, workload.batch):
            asked.append(group)
            yield Given.of(values)

    found: Answered | None = None
    until = time.monotonic() + IMAGES_SECONDS
    # The answer to its own picture is not wanted.
    with closing(replace(step, others=others).answers(None)) as results:
        next(results)
        for result in results:
            scores = _scores(step.observe(result), workload.batch)
            if scores is None:
                return None
            if found is None:
                found = _nothing(len(files), scores.shape[1])
            group = asked[-1]
            best = scores.topk(found.ranked.shape[1]).indices[: len(group)]
            found.ranked[[place[file] for file in group]] = best
            if time.monotonic() > until:
                break
    return found


def _nothing(count: int, classes: int) -> Answered:
    width = min(_LIKELIEST, classes)
    return Answered(torch.full((count, width), _UNKNOWN, dtype=torch.int64), classes)


def _order(found: images.Directory) -> list[Path]:
    files = [*found.files]
    random.Random(0).shuffle(files)
    return files


def _scores(observed: Sequence[Tensor], batch: int) -> Tensor | None:
    """The scores of classes that an output is, in float64 on the CPU."""
    first = outputs.comparable(observed[0]) if observed else None
    if first is None or first.dim() != 2 or len(first) != batch or outputs.is_exact(first):
        return None
    return first


def _no_scores(workload: Workload) -> str:
    if workload.phase != "inference":
        return "a training step answers with its loss"
    return "the output is no scores of classes"


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}-images.npz")


def _kept(path: Path) -> dict[str, Tensor] | None:
    """What ``refer`` left, if it did."""
    if not _beside(path).is_file():
        return None
    with np.load(_beside(path), allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _labels(
    workload: Workload, architecture: Architecture, found: images.Directory, classes: int
) -> tuple[Tensor, str]:
    """The class of every picture, in order, and why accuracy is not known if it is not."""
    files = _order(found)
    unknown = torch.full((len(files),), _UNKNOWN, dtype=torch.int64)
    kind = weights.kind(workload)
    if not found.classes:
        return unknown, ""
    if kind in {CALIBRATED, RANDOM}:
        return unknown, f"accuracy is not reported: {kind} weights are not trained"
    named: Mapping[str, int] = {}
    if kind == PRETRAINED or (weights.has_published(architecture) and classes == _WORDNET_CLASSES):
        named = _by_name(weights.published(architecture).meta.get("categories", ()))
    table, reason = class_indices(found.classes, classes, named)
    if reason:
        return unknown, f"accuracy is not reported: {reason}"
    return torch.tensor([table[found.class_of(file)] for file in files]), ""


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").strip()


def _by_name(categories: Sequence[str]) -> dict[str, int]:
    """Names of classes, as folders may write them, with their index; ambiguous ones left out."""
    names = [_plain(name) for name in categories]
    return {name: index for index, name in enumerate(names) if names.count(name) == 1}


def class_indices(
    folders: Sequence[str], classes: int, named: Mapping[str, int]
) -> tuple[dict[str, int], str]:
    """Which class each folder is of, or why that is not known.

    Args:
        folders: names, sorted.
        classes: how many the network tells apart.
        named: plain name of a class -> its index, if the weights have names.
    """
    if all(name.isdecimal() for name in folders):
        table = {name: int(name) for name in folders}
        high = [name for name, index in table.items() if index >= classes]
        reason = f"folder {high[0]} is no class of 0 to {classes - 1}" if high else ""
        return table, reason
    if all(_plain(name) in named for name in folders):
        return {name: named[_plain(name)] for name in folders}, ""
    if len(folders) == classes:
        return {name: index for index, name in enumerate(folders)}, ""
    if classes == _WORDNET_CLASSES and all(_WORDNET.fullmatch(name) for name in folders):
        return {}, f"WordNet ids give classes only if all {_WORDNET_CLASSES:,} are there"
    known = "neither numbers nor names of the weights' classes" if named else "no numbers"
    return {}, (
        f"{len(folders)} folders, whose names are {known}, do not fit {classes} classes; name them"
        f" 0 to {classes - 1}, or keep one folder of each class"
    )
