"""An input pipeline as something that can be called, timed in parts, and run by workers.

It makes a batch per call out of made pictures, on and on. With workers, torch's ``DataLoader``
makes batches ahead in processes of its own.
"""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms.v2 import functional

from cnnbench import recipes
from cnnbench.errors import Unsupported
from cnnbench.worker.sampling import Pace
from cnnbench.worker.scenes import scenes
from cnnbench.worker.transforms import CLASSES, OF_BATCHES, TRANSFORMS, decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cnnbench.recipes import Recipe
    from cnnbench.spec import Spec
    from cnnbench.worker.transforms import Step

# What is left of a batch's time beside its steps.
REST = "rest"
# Batches that each worker of a loader makes ahead; torch's own default.
_PREFETCH = 2


class Pipeline:
    """A recipe on made pictures.

    Args:
        recipe: what is done.
        backend: what pictures are held in.
        batch: pictures per call.
        seed: of the pictures, and of what is drawn before anything is timed.
        steps: the words of the recipe that are done on a call.
    """

    def __init__(
        self, recipe: Recipe, backend: str, batch: int, seed: int, steps: Sequence[str]
    ) -> None:
        self._batch = batch
        self.decoder = decoder(backend) if "decode" in (*recipe.before, *steps) else None
        self.each, self.whole = _apart({s: TRANSFORMS[s](recipe, backend) for s in steps})
        self.pictures = scenes(recipe.source, seed)
        self._given: list[Any] = [*self.pictures]
        # Nanoseconds of each step while steps are timed.
        self._taken: dict[str, int] | None = None
        torch.manual_seed(seed)
        each, whole = _apart({s: TRANSFORMS[s](recipe, backend) for s in recipe.before})
        if each:
            self._given = [self._through(each, one) for one in self._given]
        self._batches: Any = None
        if whole:
            some = [self._given[index % len(self)] for index in range(batch)]
            self._batches = self._through(whole, [*map(_with_class, some, range(batch))])
        self._pairs = recipe.whole
        self.restart()

    def restart(self) -> None:
        """Go back to the first picture."""
        self._place = 0

    def __len__(self) -> int:
        """Number of different pictures."""
        return len(self._given)

    def picture(self, index: int) -> Any:
        """A picture, through all that is done to single ones, with its class if it has a batch."""
        made = self._through(self.each, self._given[index % len(self._given)])
        return _with_class(made, index) if self._pairs else made

    def together(self, pictures: list[Any]) -> Any:
        """A batch of pictures, through all that is done to batches."""
        return self._through(self.whole, pictures)

    def __call__(self) -> Any:
        """The next batch; of a recipe that ends before one, a list of pictures."""
        if self._batches is not None:
            return self.together(self._batches)
        self._place += self._batch
        return self.together([*map(self.picture, range(self._place - self._batch, self._place))])

    def parts(self, call: Callable[[], Any]) -> dict[str, int]:
        """For how many nanoseconds each step is at work in a call that makes a batch with it.

        What is left of the call's time is ``rest``, so that they add up to it.
        """
        taken = dict.fromkeys((*self.each, *self.whole), 0)
        self._taken = taken
        begun = time.perf_counter_ns()
        try:
            call()
            total = time.perf_counter_ns() - begun
        finally:
            self._taken = None
        return {**taken, REST: total - sum(taken.values())}

    def _through(self, steps: Mapping[str, Step], value: Any) -> Any:
        if self._taken is None:
            for step in steps.values():
                value = step(value)
            return value
        for name, step in steps.items():
            start = time.perf_counter_ns()
            value = step(value)
            self._taken[name] += time.perf_counter_ns() - start
        return value


def _with_class(picture: Any, index: int) -> tuple[Any, int]:
    return picture, index % CLASSES


def _apart(steps: dict[str, Step]) -> tuple[dict[str, Step], dict[str, Step]]:
    """The steps on single pictures, and those from ``collate`` on, which take a batch."""
    whole = {name: one for name, one in steps.items() if name in OF_BATCHES or name == "collate"}
    return {name: one for name, one in steps.items() if name not in whole}, whole


def made(spec: Spec, seed: int) -> Pipeline:
    """The pipeline of a spec, without workers.

    Raises:
        UnknownName: there is no such recipe.
        Unsupported: the spec asks for what no pipeline can do; the message is the reason.
    """
    workload = spec.workload
    recipe = recipes.of_workload(workload)
    backend = recipes.backend(spec.mode)
    if backend is None:
        raise Unsupported(f"mode {spec.mode.text} is for networks; a pipeline has eager and"
                          " impl=tensor")  # fmt: skip
    if workload.input != recipe.shape or workload.phase != "inference" or workload.arguments:
        raise Unsupported(f"{recipe.name} makes pictures of {'x'.join(map(str, recipe.shape))}"
                          " and takes no arguments")  # fmt: skip
    if recipes.workers(workload) and not recipe.whole:
        raise Unsupported(f"{recipe.name} is a single step; workers make whole batches")
    steps = recipes.steps(recipe, spec.device)
    return Pipeline(recipe, backend, workload.batch, seed, steps)


class _Pictures(Dataset[Any]):
    """A pipeline's pictures by number, for a loader."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def __getitem__(self, index: int) -> Any:
        return self._pipeline.picture(index)


class _Endless(Sampler[list[int]]):
    """Numbers of pictures, batch after batch."""

    def __init__(self, batch: int) -> None:
        self._batch = batch

    def __iter__(self) -> Iterator[list[int]]:
        for start in itertools.count(0, self._batch):
            yield [*range(start, start + self._batch)]


# On CUDA the process that trains copies; pinning is the loader's own.
_OF_THE_TAKER = ("pin", "copy")


@contextmanager
def running(pipeline: Pipeline, spec: Spec) -> Iterator[tuple[Callable[[], Any], Pace]]:
    """What makes the next batch of a pipeline as a training loop gets it, and its pace.

    Whole batches come from a loader, with workers if the spec has any. Workers are forked: this
    process was forked before it started any threads.
    """
    if not recipes.of_workload(spec.workload).whole:
        yield pipeline, Pace()
        return
    workers = recipes.workers(spec.workload)
    last = [
        pipeline.whole.pop(name) for name in _OF_THE_TAKER if workers and name in pipeline.whole
    ]
    ahead: dict[str, Any] = {"prefetch_factor": _PREFETCH, "multiprocessing_context": "fork"}
    loader: DataLoader[Any] = DataLoader(
        _Pictures(pipeline),
        batch_sampler=_Endless(spec.workload.batch),
        num_workers=workers,
        collate_fn=pipeline.together,
        pin_memory=workers > 0 and spec.device.kind == "cuda",
        **(ahead if workers else {}),
    )
    batches: Any = iter(loader)

    def following() -> Any:
        batch = next(batches)
        for step in last[1:]:
            batch = step(batch)
        return batch

    try:
        yield following, Pace(_PREFETCH * workers, max(workers, 1))
    finally:
        if workers:
            # Batches are made ahead until they are told to stop; nothing public tells them.
            batches._shutdown_workers()  # noqa: SLF001


def answers(result: Any) -> list[Tensor]:
    """A batch as floating-point tensors, pictures with values from 0 to 1 unless normalised."""
    return [_values(one) for one in result]


def _values(one: Any) -> Tensor:
    tensor: Tensor = functional.pil_to_tensor(one) if isinstance(one, Image.Image) else one.cpu()
    return tensor.float() / 255 if tensor.dtype is torch.uint8 else tensor.float()
