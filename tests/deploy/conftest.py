"""What the image holds, put together once."""

import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as /opt/relaydesk in the image."""
    folder = tmp_path_factory.mktemp("image") / "relaydesk"
    command = ["sh", str(PROJECT / "deploy" / "image" / "install.sh"), str(folder)]
    subprocess.run(command, cwd=PROJECT, check=True, timeout=170)
    return folder
