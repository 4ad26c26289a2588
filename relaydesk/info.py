"""The info file of `relaydesk run`: what other programs need to use a running installation."""

from typing import Any

from relaydesk.demo import WORKSPACE, Demo
from relaydesk.engine_choice import Engines
from relaydesk.environment import base_url, stream_url
from relaydesk.ports import Ports
from relaydesk.processes import Processes
from relaydesk.services import SERVICES


def document(ports: Ports, engines: Engines, processes: Processes, demo: Demo) -> dict[str, Any]:
    """The whole file. Fields may be added, never renamed; it holds tokens and a secret."""
    addresses = engines.addresses
    return {
        "api": base_url(ports.api),
        "stream": stream_url(ports),
        "console": f"{base_url(ports.api)}/console/",
        "webchat": f"{base_url(ports.webchat)}/",
        "bot": demo.bot,
        "workspace": WORKSPACE,
        "tokens": demo.tokens,
        "members": demo.members,
        "channel": {"id": demo.plain.id, "secret": demo.plain.secret, "outbound_url": demo.plain.outbound_url},
        "services": {name: _service(name, ports, processes) for name in SERVICES},
        "engines": {
            "kafka": addresses.kafka,
            "mongo": addresses.mongo,
            "s3": addresses.s3,
            "pids": {engine.name: engine.pid for engine in engines},
        },
    }


def _service(name: str, ports: Ports, processes: Processes) -> dict[str, Any]:
    return {"pid": processes.pid(name), "probe": base_url(ports.probe(name)), "http": base_url(ports.http(name))}
