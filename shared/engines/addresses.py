"""Where the engines of an installation are, whoever runs them."""

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from shared.engines.s3 import S3Keys


@dataclass(frozen=True, slots=True)
class Addresses:
    """`kafka` is host:port, `mongo` a mongodb:// URL, `s3` a base URL without keys."""

    kafka: str
    mongo: str
    s3: str
    s3_keys: S3Keys

    def environment(self) -> dict[str, str]:
        """The settings of a service that uses these engines."""
        return {
            "RELAYDESK_KAFKA": self.kafka,
            "RELAYDESK_MONGO": self.mongo,
            "RELAYDESK_S3": self.s3,
            "RELAYDESK_S3_ACCESS_KEY": self.s3_keys.access,
            "RELAYDESK_S3_SECRET_KEY": self.s3_keys.secret,
        }


def split_s3_url(url: str, keys: S3Keys) -> tuple[str, S3Keys]:
    """`http://access:secret@host:port` -> its base URL and keys; a URL without keys keeps the given ones."""
    parts = urllib.parse.urlsplit(url)
    if parts.username is None:
        return url.rstrip("/"), keys
    base = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    return base, S3Keys(urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""))


def given(environ: Mapping[str, str], prefix: str, keys: S3Keys) -> Addresses | None:
    """The engines named by `<prefix>KAFKA`, `<prefix>MONGO` and `<prefix>S3`; None unless all three are."""
    found = [environ.get(prefix + name) for name in ("KAFKA", "MONGO", "S3")]
    if not all(found):
        return None
    kafka, mongo, s3 = (value or "" for value in found)
    return Addresses(kafka, mongo, *split_s3_url(s3, keys))
