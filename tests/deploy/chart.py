"""The Helm chart as Kubernetes would see it: rendered objects, and the environment of their containers."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from relaydesk.chart_contract import CHART, CONTRACT
from relaydesk.installation import fresh_secrets
from relaydesk.services import SERVICES, settings_of
from shared.runtime.settings import reject_unknown

PROJECT = Path(__file__).parents[2]
HELM = shutil.which("helm", path=f"{PROJECT / '.local/tools/bin'}{os.pathsep}{os.environ['PATH']}")
OLDEST, KUBERNETES = "1.30", "1.37"
"""Of the versions that the chart allows, and whose schemas are here."""

RELEASE, NAMESPACE = "rd", "support"
FILES = "/etc/relaydesk/"
"""Where the chart mounts what settings name."""

VALUE_SETS = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))

needs_helm = pytest.mark.skipif(HELM is None, reason="helm is not here: `make tools` builds it (needs Go)")

Object = dict[str, Any]


def helm(*words: str) -> "subprocess.CompletedProcess[str]":
    assert HELM is not None
    return subprocess.run([HELM, *words], capture_output=True, text=True, timeout=200, check=False)


def template(values: str, *words: str, release: str = RELEASE) -> "subprocess.CompletedProcess[str]":
    where = ["--namespace", NAMESPACE, "--kube-version", f"{KUBERNETES}.0"]
    return helm("template", release, str(CHART), *where, "--values", str(CHART / "ci" / f"{values}.yaml"), *words)


@cache
def rendered(values: str, *words: str, release: str = RELEASE) -> tuple[Object, ...]:
    """All objects of one set of values, hooks and tests included."""
    done = template(values, *words, release=release)
    assert done.returncode == 0, done.stderr
    return tuple(found for found in yaml.safe_load_all(done.stdout) if found)


def contract() -> Object:
    found: Object = json.loads(CONTRACT.read_text())
    return found


def of_kind(objects: tuple[Object, ...], kind: str) -> dict[str, Object]:
    """Name -> object."""
    return {found["metadata"]["name"]: found for found in objects if found["kind"] == kind}


def component(found: Object) -> str:
    name: str = found["metadata"]["labels"]["app.kubernetes.io/component"]
    return name


def pods(objects: tuple[Object, ...]) -> dict[str, Object]:
    """`Kind/name` -> its pod: `metadata` with labels, and `spec`."""
    found: dict[str, Object] = {}
    for one in objects:
        if one["kind"] in ("Deployment", "StatefulSet", "Job"):
            found[f"{one['kind']}/{one['metadata']['name']}"] = one["spec"]["template"]
        elif one["kind"] == "CronJob":
            found[f"CronJob/{one['metadata']['name']}"] = one["spec"]["jobTemplate"]["spec"]["template"]
        elif one["kind"] == "Pod":
            found[f"Pod/{one['metadata']['name']}"] = one
    return found


def secret_values() -> dict[str, str]:
    """A Secret as an operator would complete it."""
    return fresh_secrets() | {
        "RELAYDESK_MONGO": "mongodb://support:secret@mongo:27017/?replicaSet=rs0",
        "RELAYDESK_S3_ACCESS_KEY": "key",
        "RELAYDESK_S3_SECRET_KEY": "secret",
        "RELAYDESK_KAFKA_SASL_PASSWORD": "secret",
        "RELAYDESK_KAFKA_OAUTH_CLIENT_SECRET": "secret",
        "password": "secret",  # the key in a Secret of Strimzi's
    }


def environment(objects: tuple[Object, ...], pod: Object, secrets: Mapping[str, str]) -> dict[str, str]:
    """What the only container of a pod finds in its environment; optional keys of Secrets are not there."""
    [container] = pod["spec"]["containers"]
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= of_kind(objects, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    for entry in container["env"]:
        if "value" in entry:
            found[entry["name"]] = entry["value"]
        elif "fieldRef" in entry["valueFrom"]:
            assert entry["valueFrom"]["fieldRef"] == {"fieldPath": "metadata.name"}
            found[entry["name"]] = "rd-relaydesk-service-5d8f6c7b9-x2x4z"
        elif not entry["valueFrom"]["secretKeyRef"].get("optional"):
            found[entry["name"]] = secrets[entry["valueFrom"]["secretKeyRef"]["key"]]
    return found


def files(pod: Object) -> dict[str, str]:
    """Mount path of each volume that is a Secret -> the Secret's name."""
    secret = {v["name"]: v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v}
    [container] = pod["spec"]["containers"]
    return {m["mountPath"]: secret[m["name"]] for m in container["volumeMounts"] if m["name"] in secret}


def pod_of(values: str, service: str, *words: str) -> Object:
    [found] = [d for d in of_kind(rendered(values, *words), "Deployment").values() if component(d) == service]
    pod: Object = found["spec"]["template"]
    return pod


def load(monkeypatch: pytest.MonkeyPatch, found: Mapping[str, str], pod: Object, folder: Path, kind: Any) -> Any:
    """The settings a container would read. Files it names must be mounted; they are stood for by empty ones."""
    for name, value in found.items():
        if value.startswith(FILES):
            assert str(Path(value).parent) in files(pod), f"{name} names a file that is not mounted"
            file = folder / value.removeprefix(FILES)
            file.parent.mkdir(exist_ok=True)
            file.touch()
            value = str(file)
        monkeypatch.setenv(name, value)
    reject_unknown(found, [settings_of(name) for name in SERVICES])
    return kind.load()
