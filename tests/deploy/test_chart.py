"""Every object of the chart: Kubernetes takes it, and it may do nothing that it need not."""

import json
import re
from collections.abc import Iterator

import kubernetes_validate
import pytest
import yaml

from relaydesk.chart_contract import CHART, CONTRACT, SCHEMA, as_text, contract, schema
from relaydesk.services import SERVICES
from shared.runtime.probes import PATHS
from shared.runtime.serve import HARD_STOP_S
from tests.deploy.chart import (
    KUBERNETES,
    NAMESPACE,
    OLDEST,
    PROJECT,
    VALUE_SETS,
    Object,
    component,
    helm,
    needs_helm,
    of_kind,
    pods,
    rendered,
    template,
)

KINDS = {
    *("ConfigMap", "CronJob", "Deployment", "HorizontalPodAutoscaler", "Ingress", "Job", "NetworkPolicy", "Pod"),
    *("PodDisruptionBudget", "Service", "ServiceAccount"),
}
HEADLESS = {"clusterIP", "publishNotReadyAddresses"}
OF_OPERATORS = {
    "KafkaTopic": {"topicName", "partitions", "replicas", "config"},
    "KafkaUser": {"authentication", "authorization"},
    "ScaledObject": {
        *("scaleTargetRef", "minReplicaCount", "maxReplicaCount", "cooldownPeriod", "advanced", "triggers"),
    },
    "TriggerAuthentication": {"env", "secretTargetRef"},
    "ServiceMonitor": {"jobLabel", "selector", "endpoints"},
    "PrometheusRule": {"groups"},
}
"""Kinds whose schemas are their operators', not Kubernetes's, and their fields that we set."""

SCALED = ",".join(
    [
        *(f"services.{name}.autoscaling.enabled=true" for name in ("ingest", "gateway")),
        *(f"services.{name}.keda.enabled=true" for name in ("routing", "dispatch", "media")),
        *("services.gateway.autoscaling.sockets=1", "kafka.bootstrapServers=kafka.queues.svc:9092"),
    ]
)
SCHEDULED = (
    '{"priorityClassName":"high","nodeSelector":{"a":"b"},"podLabels":{"team":"x"},"podAnnotations":{"a/b":"c"},'
    '"tolerations":[{"key":"a","operator":"Exists","effect":"NoExecute","tolerationSeconds":60}],'
    '"affinity":{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[]}}}'
)
WAYS: dict[str, tuple[str, ...]] = {
    **{values: (values,) for values in VALUE_SETS},
    "stopped": ("production", "--set", "stopped=true,monitoring.dashboards.labels.grafana_dashboard=null"),
    "alone": ("minimal", "--set", "defaults.replicas=1,topics.manage=none,ingress.enabled=false"),
    "scaled": ("minimal", "--set", SCALED),
    "watched": (
        *("minimal", "--set", "monitoring.serviceMonitor.enabled=true,monitoring.alerts.enabled=true"),
        *("--set", "monitoring.dashboards.enabled=true,image.pullSecrets={a,b}"),
    ),
    "numbers of the cluster": (
        *("minimal", "--set", "podSecurity.runAsUser=null,podSecurity.runAsGroup=null,podSecurity.fsGroup=null"),
    ),
    "certificates": (
        *(
            "minimal",
            "--set",
            "kafka.securityProtocol=SSL,kafka.ca.secret=ca,kafka.certificate.secret=us,ca.secret=all",
        ),
        *("--set", "outbound.allowPrivateUrls=true,listenAddress=::,global.anything=x"),
    ),
    "passwords": (
        *("minimal", "--set", "kafka.securityProtocol=SASL_PLAINTEXT,kafka.sasl.mechanism=PLAIN,kafka.sasl.username=u"),
        *("--set", "ingress.tls=false,image.tag=2.0.0"),
    ),
    "scheduled": ("production", "--set-json", f"defaults={SCHEDULED}"),
}
"""The four sets of values, and more of them than anybody would want."""

STRIMZI = ("--set", "topics.manage=strimzi,topics.strimzi.cluster=events")

every_set = pytest.mark.parametrize("values", VALUE_SETS)
every_way = pytest.mark.parametrize("way", WAYS)


def test_the_contract_in_the_chart_is_written_from_the_code() -> None:
    hint = "run `python -m relaydesk.chart_contract`"
    assert CONTRACT.read_text() == as_text(contract()), hint
    assert SCHEMA.read_text() == as_text(schema(json.loads(SCHEMA.read_text()))), hint


