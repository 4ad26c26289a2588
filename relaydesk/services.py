"""The services and where each is built; nothing is imported before it is asked for."""

import importlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from relaydesk.errors import CommandError

if TYPE_CHECKING:
    from shared.runtime.component import Service
    from shared.runtime.settings import Settings

SERVICES: dict[str, str] = {
    "ingest": "services.ingest.app:build",
    "routing": "services.routing.app:build",
    "gateway": "services.gateway.app:build",
    "dispatch": "services.dispatch.app:build",
    "snippets": "services.snippets.app:build",
    "media": "services.media.app:build",
}


def serve(names: Sequence[str]) -> int:
    """Run these services in this process until SIGTERM; the exit status."""
    from shared.runtime.logging import configure
    from shared.runtime.serve import run
    from shared.runtime.settings import SettingsError, reject_unknown

    try:
        reject_unknown(os.environ, [settings_of(name) for name in SERVICES])
        settings = {name: settings_of(name).load() for name in names}
    except SettingsError as error:
        raise CommandError(str(error)) from error
    configure(next(iter(settings.values())).log_level)
    try:
        return run(lambda: [builder_of(name)(value) for name, value in settings.items()])
    except SettingsError as error:  # what shows only in use: a file without a certificate, a port that is taken
        raise CommandError(str(error)) from error


def builder_of(name: str) -> "Callable[[Any], Service]":
    module, _, function = SERVICES[name].partition(":")
    build: Callable[[Any], Service] = getattr(importlib.import_module(module), function)
    return build


def settings_of(name: str) -> "type[Settings]":
    """The class in services/<name>/settings.py; importing it imports no client library."""
    module = importlib.import_module(f"services.{name}.settings")
    found: type[Settings] = getattr(module, f"{name.capitalize()}Settings")
    return found
