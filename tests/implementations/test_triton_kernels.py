from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cnnbench.conv.problem import ConvProblem
from cnnbench.implementations import DTYPES, IMPLEMENTATIONS
from cnnbench.implementations.implementation import FORMATS
from cnnbench.spec import Mode
from cnnbench.worker import modes

triton = pytest.importorskip("triton", reason="Triton is not installed")

ROOT = Path(__file__).resolve().parents[2]
# The constants that a launch passes; everything else is a pointer or a whole number.
CONSTANTS = {
    "implicit_gemm": {
        "HAS_BIAS": True,
        "PRECISION": "ieee",
        "UPCAST": False,
        "M": 64,
        "N": 32,
        "K": 32,
    },
    "depthwise": {"HAS_BIAS": True, "R": 3, "S": 3, "Q": 8, "C": 64},
}


@pytest.fixture
def float32():
    """Float32 products in float32: torch's own setting lets convolutions round them to TF32."""
    with modes.restored():
        modes.set_flags(Mode(), torch.get_num_threads())
        yield


@pytest.mark.parametrize(
    ("word", "dtype", "precision"),
    [("fp32", torch.float32, "ieee"), ("tf32", torch.float32, "tf32"),
     ("tf32", torch.bfloat16, "ieee"), ("fp32", torch.float16, "ieee")],
)  # fmt: skip
def test_the_matrix_product_rounds_as_the_mode_says(word: str, dtype, precision: str) -> None:
    from cnnbench.implementations.kernels import implicit_gemm

    with modes.restored():
        modes.set_flags(Mode(precision=word), torch.get_num_threads())

        assert implicit_gemm.precision(torch.ones(1, dtype=dtype)) == precision


def test_on_a_device_every_test_of_a_kernel_sets_what_float32_means() -> None:
    tests = [one for one in vars(sys.modules[__name__]).values() if hasattr(one, "pytestmark")]
    marked = [
        one for one in tests if any(mark.name == "cuda" for mark in getattr(one, "pytestmark", ()))
    ]

    assert len(marked) == 2
    assert all("float32" in inspect.signature(one).parameters for one in marked)


