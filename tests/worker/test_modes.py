"""What each word of a mode does, and that the two tables of words agree."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnnbench import machine
from cnnbench.errors import Unsupported
from cnnbench.spec import MODE_AXES, WORDS, Device, Mode
from cnnbench.worker import compiling, modes

TABLES = {
    "compiler": modes.COMPILERS,
    "freezing": modes.FREEZING,
    "memory_format": modes.MEMORY_FORMATS,
    "precision": modes.PRECISIONS,
}


@pytest.fixture(autouse=True)
def _flags_restored():
    with modes.restored():
        yield


@pytest.mark.parametrize("axis", MODE_AXES)
def test_every_word_that_can_be_said_can_be_done(axis: str) -> None:
    said = {word.value for word in WORDS if word.axis == axis}

    done = set(TABLES[axis])

    assert done - {"float32", "fp64"} == said


def test_fp32_means_fp32_and_tf32_is_asked_for() -> None:
    plain = modes.set_flags(Mode(), threads=1)
    tf32 = modes.set_flags(Mode(precision="tf32"), threads=1)

    assert (plain["cuda_matmul_fp32"], plain["cudnn_conv_fp32"]) == ("ieee", "ieee")
    assert (tf32["cuda_matmul_fp32"], tf32["cudnn_conv_fp32"]) == ("tf32", "tf32")


def readings() -> dict[str, object]:
    """What float32 means on CUDA, by every flag of torch that says so, old and new."""
    return {
        "matmul": torch.backends.cuda.matmul.allow_tf32,
        "convolution": torch.backends.cudnn.allow_tf32,
        "precision": torch.get_float32_matmul_precision() != "highest",
        "new matmul": torch.backends.cuda.matmul.fp32_precision == "tf32",
        "new convolution": torch.backends.cudnn.conv.fp32_precision == "tf32",
        "new recurrence": torch.backends.cudnn.rnn.fp32_precision == "tf32",
    }


@pytest.mark.parametrize("precision", ["fp32", "tf32", "amp=fp16"])
def test_old_and_new_switches_of_tf32_say_the_same(precision: str) -> None:
    # A reading that contradicts another raises an error: in networks, in torch.export, in the
    # compiler's templates for convolutions, which know the old switch alone.
    for words in (precision, "tf32", precision):
        found = modes.set_flags(Mode(precision=words), threads=1)
        asked = words == "tf32"

        assert set(readings().values()) == {asked}
        names = ("cuda_matmul_fp32", "cudnn_conv_fp32", "cudnn_rnn_fp32")
        assert {found[name] for name in names} == {"tf32" if asked else "ieee"}
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=asked):
            pass


def test_a_network_may_still_use_the_old_switches() -> None:
    modes.set_flags(Mode(precision="tf32"), threads=1)

    torch.backends.cudnn.allow_tf32 = False

    assert [one.split()[0] for one in modes.put_back()] == ["cudnn_conv_fp32", "cudnn_rnn_fp32"]
    assert set(readings().values()) == {True}


def test_cudnn_times_its_algorithms_only_if_asked_to() -> None:
    before = torch.backends.cudnn.benchmark

    with modes.restored():
        asked = modes.set_flags(Mode(), threads=1, cudnn_benchmark=True)
        plain = modes.set_flags(Mode(), threads=1)

    assert (asked["cudnn_benchmark"], plain["cudnn_benchmark"]) == (True, False)
    assert torch.backends.cudnn.benchmark is before


def test_threads_are_set_and_put_back() -> None:
    before = torch.get_num_threads()

    with modes.restored():
        flags = modes.set_flags(Mode(), threads=before + 1)
        assert flags["threads"] == torch.get_num_threads() == before + 1

    assert torch.get_num_threads() == before


@pytest.mark.parametrize("flush", [True, False])
def test_flushing_of_subnormal_numbers_is_seen(flush: bool) -> None:
    if not torch.set_flush_denormal(flush):
        pytest.skip("this processor cannot flush")
    try:
        assert modes.flags()["flush_denormal"] is flush
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize(
    ("mode", "dtype", "layout"),
    [
        (Mode(), torch.float32, torch.contiguous_format),
        (Mode(memory_format="channels_last"), torch.float32, torch.channels_last),
        (Mode(precision="bf16"), torch.bfloat16, torch.contiguous_format),
        (Mode(precision="amp=bf16"), torch.float32, torch.contiguous_format),
        (Mode(memory_format="channels_last", precision="fp16"), torch.float16, torch.channels_last),
    ],
)
def test_weights_and_inputs_get_dtype_and_layout(mode, dtype, layout) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    indices = torch.arange(4)

    module, (image, kept) = modes.prepare(
        mode, Device(), module, (torch.randn(2, 3, 8, 8), indices)
    )

    assert module[0].weight.dtype is image.dtype is dtype
    assert module[0].weight.is_contiguous(memory_format=layout)
    assert image.is_contiguous(memory_format=layout)
    assert module[1].num_batches_tracked.dtype is torch.int64
    assert kept.dtype is torch.int64


def test_channels_last_of_volumes() -> None:
    module, (clip,) = modes.prepare(
        Mode(memory_format="channels_last"),
        Device(),
        nn.Conv3d(3, 4, 3),
        (torch.ones(1, 3, 4, 8, 8),),
    )

    assert clip.is_contiguous(memory_format=torch.channels_last_3d)
    assert module.weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_autocast_runs_contractions_in_the_dtype_that_was_asked_for() -> None:
    conv = nn.Conv2d(3, 4, 3)

    with torch.inference_mode(), modes.autocast(Mode(precision="amp=bf16"), Device()):
        output = conv(torch.ones(1, 3, 8, 8))

    assert output.dtype is torch.bfloat16
    assert conv.weight.dtype is torch.float32


def test_cuda_graphs_are_not_pretended_on_cpu() -> None:
    with pytest.raises(Unsupported, match="means CUDA graphs"):
        modes.prepare(Mode(compiler="reduce-overhead"), Device(), nn.ReLU(), ())

    modes.refuse_impossible(Mode(compiler="reduce-overhead"), Device("cuda", 0))


def test_compiling_without_a_compiler_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(machine, "compiler", lambda: None)

    with pytest.raises(Unsupported, match=r"compile\+channels_last: .* install g\+\+"):
        modes.prepare(Mode("default", "channels_last"), Device(), nn.ReLU(), ())

    modes.refuse_impossible(Mode(), Device())
    modes.refuse_impossible(Mode("default"), Device("cuda", 0))


def test_eager_calls_the_module_itself_and_compile_does_not() -> None:
    module = nn.ReLU()

    assert modes.compiled(Mode(), module) is module
    assert modes.compiled(Mode(compiler="default"), module) is not module


@pytest.mark.parametrize(
    ("word", "dtype"),
    [("fp32", torch.float32), ("amp=bf16", torch.bfloat16), ("bf16", torch.bfloat16),
     ("amp=fp16", torch.float16), ("fp16", torch.float16), ("fp64", torch.float64)],
)  # fmt: skip
def test_roundoff_is_the_largest_error_of_rounding_to_nearest(word: str, dtype) -> None:
    unit = modes.PRECISIONS[word].roundoff
    one = torch.tensor(1.0, dtype=torch.float64)

    # Just below it, rounding gives one back; just above, the next number: half their distance.
    assert (one + 0.999 * unit).to(dtype).double() == 1 or dtype is torch.float64
    assert torch.finfo(dtype).eps == 2 * unit


@pytest.mark.parametrize(
    ("precision", "reals", "complexes"),
    [("fp32", torch.float32, torch.complex64), ("bf16", torch.bfloat16, torch.complex64),
     ("fp64", torch.float64, torch.complex128)],
)  # fmt: skip
def test_complex_weights_stay_complex(precision: str, reals, complexes) -> None:
    module = nn.Linear(2, 2)
    module.spectrum = nn.Parameter(torch.tensor([1 + 2j]))

    moved, _ = modes.prepare(Mode(precision=precision), Device(), module, (torch.ones(1, 2),))

    assert moved.weight.dtype == reals
    assert moved.spectrum.dtype == complexes
    assert moved.spectrum.imag.item() == 2


@pytest.fixture
def inductor(monkeypatch: pytest.MonkeyPatch):
    """The compiler's settings as a forked worker finds them."""
    from torch._inductor import config

    monkeypatch.delenv("TORCHINDUCTOR_COMPILE_THREADS", raising=False)
    with config.patch(compile_threads=16):
        yield config


