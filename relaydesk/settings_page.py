"""The page `docs/settings.md`, written from the settings classes: `python -m relaydesk.settings_page`."""

import inspect
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from relaydesk.services import SERVICES, settings_of
from shared.runtime.settings import PREFIX, EnvironmentSettings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
HEADER = """# Settings

Every service reads `RELAYDESK_*` environment variables once, at start. A wrong or unknown one ends the start with a
line that names it. `relaydesk run` sets what a local installation needs. Written by `python -m
relaydesk.settings_page`; do not edit.
"""


def sections() -> dict[type[EnvironmentSettings], list[str]]:
    """Settings class -> the services that have it; classes without variables of their own are left out."""
    found: dict[type[EnvironmentSettings], list[str]] = {}
    for service in SERVICES:
        for part in reversed(settings_of(service).__mro__):
            if issubclass(part, EnvironmentSettings) and _own(part):
                found.setdefault(part, []).append(service)
    return found


def page() -> str:
    return HEADER + "".join(_section(part, services) for part, services in sections().items())


def _section(part: type[EnvironmentSettings], services: list[str]) -> str:
    who = "every service" if len(services) == len(SERVICES) else ", ".join(services)
    rows = "".join(f"| `{PREFIX}{name.upper()}` | {_default(field)} |\n" for name, field in _own(part).items())
    return f"\n## {part.__name__} ({who})\n\n{inspect.getdoc(part)}\n\n| variable | default |\n|---|---|\n{rows}"


def _own(part: type[EnvironmentSettings]) -> dict[str, FieldInfo]:
    own = inspect.get_annotations(part)
    return {name: field for name, field in part.model_fields.items() if name in own}


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if value is PydanticUndefined:
        return "none: must be set"
    return f"`{value}`" if value not in ("", None) else ""


if __name__ == "__main__":
    PAGE.write_text(page())
