"""Objects in any S3. Minio's client is synchronous: every call runs in a thread of ours, with short timeouts.

Signed URLs are made without the network (the region is given) and carry the address that browsers reach.
"""

import asyncio
import hashlib
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Protocol, TypeVar
from urllib.parse import quote, urlsplit

import certifi
import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from shared.runtime.engine_errors import is_away
from shared.runtime.faults import Transient
from shared.runtime.settings import S3Settings

THREADS = 8
CONNECT_S = 3.0
READ_S = 15.0
LIST_LIMIT = 1_000
CHUNK = 256 * 1024
PART = 16 << 20
T = TypeVar("T")
_MISSING = frozenset({"NoSuchKey", "NoSuchObject", "404"})
_BUSY = frozenset({"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "500", "502", "503", "504"})


class ObjectMissing(Exception):
    """There is no object under this key."""


class ObjectTooLarge(Exception):
    """The object is larger than the caller wants to hold."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """`size` in bytes. `content_type` is what the uploader said, and some stores forget it: never trust it."""

    key: str
    size: int
    content_type: str | None
    etag: str
    modified_at: datetime | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was read: bytes, and their SHA-256 in hex."""

    size: int
    sha256: str


def fetched(file: BinaryIO) -> Fetched:
    """The same of an open file. Blocks: call it in a thread."""
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return Fetched(file.tell(), digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Shown:
    """How a browser shall take a downloaded object: overrides whatever the store remembers."""

    content_type: str
    filename: str | None = None
    inline: bool = False


class ObjectStore(Protocol):
    """All but the two `presign` may raise Transient where the store does not answer."""

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """Write or overwrite."""

    async def get(self, key: str, limit: int) -> bytes:
        """The content, read once. ObjectMissing; ObjectTooLarge past `limit` bytes."""

    async def put_file(self, key: str, file: BinaryIO, size: int, content_type: str) -> None:
        """Write or overwrite with `size` bytes of an open file, from its beginning."""

    async def get_file(self, key: str, limit: int, into: BinaryIO) -> Fetched:
        """The content, read once, into an open file. ObjectMissing; ObjectTooLarge past `limit` bytes."""

    async def head(self, key: str) -> ObjectInfo:
        """ObjectMissing."""

    async def delete(self, key: str) -> None:
        """Also fine where there is none."""

    async def list(self, prefix: str, after: str = "") -> Sequence[ObjectInfo]:
        """Up to 1,000 objects in key order, beginning after the key `after`."""

    def presign_get(self, key: str, lasts: timedelta, shown: Shown) -> str:
        """A URL to download it."""

    def presign_put(self, key: str, lasts: timedelta) -> str:
        """A URL to upload it; can be used more than once until it expires, and limits neither size nor type."""


class MinioStore:
    """Component and ObjectStore for one bucket, which must exist: services do not create buckets."""

    def __init__(self, settings: S3Settings) -> None:
        self._bucket = settings.s3_bucket
        self._pool = _pool()
        self._client = _client(settings, settings.s3, self._pool)
        self._signer = _client(settings, settings.s3_public or settings.s3, self._pool)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")

    async def start(self) -> None:
        """Transient while the store does not answer or lacks the bucket."""
        await self.ping()

    async def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pool.clear()

    async def ping(self) -> None:
        if not await self._call(lambda: self._client.bucket_exists(self._bucket)):
            raise Transient(f"the bucket {self._bucket} does not exist: create it")

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        await self._call(
            lambda: self._client.put_object(self._bucket, key, io.BytesIO(data), len(data), content_type=content_type)
        )

    async def get(self, key: str, limit: int) -> bytes:
        return await self._call(lambda: self._read(key, limit), key)

    async def put_file(self, key: str, file: BinaryIO, size: int, content_type: str) -> None:
        def work() -> None:
            file.seek(0)
            self._client.put_object(self._bucket, key, file, size, content_type=content_type, part_size=PART)

        await self._call(work)

    async def get_file(self, key: str, limit: int, into: BinaryIO) -> Fetched:
        return await self._call(lambda: self._copy(key, limit, into), key)

    async def head(self, key: str) -> ObjectInfo:
        found = await self._call(lambda: self._client.stat_object(self._bucket, key), key)
        return ObjectInfo(key, found.size or 0, found.content_type, found.etag or "", found.last_modified)

    async def delete(self, key: str) -> None:
        await self._call(lambda: self._client.remove_object(self._bucket, key))

    async def list(self, prefix: str, after: str = "") -> Sequence[ObjectInfo]:
        return await self._call(lambda: self._listed(prefix, after))

    def presign_get(self, key: str, lasts: timedelta, shown: Shown) -> str:
        overrides: dict[str, str | list[str] | tuple[str]] = {
            "response-content-type": shown.content_type,
            "response-content-disposition": _disposition(shown),
        }
        return self._signer.get_presigned_url("GET", self._bucket, key, lasts, response_headers=overrides)

    def presign_put(self, key: str, lasts: timedelta) -> str:
        return self._signer.get_presigned_url("PUT", self._bucket, key, lasts)

    def _read(self, key: str, limit: int) -> bytes:
        answer = self._client.get_object(self._bucket, key)
        try:
            data: bytes = answer.read(limit + 1)
        finally:
            answer.close()
            answer.release_conn()
        if len(data) > limit:
            raise ObjectTooLarge(f"more than {limit} bytes")
        return data

    def _copy(self, key: str, limit: int, into: BinaryIO) -> Fetched:
        into.seek(0)
        into.truncate()
        digest, size = hashlib.sha256(), 0
        answer = self._client.get_object(self._bucket, key)
        try:
            while chunk := answer.read(CHUNK):
                size += len(chunk)
                if size > limit:
                    raise ObjectTooLarge(f"more than {limit} bytes")
                digest.update(chunk)
                into.write(chunk)
        finally:
            answer.close()
            answer.release_conn()
        into.flush()
        return Fetched(size, digest.hexdigest())

    def _listed(self, prefix: str, after: str) -> Sequence[ObjectInfo]:
        found = []
        for item in self._client.list_objects(self._bucket, prefix, recursive=True, start_after=after or None):
            found.append(ObjectInfo(item.object_name or "", item.size or 0, None, item.etag or "", item.last_modified))
            if len(found) == LIST_LIMIT:
                break
        return found

    async def _call(self, work: Callable[[], T], key: str = "") -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
            code = _code(error)
            if code in _MISSING:
                raise ObjectMissing(key) from None
            if code in _BUSY or is_away(error):
                raise Transient(f"S3: {code or type(error).__name__}") from None
            raise


def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(
        maxsize=THREADS,
        timeout=urllib3.Timeout(connect=CONNECT_S, read=READ_S),
        retries=urllib3.Retry(total=1, redirect=0, backoff_factor=0.1),
        ca_certs=certifi.where(),
    )


def _client(settings: S3Settings, url: str, pool: urllib3.PoolManager) -> Minio:
    parts = urlsplit(url)
    return Minio(
        parts.netloc,
        access_key=settings.s3_access_key.get_secret_value(),
        secret_key=settings.s3_secret_key.get_secret_value(),
        secure=parts.scheme == "https",
        region=settings.s3_region,
        http_client=pool,
    )


def _code(error: Exception) -> str:
    """S3's code; where the answer had none (a proxy's, or rclone's to a GET), its HTTP status; else nothing."""
    match error:
        case S3Error():
            return error.code or ""
        case ServerError():
            return str(error.status_code)
        case InvalidResponseError():
            return str(error._code)
        case _:
            return ""


def _disposition(shown: Shown) -> str:
    """RFC 6266: the name percent-encoded in UTF-8, so that no character of it can end the header."""
    kind = "inline" if shown.inline else "attachment"
    return f"{kind}; filename*=UTF-8''{quote(shown.filename, safe='')}" if shown.filename else kind
