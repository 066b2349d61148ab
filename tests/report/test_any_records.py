"""Ten thousand records of any times: every format shows numbers that are numbers."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from cnnbench.record import Record, Run
from cnnbench.report import cells, render
from cnnbench.report.entry import Entry
from cnnbench.report.table import summary, tidy
from cnnbench.slices import Slice, Slices
from tests import made

COUNT = 10_000
# Names of points whose interval stands in columns of its own.
INTERVALS = [
    ("latency_median_s", "latency_low_s", "latency_high_s"),
    ("latency_awake_median_s", "latency_awake_low_s", "latency_awake_high_s"),
    ("speedup", "speedup_low", "speedup_high"),
    ("break_even_calls", "break_even_calls_low", "break_even_calls_high"),
]
NO_NUMBER = re.compile(r"(?<![\w.])[+-]?(inf|infinity|nan)(?![\w.])", re.IGNORECASE)


def span(dice: random.Random, lowest: int, highest: int) -> int:
    """Any size is as likely as any other."""
    return round(math.exp(dice.uniform(math.log(lowest), math.log(highest))))


def a_slice(dice: random.Random, turn: int, usual: int) -> Slice:
    wild = dice.random() < 0.1
    ns = tuple(
        span(dice, 1, 2**62) if wild else max(1, round(usual * dice.lognormvariate(0, 0.5)))
        for _ in range(dice.randint(1, 3))
    )
    counts = [None, 0, sum(ns) // 2, span(dice, 1, 2**62)]
    return Slice(
        turn, dice.choice([1, 1, 1, 7, 10**6]), ns, cpu_ns=dice.choice(counts),
        run_delay_ns=dice.choice(counts), steal_ns=dice.choice(counts[:3]),
        canaries_ns={"matmul": span(dice, 1, 10**9)},
    )  # fmt: skip


def a_run(dice: random.Random, number: int, usual: int) -> Run:
    slices = Slices.of(a_slice(dice, turn, usual) for turn in range(dice.randint(0, 3)))
    cache = dice.choice([None, "cold", "warm"])
    return replace(made.run(number, [1]), slices=slices, compile_cache=cache)


def any_record(dice: random.Random, name: str) -> Record:
    usual = span(dice, 1, 10**12)
    runs = [a_run(dice, number, usual) for number in range(dice.choice([0, 1, 2, 2, 3, 6]))]
    return replace(made.record(name, []), runs=tuple(runs))


def any_entries(seed: int, count: int) -> Iterator[Entry]:
    dice = random.Random(seed)
    for number in range(1, count // 2 + 1):
        threads = dice.choice([1, 2])
        name = f"lenet/inference-b{number}-3x32x32/{{}}/cpu-t{threads}"
        base = any_record(dice, name.format("eager"))
        for one in (base, any_record(dice, name.format("compile"))):
            yield Entry(one, "a-run", base, made.ENVIRONMENT)


@pytest.mark.parametrize("seed", range(10))
def test_every_format_shows_numbers_that_are_numbers(seed: int) -> None:
    found = list(any_entries(seed, COUNT // 10))
    table, machine = summary(found), tidy(found)

    for kind in ("table", "markdown", "json"):
        text = render(table, kind)
        assert not NO_NUMBER.search(text)
    assert max(len(one) for row in cells.texts(table) for one in row) < 80
    assert json.loads(render(machine, "json"), parse_constant=pytest.fail)
    for row in csv.DictReader(io.StringIO(render(machine, "csv"), newline="")):
        for names in INTERVALS:
            point, low, high = (float(row[one]) if row[one] else None for one in names)
            ends = [end for end in (low, point, high) if end is not None]
            assert ends == sorted(ends)
            assert all(map(math.isfinite, ends))
        assert not any(NO_NUMBER.fullmatch(value) for value in row.values())


def test_the_samples_a_second_are_those_of_the_latency_beside_them() -> None:
    for one in any_entries(99, 300):
        if one.latency is not None:
            batch = one.record.spec.workload.batch
            assert one.throughput.point * one.latency.point == pytest.approx(batch)
