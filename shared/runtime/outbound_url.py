"""URLs that others gave us and we call (adapters, bots, media): https to public addresses, unless settings allow all.

The name is resolved once, and the addresses of that answer are the ones connected to; each is checked just before the
socket is made. So neither a second DNS answer nor a redirect nor an odd spelling of 127.0.0.1 gets through. Addresses
where machines learn their own keys (cloud metadata) are never called, whatever the settings.
"""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

MAX_URL = 2048
_METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254")))
"""Those that are not link-local: Alibaba's, Oracle's, Azure's (an address of the public internet), AWS's of IPv6."""


class UrlNotAllowed(ValueError):
    """The text is one sentence for whoever entered the URL."""


class AddressNotAllowed(OSError):
    """The name leads to an address that may not be called. An OSError, so that it counts as a failed connection."""


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
        name = host.rstrip(".").lower()
        if not self._allow_private and (name == "localhost" or name.endswith((".localhost", ".local", ".internal"))):
            raise UrlNotAllowed("The URL leads to a private address.")
        if _is_literal(host) and not self._allows(host):
            raise UrlNotAllowed("The URL leads to a private address.")

    def _socket(self, address: Sequence[Any]) -> socket.socket:
        family, kind, protocol, _, where = address
        if not self._allows(str(where[0])):
            raise AddressNotAllowed("the name leads to an address that may not be called")
        return socket.socket(family=family, type=kind, proto=protocol)

    def _allows(self, address: str) -> bool:
        return is_public(address) or (self._allow_private and not is_dangerous(address))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet; IPv4 inside IPv6 counts as the IPv4 address."""
    ip = _innermost(address)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and ip not in _METADATA


def is_dangerous(address: str) -> bool:
    """Whether it is called for no good reason even by developers: link-local, metadata, nobody's or everybody's."""
    ip = _innermost(address)
    if ip.is_loopback:  # ::1 counts as reserved, too
        return False
    return ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved or ip in _METADATA


def _innermost(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return _innermost(str(inner))
    return ip


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
