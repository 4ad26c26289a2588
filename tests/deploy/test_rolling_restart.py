"""An upgrade of the production topology under load: nothing is lost, nothing comes twice, nobody waits for long.

The broker has TLS, a login per service and access control lists; each service has the rights of its own and no more.
"""

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from relaydesk.installation import installation_secrets
from relaydesk.metrics_page import stays_zero
from relaydesk.tokens import Person, mint
from shared.contracts.rights import COMMAND, PRINCIPALS, grants
from shared.engines.addresses import Addresses
from shared.engines.local import CACHE
from shared.engines.ports import LOOPBACK
from shared.runtime import topic_admin
from shared.runtime.messaging import Messaging
from shared.runtime.metrics import Metrics
from shared.runtime.settings import KafkaSettings
from shared.testing.adapter import Adapter
from shared.testing.api import Api, Channel, insist, said, someone
from shared.testing.eventually import eventually
from shared.testing.follower import Follower, assert_whole, kind
from shared.testing.scale import FULL, at_scale
from shared.testing.secured_kafka import SecuredKafka
from tests.deploy.chart import needs_helm, pods, rendered, secret_values
from tests.deploy.machine import Excuses, Machine
from tests.deploy.topology import Cluster, Pod

pytestmark = [needs_helm, pytest.mark.timeout(2400)]
log = logging.getLogger(__name__)

RATE, BATCH, CUSTOMERS = 200, 5, 100
MESSAGES = 3_000
"""At least."""
MOST_OPEN = 4 * RATE
"""Accepted and not yet seen: a slow machine isn't flooded, and a pause still shows in the last percent of the waits."""
CAUGHT_UP_S = 0.5
"""Of what was missed at most, where the load itself stood still."""
REPLIES = 2
PAUSE_P99_S = 3.0
PASSWORD = "correct-horse"
WORKSPACE = "production"
HOWEVER = ",".join(
    [
        *("ca.secret=", "auth.jwksUrl=", "auth.keys.secret=jwt", "auth.issuer=relaydesk", "auth.audience=relaydesk"),
        *("s3.bucket=relaydesk", "outbound.allowPrivateUrls=true"),
        "services.gateway.settings.RELAYDESK_GATEWAY_STREAM_ORIGINS=",
        *(f"services.{name}.autoscaling.enabled=false" for name in ("ingest", "gateway")),
        *(f"services.{name}.keda.enabled=false" for name in ("routing", "dispatch", "media")),
        *(f"services.{name}.replicas=1" for name in ("ingest", "dispatch", "snippets", "media")),
    ]
)
"""What of the production values cannot be on one machine: two replicas are of routing and of gateway."""
INSTALLED = ("production", "--set", HOWEVER)


@pytest_asyncio.fixture
async def cluster(installed: Path, engines: Addresses, tmp_path: Path) -> AsyncIterator[Cluster]:
    kafka = SecuredKafka(tmp_path, CACHE, dict.fromkeys(PRINCIPALS, PASSWORD))
    secrets = installation_secrets(tmp_path)
    made = Cluster(
        installed,
        tmp_path,
        secret_values()
        | secrets.environment()
        | {
            "RELAYDESK_MONGO": engines.mongo,
            "RELAYDESK_S3_ACCESS_KEY": engines.s3_keys.access,
            "RELAYDESK_S3_SECRET_KEY": engines.s3_keys.secret,
            "RELAYDESK_KAFKA_SASL_PASSWORD": PASSWORD,
        },
        {
            "RELAYDESK_KAFKA": kafka.url,
            "RELAYDESK_KAFKA_CA_FILE": str(kafka.authority.ca_file),
            "RELAYDESK_S3": engines.s3,
            "RELAYDESK_S3_PUBLIC": engines.s3,
            "RELAYDESK_JWT_KEYS": str(secrets.jwt_public),
            "RELAYDESK_MONGO_PREFIX": f"t{uuid.uuid4().hex[:10]}",
        },
    )
    try:
        kafka.start()
        kafka.wait_ready()
        for principal in PRINCIPALS:
            await kafka.grant(principal, grants(principal))
        await topic_admin.apply(_command(kafka))
        await made.install(rendered(*INSTALLED))
        yield made
    finally:
        await made.close()
        kafka.stop()


def _command(kafka: SecuredKafka) -> Messaging:
    settings = KafkaSettings(
        kafka=kafka.url,
        kafka_security_protocol="SASL_SSL",
        kafka_ca_file=kafka.authority.ca_file,
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username=COMMAND,
        kafka_sasl_password=PASSWORD,
    )
    return Messaging(settings, COMMAND, "command", Metrics(), lambda error: None)


