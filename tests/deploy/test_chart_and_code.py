"""The manifests say what the code says: settings, ports, paths, calls, topics and rights."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from relaydesk.chart_contract import CALLS_OUT, CHART, OF_THE_CHART
from relaydesk.services import SERVICES, settings_of
from services.gateway.settings import RebuildSettings
from services.ingest.channels import KINDS
from services.media.inspecting.program import ADDRESS_SPACE
from services.snippets.files import MAX_FILE
from shared.contracts.rights import PRINCIPALS, grants
from shared.contracts.routes import ROUTES, STREAM
from shared.contracts.topics import TOPICS
from shared.runtime.settings import KafkaSettings
from shared.runtime.topic_admin import settings_of as topic_settings
from tests.deploy.chart import (
    PROJECT,
    VALUE_SETS,
    Object,
    component,
    contract,
    environment,
    load,
    needs_helm,
    of_kind,
    pod_of,
    pods,
    rendered,
    secret_values,
)

pytestmark = needs_helm
every_set = pytest.mark.parametrize("values", VALUE_SETS)
every_service = pytest.mark.parametrize("service", SERVICES)
SOCKET, CONVERSATION = 15_000, 5_000
"""Bytes: docs/sizing.md, and the settings of routing."""

CLIENTS = ("shared.runtime.outbound_http", "shared.runtime.outbound_download")


@every_set
@every_service
def test_a_service_starts_with_its_environment(
    values: str, service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pod = pod_of(values, service)
    found = environment(rendered(values), pod, secret_values())
    ours = {name for name in found if name.startswith("RELAYDESK_")}
    assert ours <= settings_of(service).variables(), "a variable that this service does not know"

    settings = load(monkeypatch, found, pod, tmp_path, settings_of(service))

    [container] = pod["spec"]["containers"]
    listened = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert listened == {port: getattr(settings, f"{service}_{port}_port") for port in listened}
    assert {"http", "probe"} <= set(listened)
    assert ("stream" in listened) == (service == "gateway")
    assert settings.host in ("0.0.0.0", "::")
    assert settings.kafka_leave_on_stop is True
    assert settings.drain_s == 1


def test_the_templates_name_the_settings_that_are_theirs_to_set_and_no_others() -> None:
    text = (CHART / "templates" / "_settings.tpl").read_text()
    named = set(re.findall(r"RELAYDESK_[A-Z0-9_]+[A-Z0-9]", text)) - {"RELAYDESK"}
    known = frozenset[str]().union(*(settings_of(service).variables() for service in SERVICES))
    assert named <= known
    from_the_contract = {name for name in OF_THE_CHART if name.endswith(("_http_port", "_probe_port", "_stream_port"))}
    from_the_contract |= {f"{service}_url" for service in SERVICES}
    assert {f"RELAYDESK_{name.upper()}" for name in set(OF_THE_CHART) - from_the_contract} <= named


@pytest.mark.parametrize(
    ("values", "service", "expected"),
    [
        ("production", "dispatch", {"s3": "https://s3.example.com", "s3_public": "https://files.example.com:8443"}),
        ("production", "media", {"s3_bucket": "support-files", "s3_region": "eu-central-1", "media_workers": 2}),
        ("production", "gateway", {"jwt_jwks_url": "https://login.example.com/.well-known/jwks.json"}),
        ("production", "gateway", {"jwt_issuer": "https://login.example.com/", "jwt_audience": "support"}),
        ("production", "gateway", {"gateway_stream_url": "wss://support.example.com/v1/stream"}),
        ("production", "gateway", {"gateway_console_origins": "https://files.example.com:8443"}),
        ("production", "gateway", {"gateway_stream_origins": "https://support.example.com", "log_level": "warning"}),
        ("production", "routing", {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "SCRAM-SHA-512"}),
        ("production", "routing", {"kafka_sasl_username": "routing", "mongo_prefix": "relaydesk"}),
        ("production", "routing", {"traces_endpoint": "http://collector.monitoring:4318/v1/traces"}),
        ("production", "routing", {"traces_sample": 0.05}),
        ("minimal", "routing", {"traces_endpoint": None, "traces_sample": 0.01}),
        ("strimzi", "snippets", {"topic_prefix": "support."}),
        ("external", "ingest", {"kafka_oauth_client_id": "relaydesk", "kafka_oauth_scope": "kafka", "host": "::"}),
        ("external", "ingest", {"kafka_oauth_token_url": "https://login.example.net/oauth/token"}),
        ("external", "ingest", {"jwt_claim_workspace": "https://example.net/workspace", "mongo_prefix": "support"}),
        ("external", "dispatch", {"allow_private_urls": True}),
        ("minimal", "gateway", {"kafka": "kafka:9092", "allow_private_urls": False}),
    ],
)
def test_what_is_given_arrives(
    values: str, service: str, expected: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pod = pod_of(values, service)
    found = environment(rendered(values), pod, secret_values())
    settings = load(monkeypatch, found, pod, tmp_path, settings_of(service))
    assert {name: getattr(settings, name) for name in expected} == expected


@every_set
def test_commands_start_with_their_environment(values: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    others = {name: pod for name, pod in pods(rendered(values)).items() if not name.startswith("Deployment/")}
    assert {"CronJob", "Pod"} <= {name.partition("/")[0] for name in others}
    for name, pod in others.items():
        found = environment(rendered(values), pod, secret_values())
        with monkeypatch.context() as patch:
            load(patch, found, pod, tmp_path, RebuildSettings if name.startswith("CronJob/") else KafkaSettings)


@every_set
@every_service
def test_secrets_come_from_secrets_alone_under_their_own_names(values: str, service: str) -> None:
    fields = settings_of(service).model_fields
    secret = {f"RELAYDESK_{name.upper()}" for name, field in fields.items() if "SecretStr" in repr(field)}
    secret |= {"RELAYDESK_MONGO"}
    pod = pod_of(values, service)
    [container] = pod["spec"]["containers"]
    [source] = container["envFrom"]
    assert not secret & set(of_kind(rendered(values), "ConfigMap")[source["configMapRef"]["name"]]["data"])
    for entry in container["env"]:
        reference = entry.get("valueFrom", {}).get("secretKeyRef")
        assert (entry["name"] in secret) == (reference is not None), entry["name"]
        if reference is not None and reference["key"] != "password":
            assert reference["key"] == entry["name"]


def test_a_service_of_its_own_secret_has_it_instead_of_the_common_one() -> None:
    secrets = {
        service: {
            entry["valueFrom"]["secretKeyRef"]["name"]
            for entry in pod_of("production", service)["spec"]["containers"][0]["env"]
            if "secretKeyRef" in entry.get("valueFrom", {})
        }
        for service in SERVICES
    }
    assert secrets == {service: {f"relaydesk-{service}"} for service in SERVICES}


@every_set
def test_services_of_kubernetes_find_the_pods_and_their_ports(values: str) -> None:
    services = of_kind(rendered(values), "Service")
    for name in SERVICES:
        pod = pod_of(values, name)
        [container] = pod["spec"]["containers"]
        named = {port["name"]: port["containerPort"] for port in container["ports"]}
        called, probed = services[f"rd-relaydesk-{name}"]["spec"], services[f"rd-relaydesk-{name}-probe"]["spec"]
        for service in (called, probed):
            assert service["selector"].items() <= pod["metadata"]["labels"].items()
        assert {port["targetPort"]: port["port"] for port in [*called["ports"], *probed["ports"]]} == named
        assert [port["name"] for port in probed["ports"]] == ["probe"]
        assert probed["publishNotReadyAddresses"] is True, "who is not ready is to be asked why"


@every_set
def test_the_doctor_asks_every_pod(values: str) -> None:
    services = of_kind(rendered(values), "Service")
    [doctor] = [pod for name, pod in pods(rendered(values)).items() if name.startswith("Pod/")]
    asked = dict(word.split("=") for word in doctor["spec"]["containers"][0]["args"][2:])
    assert set(asked) == set(SERVICES)
    for name, url in asked.items():
        host, _, port = url.removeprefix("http://").partition(":")
        assert component(services[host]) == name
        assert (services[host]["spec"]["clusterIP"], services[host]["spec"]["ports"][0]["port"]) == ("None", int(port))


@every_set
@every_service
def test_who_is_called_is_a_service_and_may_be_reached(values: str, service: str) -> None:
    found = environment(rendered(values), pod_of(values, service), secret_values())
    called = {n: found[f"RELAYDESK_{n.upper()}_URL"] for n in SERVICES if f"RELAYDESK_{n.upper()}_URL" in found}
    called.pop(service, None)
    services = of_kind(rendered(values), "Service")
    policies = {component(p): p["spec"] for p in of_kind(rendered(values), "NetworkPolicy").values()}
    for other, url in called.items():
        host, _, port = url.removeprefix("http://").partition(":")
        ports = {entry["name"]: entry["port"] for entry in services[host]["spec"]["ports"]}
        assert (component(services[host]), ports["http"]) == (other, int(port))
        if policies:
            assert _allows(policies[service]["egress"], "to", other, int(port))
            assert _allows(policies[other]["ingress"], "from", service, int(port))


def _allows(rules: list[Object], direction: str, other: str, port: int) -> bool:
    def names(selector: Object) -> set[str]:
        listed = {value for e in selector.get("matchExpressions", ()) for value in e["values"]}
        return listed | {selector["matchLabels"].get("app.kubernetes.io/component", "")}

    return any(
        port in {entry["port"] for entry in rule["ports"]}
        and any("podSelector" in peer and other in names(peer["podSelector"]) for peer in rule.get(direction, ()))
        for rule in rules
    )


@pytest.mark.parametrize("values", ["minimal", "production", "strimzi"])
def test_nobody_is_reached_or_reaches_out_who_need_not(values: str) -> None:
    policies = {component(p): p["spec"] for p in of_kind(rendered(values), "NetworkPolicy").values()}
    everything = policies.pop("network")
    assert everything["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(everything), "a rule would allow something"
    for pod in pods(rendered(values)).values():
        labels = pod["metadata"]["labels"]
        assert everything["podSelector"]["matchLabels"].items() <= labels.items()
        own = policies[labels["app.kubernetes.io/component"]]
        assert own["podSelector"]["matchLabels"].items() <= labels.items()
    internet = {
        name
        for name, policy in policies.items()
        for rule in policy["egress"]
        for peer in rule.get("to", ())
        if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"
    }
    assert internet == set(CALLS_OUT)
    open_to_all = {name for name, p in policies.items() for rule in p.get("ingress", ()) if "from" not in rule}
    assert "routing" not in open_to_all, "nobody outside calls it"


@pytest.mark.parametrize(("values", "reached"), [("minimal", set()), ("production", set(SERVICES))])
def test_the_collector_is_reached_where_there_is_one_and_by_services_alone(values: str, reached: set[str]) -> None:
    policies = {component(p): p["spec"] for p in of_kind(rendered(values), "NetworkPolicy").values()}
    found = {
        name: rule.get("to")
        for name, policy in policies.items()
        for rule in policy.get("egress", ())
        if {"port": 4318, "protocol": "TCP"} in rule["ports"]
    }
    assert set(found) == reached
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert all(to == [monitoring] for to in found.values())


def test_only_who_calls_addresses_of_customers_may_reach_the_internet() -> None:
    """Those are the services that import the clients which check addresses."""
    users = {
        service
        for service in SERVICES
        for file in (PROJECT / "services" / service).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module in CLIENTS
    }
    assert users == set(CALLS_OUT)


@pytest.mark.parametrize("values", ["minimal", "production", "strimzi"])
def test_the_ingress_sends_every_route_to_its_service(values: str) -> None:
    [ingress] = of_kind(rendered(values), "Ingress").values()
    [rule] = ingress["spec"]["rules"]
    paths = rule["http"]["paths"]

    def backend(path: str) -> tuple[str, str]:
        exact = [entry for entry in paths if entry["pathType"] == "Exact" and entry["path"] == path]
        prefix = [e for e in paths if e["pathType"] == "Prefix" and f"{path}/".startswith(f"{e['path']}/")]
        best = exact or sorted(prefix, key=lambda entry: -len(entry["path"]))
        service = best[0]["backend"]["service"]
        return service["name"], service["port"]["name"]

    for route in ROUTES:
        assert backend(route.path) == (f"rd-relaydesk-{route.service}", "http"), route.path
    assert backend(STREAM) == ("rd-relaydesk-gateway", "stream")
    assert backend("/console/") == backend("/docs/") == ("rd-relaydesk-gateway", "http")


def test_strimzi_makes_the_topics_of_the_registry() -> None:
    made = {t["spec"]["topicName"]: t["spec"] for t in of_kind(rendered("strimzi"), "KafkaTopic").values()}
    assert set(made) == {f"support.{name}" for name in TOPICS}
    for name, topic in TOPICS.items():
        spec = made[f"support.{name}"]
        assert spec["partitions"] == topic.partitions
        assert {key: str(value) for key, value in spec["config"].items()} == topic_settings(topic, 3)


def test_strimzi_makes_a_user_for_each_with_no_rights_but_its_own() -> None:
    users = of_kind(rendered("strimzi"), "KafkaUser")
    assert set(users) == {f"rd-relaydesk-{principal}" for principal in PRINCIPALS}
    for principal in PRINCIPALS:
        acls = users[f"rd-relaydesk-{principal}"]["spec"]["authorization"]["acls"]
        found = {
            (
                acl["resource"]["type"],
                acl["resource"].get("name"),
                acl["resource"].get("patternType"),
                *acl["operations"],
            )
            for acl in acls
        }
        wanted = {
            (g.resource, None, None, *g.operations)
            if g.resource == "cluster"
            else (g.resource, f"support.{g.name}", g.pattern, *g.operations)
            for g in grants(principal)
        }
        assert found == wanted


def test_with_strimzi_each_logs_in_as_its_user() -> None:
    objects = rendered("strimzi")
    for name, pod in pods(objects).items():
        found = environment(objects, pod, secret_values())
        user = found["RELAYDESK_KAFKA_SASL_USERNAME"]
        [password] = [
            entry["valueFrom"]["secretKeyRef"]
            for entry in pod["spec"]["containers"][0]["env"]
            if entry["name"] == "RELAYDESK_KAFKA_SASL_PASSWORD"
        ]
        assert password == {"name": user, "key": "password"}
        service = component({"metadata": pod["metadata"]})
        assert user == f"rd-relaydesk-{service if service in SERVICES else 'relaydesk'}", name
        assert found["RELAYDESK_KAFKA"] == "events-kafka-bootstrap.support.svc:9093"


def test_the_ingress_of_the_example_lets_the_largest_body_through() -> None:
    [ingress] = of_kind(rendered("production"), "Ingress").values()
    notes = ingress["metadata"]["annotations"]
    limit = int(notes["nginx.ingress.kubernetes.io/proxy-body-size"].removesuffix("m")) << 20
    assert limit > max(MAX_FILE, *(kind.max_body for kind in KINDS.values()))
    heartbeat = settings_of("gateway").model_fields["gateway_stream_heartbeat_s"].default
    assert int(notes["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > heartbeat


def test_the_page_of_sizes_shows_what_the_chart_asks_for() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    asked = {name: of["resources"] for name, of in values["services"].items()}
    asked |= {"commands": values["topics"]["job"]["resources"], "toolbox": values["toolbox"]["resources"]}
    page = (PROJECT / "docs" / "sizing.md").read_text()
    for name, of in asked.items():
        cells = (of["requests"]["cpu"], of["requests"]["memory"], of["limits"]["memory"])
        wanted = re.escape(" | ".join(cells))
        assert re.search(rf"^\| {name} \|[^|]*\|[^|]*\| {wanted} \|", page, re.MULTILINE), name


def test_the_page_of_operations_names_the_secrets_of_each_service() -> None:
    everywhere = {"RELAYDESK_MONGO"}
    page = (PROJECT / "docs" / "operations.md").read_text()
    for name, of in contract()["services"].items():
        needed = {secret for secret, is_ in of["secrets"].items() if not is_["optional"]}
        assert everywhere <= needed
        row = re.search(rf"^\| {name} \| ((?:`RELAYDESK_\w+`(?:, )?)+) \|$", page, re.MULTILINE)
        assert set(re.findall(r"RELAYDESK_\w+", row[1]) if row else ()) == needed - everywhere, name


UNITS = {"Mi": 1 << 20, "Gi": 1 << 30}
PROCESS = 200 << 20
"""What a service has resident before it does anything, and half as much again."""


@every_set
def test_memory_is_enough_for_what_the_settings_allow(
    values: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """More than the limit would end the whole pod; a file that is checked can be made to take all that it may."""

    def limit_and_settings(service: str) -> tuple[int, Any]:
        pod = pod_of(values, service)
        limit = pod["spec"]["containers"][0]["resources"]["limits"]["memory"]
        with monkeypatch.context() as patch:
            found = environment(rendered(values), pod, secret_values())
            return int(limit[:-2]) * UNITS[limit[-2:]], load(patch, found, pod, tmp_path, settings_of(service))

    limit, settings = limit_and_settings("media")
    assert settings.media_workers >= 1, "the cores of the node are not the pod's"
    assert limit >= PROCESS + settings.media_workers * ADDRESS_SPACE
    limit, settings = limit_and_settings("gateway")
    rings = settings.gateway_stream_ring * TOPICS["workspace.events"].partitions
    assert limit >= PROCESS + rings + settings.gateway_stream_max_sockets * SOCKET
    limit, settings = limit_and_settings("routing")
    assert limit >= PROCESS + settings.routing_cached_conversations * CONVERSATION
