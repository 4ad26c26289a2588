"""A Kafka with TLS, a login and access control lists: who has the rights gets everything, who has not is told so."""

import base64
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from shared.contracts.rights import COMMAND, grants
from shared.engines.local import CACHE
from shared.engines.ports import LOOPBACK
from shared.runtime import topic_admin
from shared.runtime.faults import Fatal, Fault, Transient
from shared.runtime.settings import KafkaSettings, SettingsError
from shared.testing.eventually import eventually
from shared.testing.secured_kafka import SecuredKafka
from tests.integration.runtime.conftest import Running
from tests.integration.runtime.worlds import CONTACTS, INBOUND, QUICK, REGISTRY, BrokerWorld, Recorder, numbered

PASSWORD = "correct-horse"
USERS = dict.fromkeys((COMMAND, "routing", "nobody"), PASSWORD)
CLIENT, SECRET = "routing", "client:secret"
BASIC = "Basic " + base64.b64encode(b"routing:client%3Asecret").decode()
PREFIX = "secured."


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    kafka = SecuredKafka(tmp_path_factory.mktemp("secured"), CACHE, USERS)
    kafka.start()
    kafka.wait_ready()
    yield kafka
    kafka.stop()


@pytest_asyncio.fixture(scope="module")
async def granted(secured: SecuredKafka) -> SecuredKafka:
    """With the rights of the contract, and the topics made by a user who has no more than those."""
    for principal in (COMMAND, "routing"):
        await secured.grant(principal, grants(principal), PREFIX)

    async def applied() -> bool:
        try:
            await topic_admin.apply(_as(secured, COMMAND).messaging, REGISTRY)
        except (Fatal, Transient):  # the broker has not heard of all rights yet
            return False
        return True

    await eventually(applied, "the topics")
    return secured


@pytest_asyncio.fixture(scope="module")
async def token_endpoint(secured: SecuredKafka) -> AsyncIterator[str]:
    """The client credentials grant of RFC 6749, for one client."""

    async def grant(request: web.Request) -> web.Response:
        form = await request.post()
        if request.headers.get("authorization") != BASIC or form["grant_type"] != "client_credentials":
            return web.json_response({"error": "invalid_client"}, status=401)
        return web.json_response({"access_token": secured.issuer.token(CLIENT), "expires_in": 60})

    app = web.Application()
    app.router.add_post("/token", grant)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    yield f"http://{LOOPBACK}:{runner.addresses[0][1]}/token"
    await runner.cleanup()


def _as(kafka: SecuredKafka, user: str, **changes: object) -> BrokerWorld:
    scram: Mapping[str, Any] = {
        "kafka_sasl_mechanism": "SCRAM-SHA-512",
        "kafka_sasl_username": user,
        "kafka_sasl_password": PASSWORD,
    }
    return _with(kafka, user, {**scram, **changes})


def _with(kafka: SecuredKafka, name: str, settings: Mapping[str, Any]) -> BrokerWorld:
    way: Mapping[str, Any] = {"kafka_security_protocol": "SASL_SSL", "kafka_ca_file": kafka.authority.ca_file}
    return BrokerWorld(KafkaSettings(kafka=kafka.url, topic_prefix=PREFIX, **{**way, **settings}), name=name)


def _by_oauth(kafka: SecuredKafka, endpoint: str, secret: str) -> BrokerWorld:
    settings = {
        "kafka_sasl_mechanism": "OAUTHBEARER",
        "kafka_oauth_token_url": endpoint,
        "kafka_oauth_client_id": CLIENT,
        "kafka_oauth_client_secret": secret,
        "kafka_oauth_scope": "kafka",
    }
    return _with(kafka, "routing", settings)


@pytest.mark.parametrize("login", ["scram", "oauth"])
async def test_a_service_with_its_rights_reads_commits_and_writes(
    granted: SecuredKafka, token_endpoint: str, running: Running, login: str
) -> None:
    of_test = _with(granted, "test", {"kafka_security_protocol": "PLAINTEXT", "kafka_ca_file": None})
    of_test.where = of_test.where.model_copy(update={"kafka": granted.admin_url})
    world = _as(granted, "routing") if login == "scram" else _by_oauth(granted, token_endpoint, SECRET)
    feed, producer = await running.start(of_test.messaging.producer()), await running.start(world.messaging.producer())
    handler, group, key = Recorder(), f"routing-{login}", f"w:{login}".encode()
    await topic_admin.TopicGate(world.messaging, REGISTRY).start()
    await world.messaging.ping()
    await running.start(world.messaging.group(group, [INBOUND], handler, producer, QUICK))
    await running.start(world.messaging.incarnations())
    await feed.publish(numbered(50, key=key.decode()))

    async def committed() -> bool:
        return sum((await of_test.committed(group)).values()) == len(await of_test.records(INBOUND))

    await eventually(lambda: sum(record.key == key for record in handler.handled) == 50, "all arrive")
    await eventually(committed, "and are committed")
    await producer.publish(numbered(5, CONTACTS, key.decode()))
    assert sum(record.key == key for record in await of_test.records(CONTACTS)) == 5


async def test_a_right_that_is_not_granted_is_not_had(granted: SecuredKafka, running: Running) -> None:
    producer = await running.start(_as(granted, "routing").messaging.producer())
    with pytest.raises(Fault, match="Authorization"):
        await producer.publish(numbered(1))  # routing reads this topic, and may not write to it
    with pytest.raises(Fatal, match=r"missing, or this user may not see it: .*topics apply"):
        await topic_admin.TopicGate(_as(granted, "nobody").messaging, REGISTRY).start()


async def test_who_may_not_read_a_topics_settings_sets_none(granted: SecuredKafka) -> None:
    with pytest.raises(Fatal, match="could not be asked for its settings: TopicAuthorizationFailedError"):
        await topic_admin.apply(_as(granted, "routing").messaging, {INBOUND: REGISTRY[INBOUND]})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kafka_sasl_password": "wrong"}, "invalid credentials"),
        ({"kafka_ca_file": None}, "certificate"),
        ({"kafka_sasl_mechanism": "SCRAM-SHA-256"}, "UnsupportedSaslMechanism"),
    ],
)
async def test_who_cannot_get_in_finds_the_reason_in_the_log(
    granted: SecuredKafka, caplog: pytest.LogCaptureFixture, changes: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(Transient):
        await _as(granted, "routing", **changes).messaging.ping()
    assert says in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_refused_oauth_client_finds_the_reason_in_the_log(
    granted: SecuredKafka, token_endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Transient):
        await _by_oauth(granted, token_endpoint, "wrong").messaging.ping()
    assert "the token endpoint answers 401" in caplog.text


async def test_a_certificate_file_without_a_certificate_is_named(granted: SecuredKafka, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(SettingsError, match="KAFKA_CA_FILE"):
        _as(granted, "routing", kafka_ca_file=tmp_path / "ca.pem").messaging  # noqa: B018
