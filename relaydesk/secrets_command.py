"""`relaydesk secrets`: the secrets that an installation makes for itself, in the form its place of running takes."""

import json
from pathlib import Path

from relaydesk.installation import fresh_secrets, installation_secrets

NOTE = """# Made once and kept for ever: ids derive from RELAYDESK_ID_NAMESPACE, channel secrets are sealed with
# RELAYDESK_SECRETS_KEY. Add what the engines ask for: RELAYDESK_MONGO (a URL with its password),
# RELAYDESK_S3_ACCESS_KEY, RELAYDESK_S3_SECRET_KEY, and where Kafka asks for a login RELAYDESK_KAFKA_SASL_PASSWORD or
# RELAYDESK_KAFKA_OAUTH_CLIENT_SECRET. Names of users are values of the chart: kafka.sasl.username, kafkaUsername."""


def print_environment(data: Path) -> int:
    """Lines NAME=value of the installation in `data`, whose secrets are made now if there are none."""
    for name, value in installation_secrets(data).environment().items():
        print(f"{name}={value}")
    return 0


def print_manifest(name: str) -> int:
    """A Kubernetes Secret with fresh secrets, for `kubectl apply -f -`; printed once and kept nowhere."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "Opaque",
        "stringData": fresh_secrets(),
    }
    print(NOTE)
    print(json.dumps(secret, indent=2))
    return 0
