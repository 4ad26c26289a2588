"""`relaydesk doctor --deployment`: settings, engines, topics, versions and clocks of an installation in a cluster.

Looks only at what the environment names: Kafka always, MongoDB and S3 where their settings are there.
"""

import asyncio
import email.utils
import http.client
import json
import os
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from relaydesk.doctor import Ailment, Look, report
from relaydesk.errors import CommandError
from relaydesk.services import SERVICES, settings_of
from relaydesk.topics_command import with_messaging
from shared.runtime import topic_admin
from shared.runtime.clock import SystemClock
from shared.runtime.faults import Fault
from shared.runtime.metrics import Metrics
from shared.runtime.mongo import Mongo
from shared.runtime.s3 import MinioStore
from shared.runtime.settings import MongoSettings, S3Settings, SettingsError, reject_unknown
from shared.version import VERSION

TIMEOUT_S = 5.0
SKEW_S = 5.0
"""Clocks may differ by so much: tokens and signatures allow minutes, times in threads are shown to people."""


def examine(probes: Sequence[str]) -> int:
    """Print a line for each thing looked at; 1 when something is wrong. `probes`: SERVICE=URL of a probe port."""
    services = [_named(probe) for probe in probes]
    return report([*_of_engines(), *of_services(services)])


def _named(probe: str) -> tuple[str, str]:
    name, _, url = probe.partition("=")
    if name not in SERVICES or not url.startswith(("http://", "https://")):
        raise CommandError(f"expected SERVICE=URL of its probe port, as in ingest=http://ingest:9081, not {probe}")
    return name, url.rstrip("/")


def _of_engines() -> Iterator[tuple[str, Look]]:
    yield "settings", _settings
    yield "kafka", _topics
    if "RELAYDESK_MONGO" in os.environ:
        yield "mongo", _mongo
    if "RELAYDESK_S3_ACCESS_KEY" in os.environ:
        yield "s3", _s3


def _settings() -> str:
    try:
        reject_unknown(os.environ, [settings_of(name) for name in SERVICES])
    except SettingsError as error:
        raise Ailment(str(error)) from error
    return f"every RELAYDESK_* variable is known to version {VERSION}"


def _topics() -> str:
    try:
        faults = with_messaging(topic_admin.check)
    except CommandError as error:
        raise Ailment(str(error)) from error
    if faults:
        raise Ailment("; ".join(faults))
    return "reachable, all topics are as declared"


def _mongo() -> str:
    async def look() -> str:
        settings = MongoSettings.load()
        mongo = Mongo(settings.mongo, f"{settings.mongo_prefix}_routing", settings.mongo_driver, Metrics())
        try:
            found = await mongo.db.command("hello")
        finally:
            await mongo.stop()
        if "setName" not in found:
            raise Ailment("is not a replica set: transactions need one (`rs.initiate()`, and replicaSet= in the URL)")
        _in_time(found["localTime"].timestamp(), "MongoDB")
        return f"replica set {found['setName']}"

    return _asked("MongoDB", look())


def _s3() -> str:
    async def look() -> str:
        settings = S3Settings.load()
        store = MinioStore(settings)
        try:
            await store.ping()
        finally:
            await store.stop()
        return f"bucket {settings.s3_bucket} at {settings.s3}"

    return _asked("S3", look())


def _asked(engine: str, look: Coroutine[Any, Any, str]) -> str:
    try:
        return asyncio.run(look)
    except SettingsError as error:
        raise Ailment(str(error)) from error
    except Fault as error:
        raise Ailment(f"{engine}: {error}") from error
    except Ailment:
        raise
    except Exception as error:  # the clients' own errors
        raise Ailment(f"{engine} does not answer: {type(error).__name__}") from error


def of_services(services: Sequence[tuple[str, str]]) -> Iterator[tuple[str, Look]]:
    """Name and URL of each -> a look at every replica that the URL's name stands for."""
    for name, url in services:
        yield name, _service_look(name, url)


def _service_look(name: str, url: str) -> Callable[[], str]:
    def look() -> str:
        replicas, faults = _replicas(url), list[str]()
        for replica in replicas:
            try:
                _examine_replica(name, replica)
            except Ailment as error:
                faults.append(str(error))
        if faults:
            raise Ailment("; ".join(faults))
        count = f"{len(replicas)} replicas" if len(replicas) > 1 else "ready"
        return f"{count} at {url}, version {VERSION}"

    return look


def _replicas(url: str) -> list[str]:
    """A URL for each address of its name: the pods behind a Service that has no address of its own."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname in (None, "localhost"):
        return [url]
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Ailment(f"nobody is called {parts.hostname}: is there a pod of it at all?") from error
    addresses = sorted({str(info[4][0]) for info in found})
    return [f"http://{_bracketed(address)}:{parts.port or 80}" for address in addresses]


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _examine_replica(name: str, url: str) -> None:
    started = _get(url, "/startupz")
    if started.body.get("service") != name:
        raise Ailment(f"{url} is not the probe port of {name}")
    if started.status != http.HTTPStatus.OK:
        raise Ailment(f"{url} is still starting: its log says what it waits for")
    for path, missing in (("/healthz", "stuck"), ("/readyz", "missing")):
        if (answer := _get(url, path)).status != http.HTTPStatus.OK:
            raise Ailment(f"{url}{path} answers {answer.status}: {json.dumps(answer.body.get(missing, {}))}")
    if (version := started.body.get("version")) != VERSION:
        raise Ailment(f"{url} is of version {version}, this command of {VERSION}: an upgrade is under way")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: dict[str, Any]


def _get(url: str, path: str) -> _Answer:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = json.loads(answer.read(1 << 16))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Ailment(f"{url}{path} does not answer as a probe port: {error}") from error
    finally:
        connection.close()
    if date := answer.getheader("date"):
        _in_time(email.utils.parsedate_to_datetime(date).timestamp(), url)
    return _Answer(answer.status, body if isinstance(body, dict) else {})


def _in_time(theirs: float, whose: str) -> None:
    away = theirs - SystemClock().now().timestamp()
    if abs(away) > SKEW_S:
        raise Ailment(f"the clock of {whose} is {away:+.0f} s from this one's: set them by NTP")
