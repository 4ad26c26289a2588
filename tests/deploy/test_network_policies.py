"""Who may reach whom in the cluster, and what of the world: the policies, read as a network plugin reads them."""

import ipaddress

import pytest

from relaydesk.chart_contract import CALLS_OUT
from relaydesk.services import SERVICES, settings_of
from shared.runtime.outbound_url import is_dangerous, is_public
from shared.runtime.settings import S3Settings
from tests.deploy.chart import NAMESPACE, contract, needs_helm, rendered, template
from tests.deploy.reach import Network, address, blocks, pod_in

pytestmark = needs_helm
every_service = pytest.mark.parametrize("service", SERVICES)
with_policies = pytest.mark.parametrize("values", ["minimal", "production", "strimzi"])

PUBLIC = address("93.184.216.34")
PRIVATE = (
    *("10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"),
    *("100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.255.255"),
    *("192.0.0.1", "198.18.0.0", "198.19.255.255", "::1", "fc00::1", "fdff:ffff::1", "fe80::1", "febf::1"),
)
"""The first and the last of each range."""

METADATA = ("169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")
AZURE = "168.63.129.16"
"""A public address, and still nobody's to call."""

PORTS = {service: contract()["services"][service]["ports"] for service in SERVICES}
ENGINES = {"minimal": (9092, 27017, 9000), "production": (9093, 27017, 443), "strimzi": (9093, 27017, 443)}
OPEN_S3 = ("--set", "s3.endpoint=https://s3.example.com,auth.keys.secret=,auth.jwksUrl=https://login.example.com/keys")


def network(values: str, *words: str) -> Network:
    return Network(rendered(values, *words))


@with_policies
@every_service
def test_each_reaches_the_engines_and_names(values: str, service: str) -> None:
    net, (kafka, mongo, s3) = network(values), ENGINES[values]
    pod, mongo_at = net.pod(service), "10.20.0.7"
    assert net.may(pod, pod_in("kube-system"), 53, "UDP")
    assert net.may(pod, pod_in("kube-system"), 53, "TCP")
    assert not net.may(pod, pod_in("elsewhere"), 53, "UDP")
    assert net.may(pod, pod_in("queues"), kafka), "an ipBlock means no pods with some network plugins"
    assert net.may(pod, address("10.9.9.9"), kafka) == (values != "production"), "its brokers are named"
    assert net.may(pod, address(mongo_at), mongo)
    if issubclass(settings_of(service), S3Settings):
        assert net.may(pod, PUBLIC, s3)


@with_policies
@pytest.mark.parametrize("command", ["topics", "doctor", "toolbox"])
def test_commands_reach_kafka_and_what_they_ask_about(values: str, command: str) -> None:
    net = network(values)
    assert net.may(net.pod(command), pod_in("queues"), ENGINES[values][0])
    assert net.may(net.pod(command), address("10.20.0.7"), 27017) == (command == "toolbox")
    for service in SERVICES:
        probes = net.may(net.pod(command), net.pod(service), PORTS[service]["probe"])
        assert probes == (command != "topics")


@with_policies
@every_service
def test_each_calls_only_whom_its_settings_name(values: str, service: str) -> None:
    net = network(values)
    fields = settings_of(service).model_fields
    for other in set(SERVICES) - {service}:
        reached = net.may(net.pod(service), net.pod(other), PORTS[other]["http"])
        assert reached == (f"{other}_url" in fields), f"{service} to {other}"


def test_the_ingress_and_prometheus_reach_their_ports_and_nobody_else_does() -> None:
    net = network("production")
    for service in SERVICES:
        for port, number in PORTS[service].items():
            may = {who: net.may(pod_in(who), net.pod(service), number) for who in ("ingress-nginx", "monitoring", "x")}
            routed = port != "probe" and bool(contract()["services"][service]["paths"])
            assert may == {"ingress-nginx": routed, "monitoring": port == "probe", "x": False}, (service, port)


@pytest.mark.parametrize(
    ("words", "may"), [((), False), (("--set-json", 'networkPolicy.monitoring=[{"podSelector":{}}]'), True)]
)
def test_who_is_named_may_scrape_whoever_discovers_the_targets(words: tuple[str, ...], may: bool) -> None:
    net = network("minimal", *words)
    assert net.may(net.pod("doctor"), net.pod("ingest"), 9081)
    assert net.may(pod_in(NAMESPACE), net.pod("ingest"), 9081) == may


@pytest.mark.parametrize(
    ("values", "words"), [("minimal", ()), ("minimal", OPEN_S3), ("production", ()), ("strimzi", ())]
)
def test_who_calls_addresses_of_customers_reaches_public_ones_alone(values: str, words: tuple[str, ...]) -> None:
    """Also where S3 or the issuer of tokens may be anywhere on the same port."""
    net = network(values, *words)
    for service in SERVICES:
        calls = service in CALLS_OUT
        pod = net.pod(service)
        if calls:
            assert net.may(pod, PUBLIC, 443)
            assert net.may(pod, address("2606:2800:220:1::1"), 443)
            assert not any(net.may(pod, address(text), 443) for text in (*PRIVATE, *METADATA, AZURE))
            assert not net.may(pod, pod_in("elsewhere"), 443)
        assert not net.may(pod, PUBLIC, 80)
        assert calls or not any(net.may(pod, address(text), 80) for text in METADATA)


