import json

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.stream import frames
from tests.unit.gateway.stream.frames_read import payloads


@given(st.lists(st.binary(max_size=300)), st.sampled_from((0, 125, 126, 65_535, 65_536, 70_000)))
def test_joined_frames_are_taken_apart_again(parts: list[bytes], size: int) -> None:
    parts.append(b"x" * size)
    assert payloads(b"".join(frames.framed(part) for part in parts)) == parts


def test_an_event_is_forwarded_as_it_is() -> None:
    value = '{"id":"1","data":{"text":"größe"}}'.encode()
    (payload,) = payloads(frames.event("abc", value))
    assert payload == b'{"type":"event","cursor":"abc","event":' + value + b"}"


def test_the_other_frames_are_those_of_the_contract() -> None:
    made = frames.welcome("c", True, 25) + frames.heartbeat("c") + frames.snapshot_required("c", "expired")
    assert [json.loads(payload) for payload in payloads(made + frames.error("INTERNAL"))] == [
        {"type": "welcome", "cursor": "c", "recovered": True, "heartbeat_s": 25},
        {"type": "heartbeat", "cursor": "c"},
        {"type": "snapshot_required", "cursor": "c", "reason": "expired"},
        {"type": "error", "code": "INTERNAL"},
    ]
