"""Stand-ins for what surrounds the pure parts of ingest: a channel, its store, a clock that moves when told."""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from standardwebhooks.webhooks import Webhook

from shared.contracts.outbound import ChannelRecord, SealedSecret
from shared.contracts.resources import BotSettings

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"o" * 32).decode()
CHANNEL = ChannelRecord(
    workspace="demo",
    id="2f0e7b5c-3c5e-4a51-9a13-8f2f0a6f1a77",
    kind="webhook",
    name="Shop",
    settings={},
    bot=BotSettings(kind="webhook", settings={"url": "https://bot.example"}),
    secrets=(SealedSecret(sealed=SECRET),),
    version=1,
)


class StandingClock:
    """Moves when told; the wall clock starts at the real time, because signatures are compared with that."""

    def __init__(self) -> None:
        self._begun = datetime.now(UTC)
        self._passed = 0.0

    def pass_by(self, seconds: float) -> None:
        self._passed += seconds

    def now(self) -> datetime:
        return self._begun + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return 100.0 + self._passed


@dataclass
class Shelf:
    """A ChannelSource in memory that counts what it is asked."""

    channels: dict[str, ChannelRecord] = field(default_factory=lambda: {CHANNEL.id: CHANNEL})
    asked: int = 0

    async def find(self, ident: str) -> ChannelRecord | None:
        self.asked += 1
        return self.channels.get(ident)


def unsealed(sealed: str, context: str) -> bytes:
    """Nothing is sealed here."""
    return sealed.encode()


def signed(raw: bytes, secret: str = SECRET, ident: str = "msg_1") -> dict[str, str]:
    at = datetime.now(UTC)
    return {
        "webhook-id": ident,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(ident, at, raw.decode()),
    }