class Watch(Follower):
    """Notes when each message came, by what the customer's provider called it."""

    def __init__(self, api: Api, url: str, cursor: str) -> None:
        super().__init__(api, url, cursor)
        self.came: dict[str, list[float]] = {}

    def _take(self, frame: dict[str, Any]) -> None:
        super()._take(frame)
        if frame["type"] == "event" and kind(frame["event"]) == "message.received":
            self.came.setdefault(frame["event"]["data"]["message"]["external_id"], []).append(time.monotonic())


@dataclass
class Load:
    """Customers write `RATE` messages a second, or fewer where few of them come through, an agent answers some: until
    told to stop."""

    channel: Channel
    agent: Api
    watch: Watch
    conversations: list[str]
    people: list[str]
    accepted: dict[str, float] = field(default_factory=dict)
    replied: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            known, posts, due = len(self.watch.came), 0, time.monotonic()
            while not self.over.is_set():
                due = max(due + BATCH / RATE, time.monotonic() - CAUGHT_UP_S)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if known + posts * BATCH - len(self.watch.came) > MOST_OPEN:
                    continue
                tasks.create_task(self._write(posts))
                if posts % (RATE // BATCH // REPLIES) == 0:
                    tasks.create_task(self.reply(posts))
                posts += 1

    async def _write(self, number: int) -> None:
        people = [self.people[(number * BATCH + n) % len(self.people)] for n in range(BATCH)]
        events = [said(who, "Is anybody there?") for who in people]
        await insist(lambda: self.channel.post(events), 202)
        now = time.monotonic()
        self.accepted |= {str(event["id"]): now for event in events}

    async def reply(self, number: int) -> None:
        key = uuid.uuid4().hex
        conversation = self.conversations[number % len(self.conversations)]
        await insist(lambda: self.agent.reply(conversation, f"Yes: {key}", key), 201)
        self.replied.append(f"Yes: {key}")


@dataclass(frozen=True)
class Figures:
    """Seconds from the customer's 202 to the agent's screen; `lost` and `repeated` of messages and replies together.

    `own_p99`: of the same waits without what the machine didn't give.
    """

    messages: int
    p50: float
    p99: float
    own_p99: float
    longest: float
    lost: int
    repeated: int


async def measured(cluster: Cluster, in_place: bool) -> Figures:
    """Replace all pods of routing and gateway at the same time, under load."""
    private = installation_secrets(cluster.folder).jwt_private
    tokens = {role: mint(private, Person(f"{role}-1", role.title(), role, WORKSPACE)) for role in ("owner", "agent")}
    async with AsyncExitStack() as stack:
        owner, agent = [
            await stack.enter_async_context(Api(cluster.url(service), tokens[role]))
            for service, role in (("ingest", "owner"), ("gateway", "agent"))
        ]
        adapter = await stack.enter_async_context(Adapter())
        settings = {"kind": "webhook", "name": "load", "settings": {"outbound_url": adapter.url}}
        made = await owner.ok("POST", "/v1/channels", settings)
        channel = Channel(owner, made["id"], made["secret"])
        cursor = (await agent.ok("GET", "/v1/conversations?limit=1"))["stream_cursor"]
        stream = cluster.url("gateway", "ws", "stream", "/v1/stream")
        watch = Watch(agent, stream, cursor)
        await stack.enter_async_context(watch)
        people = [someone() for _ in range(CUSTOMERS)]
        for who in people:
            await channel.say(who, "Hello?")
        conversations = [await watch.conversation_of(who) for who in people]
        load, excuses = Load(channel, agent, watch, conversations, people), await stack.enter_async_context(Machine())
        running = asyncio.create_task(load.run())
        await asyncio.sleep(at_scale(full=10.0, reduced=3.0))
        rolled = [cluster.deployments[name] for name in ("routing", "gateway")]
        rolling = [one.roll_in_place() if in_place else one.roll() for one in rolled]
        await asyncio.gather(*rolling)
        await asyncio.sleep(at_scale(full=10.0, reduced=3.0))
        await eventually(lambda: len(load.accepted) >= MESSAGES, f"{MESSAGES} messages", timeout=120)
        load.over.set()
        await running
        await eventually(lambda: load.accepted.keys() <= watch.came.keys(), "all messages are seen", timeout=180)
        await eventually(lambda: set(load.replied) <= set(adapter.texts()), "all replies are delivered", timeout=120)
        await the_last(load, adapter)
        assert_whole(watch.events)
        return _figures(load, adapter, excuses)


async def the_last(load: Load, adapter: Adapter) -> None:
    """One more message and one more reply of each conversation: what comes twice comes before them."""
    events = [said(who, "Thanks!") for who in load.people]
    await insist(lambda: load.channel.post(events), 202)
    await eventually(lambda: load.watch.came.keys() >= {event["id"] for event in events}, "the last messages")
    await asyncio.gather(*(load.reply(number) for number in range(len(load.conversations))))
    await eventually(lambda: set(load.replied) <= set(adapter.texts()), "the last replies")


def _figures(load: Load, adapter: Adapter, excuses: Excuses) -> Figures:
    watch = load.watch
    spans = [(at, watch.came[ident][0]) for ident, at in load.accepted.items() if ident in watch.came]
    waits, own = sorted(last - first for first, last in spans), sorted(excuses.own(*span) for span in spans)
    delivered = Counter(seen.text for seen in adapter.seen)
    twice = sum(len(times) - 1 for times in watch.came.values()) + sum(count - 1 for count in delivered.values())
    lost = len(load.accepted.keys() - watch.came.keys()) + len(set(load.replied) - delivered.keys())
    last_percent = int(len(waits) * 0.99)
    return Figures(len(waits), waits[len(waits) // 2], waits[last_percent], own[last_percent], waits[-1], lost, twice)


@pytest.mark.skipif(not FULL, reason="a comparison of full size: `make prove`")
@pytest.mark.parametrize("in_place", [True, False])
async def test_what_it_costs_when_pods_keep_their_membership(cluster: Cluster, in_place: bool) -> None:
    """In place as a StatefulSet does it, or replaced by pods of other names: see decision 0018."""
    cluster.engines = {**cluster.engines, "RELAYDESK_KAFKA_LEAVE_ON_STOP": "false"}
    for name in ("routing", "gateway"):
        await cluster.deployments[name].roll()  # none of the pods that are measured leaves the group
    figures = await measured(cluster, in_place)
    log.info("%s, membership kept: %s", "restarted in place" if in_place else "replaced by others", figures)
    assert (figures.lost, figures.repeated) == (0, 0)


async def test_nothing_is_lost_or_repeated_and_nobody_waits_for_long(cluster: Cluster) -> None:
    before = {pod.name for one in cluster.deployments.values() for pod in one.pods}
    figures = await measured(cluster, in_place=False)
    log.info("rolling restart of a Deployment: %s", figures)
    after = {pod.name for one in cluster.deployments.values() for pod in one.pods}
    assert len(before - after) == len(after - before) == 4, "two pods of routing and two of gateway were replaced"
    assert figures.messages >= MESSAGES
    assert (figures.lost, figures.repeated) == (0, 0)
    assert at_scale(full=figures.p99, reduced=figures.own_p99) <= PAUSE_P99_S
    for deployment in cluster.deployments.values():
        for pod in deployment.pods:
            values = await metrics_of(pod)
            assert not {line for line, value in values.items() if line.partition("{")[0] in stays_zero() and value}
            memory, cpu = values["process_resident_memory_bytes"] / (1 << 20), values["process_cpu_seconds_total"]
            age = time.time() - values["process_start_time_seconds"]
            used = f"{cpu:.1f} s of CPU in {age:.0f} s: {1000 * cpu / age:.0f} m"
            log.info("%-9s resident %.0f MiB, %s", deployment.service, memory, used)
    await assert_the_toolbox_does_what_it_is_for(cluster)


async def assert_the_toolbox_does_what_it_is_for(cluster: Cluster) -> None:
    """With the environment of its pod and no more rights than its Kafka user has."""
    objects = rendered(*INSTALLED)
    [toolbox] = [pod for name, pod in pods(objects).items() if name.startswith("CronJob/")]

    async def says(word: str, *command: str) -> None:
        status, printed = await cluster.execute(objects, toolbox, *command)
        assert (status, word in printed) == (0, True), printed

    await says("all topics are as declared", "topics", "check")
    await says("       0  channel.inbound.dlq", "dlq", "list")
    await says("is as new as the log", "projection", "rebuild", "again")
    await cluster.stop()
    await says("all groups are placed", "restore")


async def metrics_of(pod: Pod) -> dict[str, float]:
    """Name with labels -> value."""
    async with Api(f"http://{LOOPBACK}:{pod.ports['probe']}", None) as probe:
        lines = (await probe.call("GET", "/metrics")).body.decode().splitlines()
    return {name: float(value) for line in lines if line[0] != "#" for name, _, value in [line.rpartition(" ")]}
