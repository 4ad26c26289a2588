"""Error codes are documented, routes have an owner and a role, topics have a writer and a reader."""

import re
from pathlib import Path

import pytest

from shared.contracts.errors import ERRORS, as_markdown
from shared.contracts.routes import ROUTES, Route, find, service_for
from shared.contracts.topics import ROUTING_INPUTS, TOPICS

PROJECT = Path(__file__).parents[2]
SERVICES = {"ingest", "routing", "gateway", "dispatch", "snippets", "media"}


def test_the_page_of_error_codes_is_the_registry() -> None:
    assert (PROJECT / "docs" / "errors.md").read_text() == as_markdown(), "run `python -m shared.contracts.errors`"


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_every_route_has_an_owner_a_role_and_is_found(route: Route) -> None:
    assert route.service in SERVICES
    assert route.roles is None or route.roles <= {"owner", "manager", "agent"}
    assert service_for(route.path) == route.service
    assert find(route.method, route.path) is route


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/v1", "/v1/", "/v2/me", "/v1/nothing", "/metrics", "/healthz", "v1/me"),
        *("/openapi.json", "/asyncapi"),
    ],
)
def test_a_path_that_nobody_owns_goes_nowhere(path: str) -> None:
    assert service_for(path) is None


def test_every_topic_has_a_writer_and_a_reader_and_a_dead_letter_topic_where_a_group_reads() -> None:
    for topic in TOPICS.values():
        assert topic.producers
        assert topic.consumers
        assert not topic.dlq or f"{topic.name}.dlq" in TOPICS


def test_both_inputs_of_routing_have_one_key_and_one_partition_count() -> None:
    first, second = (TOPICS[name] for name in ROUTING_INPUTS)
    assert (first.key, first.partitions) == (second.key, second.partitions)


def test_every_code_that_a_problem_is_raised_with_is_registered() -> None:
    raised = re.compile(r'Problem\(\s*\d{3},\s*"([A-Z_]+)"')
    sources = [path for root in ("services", "shared", "relaydesk") for path in (PROJECT / root).rglob("*.py")]
    codes = {code for path in sources for code in raised.findall(path.read_text())}
    assert codes <= set(ERRORS)
