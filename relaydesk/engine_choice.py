"""Which engines an installation uses: local processes, others that settings name, or containers."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from relaydesk.errors import CommandError
from relaydesk.installation import Secrets
from relaydesk.ports import Ports
from shared.engines.addresses import Addresses, split_s3_url
from shared.engines.docker import DockerEngines
from shared.engines.engine import Engine
from shared.engines.local import LocalEngines
from shared.engines.s3 import S3Keys

NAMES = ("kafka", "mongo", "s3")


class Engines(Protocol):
    """Iterating gives those that are processes of ours."""

    @property
    def addresses(self) -> Addresses: ...
    def __iter__(self) -> Iterator[Engine]: ...
    def start(self, say: Callable[[str], None]) -> None: ...
    def stop(self) -> None: ...


def choose(data: Path, ports: Ports, secrets: Secrets, environ: Mapping[str, str] = os.environ) -> Engines:
    """RELAYDESK_KAFKA, _MONGO and _S3 name others; ENGINES=docker takes containers for all three."""
    kind = environ.get("ENGINES", "local")
    if kind == "docker":
        return DockerEngines(f"relaydesk-{ports.base}", ports.engines, secrets.s3_keys)
    if kind != "local":
        raise CommandError(f"ENGINES={kind}: there is `local` and `docker`")
    return PartlyGiven(data, ports, secrets.s3_keys, environ)


class PartlyGiven:
    """Local engines but for those that the environment names."""

    def __init__(self, data: Path, ports: Ports, keys: S3Keys, environ: Mapping[str, str]) -> None:
        self._environ = environ
        missing = [name for name in NAMES if not self._given(name)]
        self._local = LocalEngines(data, ports.engines, keys, missing)

    def _given(self, name: str) -> str | None:
        return self._environ.get(f"RELAYDESK_{name.upper()}")

    @property
    def addresses(self) -> Addresses:
        found = self._local.addresses
        if s3 := self._given("s3"):
            pair = [self._environ.get(f"RELAYDESK_S3_{part}_KEY", "") for part in ("ACCESS", "SECRET")]
            base, keys = split_s3_url(s3, S3Keys(*pair))
            found = replace(found, s3=base, s3_keys=keys)
        return replace(found, kafka=self._given("kafka") or found.kafka, mongo=self._given("mongo") or found.mongo)

    def __iter__(self) -> Iterator[Engine]:
        return iter(self._local)

    def start(self, say: Callable[[str], None]) -> None:
        self._local.start(say)

    def stop(self) -> None:
        self._local.stop()
