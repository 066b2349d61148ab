"""Which weights a network gets, and what is said of those that cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from cnnbench import architectures
from cnnbench.errors import CnnbenchError, Unsupported, UsageError
from cnnbench.spec import Workload
from cnnbench.worker import build, weights


def lenet(kind: str | None = None) -> Workload:
    settings = () if kind is None else (("weights", kind),)
    return Workload("lenet", 1, (3, 32, 32), settings=settings)


def test_weights_are_calibrated_unless_something_else_is_asked_for() -> None:
    layer = Workload("conv:k8-3x3-p1", 1, (8, 8, 8))

    assert weights.kind(lenet()) == "calibrated"
    assert weights.kind(lenet("random")) == "random"
    assert weights.kind(layer) == "random"


@pytest.mark.parametrize("wrapped", [None, "state_dict", "model"])
def test_a_state_dict_out_of_a_file_is_loaded(tmp_path: Path, wrapped: str | None) -> None:
    path = tmp_path / "own.pt"
    _, module = build.construct(lenet("random"), 7)
    state = module.state_dict()
    torch.save(state if wrapped is None else {wrapped: state}, path)

    _, loaded = build.construct(lenet(str(path)), 0)

    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, state[name])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (b"not a file of tensors", "not a state dict"),
        ({"other.weight": torch.ones(2)}, r"missing \(such as .*\), 1 are not of this network"),
        ([1, 2], "not a state dict but a list"),
        ({1: torch.ones(2)}, "has the key 1, which is no name"),
        (nn.Linear(1, 1), "holds other objects"),
        ({"0.weight": torch.ones(6, 3, 5, 5, dtype=torch.complex64)}, "0.weight is complex64"),
        ({"0.weight": torch.ones(6, 3, 5, 5, dtype=torch.int64)}, "not the weights of lenet"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, content, words: str) -> None:
    path = tmp_path / "own.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)

    with pytest.raises(CnnbenchError, match=words) as caught:
        build.construct(lenet(str(path)), 0)

    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no file of tensors", b"\xff" * 64])
def test_a_damaged_file_of_safetensors_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(content)

    with pytest.raises(UsageError, match="no file of safetensors") as caught:
        build.construct(lenet(str(path)), 0)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_names_that_a_wrapper_has_put_in_front_are_understood(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "own.pt"
    state = build.construct(lenet("random"), 7)[1].state_dict()
    torch.save({f"{prefix}{name}": tensor for name, tensor in state.items()}, path)

    _, loaded = build.construct(lenet(str(path)), 0)

    assert all(torch.equal(one, state[name]) for name, one in loaded.state_dict().items())


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "evil.pt", tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return Path.touch, (mark,)

    torch.save({"layer": Evil()}, path)

    with pytest.raises(UsageError, match="not a state dict of tensors"):
        build.construct(lenet(str(path)), 0)

    assert not mark.exists()


def test_the_librarys_own_weights_come_from_its_cache(tmp_path: Path, monkeypatch) -> None:
    from torchvision import models

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    workload = Workload("squeezenet1_1", 1, (3, 224, 224), settings=(("weights", "pretrained"),))
    with pytest.raises(Unsupported, match="is not there; download it once"):
        build.construct(workload, 0)

    torch.manual_seed(5)
    state = architectures.build(architectures.resolve("squeezenet1_1")).state_dict()
    name = models.get_model_weights("squeezenet1_1").DEFAULT.url.rpartition("/")[2]
    (tmp_path / "checkpoints").mkdir()
    torch.save(state, tmp_path / "checkpoints" / name)
    _, module = build.construct(workload, 0)

    assert torch.equal(module.state_dict()["features.0.weight"], state["features.0.weight"])


def test_networks_without_published_weights_say_so() -> None:
    with pytest.raises(Unsupported, match="lenet has none in torchvision; give a file"):
        build.construct(lenet("pretrained"), 0)
