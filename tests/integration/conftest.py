from collections.abc import Iterator

import pytest

from shared.runtime import members, service_client

GRANTED_S = 20.0
"""What services in the test's own process grant each other: more than a busy machine stalls, less than the tests'
clients wait for an answer."""


@pytest.fixture(scope="package", autouse=True)
def patient_services() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (members, service_client):
            patch.setattr(module, "TIMEOUT_S", GRANTED_S)
        yield
