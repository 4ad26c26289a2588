"""The S3 suites on another server: `python -m shared.testing.versitygw [TEST…]` starts versitygw for a pytest run.

It checks what the local S3 doesn't (checksums, conditional writes) and answers some errors otherwise. `make test-s3`
installs it first, where Go is.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from shared.engines.engine import Engine
from shared.engines.ports import LOOPBACK, free_ports, require_free
from shared.engines.process import wait_until
from shared.engines.s3 import BUCKET, S3Keys, answers

PROGRAM = Path(".local/tools/bin/versitygw")
KEYS = S3Keys("relaydesk", "relaydesk-test-secret")


class VersityGateway(Engine):
    """Over a folder, with the bucket `relaydesk`."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__("versitygw", folder)
        self._objects, self._notes = folder / "objects", folder / "notes"
        self._port = port

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    def start(self) -> None:
        require_free(self.name, (self._port,))
        (self._objects / BUCKET).mkdir(parents=True)
        self._notes.mkdir()
        options = ("--port", f"{LOOPBACK}:{self._port}", "--quiet", "--cors-allow-origin", "*")
        self._child.command = [str(PROGRAM), *options, "posix", "--sidecar", str(self._notes), str(self._objects)]
        self._child.env = {"ROOT_ACCESS_KEY": KEYS.access, "ROOT_SECRET_KEY": KEYS.secret, "PATH": os.environ["PATH"]}
        self._child.start()

    def wait_ready(self, seconds: float = 20.0) -> None:
        wait_until(lambda: answers(self._port), self._child, seconds)


def main(tests: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="relaydesk-versitygw-") as folder:
        (port,) = free_ports(1)
        gateway = VersityGateway(Path(folder), port)
        gateway.start()
        try:
            gateway.wait_ready()
            where = f"http://{KEYS.access}:{KEYS.secret}@{LOOPBACK}:{port}"
            command = [sys.executable, "-m", "pytest", "-q", *tests]
            return subprocess.run(command, env={**os.environ, "RELAYDESK_TEST_S3": where}, check=False).returncode
        finally:
            gateway.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
