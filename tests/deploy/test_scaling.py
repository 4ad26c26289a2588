"""Who scales by what: groups, topics and logins that are."""

import re

from shared.contracts.topics import TOPICS
from tests.deploy.chart import component, environment, needs_helm, of_kind, pod_of, rendered, secret_values

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
