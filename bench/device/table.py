"""Every check, the most valuable first: a session that is cut off has those.

Rules state what must hold on any GPU; none of them is an expected speed.
"""

from __future__ import annotations

from bench.device.check import Check, Rule
from bench.device.rules import (
    CLOCK,
    FP32,
    TF32,
    all_ok,
    errors,
    exits,
    gain,
    highest_share,
    largest,
    named,
    over_predicted,
    overlap,
    percent,
    readings_agree,
    remark,
    statuses,
    tf32_figure,
)

_TIMES = "the times of a pretended device are those of the CPU that computes it"
_ONLY_OURS = "the pretended device has no second witness"

CHECKS: tuple[Check, ...] = (
    Check(
        "environment",
        "the environment names the GPU, its driver and its memory as nvidia-smi does",
        "instrument:facts_of_environment", 25,
        (
            Rule("the same name", lambda f: f["gpu"]["name"] == f["smi"]["name"]),
            Rule("the same driver", lambda f: f["gpu"]["driver"] == f["smi"]["driver"]),
            # The driver keeps some of the memory that nvidia-smi counts.
            Rule("90 to 100 % of its memory",
                 lambda f: 0.9 <= f["gpu"]["memory_bytes"] / f["smi"]["memory_bytes"] <= 1),
        ),
        lambda f: f"{f['gpu']['name']}, driver {f['gpu']['driver']}",
        _ONLY_OURS,
    ),
    Check(
        "contract",
        "the device does what the pretended one, on which tests rely, does",
        "instrument:contract", 40,
        (Rule("no part of the contract is broken", lambda f: f["broken"] == {}),),
        lambda f: f"{len(f['broken'])} broken",
    ),
    Check(
        "fork",
        "importing asks CUDA nothing, so workers that are forked after it can use the device",
        "instrument:fork", 25,
        (
            Rule("no hazard is seen", lambda f: f["hazard"] is None),
            Rule("CUDA is not initialised", lambda f: not f["initialized"]),
            Rule("both workers have computed", lambda f: f["codes"] == [0, 0]),
        ),
        lambda f: f"exit codes {f['codes']}",
        "a pretended device has no driver that a fork could break",
    ),
    Check(
        "tf32",
        "fp32 means IEEE float32, tf32 means TF32, and every flag of torch says so",
        "instrument:tf32", 30,
        (
            Rule(f"fp32 errs by less than {FP32:g}, before and after tf32",
                 lambda f: all(one < FP32 for one in errors(f, "fp32"))),
            Rule(f"tf32 errs by {TF32[0]:g} to {TF32[1]:g}",
                 lambda f: all(TF32[0] < one < TF32[1] for one in errors(f, "tf32"))),
            Rule("new and older flags agree", readings_agree),
        ),
        tf32_figure,
        "a CPU has no TF32",
    ),
    Check(
        "clock",
        "events tell time: twice the work takes twice as long, and as the host's clock says",
        "instrument:clock", 30,
        (
            Rule("twice the products take twice as long, within 3 %",
                 lambda f: abs(f["product"]["twice_over_once"] / 2 - 1) < CLOCK),
            Rule("twice the cycles take twice as long, within 3 %",
                 lambda f: abs(f["sleep"]["twice_over_once"] / 2 - 1) < CLOCK),
            Rule("events and the host's clock agree within 3 %",
                 lambda f: abs(f["product"]["events_over_wall"] - 1) < CLOCK),
        ),
        lambda f: f"twice: {f['product']['twice_over_once']:.3f} and"
        f" {f['sleep']['twice_over_once']:.3f}; to the host {f['product']['events_over_wall']:.3f}",
        _TIMES,
    ),
    Check(
        "driver",
        "NVML tells clocks, temperature and memory of the device that is measured, quickly",
        "instrument:driver", 25,
        (
            Rule("a clock of 100 to 5000 MHz", lambda f: 100 <= f["state"]["sm_mhz"] <= 5000),
            Rule("10 to 110 degrees", lambda f: 10 <= f["state"]["temperature_c"] <= 110),
            Rule("reasons for a lower clock are known", lambda f: "throttle" in f["state"]),
            # A slice lasts 60 ms.
            Rule("asking takes less than 5 ms", lambda f: f["asking_seconds"] < 5e-3),
            Rule("the process has at least what it allocated, where that is told",
                 lambda f: (f["room"]["process_bytes"] or 1 << 60) >= f["allocated_bytes"]),
        ),
        lambda f: f"{f['state']['sm_mhz']} MHz, {f['state']['temperature_c']} degrees,"
        f" {1e3 * f['asking_seconds']:.2f} ms",
    ),
    Check(
        "modes",
        "a network is measured in every mode that needs no compiler, with right outputs",
        "commands:modes", 60,
        (exits(0), Rule("every row is ok", all_ok)),
        statuses,
    ),
    Check(
        "injected_fault",
        "an output that is wrong in one mode is called wrong there, and only there",
        "commands:injected_fault", 40,
        (
            Rule("wrong in channels_last, tf32 and amp=fp16",
                 lambda f: [one["status"] for one in named(f, "faulty")].count("wrong") == 3),
            Rule("ok in eager", lambda f: f["rows"]["faulty eager"]["status"] == "ok"),
        ),
        statuses,
    ),
    Check(
        "loss_scale",
        "float16 training is measured at a loss scale that skips no step, and is not called wrong",
        "commands:loss_scale", 40,
        (
            exits(0),
            Rule("every row is ok", all_ok),
            Rule("the scale is known", lambda f: f["flags"]["amp=fp16"]["loss_scale"] > 0),
            Rule("no step is skipped", lambda f: f["flags"]["amp=fp16"]["steps_skipped"] == 0),
        ),
        lambda f: f"scale {f['flags']['amp=fp16']['loss_scale']:g}",
    ),
    Check(
        "out_of_memory",
        "too little memory is a row; what has room alone is measured; the device lives on",
        "commands:out_of_memory", 55,
        (
            exits(3),
            Rule("what wants too much is out_of_memory",
                 lambda f: {one["kind"] for one in named(f, "greedy")} == {"out_of_memory"}),
            Rule("what has room alone is measured in both modes",
                 lambda f: [one["kind"] for one in named(f, "crowding")] == [None, None]),
            Rule("the network beside them is ok",
                 lambda f: {one["status"] for one in named(f, "small")} == {"ok"}),
            Rule("the device computes afterwards", lambda f: f["after"] == "9.0"),
        ),
        statuses,
    ),
    Check(
        "faults",
        "an assertion on the device and a tensor left on the CPU are one row each, saying so",
        "commands:faults", 40,
        (
            exits(3),
            Rule("the assertion is named",
                 lambda f: all("device-side assert" in one["reason"]
                               for one in named(f, "asserting"))),
            Rule("the CPU's tensor is named",
                 lambda f: all("Expected all tensors" in one["reason"]
                               for one in named(f, "mixed"))),
            Rule("only the network without a fault is ok",
                 lambda f: [name.split()[0] for name, one in f["rows"].items()
                            if one["status"] == "ok"] == ["small"]),
        ),
        statuses,
    ),
    Check(
        "launch_bound",
        "a small network is launch-bound at batch 1 and is not at a batch that fills the device",
        "commands:launch_bound", 45,
        (
            exits(0),
            Rule("batch 1 is launch-bound", lambda f: f["batches"]["1"]["launch_bound"]),
            Rule("the largest batch is not", lambda f: not largest(f["batches"])["launch_bound"]),
            # Kernels of one profiled call over the time of another process: 5 % between them.
            Rule("the device is busy 0 to 105 % of a step",
                 lambda f: all(0 < one["busy"] <= 1.05 for one in f["batches"].values())),
        ),
        lambda f: ", ".join(
            f"batch {n}: busy {percent(one['busy'])}" for n, one in f["batches"].items()
        ),
        "its profiler sees a kernel beneath every operator, at any batch",
    ),
    Check(
        "predicted_memory",
        "the predicted peak is that of the tensors; the allocator's is little above it",
        "readings:predicted_memory", 10,
        (
            # Of the largest batch, where tensors outweigh workspaces. Blocks are rounded up.
            Rule("the allocator has at least 98 % of it",
                 lambda f: over_predicted(largest(f["rows"])) >= 0.98),
            Rule("and at most 25 % more, workspaces included",
                 lambda f: over_predicted(largest(f["rows"])) <= 1.25),
        ),
        lambda f: ", ".join(
            f"batch {n}: {over_predicted(one):.3f} of it"
            for n, one in f["rows"].items()
        ),
        "the pretended allocator sees what Python sees, not what a library allocates",
        needs="launch_bound",
    ),
    Check(
        "lab",
        "our Triton kernels and cuDNN's convolutions give the outputs of float64",
        "commands:lab", 60,
        (
            exits(0),
            Rule("every row that is not refused is ok",
                 lambda f: all(one["status"] == "ok" or one["kind"] == "unsupported"
                               for one in f["rows"].values())),
            Rule("both Triton kernels are among them",
                 lambda f: all(any(name in row and one["status"] == "ok"
                                   for row, one in f["rows"].items())
                               for name in ("triton_gemm", "triton_depthwise"))),
        ),
        lambda f: f"{len(f['rows']) - len(f['refused'])} measured, {len(f['refused'])} refused",
        "Triton compiles for no pretended device",
    ),
    Check(
        "roof",
        "nothing is faster than the probed ceilings allow",
        "readings:roof", 10,
        (
            Rule("there are shares", lambda f: f["shares"]),
            Rule("none is above 1", lambda f: highest_share(f) <= 1),
        ),
        lambda f: f"at most {percent(highest_share(f))} of a ceiling",
        "it has no ceilings of its own", needs="lab", dry=False,
    ),
    Check(
        "report",
        "the page of a run is written and names the GPU",
        "commands:report", 20,
        (
            exits(0),
            Rule("it names the GPU", lambda f: f["named"]),
            Rule("it is whole", lambda f: f["ends"]),
        ),
        lambda f: f"{f['bytes'] / 1e3:.0f} kB",
        needs="modes",
    ),
    Check(
        "unchanged",
        "a mode against itself is neither slower nor faster",
        "commands:unchanged", 70,
        (
            exits(0),
            Rule("the verdict is 'unchanged'", lambda f: f["latency"]["verdict"] == "unchanged"),
        ),
        lambda f: f"{percent(f['latency']['ratio'] - 1)}"
        f" [{percent(f['latency']['ratio_low'] - 1)}, {percent(f['latency']['ratio_high'] - 1)}]",
        _TIMES,
    ),
    Check(
        "slowdown",
        "a tenth more work is found, and as a tenth",
        "commands:slowdown", 90,
        (
            exits(1),
            Rule("the verdict is 'regression'",
                 lambda f: f["latency"]["verdict"] == "regression"),
            # The first layer is the same on both sides, and clocks and caches are not constants.
            Rule("by 7 to 13 %", lambda f: 1.07 <= f["latency"]["ratio"] <= 1.13),
        ),
        lambda f: f"{percent(f['latency']['ratio'] - 1)}, {f['latency']['verdict']}",
        _TIMES,
    ),
    Check(
        "cuda_graphs",
        "reduce-overhead makes CUDA graphs, and a row says so where it makes none",
        "commands:cuda_graphs", 75,
        (
            exits(0),
            Rule("every row is ok", all_ok),
            Rule("nothing is remarked where a graph is possible",
                 lambda f: not remark(named(f, "small"), "CUDA graphs")),
            Rule("it is remarked where a part is on the CPU",
                 lambda f: remark(named(f, "on_the_host"), "CUDA graphs")),
        ),
        lambda f: f"{gain(f, 'small eager', 'small compile=reduce-overhead'):.2f} times as fast",
        "what is compiled there is compiled for the CPU", dry=False,
    ),
    Check(
        "profile",
        "the layers of a profile add up to the step",
        "commands:profile", 40,
        (
            exits(0),
            Rule("no part failed", lambda f: f["failed"] == []),
            Rule("no reason to doubt it", lambda f: f["not_usable"] == []),
            Rule("the residual is at most 10 % of it", lambda f: abs(f["residual_share"]) <= 0.1),
        ),
        lambda f: f"residual {percent(f['residual_share'])}",
        _TIMES,
    ),
    Check(
        "max_batch",
        "the batch that is found fits, and one sample more does not",
        "instrument:max_batch", 90,
        (
            exits(0),
            Rule("the search ends at memory", lambda f: f["found"]["ended"] == "out_of_memory"),
            Rule("the next batch failed", lambda f: f["found"]["fails"] == f["found"]["fits"] + 1),
            Rule("tried again, it fits", lambda f: f["again"][str(f["found"]["fits"])] == "fits"),
            Rule("tried again, the next does not",
                 lambda f: f["again"][str(f["found"]["fails"])] == "out_of_memory"),
        ),
        lambda f: f"{f['found']['fits']} fits, {f['found']['fails']} does not",
    ),
    Check(
        "cuda_tests",
        "the tests that need a GPU pass: devices, layer times, ceilings, the contract",
        "instrument:cuda_tests", 60,
        (exits(0),),
        lambda f: f["summary"],
        "they are for a GPU that is there", dry=False,
    ),
    Check(
        "hang",
        "a network that never ends is a row 'timeout', and the one after it is measured",
        "commands:hang", 90,
        (
            exits(3),
            Rule("it is a timeout",
                 lambda f: {one["kind"] for one in named(f, "hanging")} == {"timeout"}),
            Rule("the one after it is ok",
                 lambda f: {one["status"] for one in named(f, "small")} == {"ok"}),
        ),
        statuses,
        "nothing runs on it for longer than its host waits", dry=False,
    ),
    Check(
        "stability",
        "the same measurement twice: the intervals overlap",
        "commands:stability", 70,
        (Rule("they overlap", overlap),),
        lambda f: f"second over first {f['times'][1]['point'] / f['times'][0]['point']:.4f}",
        _TIMES,
    ),
)  # fmt: skip
