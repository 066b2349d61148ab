"""Networks that misbehave, one way each. Workers import this file; the tests never do."""

from __future__ import annotations

import os
import signal
import sys
import time

import torch
from torch import Tensor, nn

import cnnbench.analysis


class Fine(nn.Module):
    """A small network that works; the others break one thing."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).mean((2, 3)))


def fine(width: int = 4) -> nn.Module:
    return Fine(width)


def raises_in_construction() -> nn.Module:
    raise ValueError("no weights today")


class RaisesInForward(Fine):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("forward is broken")


class Uncheckable(Fine):
    """Its output cannot be read, in any mode."""

    def forward(self, x: Tensor):
        y = super().forward(x)
        return y if x.is_meta else Unreadable.wrap(y)


class RaisesInCheck(Fine):
    """Its reference is fine; its output in one mode cannot be read."""

    def forward(self, x: Tensor):
        y = super().forward(x)
        return Unreadable.wrap(y) if x.dtype is torch.bfloat16 else y


class Unreadable(Tensor):
    """A tensor that refuses to be compared."""

    @staticmethod
    def wrap(tensor: Tensor) -> Tensor:
        return tensor.as_subclass(Unreadable)

    def is_floating_point(self):
        raise TypeError("this output cannot be read")


class Exits(Fine):
    def forward(self, x: Tensor) -> Tensor:
        if not x.is_meta:
            os._exit(7)
        return super().forward(x)


class ExitsPolitely(Fine):
    def forward(self, x: Tensor) -> Tensor:
        sys.exit("good bye")


class Killed(Fine):
    def forward(self, x: Tensor) -> Tensor:
        if not x.is_meta:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)


class KillsTheStarter(Fine):
    """Takes down the process that supervises it and everyone beside it."""

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_meta:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return super().forward(x)


class Hangs(Fine):
    def forward(self, x: Tensor) -> Tensor:
        if not x.is_meta:
            time.sleep(3600)
        return super().forward(x)


class HangsInBf16(Fine):
    """Fine in fp32, so that its reference passes; hangs in one mode."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype is torch.bfloat16:
            time.sleep(3600)
        return super().forward(x)


class DiesInTheSecondCheck(Fine):
    """Killed when its output is looked at after the last slice, with all its slices taken."""

    def forward(self, x: Tensor) -> Tensor:
        frame = sys._getframe()
        while frame is not None:
            if frame.f_code.co_name == "afterwards":
                os.kill(os.getpid(), signal.SIGKILL)
            frame = frame.f_back
        return super().forward(x)


class DiesLater(Fine):
    """Dies only after it has been warmed up, between or within slices."""

    def __init__(self) -> None:
        super().__init__()
        self.began = time.monotonic()

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype is torch.bfloat16 and time.monotonic() - self.began > 0.5:
            os._exit(9)
        return super().forward(x)


class Prints(Fine):
    def forward(self, x: Tensor) -> Tensor:
        print('{"result": "a lie"}\n' * 1000)
        os.write(1, b'{"result": {"estimate": 0}}\n' * 100)
        os.write(2, b"complaint\n")
        return super().forward(x)


class PrintsMegabytes(Fine):
    def __init__(self) -> None:
        super().__init__()
        os.write(1, b"x" * (8 << 20))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class Allocates(Fine):
    """Wants 8 GiB for a moment."""

    def forward(self, x: Tensor) -> Tensor:
        hungry = x.new_ones(2 << 30)
        return super().forward(x) + hungry[0] - 1


class WrongInChannelsLast(Fine):
    """Fast and wrong: what the output check is for."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        nchw = x.is_contiguous()
        return y if nchw else torch.flip(y, (1,))


class NotFinite(Fine):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y / 0 if x.dtype is torch.bfloat16 else y


class NeedsValues(Fine):
    """Looks at numbers in a way that the meta device cannot answer."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.head(y.mean((2, 3)) if y.numpy(force=True).sum() < 1e9 else y.amax((2, 3)))


class UnknownOperator(Fine):
    """Calls an operator that no table of rules holds."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.badlib.twice(super().forward(x))


_LIBRARY = torch.library.Library("badlib", "DEF")
_LIBRARY.define("twice(Tensor x) -> Tensor")
_LIBRARY.impl("twice", lambda x: 2 * x, "CPU")
_LIBRARY.impl("twice", torch.empty_like, "Meta")


class OperatorWithRule(Fine):
    """Calls an operator of its own, whose rule stands beside it as the documentation says."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.badlib.ruled(super().forward(x))


_LIBRARY.define("ruled(Tensor x) -> Tensor")
_LIBRARY.impl("ruled", lambda x: 2 * x, "CPU")
_LIBRARY.impl("ruled", torch.empty_like, "Meta")
cnnbench.analysis.register_rule("badlib::ruled", macs=lambda out, x: out.numel())


def not_a_module() -> int:
    return 3


not_callable = 3
