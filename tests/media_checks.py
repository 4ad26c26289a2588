"""How tests have files checked: not behind all else that a busy machine does, which may be for minutes."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.media import sandbox


@contextmanager
def of_equal_priority() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "NICENESS", 0)
        yield
