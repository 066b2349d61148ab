from __future__ import annotations

import json

import pytest

FAKE = ("max-batch", "--executor", "fake", "--device", "cpu", "--threads", "1", "--quiet")


def test_a_row_says_what_fits_what_does_not_and_why(cnnbench_cli) -> None:
    result = cnnbench_cli(*FAKE, "--models", "lenet", "--limit", "120M", "--within", "0",
                          "--format", "csv")  # fmt: skip

    header, row = (line.split(",") for line in result.stdout.splitlines())
    found = dict(zip(header, row, strict=True))
    assert result.exit_code == 0
    assert int(found["batch_fails"]) == int(found["batch_fits"]) + 1
    assert (found["ended"], found["limit_bytes"]) == ("out of memory", str(120 << 20))
    assert float(found["bytes_per_sample"]) > 0


@pytest.mark.parametrize("kind", ["table", "markdown", "csv", "json"])
def test_every_format_has_a_row_per_spec(cnnbench_cli, kind: str) -> None:
    words = ["--models", "lenet,alexnet", "--modes", "eager,amp", "--phase", "inference,training"]

    text = cnnbench_cli(*FAKE, *words, "--up-to", "4", "--limit", "8G", "--format", kind,
                        "--wide").stdout  # fmt: skip

    assert text.count('"ended": "up_to"' if kind == "json" else "up-to reached") == 8


def test_json_holds_every_try(cnnbench_cli) -> None:
    words = ["--models", "lenet", "--up-to", "4", "--limit", "8G", "--json"]

    (found,) = json.loads(cnnbench_cli(*FAKE, *words).stdout)

    assert [(one["batch"], one["outcome"]) for one in found["tries"]] == [
        (1, "fits"), (2, "fits"), (4, "fits")]  # fmt: skip
    assert (found["fits"], found["fails"], found["ended"]) == (4, None, "up_to")


def test_a_network_that_fails_for_another_reason_exits_3_and_is_explained(cnnbench_cli) -> None:
    result = cnnbench_cli(*FAKE, "--models", "lenet,fake:raises", "--up-to", "2", "--limit", "8G")

    assert result.exit_code == 3
    assert "fake:raises/inference-b1-3x224x224/eager/cpu-t1: build: ValueError" in result.stdout
    assert "1 of 2 searches ended for another reason than a lack of memory" in result.stderr


def test_what_a_network_cannot_take_is_a_row(cnnbench_cli) -> None:
    words = ["--models", "lenet,alexnet", "--size", "32", "--up-to", "2", "--limit", "8G"]

    result = cnnbench_cli(*FAKE, *words)

    assert result.exit_code == 3
    assert "not possible" in result.stdout


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--limit", "none"], "size such as 2G"),
        (["--within", "200"], "0<=x<=100"),
        (["--format", "xml"], "unknown format"),
        (["--size", "8", "--input", "3x8x8"], "mutually exclusive"),
        (["--model-arg", "a=1", "--model-arg", "a=2"], "given twice"),
    ],
)
def test_bad_input_is_one_line(cnnbench_cli, words: list[str], part: str) -> None:
    result = cnnbench_cli(*FAKE, "--models", "lenet", *words)

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert part in result.stderr


@pytest.mark.torch
@pytest.mark.slow
def test_a_real_network_fits_up_to_its_limit(cnnbench_process) -> None:
    done = cnnbench_process(
        "max-batch", "--models", "cnnbench.worker.oracles:repeated", "--model-arg", "times=1",
        "--input", "16x512x512", "--device", "cpu", "--threads", "1", "--limit", "200M",
        "--within", "0", "--json", "--quiet",
    )  # fmt: skip

    (found,) = json.loads(done.out)
    assert (done.code, found["ended"]) == (0, "out_of_memory"), done.err
    assert found["fails"] == found["fits"] + 1
    # One sample is 16 MiB, its input and its output live at the same time.
    assert 2 <= found["fits"] <= 200 / 32
    assert found["bytes_per_sample"] >= 2 * 16 * 2**20
    assert found["peak_bytes"] <= 200 * 2**20
