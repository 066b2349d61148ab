"""What cnnbench relies on of a CUDA device, as checks: of the pretended one and of a real one.

``python -m tests.pretended.contract`` runs them where ``site`` is on the path and prints JSON: the
names of checks, and what is wrong with each; empty if nothing is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import torch

from cnnbench.errors import Unsupported
from cnnbench.spec import Device, Mode
from cnnbench.worker import devices, environment, events, graphed, modes

MIB = 1 << 20


def _device() -> devices.Cuda:
    found = devices.open_device(Device("cuda", 0))
    assert isinstance(found, devices.Cuda)
    return found


def tensors_go_there_and_compute() -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    x = torch.randn(2, 3, 8, 8)
    want = module(x)

    moved, given = modes.prepare(Mode(), Device("cuda", 0), module, x)

    assert torch.allclose(moved(given).to("cpu"), want, atol=1e-3)
    assert torch.ones(3, device="cuda:0").add(1).sum().item() == 6


def events_tell_time_and_only_once_they_were_recorded() -> None:
    start, stop, never = (torch.cuda.Event(enable_timing=True) for _ in range(3))
    start.record()
    time.sleep(0.02)
    stop.record()
    torch.cuda.synchronize(0)

    assert start.elapsed_time(stop) >= 0
    try:
        start.elapsed_time(never)
    except (ValueError, RuntimeError):
        return
    raise AssertionError("the time to an event that was never recorded")


def samples_are_positive_and_as_many_as_asked_for() -> None:
    x = torch.randn(64, 64, device="cuda:0")
    taken = _device().samples(lambda: x @ x, 2, 0.002, 1e-4)

    assert len(taken) == 10
    assert min(taken) > 0


def the_peak_of_a_known_allocation_is_known() -> None:
    keep = torch.ones(8 * MIB, dtype=torch.int8, device="cuda:0")

    def call() -> None:
        one = torch.empty(10 * MIB, dtype=torch.int8, device="cuda:0")
        other = torch.empty(5 * MIB, dtype=torch.int8, device="cuda:0")
        del one, other

    before = torch.cuda.memory_allocated(0)
    peaks = _device().peaks(call)

    assert before >= keep.nbytes
    assert 15 * MIB <= peaks["cuda_allocated_bytes"] - before <= 15 * MIB + 4096
    order = ("cuda_requested_bytes", "cuda_allocated_bytes", "cuda_reserved_bytes")
    assert sorted(order, key=peaks.__getitem__) == list(order)
    assert torch.cuda.memory_allocated(0) == before


def too_much_is_out_of_memory() -> None:
    free, total = torch.cuda.mem_get_info(0)
    assert 0 < free <= total
    caught: Exception | None = None
    try:
        torch.empty(1 << 42, dtype=torch.int8, device="cuda:0")
    except Exception as error:  # noqa: BLE001 - whatever it is, it must be recognised
        caught = error
    assert caught is not None
    assert devices.is_out_of_memory(caught), repr(caught)


def the_profiler_sees_kernels_and_memory() -> None:
    x = torch.randn(64, 64, device="cuda:0")
    seen = events.of_call(lambda: (x @ x).relu(), _device())

    assert sum(events.device_kernels(seen).values()) >= 2
    assert events.busy_ns(seen) > 0
    assert sum(change for _, change in events.memory_changes(seen, "cuda")) == 0


def a_graph_computes_again_from_the_inputs_where_they_lie() -> None:
    layer = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU()).to("cuda:0").eval()
    x, other = torch.randn(2, 1, 1, 5, 5, device="cuda:0")
    wanted = [layer(one).detach() for one in (x, other)]

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            return layer(x)

    call = graphed.Graphed(forward)
    first = call().clone()
    x.copy_(other)
    again = call()

    assert torch.allclose(first, wanted[0], atol=1e-3)
    assert torch.allclose(again, wanted[1], atol=1e-3)
    assert not torch.allclose(*wanted)
    assert call.replays == 2


def what_a_graph_computes_in_is_counted() -> None:
    x = torch.ones(2 * MIB, device="cuda:0")
    before = torch.cuda.memory_allocated(0)
    call = graphed.Graphed(lambda: (x + 1).sum())
    call()

    peaks = _device().peaks(call)

    assert peaks["cuda_allocated_bytes"] - before >= x.nbytes
    assert peaks["cuda_allocated_bytes"] <= peaks["cuda_reserved_bytes"]


def what_reads_values_on_the_host_cannot_be_captured() -> None:
    x = torch.ones(3, device="cuda:0")
    try:
        graphed.Graphed(lambda: x + x.sum().item())()
    except Unsupported as error:
        said = str(error)
    else:
        said = "it was captured"
    assert "cannot be captured as a CUDA graph" in said, said
    # Not what the end of the capture says.
    assert "not permitted when stream is capturing" in said, said


def autocast_computes_in_the_type_that_was_asked_for() -> None:
    layer = torch.nn.Linear(4, 4).to("cuda:0")
    with modes.autocast(Mode(precision="amp=fp16"), Device("cuda", 0)):
        assert layer(torch.ones(2, 4, device="cuda:0")).dtype is torch.float16


def the_environment_names_it() -> None:
    (gpu, *_) = environment.describe().hard["gpus"]

    assert gpu["name"]
    assert gpu["memory_bytes"] > 0
    assert gpu["driver"] is None or gpu["driver"][0].isdigit()


def its_room_is_less_than_its_memory() -> None:
    room = _device().room()

    assert 0 < room.free_bytes < torch.cuda.get_device_properties(0).total_memory


CHECKS: tuple[Callable[[], None], ...] = (
    tensors_go_there_and_compute,
    events_tell_time_and_only_once_they_were_recorded,
    samples_are_positive_and_as_many_as_asked_for,
    the_peak_of_a_known_allocation_is_known,
    too_much_is_out_of_memory,
    the_profiler_sees_kernels_and_memory,
    autocast_computes_in_the_type_that_was_asked_for,
    a_graph_computes_again_from_the_inputs_where_they_lie,
    what_a_graph_computes_in_is_counted,
    what_reads_values_on_the_host_cannot_be_captured,
    the_environment_names_it,
    its_room_is_less_than_its_memory,
)


def broken(check: Callable[[], None]) -> str:
    """What is wrong by a check; empty if nothing is."""
    try:
        check()
    except Exception as error:  # noqa: BLE001 - the other checks are of interest too
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    print(json.dumps({one.__name__: broken(one) for one in CHECKS}))
