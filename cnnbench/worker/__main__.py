"""``python -m cnnbench.worker ROLE FD``: a worker process, told what to do over the socket FD.

ROLE is ``starter`` (forks a worker per task) or ``child`` (is itself the worker, where forking is
unsafe).
"""

from __future__ import annotations

import socket
import sys

from cnnbench.channel import Channel


def main(role: str, descriptor: int) -> None:
    """Play a role on an inherited socket."""
    channel = Channel(socket.socket(fileno=descriptor))
    if role == "starter":
        from cnnbench.worker import starter

        starter.run(channel)
    else:
        from cnnbench.worker import child

        child.serve(channel)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
