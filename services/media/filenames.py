"""Which file names are taken. Pure."""

import unicodedata

MAX_NAME = 255
_PATH = frozenset('/\\:*?"<>|')
_SURPRISES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of what is not seen, or changes how the rest is: controls, direction overrides, line ends."""
_JOINERS = frozenset("\u200c\u200d")
"""Written in Persian and Hindi, and inside of emoji."""
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})


class BadName(ValueError):
    """The text says what to change."""


def checked_name(name: str) -> str:
    """As it is kept: composed (NFC), without spaces around it. BadName."""
    name = unicodedata.normalize("NFC", name).strip()
    if not name or not name.strip("."):
        raise BadName("A file needs a name.")
    if len(name) > MAX_NAME or len(name.encode(errors="replace")) > MAX_NAME:
        raise BadName(f"A file name has at most {MAX_NAME} bytes.")
    if _PATH & set(name):
        raise BadName('A file name has no path and none of / \\ : * ? " < > |.')
    if any(unicodedata.category(char) in _SURPRISES and char not in _JOINERS for char in name):
        raise BadName("A file name has no control characters and none that change the direction of writing.")
    if name.partition(".")[0].strip().lower() in _DEVICES:
        raise BadName("This name means a device on some systems.")
    return name
