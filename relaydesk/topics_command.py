"""`relaydesk topics apply|check`: the broker's topics against the registry."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from relaydesk.errors import CommandError
from shared.runtime import topic_admin
from shared.runtime.faults import Fault
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.settings import KafkaSettings, SettingsError

T = TypeVar("T")


def apply() -> int:
    """Make what is missing and set what differs; says what it did."""
    done = with_messaging(topic_admin.apply)
    for what, names in (("created", done.created), ("configured", done.configured)):
        if names:
            print(f"{what}: {', '.join(names)}")
    if not (done.created or done.configured):
        print("all topics are as declared")
    return 0


def check() -> int:
    """Say what differs, a line each; 1 when something does."""
    faults = with_messaging(topic_admin.check)
    print("\n".join(faults) or "all topics are as declared")
    return 1 if faults else 0


def with_messaging(work: Callable[[Messaging], Coroutine[Any, Any, T]]) -> T:
    """Run `work` against the Kafka of the settings. Raises CommandError where that fails."""

    async def working() -> T:
        return await work(Messaging(settings, "relaydesk", "command", Metrics(), on_fatal=lambda error: None))

    try:
        settings = KafkaSettings.load()
        return asyncio.run(working())
    except (SettingsError, Fault) as error:
        raise CommandError(str(error)) from error