def test_there_are_values_for_each_way_to_install() -> None:
    assert VALUE_SETS == ["external", "minimal", "production", "strimzi"]


@needs_helm
@every_set
def test_helm_finds_nothing_to_say(values: str) -> None:
    where = ["--values", str(CHART / "ci" / f"{values}.yaml"), "--kube-version", f"{KUBERNETES}.0"]
    done = helm("lint", "--strict", str(CHART), *where)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_helm
@every_way
@pytest.mark.parametrize("version", [OLDEST, KUBERNETES])
def test_kubernetes_knows_every_field(way: str, version: str) -> None:
    for found in rendered(*WAYS[way]):
        if found["kind"] in OF_OPERATORS:
            assert set(found["spec"]) <= OF_OPERATORS[found["kind"]]
        else:
            kubernetes_validate.validate(found, version, strict=True)


@needs_helm
@every_way
def test_there_are_only_objects_of_kinds_that_an_operator_may_make(way: str) -> None:
    """No Secret, no right on the cluster, nothing that opens a port of a node or a balancer of the cloud."""
    objects = rendered(*WAYS[way])
    assert {found["kind"] for found in objects} <= KINDS | OF_OPERATORS.keys()
    for service in of_kind(objects, "Service").values():
        opened = set(service["spec"]) - {"selector", "ports"}
        assert not opened or (opened, service["spec"]["clusterIP"]) == (HEADLESS, "None")
        assert all(set(port) == {"name", "port", "targetPort", "protocol"} for port in service["spec"]["ports"])
    for account in of_kind(objects, "ServiceAccount").values():
        assert account["automountServiceAccountToken"] is False


@needs_helm
def test_the_longest_name_of_a_release_is_still_a_name() -> None:
    release = "a-release-whose-name-is-as-long-as-helm-lets-it-be-53"
    assert len(release) == 53
    for values in VALUE_SETS:
        objects = rendered(values, release=release)
        own = [found for found in objects if found["kind"] not in OF_OPERATORS]
        assert max(len(found["metadata"]["name"]) for found in own) <= 63
        assert max(len(found["metadata"]["name"]) for found in objects) <= 253
        labels = [value for found in objects for value in found["metadata"]["labels"].values()]
        assert max(map(len, labels)) <= 63


@needs_helm
@pytest.mark.parametrize("release", ["on", "no", "true", "1234"])
def test_a_release_may_be_called_like_something_else_in_yaml(release: str) -> None:
    for found in rendered("production", release=release):
        if found["kind"] not in OF_OPERATORS:
            kubernetes_validate.validate(found, KUBERNETES, strict=True)
        labels = found["metadata"]["labels"]
        assert all(isinstance(value, str) for value in labels.values()), labels


@needs_helm
@every_way
def test_every_object_has_a_namespace_and_a_name_of_its_own(way: str) -> None:
    objects = rendered(*WAYS[way])
    names = [(found["kind"], found["metadata"]["name"]) for found in objects]
    assert len(names) == len(set(names))
    assert {found["metadata"]["namespace"] for found in objects} == {NAMESPACE}
    assert all(found["metadata"]["labels"]["app.kubernetes.io/instance"] == "rd" for found in objects)


@needs_helm
@every_way
def test_pods_may_do_nothing_that_they_need_not(way: str) -> None:
    """Pod Security Standards, level restricted, and a little more."""
    found = pods(rendered(*WAYS[way]))
    assert len(found) >= len(SERVICES) + 1
    for name, pod in found.items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"].get("runAsUser", 1) > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec), name
        assert all(set(volume) - {"name"} <= {"emptyDir", "secret"} for volume in spec["volumes"]), name
        assert all("sizeLimit" in volume["emptyDir"] for volume in spec["volumes"] if "emptyDir" in volume), name
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name
            assert not any("hostPort" in port for port in container.get("ports", ())), name
            assert ("command" in container) == name.startswith("CronJob/"), name


@needs_helm
@every_set
def test_each_service_is_a_deployment_with_three_probes_of_different_questions(values: str) -> None:
    deployments = of_kind(rendered(values), "Deployment")
    assert {component(found) for found in deployments.values()} == set(SERVICES)
    for deployment in deployments.values():
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        assert container["args"] == ["serve", component(deployment)]
        gets = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
        assert [get["path"] for get in gets] == ["/startupz", "/healthz", "/readyz"]
        assert {get["path"] for get in gets} <= set(PATHS)
        assert {get["port"] for get in gets} == {"probe"}
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 600, "an engine that is away is waited for"


