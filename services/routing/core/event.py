"""An event before it has an envelope: what the core says and what a state is folded from."""

from dataclasses import dataclass

from shared.contracts.events import EventData


@dataclass(frozen=True, slots=True)
class Event:
    """`seq` is None for outcomes that change nothing (`command.*`); only those have an `audience`."""

    data: EventData
    workspace: str
    conversation_id: str
    causationid: str
    actor: str
    time: str
    seq: int | None
    final: bool = False
    audience: str | None = None
