"""``python -m cnnbench.worker ROLE FD [compiler]``: a worker process, commanded over the socket FD.

ROLE is ``starter`` (forks a worker per task) or ``child`` (is itself the worker, where forking is
unsafe). With ``compiler`` a starter imports torch's compiler, too, once for all its workers.
"""

from __future__ import annotations

import socket
import sys

from cnnbench.channel import Channel
from cnnbench.worker import importing

# The word with which a starter is told to import torch's compiler.
COMPILER = "compiler"


def main(role: str, descriptor: int, *more: str) -> None:
    """Play a role on an inherited socket."""
    channel = Channel(socket.socket(fileno=descriptor))
    importing.torchvision()
    if role == "starter":
        from cnnbench.worker import starter

        if COMPILER in more:
            importing.compiler()
        starter.run(channel)
    else:
        from cnnbench.worker import child

        child.serve(channel)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
