"""The console's pages: served as they are, with a policy, and nothing beside them."""

import pytest

from shared.testing.api import Api
from tests.integration.gateway.conftest import PAGE
from tests.integration.gateway.installation import Running


@pytest.fixture
def base(replica: Running) -> str:
    return replica.base


async def test_the_page_comes_with_a_strict_policy(base: str) -> None:
    async with Api(base, None) as browser:
        answer = await browser.call("GET", "/console/")
        assert (answer.status, answer.body) == (200, PAGE.encode())
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        script = await browser.call("GET", "/console/scripts/main.js")
        assert script.status == 200 and "javascript" in script.headers["content-type"]
        again = await browser.call("GET", "/console/scripts/main.js", headers={"If-None-Match": script.headers["etag"]})
        assert again.status == 304
        client = await browser.call("GET", "/console/clients/relaydesk-stream.js")
        assert client.status == 200 and "javascript" in client.headers["content-type"]
        assert (await browser.call("GET", "/console")).headers["location"] == "/console/"


@pytest.mark.parametrize(
    "path",
    [
        "scripts",
        "scripts/",
        ".secret",
        "nothing.html",
        "../data/secrets/cursor_key",
        "%2e%2e/data/secrets/cursor_key",
        "..%2fdata%2fsecrets%2fcursor_key",
        "%00",
        "scripts/../.secret",
    ],
)
async def test_nothing_else_is_served(base: str, path: str) -> None:
    async with Api(base, None) as browser:
        answer = await browser.call("GET", f"/console/{path}")
        assert answer.status in (404, 307)
        if answer.status == 307:  # a directory's name without its slash: and what is there is no list
            assert (await browser.call("GET", f"/console/{path}/")).status == 404
        else:
            assert answer.body["code"] == "NOT_FOUND"


async def test_pages_are_only_read(base: str) -> None:
    async with Api(base, None) as browser:
        assert (await browser.call("POST", "/console/", {})).status == 405
