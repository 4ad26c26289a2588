"""Takes apart what a server wrote: unmasked WebSocket frames (RFC 6455 section 5.2)."""


def payloads(data: bytes) -> list[bytes]:
    """The payloads of whole text frames. ValueError where anything else is in between."""
    whole, rest = split(data)
    if rest:
        raise ValueError("a frame is cut")
    return whole


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """-> (payloads of the whole frames, what is left over)"""
    found, at = [], 0
    while (end := _end(data, at)) is not None:
        if data[at] != 0x81:
            raise ValueError("no whole text frame")
        found.append(data[end[0] : end[1]])
        at = end[1]
    return found, data[at:]


def _end(data: bytes, at: int) -> tuple[int, int] | None:
    if len(data) < at + 2:
        return None
    size, start = data[at + 1], at + 2
    if size in (126, 127):
        width = 2 if size == 126 else 8
        size, start = int.from_bytes(data[start : start + width], "big"), start + width
    return (start, start + size) if len(data) >= start + size else None
