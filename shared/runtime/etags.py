"""Versions as entity tags (RFC 9110): `ETag: "7"` of version 7, and `If-Match` for "only if nobody changed it"."""

import re
from typing import Annotated

from fastapi import Header

from shared.runtime.problems import Problem

IfMatch = Annotated[str | None, Header()]

_TAG = re.compile(r'(?:W/)?"(\d{1,15})"')


def etag(version: int) -> dict[str, str]:
    """The header."""
    return {"ETag": f'"{version}"'}


def check_if_match(version: int, if_match: str | None) -> None:
    """RFC 9110 section 13.1.1; without the header the last writer wins. Problem 412."""
    if if_match is None or if_match.strip() == "*":
        return
    tags = [match and int(match[1]) for match in map(_TAG.fullmatch, map(str.strip, if_match.split(",")))]
    if version not in tags:
        raise stale()


def stale() -> Problem:
    return Problem(412, "PRECONDITION_FAILED", "It was changed since you read it.")
