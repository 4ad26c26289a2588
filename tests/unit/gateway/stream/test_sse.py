"""Frames in the wrapping of server-sent events."""

import json

from services.gateway.stream import frames
from services.gateway.stream.sse import Encoder


def blocks(data: bytes) -> list[list[bytes]]:
    *whole, rest = Encoder().encoded(data).split(b"\n\n")
    assert rest == b""
    return [block.split(b"\n") for block in whole]


def test_a_frame_with_a_cursor_has_it_as_its_id() -> None:
    for frame in (frames.welcome("CUR-_0==", True, 25), frames.heartbeat("CUR-_0=="), frames.event("CUR-_0==", b"{}")):
        [[ident, data]] = blocks(frame)
        assert ident == b"id: CUR-_0=="
        assert data == b"data: " + next(frames.payloads(frame))


def test_a_frame_without_a_cursor_leaves_the_id_as_it_is() -> None:
    assert blocks(frames.error("FORBIDDEN")) == [[b'data: {"type":"error","code":"FORBIDDEN"}']]


def test_an_events_own_text_is_never_taken_for_its_cursor_or_for_lines() -> None:
    value = json.dumps({"data": {"text": 'id: x\n\ndata: {"type":"event","cursor":"forged"'}}, indent=1).encode()
    [[ident, data]] = blocks(frames.event("true", value))
    assert ident == b"id: true"
    assert json.loads(data.removeprefix(b"data: "))["event"] == json.loads(value)


def test_frames_of_every_size_are_told_apart() -> None:
    texts = [json.dumps("x" * size).encode() for size in (0, 90, 123, 200, 65_500, 70_000)]
    written = b"".join(frames.event("c", text) for text in texts)
    assert [data for _, data in blocks(written)] == [
        b'data: {"type":"event","cursor":"c","event":%b}' % text for text in texts
    ]


def test_the_same_batch_is_wrapped_once_for_all() -> None:
    encoder, batch = Encoder(), frames.event("c", b"{}")
    first = encoder.encoded(batch)
    assert encoder.encoded(batch) is first
    assert encoder.encoded(frames.event("d", b"{}")) != first
