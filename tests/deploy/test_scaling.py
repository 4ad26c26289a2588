"""Who scales by what: groups, topics and logins that are."""

import re
from typing import get_args

import pytest

from relaydesk.services import settings_of
from shared.contracts.topics import TOPICS
from shared.runtime.metrics import GaugeName
from tests.deploy.chart import (
    NAMESPACE,
    Object,
    component,
    environment,
    needs_helm,
    of_kind,
    pod_of,
    rendered,
    secret_values,
)

pytestmark = needs_helm


def test_scaling_by_lag_asks_for_groups_and_topics_that_are() -> None:
    for values, prefix in (("production", ""), ("strimzi", "support."), ("external", "")):
        objects = rendered(values)
        scaled = of_kind(objects, "ScaledObject")
        assert scaled
        for one in scaled.values():
            for trigger in one["spec"]["triggers"]:
                topic = TOPICS[trigger["metadata"]["topic"].removeprefix(prefix)]
                assert component(one) in topic.consumers
                assert trigger["metadata"]["consumerGroup"].startswith(prefix + component(one))
                assert one["spec"]["maxReplicaCount"] <= topic.partitions
                servers = trigger["metadata"]["bootstrapServers"].split(",")
                assert all(re.search(r"[.]svc:|[.]com:|[.]net:", one) for one in servers), "asked from elsewhere"
                login = of_kind(objects, "TriggerAuthentication")[trigger["authenticationRef"]["name"]]
                known = environment(objects, pod_of(values, component(one)), secret_values())
                assert {entry["name"] for entry in login["spec"]["env"]} <= set(known)


def test_scaling_by_lag_logs_in_only_where_kafka_asks_for_it() -> None:
    plain = ("--set", "services.media.keda.enabled=true,kafka.bootstrapServers=kafka.queues.svc:9092")
    [scaled] = of_kind(rendered("minimal", *plain), "ScaledObject").values()
    assert "authenticationRef" not in scaled["spec"]["triggers"][0]
    assert not of_kind(rendered("minimal", *plain), "TriggerAuthentication")
    certified = rendered("minimal", *plain, "--set", "kafka.securityProtocol=SSL,kafka.certificate.secret=kafka-client")
    [login] = of_kind(certified, "TriggerAuthentication").values()
    assert {entry["parameter"] for entry in login["spec"]["secretTargetRef"]} == {"cert", "key"}
    assert "env" not in login["spec"]


def test_what_is_stopped_has_no_pod_and_nobody_who_would_start_one() -> None:
    running, stopped = rendered("production"), rendered("production", "--set", "stopped=true")
    assert {deployment["spec"]["replicas"] for deployment in of_kind(stopped, "Deployment").values()} == {0}
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        assert of_kind(running, kind)
        assert not of_kind(stopped, kind)


def test_media_scale_by_what_waits_where_prometheus_can_be_asked() -> None:
    address = "http://prometheus.monitoring.svc:9090"
    asked = rendered("production", "--set", f"services.media.keda.prometheus={address}")

    def triggers(objects: tuple[Object, ...]) -> list[Object]:
        scaled = of_kind(objects, "ScaledObject")["rd-relaydesk-media"]
        return [one["metadata"] for one in scaled["spec"]["triggers"] if one["type"] == "prometheus"]

    assert not triggers(rendered("production"))
    [found] = triggers(asked)
    assert (found["serverAddress"], found["threshold"]) == (address, "20")
    assert f'namespace="{NAMESPACE}"' in found["query"]
    [name] = re.findall(r"relaydesk_\w+", found["query"])
    assert name.removeprefix("relaydesk_") in get_args(GaugeName)


@pytest.mark.parametrize(
    ("words", "ring"),
    [
        ((), None),
        (
            ("--set", "topics.partitions=24"),
            str(settings_of("gateway").model_fields["gateway_stream_ring"].default // 2),
        ),
        (("--set", "topics.partitions=60"), "6710886"),
        (("--set", "topics.partitions=5000"), "1048576"),
        (
            (
                *("--set", "topics.partitions=60"),
                *("--set-string", "services.gateway.settings.RELAYDESK_GATEWAY_STREAM_RING=33554432"),
            ),
            "33554432",
        ),
    ],
)
def test_more_partitions_have_smaller_rings_unless_told_otherwise(words: tuple[str, ...], ring: str | None) -> None:
    found = environment(rendered("minimal", *words), pod_of("minimal", "gateway", *words), secret_values())
    assert found.get("RELAYDESK_GATEWAY_STREAM_RING") == ring
