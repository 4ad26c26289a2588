"""A channel as deliveries need it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class BotAddress:
    kind: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Channel:
    """`secret`: the one that signs now (`whsec_…`), None where it can't be opened."""

    id: str
    workspace: str
    kind: str
    settings: Mapping[str, Any]
    bot: BotAddress | None
    version: int
    deleted: bool = False
    secret: str | None = field(default=None, repr=False)

    def serves_like(self, other: "Channel") -> bool:
        """Whether a message that couldn't go out through `other` can't go out through this one either."""
        mine = (self.kind, self.settings, self.bot, self.secret, self.deleted)
        return mine == (other.kind, other.settings, other.bot, other.secret, other.deleted)