@pytest.fixture(scope="module")
def interpreted() -> list[dict]:
    """Errors against float64 of every kernel on edge cases and random problems."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.implementations.triton_cases", "4"],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["implicit_gemm", "depthwise"])
def test_kernels_agree_with_float64_in_the_interpreter(interpreted, kernel: str) -> None:
    rows = [row for row in interpreted if row["kernel"] == kernel]
    # Sums are in float32, so one rounding to the result's type is all that may be lost; the
    # interpreter cuts bfloat16 off instead of rounding it, which is one unit.
    wrong = [row for row in rows if row["error"] > max(row["unit"], 4e-7) or not row["form"]]

    assert wrong == []
    assert len(rows) > 10


@pytest.mark.slow
def test_the_interpreter_saw_every_type_and_both_memory_formats(interpreted) -> None:
    words = {word for row in interpreted for word in row["case"].split()}

    assert words >= {"float32", "float16", "bfloat16", "contiguous", "channels_last"}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_kernels_agree_with_float64_on_the_device(
    float32: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")
    from tests.implementations import triton_cases

    # Each of some hundred problems would be compiled anew: about as many as the interpreter sees.
    rows = triton_cases.errors("cuda", 4)

    assert [row for row in rows if row["error"] > max(row["unit"] / 2, 4e-7)] == []
    assert [row for row in rows if not row["form"]] == []


def compiled(kernel: str, dtype: str, capability: int):
    """The kernel's code for a CUDA device that need not be here."""
    compiler = pytest.importorskip("triton.compiler", reason="this Triton has another compiler")
    backends = pytest.importorskip("triton.backends.compiler")
    if "nvidia" not in triton.backends.backends:
        pytest.skip("this Triton was built without its CUDA backend")
    from cnnbench.implementations.kernels import depthwise, implicit_gemm

    code = {"implicit_gemm": implicit_gemm, "depthwise": depthwise}[kernel].kernel
    constants = CONSTANTS[kernel]
    types = dict.fromkeys(("x", "weight", "bias", "y"), f"*{dtype}")
    signature = {
        name: "constexpr" if name in constants else types.get(name, "i32")
        for name in code.arg_names
    }
    target = backends.GPUTarget("cuda", capability, 32)
    return triton.compile(compiler.ASTSource(code, signature, constants), target=target)


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kernel", sorted(CONSTANTS))
def test_kernels_compile_for_cuda_without_a_device(
    kernel: str, dtype: str, capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")

    code = compiled(kernel, dtype, capability)

    assert f".target sm_{capability}" in code.asm["ptx"]
    assert code.asm["cubin"].startswith(b"\x7fELF")
    # What every device of these generations has per block without asking for more.
    assert code.metadata.shared <= 48 << 10


@pytest.mark.parametrize(("capability", "unit"), [(80, "mma.sync"), (90, "wgmma")])
def test_the_matrix_product_uses_matrix_units_in_bfloat16(
    capability: int, unit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")

    assert unit in compiled("implicit_gemm", "bf16", capability).asm["ptx"]


def test_the_table_of_implementations_needs_no_triton(cnnbench_process) -> None:
    code = """
import sys
sys.modules["triton"] = None
from cnnbench.implementations import implementation
kernel = "cnnbench.implementations.kernels.implicit_gemm"
print(implementation("triton_gemm").name, kernel in sys.modules)
"""

    done = cnnbench_process(code=code)

    assert (done.code, done.out.strip()) == (0, "triton_gemm False"), done.err


LAYER = ConvProblem(2, 40, 9, 11, 80, 3, 3, padding=(1, 1))
DEPTHWISE = ConvProblem(2, 40, 9, 11, 40, 3, 3, padding=(1, 1), groups=40)


def test_kernels_say_where_they_apply() -> None:
    gemm, depthwise = IMPLEMENTATIONS["triton_gemm"], IMPLEMENTATIONS["triton_depthwise"]

    assert gemm.applies(LAYER, "cuda") == depthwise.applies(DEPTHWISE, "cuda") == ""
    assert "cuda only" in gemm.applies(LAYER, "cpu")
    assert "fp64" in gemm.applies(replace(LAYER, dtype="fp64"), "cuda")
    assert "1 groups for 40 channels" in depthwise.applies(LAYER, "cuda")


def test_tiles_at_the_edges_count_as_executed() -> None:
    # 198 positions are four tiles of 64, 80 channels three of 32, 360 terms twelve of 32.
    gemm = IMPLEMENTATIONS["triton_gemm"].algorithm(LAYER)
    # 11 columns are two of 8, 40 channels one of 64, and there are 18 rows of nine taps.
    depthwise = IMPLEMENTATIONS["triton_depthwise"].algorithm(
        replace(DEPTHWISE, memory_format="channels_last")
    )

    assert gemm.executed_macs == 256 * 96 * 384
    assert depthwise.executed_macs == 18 * 16 * 64 * 9
    assert gemm.moved_bytes == LAYER.compulsory_bytes
    assert gemm.workspace_bytes == depthwise.workspace_bytes == 0


@pytest.mark.parametrize(
    ("name", "problem"), [("triton_gemm", LAYER), ("triton_depthwise", DEPTHWISE)]
)
def test_prepared_weights_are_the_same_numbers_in_another_order(name: str, problem) -> None:
    weight, bias = torch.randn(problem.weight_shape), torch.randn(problem.k)

    (made,) = IMPLEMENTATIONS[name].prepare(weight, bias, problem).weights

    assert torch.equal(made, weight)
    assert made.numel() * made.itemsize == IMPLEMENTATIONS[name].algorithm(problem).prepared_bytes


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize(
    ("name", "problem"), [("triton_gemm", LAYER), ("triton_depthwise", DEPTHWISE)]
)
def test_implementations_agree_with_float64_on_the_device(
    name: str, problem, dtype: str, layout: str, float32: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")
    problem = replace(problem, dtype=dtype, memory_format=layout)
    one, kind = IMPLEMENTATIONS[name], DTYPES[dtype]
    x = torch.randn(problem.input_shape, device="cuda").to(kind)
    x = x.contiguous(memory_format=FORMATS[layout])
    weight = torch.randn(problem.weight_shape, device="cuda").to(kind)
    bias = torch.randn(problem.k, device="cuda").to(kind)

    y = one.convolve(x, one.prepare(weight, bias, problem), problem)

    exact = torch.nn.functional.conv2d(
        x.double(), weight.double(), bias.double(), padding=1, groups=problem.groups
    )
    assert (y.double() - exact).norm() / exact.norm() < one.tolerance(problem)
