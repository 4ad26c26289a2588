"""Fixtures that every test may ask for; engines start only when a test does."""

import signal

import structlog
from hypothesis import settings

pytest_plugins = ["shared.testing.engines"]


def pytest_configure() -> None:
    """An example may take as long as the machine is busy. A traceback in a log costs no more than its lines. A shell's
    background job ignores Ctrl-C, and so would all processes that tests start and stop with it."""
    settings.register_profile("any machine", deadline=None)
    settings.load_profile("any machine")
    traceback = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, traceback])
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
