"""Networks that only a check needs: faulty in one mode, too large, broken, or of known work."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Small(nn.Module):
    """Short enough that a GPU waits for its host."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.norm = nn.BatchNorm2d(32)
        self.second = nn.Conv2d(32, 32, 3, padding=1)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.norm(self.first(x)).relu()).relu()
        found: Tensor = self.head(self.shared(x).mean((2, 3)))
        return found

    def shared(self, x: Tensor) -> Tensor:
        """Where the others go wrong."""
        return x


class FaultyInModes(Small):
    """Loses an eighth of its channels in every mode but fp32 eager, as a kernel of a mode could."""

    def shared(self, x: Tensor) -> Tensor:
        autocast = torch.is_autocast_enabled("cuda") or torch.is_autocast_enabled("cpu")
        last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        tf32 = torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]
        if not (autocast or last or tf32):
            return x
        kept = torch.ones(x.shape[1], device=x.device, dtype=x.dtype)
        kept[: x.shape[1] // 8] = 0
        return x * kept[None, :, None, None]


class Greedy(Small):
    """Wants more than any device has."""

    def shared(self, x: Tensor) -> Tensor:
        if x.device.type == "cuda":
            torch.empty(1 << 48, dtype=torch.int8, device=x.device)
        return x


class Crowding(Small):
    """Wants 60 % of the device: one process of it has room, two at once have not."""

    def shared(self, x: Tensor) -> Tensor:
        if x.device.type == "cuda":
            _, total = torch.cuda.mem_get_info()
            torch.empty(int(0.6 * total), dtype=torch.int8, device=x.device)
        return x


class Asserting(Small):
    """Fails an assertion on the device, which spoils the process for everything after it."""

    def shared(self, x: Tensor) -> Tensor:
        if x.device.type != "cuda":
            return x
        beyond = torch.full((4,), 1000, device=x.device)
        return x + nn.functional.embedding(beyond, self.head.weight).sum()


class Mixed(Small):
    """A constant was left on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.ones(1, 32, 1, 1)

    def shared(self, x: Tensor) -> Tensor:
        return x * self.scale


class Hanging(Small):
    """Keeps the device at work for minutes, in kernels of about a second."""

    def shared(self, x: Tensor) -> Tensor:
        if x.device.type == "cuda":
            for _ in range(120):
                torch.cuda._sleep(2_000_000_000)  # type: ignore[no-untyped-call]  # noqa: SLF001
        return x


class OnTheHost(Small):
    """Computes a part on the CPU, so that no CUDA graph can hold it."""

    def shared(self, x: Tensor) -> Tensor:
        return x + x.mean((2, 3)).cpu().tanh().to(x.device)[:, :, None, None]


class Chain(nn.Module):
    """Equal convolutions one after the other: twenty-two take a tenth longer than twenty."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 1)
        self.chain = nn.Sequential(
            *(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(length))
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.chain(self.first(x)).mean((2, 3))
        return found


def small() -> nn.Module:
    return Small()


def faulty() -> nn.Module:
    return FaultyInModes()


def greedy() -> nn.Module:
    return Greedy()


def crowding() -> nn.Module:
    return Crowding()


def asserting() -> nn.Module:
    return Asserting()


def mixed() -> nn.Module:
    return Mixed()


def hanging() -> nn.Module:
    return Hanging()


def on_the_host() -> nn.Module:
    return OnTheHost()


def twenty(width: int = 512) -> nn.Module:
    return Chain(20, width)


def twenty_two(width: int = 512) -> nn.Module:
    return Chain(22, width)