@with_policies
@pytest.mark.parametrize("private", ["false", "true"])
@pytest.mark.parametrize("s3", ["http://minio:80", "https://s3.example.com"])
def test_metadata_of_the_cloud_is_reached_by_nobody_who_calls_out(values: str, private: str, s3: str) -> None:
    net = network(values, "--set", f"outbound.allowPrivateUrls={private},s3.endpoint={s3}")
    for service in CALLS_OUT:
        for port in (80, 443, 9000, 9092, 9093, 27017):
            assert not any(net.may(net.pod(service), address(text), port) for text in (*METADATA, AZURE))


def test_private_adapters_are_reached_where_they_may_be_called() -> None:
    net = network("minimal", "--set", "outbound.allowPrivateUrls=true,networkPolicy.internet.ports={443,8443}")
    assert net.may(net.pod("dispatch"), address("10.1.2.3"), 8443)
    assert net.may(net.pod("dispatch"), pod_in("elsewhere"), 8443)
    assert not net.may(net.pod("routing"), address("10.1.2.3"), 8443)


def test_the_policy_and_the_code_agree_on_what_is_public() -> None:
    net = network("minimal")
    dispatch = net.pod("dispatch")
    for text in (*PRIVATE, *METADATA, "0.1.2.3", "224.0.0.1", "255.255.255.255", "ff02::1", "64:ff9b::a00:1"):
        assert not is_public(text)
        assert not net.may(dispatch, address(text), 443), text
    assert all(is_dangerous(text) for text in METADATA)
    assert is_public("93.184.216.34")


def test_blocks_are_such_as_kubernetes_takes() -> None:
    for values in ("minimal", "production", "strimzi"):
        for block in blocks(rendered(values)):
            whole = ipaddress.ip_network(block["cidr"])
            for hole in map(ipaddress.ip_network, block.get("except", ())):
                assert hole.version == whole.version
                assert hole.prefixlen > whole.prefixlen
                assert hole.network_address in whole


@pytest.mark.parametrize(
    ("values", "words", "said"),
    [
        ("minimal", ("--set", "s3.endpoint=https://minio.storage.svc"), "networkPolicy.s3.to is needed"),
        ("minimal", ("--set", "s3.endpoint=https://minio"), "networkPolicy.s3.to is needed"),
        ("minimal", ("--set", "s3.endpoint=https://10.1.2.3"), "networkPolicy.s3.to is needed"),
        ("minimal", ("--set", "s3.endpoint=https://172.31.2.3:443"), "networkPolicy.s3.to is needed"),
        ("minimal", ("--set", "traces.endpoint=https://collector.watch.svc/v1/traces"), "networkPolicy.traces.to is"),
        ("strimzi", ("--set", "auth.jwksUrl=https://keycloak.login.svc/keys"), "networkPolicy.issuer.to is needed"),
    ],
)
def test_an_engine_that_could_not_be_reached_is_named_at_once(values: str, words: tuple[str, ...], said: str) -> None:
    done = template(values, *words)
    assert done.returncode != 0
    assert said in done.stderr
    named = (
        "--set-json",
        'networkPolicy.s3.to=[{"podSelector":{}}]',
        "--set-json",
        'networkPolicy.issuer.to=[{"podSelector":{}}]',
        "--set-json",
        'networkPolicy.traces.to=[{"podSelector":{}}]',
    )
    assert template(values, *words, *named).returncode == 0


def test_ports_are_of_pods_where_a_service_is_in_front_of_them() -> None:
    ports = "networkPolicy.issuer.ports={8443},networkPolicy.s3.ports={9000},networkPolicy.dns.ports={5353}"
    words = ("--set", ports, "--set-json", 'networkPolicy.issuer.to=[{"namespaceSelector":{}}]')
    net = network("production", *words)
    assert net.may(net.pod("ingest"), pod_in("elsewhere"), 8443)
    assert not net.may(net.pod("ingest"), pod_in("elsewhere"), 443)
    assert net.may(net.pod("media"), address("10.1.1.1"), 9000)
    assert net.may(net.pod("media"), pod_in("kube-system"), 5353, "UDP")


def test_the_topics_job_has_its_policy_before_it_runs_and_as_the_values_are_now() -> None:
    """An upgrade to another Kafka would else wait for a policy that comes after it."""
    [policy] = [
        p for p in rendered("minimal") if (p["kind"], p["metadata"]["name"]) == ("NetworkPolicy", "rd-relaydesk-topics")
    ]
    [job] = [p for p in rendered("minimal") if p["kind"] == "Job"]
    asked, hook = policy["metadata"]["annotations"], job["metadata"]["annotations"]
    assert asked["helm.sh/hook"] == hook["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert int(asked["helm.sh/hook-weight"]) < int(hook.get("helm.sh/hook-weight", "0"))
    assert asked["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    assert not any(
        "topics" in p["metadata"]["name"]
        for p in rendered("external", "--set", "networkPolicy.enabled=true")
        if p["kind"] == "NetworkPolicy"
    )
