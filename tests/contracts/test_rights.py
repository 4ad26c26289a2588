"""Rights on Kafka come from the topic registry: each service has what its code uses, and nothing else."""

import importlib
from collections.abc import Iterable

import pytest

from relaydesk.services import SERVICES
from shared.contracts import rights
from shared.contracts.rights import Grant, grants
from shared.contracts.topics import META, TOPICS


def _allowed(given: Iterable[Grant], operation: str) -> set[str]:
    return {grant.name for grant in given if grant.resource == "topic" and operation in grant.operations}


def test_everybody_who_serves_has_rights() -> None:
    assert set(rights.SERVICES) == set(SERVICES)
    with pytest.raises(KeyError):
        grants("somebody")


@pytest.mark.parametrize("service", rights.SERVICES)
def test_a_service_may_see_every_topic_that_it_waits_for_at_its_start(service: str) -> None:
    app = importlib.import_module(f"services.{service}.app")
    used: Iterable[str] = getattr(app, "TOPICS", ()) or getattr(app, "TOPICS_USED", ())
    assert set(used) <= _allowed(grants(service), "Read") | _allowed(grants(service), "Write")


@pytest.mark.parametrize("service", rights.SERVICES)
def test_a_service_reads_and_writes_what_the_registry_says(service: str) -> None:
    given = grants(service)
    assert _allowed(given, "Read") == {t.name for t in TOPICS.values() if service in t.consumers} | {META}
    assert _allowed(given, "Write") == {t.name for t in TOPICS.values() if service in t.producers}
    assert {grant.resource for grant in given} == {"topic", "group"}


def test_only_the_command_makes_topics() -> None:
    assert {name for name in rights.PRINCIPALS if _allowed(grants(name), "Create")} == {rights.COMMAND}
    assert _allowed(grants(rights.COMMAND), "Create") == set(TOPICS)
