"""An address where no Ray listens is refused in seconds, without Ray."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cnnbench.errors import UsageError
from cnnbench.runner.cluster import address

SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))


@contextmanager
def listening(*answers: bytes) -> Iterator[int]:
    """The port of a server that answers in such pieces, or never if there are none."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            there, _ = server.accept()
            with there:
                there.recv(100)
                there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for one in answers:
                    there.sendall(one)
                    # Long enough for a piece to arrive by itself.
                    time.sleep(0.05)
                if not answers:
                    done.wait(10)

        done = threading.Event()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        done.set()
        thread.join(10)


def closed() -> int:
    """A port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_where_ray_may_listen_nothing_is_said(scheme: str) -> None:
    with listening(SETTINGS) as port:
        address.refuse_silent(f"{scheme}127.0.0.1:{port}")


@pytest.mark.parametrize("cut", [1, 4, 8])
def test_an_answer_may_come_in_pieces(cut: int) -> None:
    with listening(SETTINGS[:cut], SETTINGS[cut:]) as port:
        address.refuse_silent(f"127.0.0.1:{port}")


@pytest.mark.parametrize("name", [address.LOCAL, address.AUTO])
def test_what_is_no_address_of_a_host_is_left_to_ray(name: str) -> None:
    address.refuse_silent(name)


def test_where_nothing_listens_it_is_said_how_to_begin() -> None:
    port = closed()
    with pytest.raises(UsageError) as refused:
        address.refuse_silent(f"127.0.0.1:{port}")

    said = "no Ray cluster can be reached there (connection refused); begin one on 127.0.0.1 with:"
    assert str(refused.value) == (
        f"--cluster 127.0.0.1:{port}: {said} ray start --head --port={port}"
    )


def test_where_no_client_is_let_in_it_is_said_how_to_let_one_in() -> None:
    port = closed()
    with pytest.raises(UsageError) as refused:
        address.refuse_silent(f"ray://127.0.0.1:{port}")

    assert str(refused.value).endswith(
        f"begin one on 127.0.0.1 with: ray start --head --ray-client-server-port={port}"
    )


def test_what_is_not_ray_is_told_from_it(monkeypatch) -> None:
    with (
        listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port,
        pytest.raises(UsageError, match="what listens there is not Ray"),
    ):
        address.refuse_silent(f"127.0.0.1:{port}")
    with listening(SETTINGS[:5]) as port, pytest.raises(UsageError, match="there is not Ray"):
        address.refuse_silent(f"127.0.0.1:{port}")
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with listening(b"") as port:
        address.refuse_silent(f"127.0.0.1:{port}")


def test_who_never_answers_is_not_waited_for() -> None:
    with listening() as port, pytest.raises(UsageError, match=r"no answer within 0\.1 s"):
        address.refuse_silent(f"127.0.0.1:{port}", seconds=0.1)


def test_a_name_that_is_looked_up_for_long_is_not_waited_for(monkeypatch) -> None:
    def slow(*_: object, **__: object) -> None:
        time.sleep(1)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", slow)
    with pytest.raises(UsageError, match=r"no answer within 0\.1 s"):
        address.refuse_silent("elsewhere:1", seconds=0.1)


def test_a_name_that_is_none_is_said(monkeypatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", unknown)
    with pytest.raises(UsageError, match="name or service not known"):
        address.refuse_silent("elsewhere.invalid:1")


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", ":1", "[::1", "host:99999"])
def test_what_is_no_address_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="not an address; use HOST:PORT as ray start prints it"):
        address.refuse_silent(text)


def test_an_address_of_six_has_brackets() -> None:
    assert address._parts("[::1]:6379") == ("::1", 6379)
