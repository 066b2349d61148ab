"""A layer as a workload: built, implemented, refused with the reason, judged against float64."""

from __future__ import annotations

import platform
import statistics
from pathlib import Path

import pytest
import torch

from cnnbench import implementations
from cnnbench.conv.problem import ConvProblem
from cnnbench.errors import UnknownName, Unsupported, UsageError
from cnnbench.facts import Reference
from cnnbench.spec import Device, Mode, Spec, Workload
from cnnbench.worker import algorithm, build, checking, convolution, modes
from cnnbench.worker import reference as references
from cnnbench.worker.devices import open_device

LAYER = ConvProblem(2, 8, 12, 12, 16, 3, 3, padding=(1, 1))


@pytest.fixture(autouse=True)
def _flags_restored():
    with modes.restored():
        yield


def spec(mode: str = "eager", problem: ConvProblem = LAYER, phase: str = "inference") -> Spec:
    return Spec(problem.workload(phase), Mode.parse(mode, "cpu"), Device(), 1)


def step(of: Spec) -> build.Step:
    modes.set_flags(of.mode, of.threads)
    architecture, module = build.construct(of.workload, 0)
    return build.step(of, architecture, module, 0)


def outputs(of: Spec) -> list[torch.Tensor]:
    made = step(of)
    return made.observe(made.call())


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reference]:
    path = tmp_path_factory.mktemp("reference") / "reference.npz"
    return path, references.compute(spec(), lambda of: build.built(of, 0), 0, path)


def test_the_default_is_the_librarys_layer() -> None:
    module = step(spec()).module

    assert isinstance(module, torch.nn.Conv2d)
    assert module.bias is not None
    assert outputs(spec())[0].shape == LAYER.output_shape


@pytest.mark.parametrize(
    "mode",
    [
        "eager", "channels_last", "bf16", "amp=bf16", "channels_last+bf16",
        "impl=prepacked", "impl=native", "impl=im2col", "impl=im2col_nhwc+channels_last",
        "impl=winograd_f4", "impl=winograd_f6+bf16", "impl=fft", "impl=direct+bf16",
        "impl=shift_flat+bf16+channels_last", "impl=toeplitz_sparse",
    ],
)  # fmt: skip
def test_every_cell_is_judged_against_float64(kept, mode: str) -> None:
    path, reference = kept

    check = checking.compare(spec(mode), outputs(spec(mode)), path, reference)

    assert (check.status, check.reason) == ("ok", "")
    assert check.error_float64 > 0
    assert check.error_float64 <= convolution.tolerance(spec(mode))


def test_the_default_is_judged_like_any_other(kept) -> None:
    path, reference = kept
    (right,) = outputs(spec())
    wrong = right.clone()
    wrong[0, 0, 0, 0] += 1

    assert checking.compare(spec(), [right], path, reference).status == "ok"
    found = checking.compare(spec(), [wrong], path, reference)
    assert found.status != "ok"
    assert "against float64" in found.reason


@pytest.mark.parametrize(("scale", "status"), [(1 + 2e-6, "loose"), (1.5, "wrong"), (-1, "wrong")])
def test_an_error_is_judged_by_its_size(kept, scale: float, status: str) -> None:
    path, reference = kept
    changed = [output * scale for output in outputs(spec("impl=im2col"))]

    assert checking.compare(spec("impl=im2col"), changed, path, reference).status == status


def test_a_fp32_eager_that_is_wrong_itself_is_wrong_and_spoils_no_other(tmp_path: Path) -> None:
    # As where the library's default is wrong: every other row still has float64 to be judged by.
    path = tmp_path / "reference.npz"
    reference = references.compute(spec(), lambda of: build.built(of, 0), 0, path)
    import numpy as np

    arrays = dict(np.load(path))
    arrays["fp32_0"] = arrays["fp32_0"] * 1.5
    np.savez(path, **arrays)

    eager = [torch.from_numpy(arrays["fp32_0"])]
    im2col = outputs(spec("impl=im2col"))

    assert checking.compare(spec(), eager, path, reference).status == "wrong"
    assert checking.compare(spec("impl=im2col"), im2col, path, reference).status == "ok"


