"""Code in the documentation, as tests run it."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[1]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fenced(page: str, language: str) -> list[str]:
    """The blocks of a language in a page of the repository, in order."""
    return [code for name, code in _FENCE.findall((PROJECT / page).read_text()) if name == language]


def typed(console: str) -> str:
    """What a reader types of a `console` block: the lines after `$ ` and those that continue them, no answers."""
    lines, goes_on = [], False
    for line in console.splitlines():
        if line.startswith("$ ") or goes_on:
            lines.append(line.removeprefix("$ "))
            goes_on = line.endswith("\\") or "\n".join(lines).count("'") % 2 == 1
    return "\n".join(lines) + "\n"
