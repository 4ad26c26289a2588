"""What the image holds, put together once."""

import fcntl
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder as /opt/relaydesk in the image; one for all workers of this run."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    folder, made = shared / "image" / "relaydesk", shared / "image-is-made"
    with (shared / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            command = ["sh", str(PROJECT / "deploy" / "image" / "install.sh"), str(folder)]
            subprocess.run(command, cwd=PROJECT, check=True, timeout=1100)
            made.touch()
    return folder