@needs_helm
@every_set
def test_a_pod_has_the_time_to_stop_in_order(values: str) -> None:
    for deployment in of_kind(rendered(values), "Deployment").values():
        spec = deployment["spec"]["template"]["spec"]
        [container] = spec["containers"]
        before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert before > 0
        assert spec["terminationGracePeriodSeconds"] >= before + HARD_STOP_S
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@needs_helm
@every_set
def test_each_service_survives_the_loss_of_a_node(values: str) -> None:
    objects = rendered(values)
    budgets = {component(budget): budget for budget in of_kind(objects, "PodDisruptionBudget").values()}
    scaled = {
        component(s) for kind in ("HorizontalPodAutoscaler", "ScaledObject") for s in of_kind(objects, kind).values()
    }
    for deployment in of_kind(objects, "Deployment").values():
        name, template_ = component(deployment), deployment["spec"]["template"]
        labels = template_["metadata"]["labels"]
        assert budgets[name]["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
        keys = {spread["topologyKey"] for spread in template_["spec"]["topologySpreadConstraints"]}
        assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        assert ("replicas" in deployment["spec"]) != (name in scaled), "two would set the number of replicas"
        assert deployment["spec"].get("replicas", 2) >= 2
        assert budgets[name]["spec"]["maxUnavailable"] == 1, "also of a single replica: a node can be drained"


@needs_helm
def test_a_pod_is_replaced_when_a_setting_of_its_service_changes_and_only_then() -> None:
    def checksums(*words: str) -> dict[str, str]:
        return {
            component(d): d["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
            for d in of_kind(rendered("minimal", *words), "Deployment").values()
        }

    before, after = checksums(), checksums("--set-string", "services.routing.settings.RELAYDESK_ROUTING_BATCH=100")
    assert {name for name in before if before[name] != after[name]} == {"routing"}
    assert checksums("--set-string", "settings.RELAYDESK_LOG_LEVEL=debug").keys() == before.keys()


OVERRIDES = set(yaml.safe_load((CHART / "values.yaml").read_text())["defaults"])
"""What each service may have of its own."""

FREE = {"global", "podSelector", "namespaceSelector", "nodeAffinity", "podAffinity", "podAntiAffinity"}
"""What is Kubernetes's to check, or another chart's."""


def test_the_schema_is_closed_at_every_level() -> None:
    def open_ends(schema: Object, path: str) -> Iterator[str]:
        if schema.get("type") == "object" and "additionalProperties" not in schema:
            yield path
        for name, value in schema.get("properties", {}).items():
            yield from open_ends(value, name)
        for name, value in schema.get("$defs", {}).items():
            yield from open_ends(value, name)
        if isinstance(schema.get("items"), dict):
            yield from open_ends(schema["items"], f"{path}[]")

    document = json.loads(SCHEMA.read_text())
    assert set(open_ends(document, "values")) <= FREE


def test_every_value_is_in_the_schema_and_none_may_be_missing() -> None:
    """A key that is taken away (null) is named, rather than being a fault of a template."""

    def compare(values: Object, schema: Object, path: str) -> None:
        if "properties" in schema and path not in (".podSecurity",):
            beside = set(schema["properties"]) - set(values)
            assert beside <= OVERRIDES if path.startswith(".services.") else beside <= {"global"}, path
            assert schema["required"] == list(values), path
            for name, value in values.items():
                if isinstance(value, dict):
                    compare(value, schema["properties"][name], f"{path}.{name}")

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    compare(values, json.loads(SCHEMA.read_text()), "")
    assert {*values["services"]} == {*SERVICES}


@needs_helm
def test_numbers_of_users_are_those_of_the_image_or_the_clusters_to_choose() -> None:
    [user] = re.findall(r"^USER (\d+):(\d+)$", (PROJECT / "deploy/image/Dockerfile").read_text(), re.MULTILINE)
    chosen = "podSecurity.runAsUser=null,podSecurity.runAsGroup=null,podSecurity.fsGroup=null"
    for name, pod in pods(rendered("minimal")).items():
        found = pod["spec"]["securityContext"]
        assert (str(found["runAsUser"]), str(found["runAsGroup"])) == user, name
        left = pods(rendered("minimal", "--set", chosen))[name]["spec"]["securityContext"]
        assert left == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@needs_helm
@every_set
def test_a_new_chart_around_the_same_code_replaces_no_pod(values: str) -> None:
    for name, pod in pods(rendered(values)).items():
        assert name.startswith("Pod/") or "helm.sh/chart" not in pod["metadata"]["labels"], name


@needs_helm
@pytest.mark.parametrize(
    "what", ["kafka.topicPrefix=x.", "topics.job.resources.limits.memory=384Mi", "image.tag=2.0.0"]
)
def test_a_job_beside_the_others_is_a_new_one_when_its_pod_changes(what: str) -> None:
    """A Job's pod cannot be changed: the upgrade would be refused."""

    def job(*words: str) -> tuple[str, str]:
        [(name, found)] = of_kind(rendered("strimzi", *words), "Job").items()
        return name, json.dumps(found["spec"])

    before, after = job(), job("--set", what)
    assert before[1] != after[1]
    assert before[0] != after[0]
    assert job("--set", "services.ingest.replicas=3") == before


@needs_helm
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "existingSecret="], "existingSecret"),
        (["--set", "host="], "host"),
        (["--set", "kafka.bootstrapServers="], "kafka.bootstrapServers is needed"),
        (["--set", "s3.endpoint="], "s3.endpoint is needed"),
        (["--set", "auth.jwksUrl=https://x.example/keys"], "exactly one of auth.jwksUrl and auth.keys"),
        (["--set", "auth.keys.secret="], "exactly one of auth.jwksUrl and auth.keys"),
        (["--set", "kafka.bootstrap=x:1"], "bootstrap"),
        (["--set-string", "settings.RELAYDESK_LOGLEVEL=info"], "RELAYDESK_LOGLEVEL"),
        (["--set-string", "services.routing.settings.RELAYDESK_MEDIA_WORKERS=1"], "RELAYDESK_MEDIA_WORKERS"),
        (["--set-string", "settings.RELAYDESK_SECRETS_KEY=abc"], "RELAYDESK_SECRETS_KEY"),
        (["--set-string", "settings.RELAYDESK_KAFKA=x:1"], "RELAYDESK_KAFKA"),
        (["--set", "services.routing.keda.enabled=true,services.routing.keda.maxReplicas=13"], "partitions (12)"),
        (["--set", "services.billing.replicas=1"], "billing"),
        (["--set", "topics.manage=strimzi"], "topics.strimzi.cluster is needed"),
        ([*STRIMZI, "--set", "kafka.sasl.mechanism=PLAIN"], "kafka.sasl.mechanism: with topics.strimzi.users"),
        ([*STRIMZI, "--set", "services.routing.kafkaUsername=x"], "services.routing.kafkaUsername: with"),
        (["--set", "shutdown.drainSeconds=11"], "drainSeconds"),
        (["--set", "kafka.securityProtocol=SASL_SSL"], "kafka.sasl.mechanism is needed"),
        (["--set", "kafka.sasl.mechanism=PLAIN"], "kafka.sasl.mechanism is needed"),
        (["--set", "kafka.securityProtocol=SASL_SSL,kafka.sasl.mechanism=PLAIN"], "kafka.sasl.username is needed"),
        (["--set", "kafka.securityProtocol=SASL_SSL,kafka.sasl.mechanism=OAUTHBEARER"], "kafka.oauth.tokenUrl"),
        (["--set", "kafka.ca.secret=x"], "kafka.ca and kafka.certificate need"),
        (["--set", "services.routing.keda.enabled=true"], "KEDA asks from a namespace of its own"),
        (["--set", "services.media.keda.minReplicas=7"], "minReplicas is more than maxReplicas"),
        (["--set", "services.ingest.autoscaling.maxReplicas=1"], "minReplicas is more than maxReplicas"),
        (["--set", "ingress.tlsSecret=x,ingress.tls=false"], "ingress.tls is false"),
        (["--set", "topics.strimzi.replicas=4"], "replicas"),
        (["--set", "services.media.resources.limits.memroy=5Gi"], "memroy"),
        (["--set", "networkPolicy.kafka.to[0].podselector=x"], "podselector"),
        (["--set", "defaults.tolerations[0].kind=x"], "kind"),
        (["--set-string", r"defaults.podLabels.app\.kubernetes\.io/component=x"], "app.kubernetes.io/component"),
        (["--set", "image=null"], "image"),
        (["--set", "services.media=null"], "media"),
        (["--set", "defaults.replicas=two"], "replicas"),
        (["--set", "global=1"], "global"),
    ],
)
def test_what_is_wrong_in_the_values_is_named_before_anything_is_installed(words: list[str], said: str) -> None:
    done = template("minimal", *words)
    assert done.returncode != 0
    assert said in done.stderr