def test_an_output_that_is_nearly_zero_by_chance_is_not_blamed() -> None:
    problem = ConvProblem(1, 64, 3, 3, 1, 3, 3)

    assert convolution.usual_norm(problem) == pytest.approx(3**-0.5)
    # One output of variance 1/3; with padding fewer products.
    padded = ConvProblem(1, 64, 1, 1, 1, 3, 3, padding=(1, 1))
    assert convolution.usual_norm(padded) == pytest.approx(27**-0.5)


@pytest.mark.parametrize(
    ("mode", "problem", "words"),
    [
        ("impl=winograd_f4", "n1c8h9w9-k8-5x5", "needs a 3x3 kernel, not 5x5"),
        ("impl=cudnn_benchmark", "n1c8h9w9-k8-5x5", "exists on cuda only"),
        ("impl=im2col+amp=bf16", "n1c8h9w9-k8-5x5", "no autocast"),
        ("impl=fft+bf16", "n1c8h9w9-k8-5x5", "not bf16"),
    ],
)
def test_what_does_not_apply_is_unsupported_with_the_reason(
    mode: str, problem: str, words: str
) -> None:
    with pytest.raises(Unsupported, match=words):
        step(spec(mode, ConvProblem.parse(problem)))


def test_an_implementation_of_ours_does_not_train() -> None:
    with pytest.raises(Unsupported, match="inference only"):
        step(spec("impl=im2col", phase="training"))


@pytest.mark.parametrize("mode", ["eager", "impl=native"])
def test_the_librarys_own_train(mode: str) -> None:
    loss, norms, sums = outputs(spec(mode, phase="training"))

    assert torch.isfinite(loss)
    # Norms for weights, bias and input: within a network a layer passes its gradient on.
    assert (norms.numel(), sums.shape) == (3, (3, 32))


@pytest.mark.parametrize(
    ("workload", "mode", "error", "words"),
    [
        (Workload("lenet", 1, (3, 32, 32)), "impl=fft", Unsupported, "single layer"),
        (Workload("conv:k8-3x3", 1, (3, 9, 9)), "impl=ftf", UnknownName, "did you mean fft"),
        (Workload("conv:k8-3x3~gost", 1, (3, 9, 9)), "eager", UnknownName, "did you mean ghost"),
        (Workload("conv:k8-9x9", 1, (3, 5, 5)), "eager", UsageError, "9x9"),
        (Workload("conv:k9-3x3-g2", 1, (4, 5, 5)), "eager", UsageError, "2 groups"),
    ],
)
def test_what_cannot_be_is_refused(workload, mode, error, words) -> None:
    with pytest.raises(error, match=words):
        step(Spec(workload, Mode.parse(mode, "cpu"), Device(), 1))


def test_a_switch_holds_for_its_mode_only() -> None:
    before = modes.flags()
    on = modes.set_flags(Mode(implementation="native"), 1)["mkldnn"]
    off = modes.set_flags(Mode(), 1)["mkldnn"]

    assert (on, off) == (False, before["mkldnn"])


def test_a_switch_means_something_for_a_network_too() -> None:
    network = Spec(Workload("lenet", 1, (3, 32, 32)), Mode(implementation="native"), Device(), 1)

    assert outputs(network)[0].shape == (1, 10)


def test_every_switch_of_an_implementation_is_one_that_modes_can_set() -> None:
    named = {name for one in implementations.IMPLEMENTATIONS.values() for name in one.flags}

    assert named == set(modes.SWITCHES)


