"""Fixtures that every test may ask for; engines start only when a test does."""

import signal

pytest_plugins = ["shared.testing.engines"]


def pytest_configure() -> None:
    """A shell's background job ignores Ctrl-C, and so would all processes that tests start and stop with it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
