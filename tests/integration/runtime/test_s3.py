"""Objects in a real S3: what is put can be read, signed URLs work for what they say and for no longer."""

import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from pydantic import SecretStr

from shared.engines.addresses import Addresses
from shared.runtime.faults import Transient
from shared.runtime.s3 import MinioStore, ObjectMissing, ObjectTooLarge, Shown
from shared.runtime.settings import S3Settings
from shared.testing.eventually import eventually

MINUTE = timedelta(minutes=1)


def settings(engines: Addresses, **changed: str) -> S3Settings:
    keys = {"s3_access_key": engines.s3_keys.access, "s3_secret_key": engines.s3_keys.secret}
    return S3Settings.model_validate({"s3": engines.s3, **keys, **changed})


@pytest_asyncio.fixture
async def store(engines: Addresses) -> AsyncIterator[MinioStore]:
    store = MinioStore(settings(engines))
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
def folder() -> Iterator[str]:
    return iter([f"test-{uuid.uuid4().hex}/"])


@pytest.fixture
def key(folder: Iterator[str]) -> str:
    return next(folder) + "a file ü.png"


def fetch(url: str, method: str = "GET", data: bytes | None = None) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(url, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.headers.items()}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), {}


async def test_what_is_put_can_be_read_listed_and_deleted(store: MinioStore, key: str) -> None:
    await store.put(key, b"first", "image/png")
    await store.put(key, b"content", "image/png")
    assert await store.get(key, limit=7) == b"content"
    assert (await store.head(key)).size == 7
    prefix = key.partition("/")[0] + "/"
    await store.put(prefix + "b", b"", "image/png")
    assert [(item.key, item.size) for item in await store.list(prefix)] == [(key, 7), (prefix + "b", 0)]
    assert [item.key for item in await store.list(prefix, after=key)] == [prefix + "b"]
    await store.delete(key)
    await store.delete(key)
    assert [item.key for item in await store.list(prefix)] == [prefix + "b"]


async def test_an_object_larger_than_wanted_is_not_held(store: MinioStore, key: str) -> None:
    await store.put(key, b"x" * 1000, "image/png")
    with pytest.raises(ObjectTooLarge):
        await store.get(key, limit=999)


async def test_a_missing_object_is_said_to_be_missing(store: MinioStore, key: str) -> None:
    with pytest.raises(ObjectMissing):
        await store.get(key, limit=1)
    with pytest.raises(ObjectMissing):
        await store.head(key)


async def test_a_signed_download_has_our_type_and_name_whatever_the_store_remembers(
    store: MinioStore, key: str
) -> None:
    await store.put(key, b"<script>", "text/html")
    url = store.presign_get(key, MINUTE, Shown("application/octet-stream", 'a "b"\r\nü.html'))
    status, body, headers = fetch(url)
    assert (status, body) == (200, b"<script>")
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"] == "attachment; filename*=UTF-8''a%20%22b%22%0D%0A%C3%BC.html"


async def test_a_signed_upload_puts_exactly_that_object(store: MinioStore, key: str) -> None:
    url = store.presign_put(key, MINUTE)
    assert fetch(url, "PUT", b"uploaded")[0] == 200
    assert await store.get(key, limit=100) == b"uploaded"
    assert fetch(url.replace(".png", ".jpg"), "PUT", b"x")[0] == 403
    assert fetch(url)[0] == 403


async def test_a_changed_or_expired_signature_is_refused(store: MinioStore, key: str) -> None:
    await store.put(key, b"x", "image/png")
    url = store.presign_get(key, timedelta(seconds=1), Shown("image/png", inline=True))
    signature = parse_qs(urlsplit(url).query)["X-Amz-Signature"][0]
    assert fetch(url.replace(signature, signature[::-1]))[0] == 403
    assert fetch(url.replace("image%2Fpng", "text%2Fhtml"))[0] == 403
    await eventually(lambda: fetch(url)[0] in (400, 403), "the expiry", every=0.2)


async def test_signed_urls_carry_the_public_address_and_need_no_network(engines: Addresses) -> None:
    store = MinioStore(settings(engines, s3="http://127.0.0.1:9", s3_public="https://files.example.com"))
    url = store.presign_put("a/b", MINUTE)
    assert url.startswith("https://files.example.com/relaydesk/a/b?")
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["60"]
    await store.stop()


async def test_no_store_is_transient(engines: Addresses) -> None:
    store = MinioStore(settings(engines, s3="http://127.0.0.1:9"))
    for call in (store.start(), store.get("a", 1), store.put("a", b"", "image/png"), store.list("a")):
        with pytest.raises(Transient):
            await call
    await store.stop()


async def test_a_missing_bucket_keeps_the_service_unready_and_says_what_to_do(engines: Addresses) -> None:
    store = MinioStore(settings(engines, s3_bucket="no-such-bucket"))
    with pytest.raises(Transient, match="no-such-bucket does not exist: create it"):
        await store.start()
    await store.stop()


async def test_wrong_keys_are_an_error_not_an_outage(engines: Addresses) -> None:
    config = settings(engines).model_copy(update={"s3_secret_key": SecretStr("wrong")})
    store = MinioStore(config)
    with pytest.raises(Exception, match=r"SignatureDoesNotMatch|AccessDenied"):
        await store.start()
    await store.stop()
