"""The worker's own parts on the device, held against what is known in another way."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from bench.device.check import NotShown
from bench.device.place import Place
from cnnbench.spec import Device, Mode, Spec
from cnnbench.worker import build, devices, environment, modes, starter

DEVICE = Device("cuda", 0)


def _open() -> devices.Cuda:
    found = devices.open_device(DEVICE)
    assert isinstance(found, devices.Cuda)
    return found


def facts_of_environment(place: Place) -> dict[str, Any]:
    """What the environment says of the GPU, and what nvidia-smi does."""
    hard = environment.describe().hard
    gpu = hard["gpus"][0]
    found = {"gpu": gpu, "torch": hard["torch"], "host": {"cores": os.cpu_count()}}
    fields = "uuid,name,driver_version,memory.total"
    try:
        done = place.call(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"])
    except FileNotFoundError:
        raise NotShown("there is no nvidia-smi to compare with") from None
    rows = [line.split(", ") for line in done.out.splitlines() if line.count(", ") == 3]
    own = str(torch.cuda.get_device_properties(0).uuid).removeprefix("GPU-")
    same = [row for row in rows if own in row[0]]
    if not same:
        raise NotShown(f"nvidia-smi names no GPU {own}: {done.out or done.err}")
    _, name, driver, mib = same[0]
    return found | {"smi": {"name": name, "driver": driver, "memory_bytes": int(mib) << 20}}


def fork(_place: Place) -> dict[str, Any]:
    """The starter's state when it is ready, and two workers forked from it one after the other."""
    hazard = starter.fork_hazard()
    initialized = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return {"hazard": hazard, "initialized": initialized, "codes": [_forked(), _forked()]}


def _forked() -> int:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        good = torch.ones(1024, device="cuda").add(1).sum().item() == 2048
        os._exit(0 if good else 4)
    except Exception as error:  # noqa: BLE001 - the parent must not run on twice
        print(f"forked: {error}", flush=True)
    finally:
        os._exit(5)


def contract(place: Place) -> dict[str, Any]:
    """What tests rely on of a pretended device, asked of this one."""
    done = place.python("-m", "tests.pretended.contract")
    return {"broken": {name: text for name, text in done.json().items() if text}}


def clock(place: Place) -> dict[str, Any]:
    """Events against known ratios of work, and against the host's clock."""
    device, size = _open(), place.pick(2048, 256)
    modes.set_flags(Mode(), 1)
    left, right = (torch.randn(size, size, device="cuda") for _ in range(2))
    out = torch.empty(size, size, device="cuda")

    def products(count: int) -> Callable[[], None]:
        def call() -> None:
            for _ in range(count):
                torch.mm(left, right, out=out)

        return call

    sleep = place.pick(_spin, _wait)
    return {
        "product": _twice(device, products(8), products(16), place.pick(40, 10)),
        "sleep": _twice(device, sleep(2_000_000), sleep(4_000_000), place.pick(20, 5)),
    }


def _spin(cycles: int) -> Callable[[], None]:
    """The one kernel of a length that is asked for."""
    return lambda: torch.cuda._sleep(cycles)  # type: ignore[no-untyped-call]  # noqa: SLF001


def _wait(cycles: int) -> Callable[[], None]:
    """The same where there is no such kernel, at a gigahertz."""
    return lambda: time.sleep(cycles / 1e9)


def _twice(
    device: devices.Cuda, once: Callable[[], None], twice: Callable[[], None], turns: int
) -> dict[str, float]:
    """Times of some work and of twice as much, in turns; by events, and by the host around them."""
    for _ in range(5):
        twice()
    ratios, singles, walls = [], [], []
    for _ in range(turns):
        one, two = device.samples(once, 1, 0.0, 1.0)[0], device.samples(twice, 1, 0.0, 1.0)[0]
        ratios.append(two / one)
        singles.append(one / 1e9)
        device.synchronize()
        began = time.perf_counter()
        for _ in range(10):
            once()
        device.synchronize()
        walls.append((time.perf_counter() - began) / 10)
    single, wall = statistics.median(singles), statistics.median(walls)
    return {
        "twice_over_once": statistics.median(ratios), "event_seconds": single,
        "wall_seconds": wall, "events_over_wall": single / wall,
    }  # fmt: skip


def driver(place: Place) -> dict[str, Any]:
    """What NVML says while the device works, what asking costs, and how much memory is ours."""
    device = _open()
    if reason := device.notes().get("nvml"):
        raise NotShown(reason)
    size = place.pick(4096, 128)
    held = torch.ones(size, size, device="cuda")
    for _ in range(place.pick(200, 3)):
        held @ held
    state = device.state()
    device.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        device.state()
    asking = (time.perf_counter() - began) / 20
    return {
        "state": state, "asking_seconds": asking, "room": vars(device.room()),
        "allocated_bytes": torch.cuda.memory_allocated(),
    }  # fmt: skip


