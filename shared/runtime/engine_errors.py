"""Which errors of client libraries mean "it is away, try again", and which are answers: one list for every boundary."""

import socket

import aiohttp
import pymongo.errors
import urllib3.exceptions

from shared.runtime.faults import Transient

_NOT_PRIMARY_ANY_MORE = frozenset({91, 189, 10107, 11600, 11602, 13435, 13436})
_TIMED_OUT = frozenset({50, 64, 262})

_AWAY = (
    Transient,
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    pymongo.errors.ConnectionFailure,
    pymongo.errors.WaitQueueTimeoutError,
    pymongo.errors.ExecutionTimeout,
    pymongo.errors.WTimeoutError,
    urllib3.exceptions.TimeoutError,
    urllib3.exceptions.ProtocolError,
    urllib3.exceptions.MaxRetryError,
    aiohttp.ClientConnectionError,
)


def is_away(error: BaseException) -> bool:
    """Whether the other side did not answer (it may still have acted), as opposed to having refused."""
    if isinstance(error, _AWAY):
        return True
    if isinstance(error, pymongo.errors.OperationFailure):
        return error.code in _NOT_PRIMARY_ANY_MORE or error.code in _TIMED_OUT or _retryable(error)
    return False


def _retryable(error: pymongo.errors.PyMongoError) -> bool:
    return error.has_error_label("TransientTransactionError") or error.has_error_label("RetryableWriteError")


def as_transient(error: Exception) -> Exception:
    """`Transient` with the error's class as its text, where it is one of those; else the error itself."""
    return Transient(type(error).__name__) if is_away(error) and not isinstance(error, Transient) else error
