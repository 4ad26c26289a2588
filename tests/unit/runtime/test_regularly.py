"""Regular work goes on, whatever goes wrong in it."""

from shared.runtime.faults import Transient
from shared.runtime.regularly import Regularly
from shared.testing.eventually import eventually


async def test_it_outlives_outages_and_faults_and_ends_when_told() -> None:
    errors = [Transient("away"), ValueError("a bug"), None]
    done: list[int] = []

    async def work() -> None:
        done.append(len(done))
        if errors and (error := errors.pop(0)):
            raise error

    regularly = Regularly(work, 0.001, "the work")
    await regularly.start()
    await eventually(lambda: len(done) >= 5, "five times")
    assert regularly.progress() is None
    await regularly.stop()
    count = len(done)
    assert regularly.progress() == "the work has ended"
    assert len(done) == count