def test_weights_are_prepared_once_and_are_resident(monkeypatch: pytest.MonkeyPatch) -> None:
    made = step(spec("impl=winograd_f2"))
    monkeypatch.setattr(convolution, "prepare", None)

    first, second = made.call(), made.call()

    assert torch.equal(first, second)
    prepared = sum(tensor.nbytes for tensor in made.module.buffers())
    assert prepared >= 4 * 16 * LAYER.k * LAYER.c
    assert not list(made.module.parameters())


def test_static_cost_is_that_of_the_layer() -> None:
    cost = build.counted(spec("impl=fft").workload, 0).cost()

    assert (cost.macs, cost.params) == (LAYER.macs, LAYER.params)
    assert build.counted(spec(phase="training").workload, 0).training_macs > cost.macs


def test_the_algorithm_states_formulas_and_what_was_measured() -> None:
    stated = algorithm.measure(spec("impl=im2col"), 0, open_device(Device()))
    formula = implementations.IMPLEMENTATIONS["im2col"].algorithm(LAYER)

    assert stated.executed_macs == formula.executed_macs
    assert stated.measured_workspace_bytes == pytest.approx(formula.workspace_bytes, rel=0.05)
    assert len(stated.preparation_ns) == 5
    assert min(stated.preparation_ns) > 0


def test_the_librarys_algorithm_is_measured_only() -> None:
    stated = algorithm.measure(spec("channels_last+bf16"), 0, open_device(Device()))

    assert stated.name == "library"
    assert stated.executed_macs is None
    assert stated.workspace_bytes is None
    assert stated.measured_workspace_bytes is not None
    assert stated.preparation_ns == ()


def test_time_in_reorders_is_part_of_the_time_in_primitives() -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch has no oneDNN")
    # Enough work that oneDNN is taken, and contiguous tensors that it has to convert.
    large = ConvProblem.parse("n1c64h28w28-k64-3x3-p1")
    told = algorithm.measure(spec(problem=large), 0, open_device(Device()))
    modes.set_flags(Mode(implementation="native"), 1)
    silent = algorithm.measure(spec("impl=native", problem=large), 0, open_device(Device()))

    assert len(told.primitive_ns) == len(told.reorder_ns) > 0
    pairs = list(zip(told.reorder_ns, told.primitive_ns, strict=True))
    assert all(0 < reorders < whole for reorders, whole in pairs)
    assert (silent.primitive_ns, silent.reorder_ns) == ((), ())
    assert told.allocator.startswith(platform.libc_ver()[0])


def test_where_torch_itself_converts_the_layout_its_copies_count() -> None:
    def share(mode: str) -> float:
        large = ConvProblem.parse("n1c64h56w56-k64-1x1")
        told = algorithm.measure(spec(mode, large), 0, open_device(Device()))
        pairs = zip(told.reorder_ns, told.primitive_ns, strict=True)
        return statistics.median(conversions / whole for conversions, whole in pairs)

    # Prepacked weights want NHWC: an input in NCHW is copied there and the output back.
    assert share("impl=prepacked") > 0.2
    assert share("impl=prepacked+channels_last") < 0.1


def test_a_network_has_no_one_algorithm() -> None:
    network = Spec(Workload("lenet", 1, (3, 32, 32)), Mode(), Device(), 1)

    with pytest.raises(Unsupported, match="not a single layer"):
        algorithm.measure(network, 0, open_device(Device()))


@pytest.mark.slow
def test_an_implementation_can_be_compiled() -> None:
    (plain,) = outputs(spec("impl=winograd_f2"))
    (compiled,) = outputs(spec("compile+impl=winograd_f2"))

    assert torch.allclose(plain, compiled, atol=1e-5)


@pytest.mark.parametrize("mode", ["openvino+int8", "onnxruntime+int8", "aoti+freezing+int8"])
def test_a_layer_in_int8_may_err_by_three_of_its_roundings(mode: str) -> None:
    plain = convolution.tolerance(spec())

    assert 0.03 < convolution.tolerance(spec(mode)) - plain < 0.06
