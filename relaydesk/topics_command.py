"""`relaydesk topics apply|check`: the broker's topics against the registry."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from relaydesk.errors import CommandError
from shared.contracts.rights import PRINCIPALS, Grant, grants
from shared.runtime import topic_admin
from shared.runtime.faults import Fault
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.settings import KafkaSettings, SettingsError

T = TypeVar("T")
_PATTERNS = {"literal": "literal", "prefix": "prefixed"}


def apply(shorten: bool) -> int:
    """Make what is missing and set what differs; says what it did, and what is left to a person."""
    done = with_messaging(lambda messaging: topic_admin.apply(messaging, shorten=shorten))
    for what, names in (("created", done.created), ("configured", done.configured)):
        if names:
            print(f"{what}: {', '.join(names)}")
    for sentence in done.left:
        print(f"left: {sentence}")
    if not (done.created or done.configured or done.left):
        print("all topics are as declared")
    return 0


def check() -> int:
    """Say what differs, a line each; 1 when something does."""
    faults = with_messaging(topic_admin.check)
    print("\n".join(faults) or "all topics are as declared")
    return 1 if faults else 0


def rights(as_commands: bool) -> int:
    """Print the grants of each service and of this command, with the prefix of the settings."""
    try:
        prefix = KafkaSettings.load().topic_prefix
    except SettingsError as error:
        raise CommandError(str(error)) from error
    for principal in PRINCIPALS:
        for grant in grants(principal):
            print(_as_command(principal, grant, prefix) if as_commands else _as_line(principal, grant, prefix))
    return 0


def _as_line(principal: str, grant: Grant, prefix: str) -> str:
    return f"{principal:10} {grant.resource:8} {_name(grant, prefix):32} {', '.join(grant.operations)}"


def _name(grant: Grant, prefix: str) -> str:
    own = grant.name if grant.resource == "cluster" else prefix + grant.name
    return own + ("*" if grant.pattern == "prefix" else "")


def _as_command(principal: str, grant: Grant, prefix: str) -> str:
    """What differs from installation to installation are two variables of the shell."""
    where = "--cluster" if grant.resource == "cluster" else f"--{grant.resource} '{prefix}{grant.name}'"
    pattern = "" if grant.resource == "cluster" else f" --resource-pattern-type {_PATTERNS[grant.pattern]}"
    operations = "".join(f" --operation {operation}" for operation in grant.operations)
    start = 'kafka-acls.sh --bootstrap-server "$KAFKA" --command-config "$ADMIN" --add'
    return f"{start} --allow-principal 'User:{principal}' {where}{pattern}{operations}"


def with_messaging(work: Callable[[Messaging], Coroutine[Any, Any, T]]) -> T:
    """Run `work` against the Kafka of the settings. Raises CommandError where that fails."""

    async def working() -> T:
        return await work(Messaging(settings, "relaydesk", "command", Metrics(), on_fatal=lambda error: None))

    try:
        settings = KafkaSettings.load()
        return asyncio.run(working())
    except (SettingsError, Fault) as error:
        raise CommandError(str(error)) from error
