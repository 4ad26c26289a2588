from collections.abc import Iterator

import pytest

from tests.media_checks import of_equal_priority


@pytest.fixture(scope="session", autouse=True)
def _checks_have_their_turn() -> Iterator[None]:
    with of_equal_priority():
        yield
