"""Asking a process of this machine over HTTP whether it is well."""

import http.client

from shared.engines.ports import LOOPBACK

TIMEOUT_S = 1.5


def answers(port: int, path: str) -> bool:
    """Whether GET `path` on this loopback port is answered 200 now; blocks for 1.5 s at most."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
