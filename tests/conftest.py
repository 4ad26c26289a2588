"""Fixtures that every test may ask for; engines start only when a test does."""

import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from shared.runtime import members, service_client

GRANTED_S = 20.0
"""More than a busy machine stalls, less than the tests' clients wait for an answer."""

pytest_plugins = ["shared.testing.engines"]


def pytest_configure() -> None:
    """Examples, and making them, may take as long as the machine is busy. A traceback in a log costs no more than its
    lines. A shell's background job ignores Ctrl-C, and so would all processes that tests start and stop with it."""
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")
    traceback = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, traceback])
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def patient_services() -> Iterator[None]:
    """Services in this process grant each other more: whoever answers may be held up with who asks."""
    with pytest.MonkeyPatch.context() as patch:
        for asking in (members, service_client):
            patch.setattr(asking, "TIMEOUT_S", GRANTED_S)
        yield
