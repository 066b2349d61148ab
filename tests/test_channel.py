from __future__ import annotations

import os
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.channel import Channel, ChannelClosed, pair

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.fixture
def ends():
    """A channel, the other channel, and the other's bare socket."""
    ours, raw = pair()
    theirs = Channel(raw)
    yield ours, theirs, raw
    ours.close()
    theirs.close()


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=5))
def test_messages_arrive_whole_and_in_order(messages) -> None:
    ours, raw = pair()
    theirs = Channel(raw)
    for message in messages:
        ours.send(message)
    received = [theirs.receive(5) for _ in messages]
    ours.close()
    theirs.close()

    assert received == messages


def test_a_message_of_a_megabyte_arrives(ends) -> None:
    ours, theirs, _ = ends
    message = {"samples": list(range(160_000)), "text": "é" * 1000}
    sender = threading.Thread(target=ours.send, args=(message,))
    sender.start()

    received = theirs.receive(30)
    sender.join()

    assert received == message


def test_a_descriptor_travels_with_its_message(ends, tmp_path) -> None:
    ours, theirs, _ = ends
    with (tmp_path / "file").open("w+") as file:
        file.write("hello")
        file.flush()
        ours.send({"do": "fork"}, file.fileno())

    message = theirs.receive(5)
    descriptor = theirs.take_descriptor()
    text = os.pread(descriptor, 10, 0)
    os.close(descriptor)

    assert (message, text) == ({"do": "fork"}, b"hello")
    with pytest.raises(TimeoutError):
        theirs.receive(0.01)


def test_descriptors_keep_the_order_of_their_messages(ends, tmp_path) -> None:
    ours, theirs, _ = ends
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        with (tmp_path / name).open() as file:
            ours.send({"name": name}, file.fileno())

    texts = []
    for _ in range(2):
        theirs.receive(5)
        descriptor = theirs.take_descriptor()
        texts.append(os.pread(descriptor, 10, 0))
        os.close(descriptor)

    assert texts == [b"a", b"b"]


def test_silence_is_a_timeout_and_the_channel_lives_on(ends) -> None:
    ours, theirs, _ = ends
    with pytest.raises(TimeoutError):
        theirs.receive(0.01)

    ours.send({"late": 1})

    assert theirs.receive(5) == {"late": 1}


def test_half_a_message_is_a_timeout_and_nothing_of_it_is_lost(ends) -> None:
    ours, _, raw = ends
    raw.sendall(b'{"a":')
    with pytest.raises(TimeoutError):
        ours.receive(0.01)

    raw.sendall(b"1}\n")

    assert ours.receive(5) == {"a": 1}


def test_a_timeout_of_receiving_does_not_hurry_the_next_sending(ends) -> None:
    ours, theirs, _ = ends
    with pytest.raises(TimeoutError):
        ours.receive(0.01)
    received = []
    reader = threading.Timer(0.3, lambda: received.append(theirs.receive(30)))
    reader.start()

    message = {"text": "x" * 2_000_000}
    ours.send(message)
    reader.join()

    assert received == [message]


def test_two_messages_in_one_packet_are_two(ends) -> None:
    ours, _, raw = ends

    raw.sendall(b'{"a":1}\n{"b":2}\n')

    assert [ours.receive(5), ours.receive(5)] == [{"a": 1}, {"b": 2}]


def test_the_end_of_the_other_side_is_told(ends) -> None:
    ours, theirs, _ = ends
    theirs.close()

    with pytest.raises(ChannelClosed, match="end of file"):
        ours.receive(5)


def test_half_a_message_before_the_end_is_not_a_message(ends) -> None:
    ours, theirs, raw = ends
    raw.sendall(b'{"a":1}')
    theirs.close()

    with pytest.raises(ChannelClosed):
        ours.receive(5)


def test_sending_to_nobody_is_told(ends) -> None:
    ours, theirs, _ = ends
    theirs.close()

    with pytest.raises(ChannelClosed):
        ours.send({"a": "x" * 1_000_000})


@pytest.mark.parametrize("line", [b"hello\n", b"\n", b"[1]\n", b"3\n", b"\xff\xfe\n", b"{]\n"])
def test_garbage_is_not_a_message(ends, line: bytes) -> None:
    ours, _, raw = ends
    raw.sendall(line)

    with pytest.raises(ChannelClosed, match="not a message"):
        ours.receive(5)


def test_a_flood_without_a_line_break_is_cut_off(ends, monkeypatch) -> None:
    monkeypatch.setattr("cnnbench.channel._LIMIT", 1 << 16)
    ours, _, raw = ends
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, b"\1" + b"\0" * 15)
    sender = threading.Thread(target=_flood, args=(raw,))
    sender.start()

    with pytest.raises(ChannelClosed, match="message too long"):
        ours.receive(10)
    ours.close()
    sender.join()


def _flood(raw: socket.socket) -> None:
    try:
        raw.sendall(b"x" * (1 << 20))
    except OSError:
        return
