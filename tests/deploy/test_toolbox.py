"""The pod in which people run commands: nothing until they make it, then all that the commands need."""

import pytest

from tests.deploy.chart import VALUE_SETS, needs_helm, of_kind, pods, rendered

pytestmark = needs_helm


@pytest.mark.parametrize(
    ("values", "words", "mongo", "kafka"),
    [
        ("minimal", (), "relaydesk", None),
        ("production", (), "relaydesk", "relaydesk-topics"),
        ("production", ("--set", "toolbox.existingSecret=all-databases"), "all-databases", "relaydesk-topics"),
        ("strimzi", (), "relaydesk", "rd-relaydesk-relaydesk"),
    ],
)
def test_the_toolbox_logs_in_to_all_databases_and_as_who_makes_topics(
    values: str, words: tuple[str, ...], mongo: str, kafka: str | None
) -> None:
    model = ("--set-string", "services.gateway.settings.RELAYDESK_GATEWAY_READ_MODEL=b")
    objects = rendered(values, *words, *model)
    [pod] = [pod for name, pod in pods(objects).items() if name.startswith("CronJob/")]
    entries = {entry["name"]: entry for entry in pod["spec"]["containers"][0]["env"]}

    def secret(name: str) -> str | None:
        found = entries.get(name, {}).get("valueFrom", {}).get("secretKeyRef", {}).get("name")
        return str(found) if found else None

    assert secret("RELAYDESK_MONGO") == mongo
    assert secret("RELAYDESK_KAFKA_SASL_PASSWORD") == kafka
    assert entries["RELAYDESK_GATEWAY_READ_MODEL"]["value"] == "b"


@pytest.mark.parametrize("values", VALUE_SETS)
def test_the_toolbox_waits_for_people_until_they_forget_it(values: str) -> None:
    [toolbox] = of_kind(rendered(values), "CronJob").values()
    assert toolbox["spec"]["suspend"] is True
    job = toolbox["spec"]["jobTemplate"]["spec"]
    assert job["activeDeadlineSeconds"] == 12 * 3600
    [container] = job["template"]["spec"]["containers"]
    assert container["command"] == ["sleep", "infinity"]
