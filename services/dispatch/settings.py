"""What dispatch can be told. Times in seconds."""

from typing import Annotated

from pydantic import Field

from services.dispatch.core.plan import Rules, Timing
from services.dispatch.lanes import Limits
from shared.runtime.settings import AuthSettings, InstallationSecrets, Port, S3Settings, Settings

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=10_000)]


class DispatchSettings(Settings, AuthSettings, InstallationSecrets, S3Settings):
    """`concurrency`: attempts at the same time, of all channels and of one; `timeout_s`: for one HTTP exchange;
    `backoff_s`, `backoff_max_s`: the first and the longest pause between attempts; `lifetime_s`: then a message fails;
    `fence_patience_s`: how long a bot's message may wait, connected, until this process has caught up.
    """

    dispatch_http_port: Port = 8083
    dispatch_probe_port: Port = 9083
    dispatch_concurrency: Count = 200
    dispatch_concurrency_per_channel: Count = 20
    dispatch_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    dispatch_backoff_s: Seconds = 1.0
    dispatch_backoff_max_s: Seconds = 300.0
    dispatch_lifetime_s: Seconds = 24 * 3600.0
    dispatch_unknown_channel_s: Seconds = 60.0
    dispatch_fence_patience_s: Annotated[float, Field(gt=0, le=60)] = 3.0
    dispatch_bot_concurrency: Count = 200
    dispatch_bot_concurrency_per_channel: Count = 50
    dispatch_bot_deadline_s: Annotated[float, Field(gt=0, le=60)] = 10.0

    @property
    def limits(self) -> Limits:
        return Limits(self.dispatch_concurrency, self.dispatch_concurrency_per_channel)

    @property
    def bot_limits(self) -> Limits:
        return Limits(self.dispatch_bot_concurrency, self.dispatch_bot_concurrency_per_channel)

    @property
    def timing(self) -> Timing:
        rules = Rules(
            first_delay_s=self.dispatch_backoff_s,
            longest_delay_s=self.dispatch_backoff_max_s,
            lifetime_s=self.dispatch_lifetime_s,
            unknown_channel_s=self.dispatch_unknown_channel_s,
        )
        return Timing(self.dispatch_timeout_s + self.dispatch_fence_patience_s, rules)
