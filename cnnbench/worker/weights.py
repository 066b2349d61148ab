"""Which weights a network gets: calibrated, as initialised, the library's own, or out of a file.

Nothing is downloaded and nothing is unpickled but tensors.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cnnbench.asking import CALIBRATED, PRETRAINED, RANDOM
from cnnbench.conv.problem import is_conv
from cnnbench.errors import Unsupported, UsageError
from cnnbench.worker import calibration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from cnnbench.architectures.registry import Architecture
    from cnnbench.spec import Workload


def kind(workload: Workload) -> str:
    """The workload's weights; a layer's are random: its output is all its input's anyway."""
    if is_conv(workload.architecture):
        return RANDOM
    return workload.setting("weights", CALIBRATED)


def load(workload: Workload, architecture: Architecture, module: nn.Module) -> None:
    """Load weights that come out of a file; the other kinds have none.

    Raises:
        Unsupported: there is no such file here.
        UsageError: it does not fit.
    """
    chosen = kind(workload)
    if chosen in {CALIBRATED, RANDOM}:
        return
    path = _cached(architecture) if chosen == PRETRAINED else Path(chosen)
    state = _state(path)
    _same_kinds(path, state, module)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise UsageError(
            f"{path}: these are not the weights of {workload.architecture}:"
            f" {_misfit(module, state) or str(error).splitlines()[0]}"
        ) from None


def _same_kinds(path: Path, state: Mapping[str, Tensor], module: nn.Module) -> None:
    """Refuse what would be converted with a loss: complex numbers to reals, reals to integers."""
    for name, mine in module.state_dict().items():
        given: Any = state.get(name)
        if not isinstance(given, torch.Tensor) or not isinstance(mine, torch.Tensor):
            continue  # quantised networks keep other things too; a wrong kind is refused on loading
        if not torch.can_cast(given.dtype, mine.dtype):
            kinds = [str(one.dtype).removeprefix("torch.") for one in (given, mine)]
            raise UsageError(f"{path}: {name} is {kinds[0]}, the network's is {kinds[1]}")


def _misfit(module: nn.Module, state: Mapping[str, Tensor]) -> str:
    """What a network and a state dict do not have in common, in a few words."""
    own = module.state_dict()
    shapes = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
    found = [
        f"{len(names)} {what} (such as {min(names)})"
        for what, names in (
            ("tensors are missing", own.keys() - state.keys()),
            ("are not of this network", state.keys() - own.keys()),
            ("have another shape", shapes),
        )
        if names
    ]
    return ", ".join(found)


def calibrate(module: nn.Module, path: str) -> None:
    """Put a calibration that another process made into a module."""
    calibration.load(module, Path(path))


def _state(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise Unsupported(f"--weights {path}: no such file")
    if path.suffix == ".safetensors":
        return _safetensors(path)
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # what torch says then is how to run it all the same
        raise UsageError(
            f"{path}: not a state dict of tensors: it is damaged or holds other objects, which are"
            " not loaded because that would run their code; save one by"
            " torch.save(module.state_dict(), FILE)"
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever else a damaged file leads to
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{path}: not a state dict of tensors: {said}") from None
    for key in ("state_dict", "model"):  # as training scripts wrap it
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict):
        raise UsageError(f"{path}: not a state dict but a {type(found).__name__}")
    odd = next((key for key in found if not isinstance(key, str)), None)
    if odd is not None:
        raise UsageError(f"{path}: not a state dict: it has the key {odd!r}, which is no name")
    return _without_wrapper(found)


def _without_wrapper(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Names as the network has them where ``DataParallel`` or a compiler has wrapped it."""
    for prefix in ("module.", "_orig_mod."):
        if state and all(str(name).startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise Unsupported(
            f"{path}: needs the package safetensors: pip install safetensors"
        ) from None
    try:
        found: Mapping[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path}: no file of safetensors: {error}") from None
    return found


def has_published(architecture: Architecture) -> bool:
    """Whether the library has weights of an architecture."""
    return architecture.source.startswith("torchvision")


def published(architecture: Architecture) -> Any:
    """The library's default weights of an architecture, with what it says of them.

    Raises:
        Unsupported: it has none.
    """
    if not has_published(architecture):
        raise Unsupported(
            f"--weights pretrained: {architecture.name} has none in torchvision; give a file"
        )
    from torchvision import models

    default = models.get_model_weights(architecture.name).DEFAULT
    return default.meta.get("unquantized", default)


def _cached(architecture: Architecture) -> Path:
    """Where the library keeps an architecture's default weights once they are downloaded."""
    default = published(architecture)
    path: Path = Path(torch.hub.get_dir()) / "checkpoints" / default.url.rpartition("/")[2]
    if not path.is_file():
        name = architecture.name.removeprefix("quantized_")
        raise Unsupported(
            f"--weights pretrained: {path} is not there; download it once: python -c"
            f" \"from torchvision import models; models.get_model('{name}', weights='DEFAULT')\""
        )
    return path