@pytest.mark.parametrize(
    ("compiler", "device", "threads"),
    [
        ("eager", Device(), 16),
        ("default", Device(), 1),
        ("max-autotune", Device(), 1),
        ("reduce-overhead", Device("cuda", 0), 1),
        ("max-autotune", Device("cuda", 0), 3),
        # A pass that measures memory has no device to spare for a pool.
        ("max-autotune", None, 1),
    ],
)
def test_a_pool_of_compilers_only_where_many_kernels_are_tried(
    inductor, monkeypatch: pytest.MonkeyPatch, compiler: str, device, threads: int
) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 3)

    compiling.compile_here(Mode(compiler), device)

    assert inductor.compile_threads == threads


def test_the_users_own_number_of_compilers_counts(
    inductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "16")

    compiling.compile_here(Mode("default"), Device())

    assert inductor.compile_threads == 16


def test_the_pool_has_ended_before_the_warm_up(inductor, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import async_compile

    ended: list[str] = []
    monkeypatch.setattr(async_compile, "shutdown_compile_workers", lambda: ended.append("pool"))

    compiling.done_compiling(Mode())
    assert (ended, inductor.compile_threads) == ([], 16)

    compiling.done_compiling(Mode("max-autotune"))
    assert (ended, inductor.compile_threads) == (["pool"], 1)
