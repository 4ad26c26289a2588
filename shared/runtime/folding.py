"""Texts as they are compared: without case, accents and width (`ÉCOLE` = `ecole`, `Straße` = `strasse`). Pure."""

import unicodedata

_KANA_MARKS = "\u3099\u309a"
_UNDECOMPOSED = str.maketrans({"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "þ": "th"})


def folded(text: str) -> str:
    """Equal for texts that a person looking for one would take for the other."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text)
    bare = "".join(c for c in apart if c in _KANA_MARKS or not unicodedata.combining(c))
    return unicodedata.normalize("NFKC", bare).casefold().translate(_UNDECOMPOSED)
