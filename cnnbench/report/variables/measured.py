"""What was found: failures and verdicts, samples, counts, memory, structure and deployment."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cnnbench import flaws
from cnnbench.metrics.deployed import deployed_precision
from cnnbench.report.variables.variable import NEVER, Variable

if TYPE_CHECKING:
    from cnnbench.record import Run
    from cnnbench.report.variables.variable import StoredEntry

Of = Callable[["StoredEntry"], Any]


def _inside(part: str, field: str) -> Of:
    """A field of a part of the record, which it may lack."""

    def of(row: StoredEntry) -> Any:
        whole = getattr(row.record, part)
        return None if whole is None else getattr(whole, field)

    return of


def _verdicts() -> list[Variable]:
    failed = "the spec did not fail"
    return [
        Variable("failed", "truth", "", "whether the spec could not be measured to the end",
                 "worker", NEVER, lambda row: row.record.failure is not None),
        Variable("failure_phase", "text", "", "what the worker was doing when it failed", "worker",
                 failed, _inside("failure", "phase")),
        Variable("failure_kind", "text", "",
                 "one word: error, out_of_memory, timeout, died, unsupported, …", "worker", failed,
                 _inside("failure", "kind")),
        Variable("failure_message", "text", "", "the failure in one line", "worker", failed,
                 _inside("failure", "message")),
        Variable("flaw", "text", "", "why the measurement cannot be believed, or not wholly",
                 "rules of cnnbench", "there is no flaw",
                 lambda row: None if row.entry.flaw is None else row.entry.flaw.name),
        Variable("withheld", "truth", "", "whether the flaw is such that it is never recommended",
                 "rules of cnnbench", NEVER,
                 lambda row: row.entry.flaw is not None and row.entry.flaw.withheld),
        Variable("output_fit", "truth", "", "whether it was measured and its output is right",
                 "output check", NEVER, lambda row: flaws.fit(row.record)),
        Variable("unfinished", "truth", "", "whether further rounds were still to be measured",
                 "schedule of the run", NEVER, lambda row: row.record.unfinished),
    ]  # fmt: skip


def _quantile(number: int) -> Of:
    """One of the three quartiles of all samples."""

    def of(row: StoredEntry) -> float | None:
        if len(row.samples) < 2:
            return row.samples[0] if row.samples else None
        return statistics.quantiles(row.samples, n=4, method="inclusive")[number - 1]

    return of


def _of_samples(ask: Callable[[list[float]], float]) -> Of:
    return lambda row: ask(row.samples) if row.samples else None


def _total(ask: Callable[[Run], int]) -> Of:
    return lambda row: sum(ask(run) for run in row.record.runs)


def _samples() -> list[Variable]:
    clock, none = "clock of the worker", "there is no sample"
    return [
        Variable("slices", "integer", "1", "turns that were sampled, in all rounds", clock, NEVER,
                 _total(lambda run: len(run.slices))),
        Variable("samples", "integer", "1", "samples in all slices; each is of one call or more",
                 clock, NEVER, lambda row: len(row.samples)),
        Variable("calls", "integer", "1", "calls that were sampled", clock, NEVER,
                 _total(lambda run: sum(run.slices.calls))),
        Variable("sampled_s", "number", "s", "time of all samples together", clock, NEVER,
                 lambda row: row.record.sampled_ns / 1e9),
        Variable("sample_min_s", "number", "s", "seconds per call, least of all samples", clock,
                 none, _of_samples(lambda some: some[0])),
        Variable("sample_q1_s", "number", "s", "seconds per call, first quartile", clock, none,
                 _quantile(1)),
        Variable("sample_median_s", "number", "s",
                 "seconds per call, median of all samples; latency_median_s is over rounds", clock,
                 none, _of_samples(statistics.median)),
        Variable("sample_q3_s", "number", "s", "seconds per call, third quartile", clock, none,
                 _quantile(3)),
        Variable("sample_max_s", "number", "s", "seconds per call, most of all samples", clock,
                 none, _of_samples(lambda some: some[-1])),
        Variable("sample_mean_s", "number", "s", "seconds per call, mean of all samples", clock,
                 none, _of_samples(statistics.fmean)),
        Variable("sample_deviation_s", "number", "s", "seconds per call, standard deviation", clock,
                 "there are fewer than two samples",
                 lambda row: statistics.stdev(row.samples) if len(row.samples) > 1 else None),
        Variable("round_min_s", "number", "s", "seconds per call of the quickest round", clock,
                 none, lambda row: min(row.record.round_seconds, default=None)),
        Variable("round_max_s", "number", "s", "seconds per call of the slowest round", clock,
                 none, lambda row: max(row.record.round_seconds, default=None)),
        Variable("build_s", "number", "s",
                 "building the network, moving it to the device and into the mode: median over"
                 " processes", clock, "no process got that far",
                 lambda row: _middle([run.build_ns for run in row.record.runs])),
    ]  # fmt: skip


def _middle(found: list[int]) -> float | None:
    return statistics.median(found) / 1e9 if found else None


# Field of the static cost -> column, unit, meaning; what is a metric has a column already.
_COST = (
    ("buffers", "buffers", "1", "numbers in all buffers"),
    ("param_bytes", "param_bytes", "byte", "size of the parameters"),
    ("buffer_bytes", "buffer_bytes", "byte", "size of the buffers"),
    ("input_bytes", "input_bytes", "byte", "size of the inputs of the whole batch"),
    ("auxiliary_params", "auxiliary_params", "1", "parameters that inference does not read"),
    ("bias_adds", "bias_adds", "1", "additions of biases, which macs leaves out"),
    ("activation_peak_bytes", "predicted_activation_bytes", "byte",
     "predicted peak of live activations"),
)  # fmt: skip


def _counts() -> list[Variable]:
    static, none = "static analysis", "the network could not be counted"
    return [
        *(Variable(column, "integer", unit, meaning, static, none, _inside("cost", field))
          for field, column, unit, meaning in _COST),
        Variable("elementwise_flops", "integer", "FLOP",
                 "floating-point operations beside contractions: norm, activation, pooling, resize",
                 static, none, lambda row: _sum(row, "cost", "elementwise_flops")),
        Variable("uncounted_calls", "integer", "1",
                 "calls of operators without a rule; more than zero: totals may be short", static,
                 none, lambda row: _sum(row, "cost", "uncounted")),
        Variable("cost_method", "text", "", "who counted the static cost", static, none,
                 _inside("cost", "method")),
        Variable("executed_macs", "integer", "1",
                 "multiply-accumulates that the implementation of a layer really executes",
                 "formulas of the implementation", "a whole network, or the library does not tell",
                 _inside("algorithm", "executed_macs")),
        Variable("moved_bytes", "integer", "byte", "bytes that a layer must read and write",
                 "formulas of the implementation", "a whole network",
                 _inside("algorithm", "moved_bytes")),
        Variable("workspace_bytes", "integer", "byte", "memory that a layer needs while it runs",
                 "formulas of the implementation", "a whole network, or the library does not tell",
                 _inside("algorithm", "workspace_bytes")),
        Variable("measured_workspace_bytes", "integer", "byte", "workspace_bytes by the allocator",
                 "allocator", "a whole network, or it was not measured",
                 _inside("algorithm", "measured_workspace_bytes")),
        Variable("prepared_bytes", "integer", "byte", "weights of a layer prepared beforehand",
                 "formulas of the implementation", "a whole network, or the library does not tell",
                 _inside("algorithm", "prepared_bytes")),
    ]  # fmt: skip


def _sum(row: StoredEntry, part: str, field: str) -> int | None:
    """The sum of a table of a part; ``None`` if it is not there."""
    found = _inside(part, field)(row)
    return None if found is None else sum(found.values())


def _made_of() -> list[Variable]:
    untimed = "pass without a clock, in a process of its own"
    none = "the pass was not made"
    return [
        Variable("resident_bytes", "integer", "byte",
                 "memory that lives through a step: parameters, buffers, input, optimizer", untimed,
                 none, _inside("memory", "resident_bytes")),
        Variable("minor_faults", "integer", "1", "minor page faults of one step", untimed, none,
                 _inside("memory", "minor_faults")),
        Variable("operator_calls", "integer", "1", "calls of ATen operators in a step", untimed,
                 none, lambda row: _sum(row, "structure", "operators")),
        Variable("operator_kinds", "integer", "1", "different ATen operators in a step", untimed,
                 none, lambda row: None if (s := row.record.structure) is None
                 else len(s.operators)),
        Variable("kernel_calls", "integer", "1", "calls of library primitives or device kernels",
                 untimed, none, lambda row: _sum(row, "structure", "kernels")),
        Variable("allocated_bytes", "integer", "byte", "all that the allocator gave out in a step",
                 untimed, none, _inside("structure", "allocated_bytes")),
        Variable("device_busy_s", "number", "s",
                 "how long a CUDA device had any work of one call, by the profiler", "profiler",
                 "the device is a CPU, or the pass was not made",
                 lambda row: None if (s := row.record.structure) is None or s.device_ns is None
                 else s.device_ns / 1e9),
        Variable("reference_error_float64", "number", "1",
                 "relative error of fp32 eager itself against float64", "reference worker",
                 "float64 was not computed", _inside("reference", "error_float64")),
        Variable("reference_repeatable", "truth", "",
                 "whether a second call of fp32 eager gave the same bits", "reference worker",
                 "the reference could not be computed", _inside("reference", "repeatable")),
        Variable("runtime_version", "text", "", "version of the deployment runtime",
                 "worker of a deployment runtime", "the mode is none of a deployment runtime",
                 _deployed("version")),
        Variable("runtime_precision", "text", "", "precision that the runtime says it computes in",
                 "worker of a deployment runtime", "the mode is none of a deployment runtime",
                 lambda row: deployed_precision(row.record)),
        Variable("runtime_threads", "integer", "1", "threads that the runtime says it uses",
                 "worker of a deployment runtime", "the runtime does not tell, or is none",
                 _deployed("threads")),
    ]  # fmt: skip


def _deployed(field: str) -> Of:
    def of(row: StoredEntry) -> Any:
        found = [run.deployment for run in row.record.runs if run.deployment is not None]
        return getattr(found[0], field) if found else None

    return of


def variables() -> list[Variable]:
    """The variables in order."""
    return [*_verdicts(), *_samples(), *_counts(), *_made_of()]
