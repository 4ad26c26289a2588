"""Snippet texts: compiled once, values put in as they are (DESIGN 9). Pure.

After `$contact.` the longest run of words of `[A-Za-z0-9_]+` joined by single dots names a variable; whatever else has
a dollar sign is text. A value is never looked at again: what a contact calls itself stays what it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared.contracts.resources import Contact

Policy = Literal["literal", "omit", "block"]


@dataclass(frozen=True, slots=True)
class Fallback:
    """Put this text where a value is missing."""

    text: str


Missing = Policy | Fallback
Status = Literal["ok", "missing"]
Values = Mapping[str, str | None]
"""Variable, such as `contact.email`, to its value; None or "" is missing."""

VARIABLES = tuple(f"contact.{name}" for name in ("name", "firstname", "lastname", "email", "country", "id"))

_VARIABLE = re.compile(r"\$(contact\.[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)")


class UnknownVariable(ValueError):
    """`position`: characters before it, the first one has 0."""

    def __init__(self, name: str, position: int, line: int, column: int) -> None:
        super().__init__(f"there is no variable ${name} (line {line}, column {column})")
        self.name, self.position = name, position


@dataclass(frozen=True, slots=True)
class Use:
    """A variable of a rendered text."""

    name: str
    value: str | None
    status: Status


@dataclass(frozen=True, slots=True)
class Rendered:
    """`variables`: each once, in the order of the text. Where one is missing under `block`, the text is of no use."""

    text: str
    variables: tuple[Use, ...]

    @property
    def missing(self) -> list[str]:
        return [use.name for use in self.variables if use.status == "missing"]


class Template:
    """A compiled text: literals, and a variable between each two of them."""

    __slots__ = ("_pieces", "_slots", "variables")

    def __init__(self, message: str) -> None:
        """UnknownVariable, the first one of the text."""
        parts = _VARIABLE.split(message)
        names = parts[1::2]
        for match in _VARIABLE.finditer(message):
            if match[1] not in VARIABLES:
                raise _unknown(match[1], message, match.start())
        self.variables = tuple(dict.fromkeys(names))
        self._pieces = parts
        self._slots = tuple(enumerate(names))

    def render(self, values: Values, missing: Missing) -> Rendered:
        pieces = self._pieces.copy()
        for index, name in self._slots:
            pieces[2 * index + 1] = values[name] or _instead(name, missing)
        return Rendered("".join(pieces), tuple([_use(name, values[name]) for name in self.variables]))


def values_of(contact: Contact) -> Values:
    return {
        "contact.name": contact.name,
        "contact.firstname": contact.first_name,
        "contact.lastname": contact.last_name,
        "contact.email": contact.email,
        "contact.country": contact.country,
        "contact.id": contact.id,
    }


def _use(name: str, value: str | None) -> Use:
    return Use(name, value, "ok") if value else Use(name, None, "missing")


def _instead(name: str, missing: Missing) -> str:
    if isinstance(missing, Fallback):
        return missing.text
    return "" if missing == "omit" else f"${name}"


def _unknown(name: str, message: str, position: int) -> UnknownVariable:
    before = message[:position]
    return UnknownVariable(name, position, before.count("\n") + 1, position - before.rfind("\n"))


__all__ = ["VARIABLES", "Fallback", "Missing", "Rendered", "Template", "UnknownVariable", "Use", "values_of"]
