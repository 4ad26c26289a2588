"""What a channel kind has to say for itself. Knows neither the registry of channels nor HTTP servers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.ingest.core import Input


@dataclass(frozen=True, slots=True)
class EventFault:
    """What is wrong with a body, and where: `index` of the event (None: the body itself), `field` inside it, dotted.

    `detail` never quotes a value.
    """

    code: str
    detail: str
    index: int | None = None
    field: str = ""


class Unverified(Exception):
    """The sender did not prove to be who they say; the text says why."""


class Refused(Exception):
    """Nothing of this body is taken."""

    def __init__(self, status: int, code: str, faults: Sequence[EventFault]) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of channel. All functions are pure but for the clock that a signature's age is measured by.

    `verify(secrets, headers, body)` -> the sender's name for this request, the same when it is repeated; header
    names are lower case; raises Unverified. `parse(body)` raises Refused. `urls` names the settings that are addresses.
    """

    name: str
    max_body: int
    verify: Callable[[Sequence[str], Mapping[str, str], bytes], str]
    parse: Callable[[bytes], list[Input]]
    urls: tuple[str, ...]
