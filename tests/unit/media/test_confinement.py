"""A process that reads hostile files can do nothing but that. On Linux; elsewhere nothing is promised."""

import json
import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
def test_whoever_takes_the_process_over_can_neither_open_nor_call_nor_start_nor_end_anything() -> None:
    words = (sys.executable, "-m", "tests.unit.media.programs.escapes")
    ended = subprocess.run(words, capture_output=True, timeout=120, check=False)
    assert (ended.returncode, json.loads(ended.stdout or b'["nothing said"]')) == (0, [])
