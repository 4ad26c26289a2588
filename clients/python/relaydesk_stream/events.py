"""What a stream gives to its reader."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Event:
    """A CloudEvent (docs/stream.md). `cursor`: a stream that is begun with it goes on after this event."""

    content: dict[str, Any]
    cursor: str

    @property
    def type(self) -> str:
        """`relaydesk.message.sent.v1`"""
        return str(self.content["type"])

    @property
    def kind(self) -> str:
        """`message.sent`"""
        return self.type.removeprefix("relaydesk.").rsplit(".v", 1)[0]

    @property
    def subject(self) -> str:
        """The conversation, or the resource."""
        return str(self.content["subject"])

    @property
    def seq(self) -> int | None:
        """1, 2, 3 … within a conversation; None where none was changed."""
        return self.content.get("seq")

    @property
    def data(self) -> Any:
        return self.content["data"]


@dataclass(frozen=True, slots=True)
class SnapshotRequired:
    """Events are missing and won't come. `cursor`: where the stream goes on if no snapshot says otherwise."""

    reason: str
    cursor: str


@dataclass(frozen=True, slots=True)
class StateChange:
    """`code`: how the connection was closed (0: it went silent). `wait_s`: seconds until the next try."""

    state: Literal["connecting", "live", "waiting"]
    code: int | None = None
    error: BaseException | None = None
    wait_s: float = 0.0