def tf32(place: Place) -> dict[str, Any]:
    """Errors of a product and of a convolution against float64, and what all flags say, by mode."""
    size, channels = place.pick(2048, 64), place.pick(256, 8)
    a, b = (torch.randn(size, size, device="cuda") for _ in range(2))
    x = torch.randn(8, channels, 28, 28, device="cuda")
    w = torch.randn(channels, channels, 3, 3, device="cuda")
    works: dict[str, Callable[[torch.dtype], torch.Tensor]] = {
        "matmul": lambda dtype: a.to(dtype) @ b.to(dtype),
        "conv": lambda dtype: torch.nn.functional.conv2d(x.to(dtype), w.to(dtype), padding=1),
    }
    exact = {name: work(torch.float64) for name, work in works.items()}
    rows = []
    for word in ("fp32", "tf32", "fp32"):
        modes.set_flags(Mode(precision=word), 1)
        errors = {
            name: float((work(torch.float32).double() - exact[name]).norm() / exact[name].norm())
            for name, work in works.items()
        }
        rows.append({"word": word, "flags": modes.flags(), "older": _older(), **errors})
    modes.set_flags(Mode(), 1)
    return {"rows": rows}


def _older() -> list[Any]:
    """What torch's older readings say; a text where they refuse to."""
    ask: list[Callable[[], object]] = [
        lambda: torch.backends.cuda.matmul.allow_tf32, lambda: torch.backends.cudnn.allow_tf32,
    ]  # fmt: skip
    return [_answer(question) for question in ask]


def _answer(question: Callable[[], object]) -> object:
    try:
        return question()
    except RuntimeError as error:
        return str(error)


def max_batch(place: Place) -> dict[str, Any]:
    """The batch that the command finds, and whether it and the next one fit, tried again."""
    network, *shape = place.pick(
        ("resnet18", "--size", "1024"),
        ("pretended_nets:tiny", "--input", "3x16x16", "--threads", "1"),
    )
    limit = place.pick(1 << 30, 2 << 20)
    done = place.cnnbench(
        "max-batch", network, *shape, "--device", "cuda", "--limit", f"{limit >> 20}MiB",
        "--within", "0", "--up-to", "256", "--quiet", "--json",
        env={"PRETENDED_CUDA_BYTES": str(1 << 30)} if place.pretended else None,
    )  # fmt: skip
    (found,) = done.json()
    fits, fails = found["fits"], found["fails"]
    if None in (fits, fails):
        return {"exit": done.code, "found": found, "again": {}}
    spec = Spec.parse(found["id"])
    tried = {str(batch): _tried(spec, batch, limit) for batch in (fits, fails)}
    return {"exit": done.code, "found": found, "again": tried}


def _tried(spec: Spec, batch: int, limit: int) -> str:
    """Two steps of a batch under a limit, in a process of their own."""
    pid = os.fork()
    if pid:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return {0: "fits", 6: "out_of_memory"}.get(code, f"code {code}")
    code = 5
    try:
        code = _steps(spec, batch, limit)
    except Exception as error:  # noqa: BLE001 - the parent must not run on twice
        code = 6 if devices.is_out_of_memory(error) else 5
        print(f"batch {batch}: {error}", flush=True)
    finally:
        os._exit(code)


def _steps(spec: Spec, batch: int, limit: int) -> int:
    larger = replace(spec, workload=replace(spec.workload, batch=batch))
    modes.set_flags(larger.mode, larger.threads)
    device = devices.open_device(larger.device)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), 0)
    step = build.built(larger, 0)
    for _ in range(2):
        step.call()
        device.synchronize()
    return 0


def cuda_tests(place: Place) -> dict[str, Any]:
    """The tests marked cuda of the parts that everything else rests on."""
    paths = ("tests/worker/test_devices.py", "tests/worker/test_layer_times.py",
             "tests/worker/test_ceilings.py", "tests/pretended/test_contract.py")  # fmt: skip
    for needed in ("pytest", "hypothesis"):
        if place.python("-c", f"import {needed}").code:
            raise NotShown(f"{needed} is not installed")
    done = place.python("-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider", *paths)
    last = next((line for line in reversed(done.out.splitlines()) if " in " in line), "")
    return {"exit": done.code, "summary": last.strip("= ")}
