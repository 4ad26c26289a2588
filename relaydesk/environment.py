"""The settings that `relaydesk run` gives to the services of one installation."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from relaydesk.installation import Secrets
from relaydesk.ports import Ports
from relaydesk.services import SERVICES
from shared.engines.addresses import Addresses
from shared.engines.ports import LOOPBACK

CALLED_BY_OTHERS = ("gateway", "snippets", "media", "dispatch")
NOT_INHERITED = ("PYTHONDONTWRITEBYTECODE",)  # compiling anew costs each start 0.3 s


def base_url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def stream_url(ports: Ports) -> str:
    return f"ws://{LOOPBACK}:{ports.stream}/v1/stream"


def origin(url: str) -> str:
    """RFC 6454: scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def service_environment(
    ports: Ports, secrets: Secrets, engines: Addresses, inherited: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The whole environment of a service process; the same for all of them. Ours wins over what is inherited."""
    own = {f"RELAYDESK_{name.upper()}_HTTP_PORT": str(ports.http(name)) for name in SERVICES}
    own |= {f"RELAYDESK_{name.upper()}_PROBE_PORT": str(ports.probe(name)) for name in SERVICES}
    own |= {f"RELAYDESK_{name.upper()}_URL": base_url(ports.http(name)) for name in CALLED_BY_OTHERS}
    own |= {
        "RELAYDESK_HOST": LOOPBACK,
        "RELAYDESK_INSTANCE": "1",
        "RELAYDESK_GATEWAY_STREAM_PORT": str(ports.stream),
        "RELAYDESK_GATEWAY_STREAM_URL": stream_url(ports),
        "RELAYDESK_GATEWAY_CONSOLE_ORIGINS": origin(inherited.get("RELAYDESK_S3_PUBLIC") or engines.s3),
        "RELAYDESK_ALLOW_PRIVATE_URLS": "true",
        "PYTHONUNBUFFERED": "1",  # the last lines of a process that is killed are in its log
    }
    kept = {name: value for name, value in inherited.items() if name not in NOT_INHERITED}
    return {**kept, **own, **engines.environment(), **secrets.environment()}
