"""URLs that others gave us and we call (adapters, bots, media): https to public addresses, unless settings allow all.

The name is resolved once, and the addresses of that answer are the ones connected to; each is checked just before the
socket is made. So neither a second DNS answer nor a redirect nor an odd spelling of 127.0.0.1 gets through.
"""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

MAX_URL = 2048


class UrlNotAllowed(ValueError):
    """The text is one sentence for whoever entered the URL."""


class AddressNotAllowed(OSError):
    """The name leads to an address that is not public. An OSError, so that it counts as a failed connection."""


class OutboundPolicy:
    """`allow_private`: development only; http, loopback and private addresses are then fine."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private

    def check(self, url: str) -> str:
        """The URL, where it may be called as far as its text tells. UrlNotAllowed; does not resolve or block."""
        if len(url) > MAX_URL or not url.isprintable() or " " in url:
            raise UrlNotAllowed(f"The URL has odd characters or more than {MAX_URL:,} of them.")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise UrlNotAllowed("The URL cannot be read.") from None
        if parts.scheme not in (("https", "http") if self._allow_private else ("https",)):
            raise UrlNotAllowed("The URL must begin with https://.")
        if not host or port == 0:
            raise UrlNotAllowed("The URL names no host.")
        if parts.username is not None or parts.password is not None:
            raise UrlNotAllowed("The URL must not contain a user or a password.")
        self._check_literal(host)
        return url

    def connector(self, **options: Any) -> aiohttp.TCPConnector:
        """For `aiohttp.ClientSession(connector=…, trust_env=False)`; call with `allow_redirects=False`."""
        return aiohttp.TCPConnector(socket_factory=self._socket, **options)

    def _check_literal(self, host: str) -> None:
        if self._allow_private:
            return
        name = host.rstrip(".").lower()
        if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
            raise UrlNotAllowed("The URL leads to a private address.")
        if _is_literal(host) and not is_public(host):
            raise UrlNotAllowed("The URL leads to a private address.")

    def _socket(self, address: Sequence[Any]) -> socket.socket:
        family, kind, protocol, _, where = address
        if not self._allow_private and not is_public(str(where[0])):
            raise AddressNotAllowed("the name leads to an address that is not public")
        return socket.socket(family=family, type=kind, proto=protocol)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet; IPv4 inside IPv6 counts as the IPv4 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
