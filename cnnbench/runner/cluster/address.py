"""Where a cluster is said to be, and whether anything listens there.

Ray itself tries for minutes and then says little, so its port is tried before Ray is asked.
"""

from __future__ import annotations

import os
import socket
import threading
from urllib.parse import urlsplit

from cnnbench.errors import UsageError

# In place of an address, here as in Ray: this machine alone, for as long as the command runs; and
# the cluster that this machine is part of.
LOCAL, AUTO = "local", "auto"
# A port that is open answers within one round trip; a name may have to be looked up first.
REACH_SECONDS = 10.0

# Ray speaks gRPC: over HTTP/2, where both sides begin with a frame of settings (RFC 9113, 3.4).
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_HEAD, _TYPE, _SETTINGS = 9, 3, 4
# What RAY_USE_TLS is where nothing is encrypted.
_NOT = ("", "0", "false")


def refuse_silent(address: str, seconds: float = REACH_SECONDS) -> None:
    """Refuse an address where nothing listens.

    Args:
        address: as ``ray.init`` takes it.
        seconds: after which nothing is believed to come.

    Raises:
        UsageError: it is no address, or nothing listens there.
    """
    if address in (LOCAL, AUTO):
        return
    host, port = _parts(address)
    why: list[str] = []
    tried = threading.Thread(target=_try, args=(host, port, seconds, why), daemon=True)
    tried.start()
    # Looking up a name has a time limit of its own, which can be long.
    tried.join(seconds)
    told = f"no answer within {seconds:g} s" if tried.is_alive() else "".join(why)
    if told:
        raise UsageError(
            f"--cluster {address}: no Ray cluster can be reached there ({told}); begin one on"
            f" {host} with: ray start --head {_port_option(address)}={port}"
        )


def _port_option(address: str) -> str:
    """What has ``ray start`` listen at the port of such an address."""
    # Clients from outside have a port of their own.
    return "--ray-client-server-port" if address.startswith("ray://") else "--port"


def _parts(address: str) -> tuple[str, int]:
    """Host and port."""
    plain = address if "://" in address else f"//{address}"
    try:
        parts = urlsplit(plain)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None:
        raise UsageError(
            f"--cluster {address}: not an address; use HOST:PORT as ray start prints it, {LOCAL} or"
            f" {AUTO}"
        )
    return host, port


def _try(host: str, port: int, seconds: float, why: list[str]) -> None:
    try:
        with socket.create_connection((host, port), timeout=seconds) as found:
            if os.environ.get("RAY_USE_TLS", "0") in _NOT:
                why += _refused(found)
    except TimeoutError:
        why.append(f"no answer within {seconds:g} s")
    except OSError as error:
        why.append((error.strerror or str(error)).lower())


def _refused(found: socket.socket) -> list[str]:
    """Why what listens is not Ray; empty if it may be."""
    found.sendall(_PREFACE)
    answer = b""
    # A frame need not arrive at once; nothing comes once the other side has ended.
    while len(answer) < _HEAD and (more := found.recv(_HEAD - len(answer))):
        answer += more
    speaks = len(answer) == _HEAD and answer[_TYPE] == _SETTINGS
    return [] if speaks else ["what listens there is not Ray"]
