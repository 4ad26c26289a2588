"""Secrets are made once; one process at a time works over a data folder; ports and settings have one layout."""

import base64
import os
import subprocess
import sys
import uuid
from pathlib import Path

import jwt
import pytest

from relaydesk.demo import MEMBERS
from relaydesk.environment import service_environment
from relaydesk.installation import DataLock, installation_secrets, write_whole
from relaydesk.ports import Ports
from relaydesk.services import SERVICES
from relaydesk.tokens import mint
from shared.engines.addresses import Addresses
from shared.engines.process import EngineError
from shared.engines.s3 import S3Keys

ENGINES = Addresses("k:1", "mongodb://m", "http://s:1", S3Keys("access", "secret"))


def test_secrets_are_made_once_and_are_their_owners_alone(tmp_path: Path) -> None:
    first, second = installation_secrets(tmp_path), installation_secrets(tmp_path)
    assert first == second
    assert uuid.UUID(first.id_namespace)
    assert [len(base64.b64decode(key)) for key in (first.secrets_key, first.cursor_key)] == [32, 32]
    folder = tmp_path / "secrets"
    assert [file.stat().st_mode & 0o077 for file in [folder, *folder.iterdir()]] == [0] * 7


def test_no_secret_shows_when_they_are_printed(tmp_path: Path) -> None:
    secrets = installation_secrets(tmp_path)
    shown = repr(secrets)
    hidden = (secrets.id_namespace, secrets.secrets_key, secrets.cursor_key, secrets.s3_keys.secret)
    assert not [value for value in hidden if value in shown]


def test_a_minted_token_verifies_with_the_published_keys(tmp_path: Path) -> None:
    secrets = installation_secrets(tmp_path)
    token = mint(secrets.jwt_private, MEMBERS["manager"], lifetime_s=60)
    keys = jwt.PyJWKSet.from_json(secrets.jwt_public.read_text())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key.key, algorithms=["EdDSA"], audience="relaydesk", issuer="relaydesk")
    assert claims["exp"] - claims["iat"] == 60
    assert (claims["sub"], claims["workspace"], claims["role"]) == ("marco", "demo", "manager")


HOLDER = """
import sys, pathlib
from relaydesk.installation import DataLock
with DataLock(pathlib.Path(sys.argv[1])):
    print("taken", flush=True)
    sys.stdin.read()
"""


def test_a_folder_in_use_is_refused_with_the_pid_of_its_user(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert DataLock(tmp_path).holder() == other.pid
        with pytest.raises(EngineError, match=rf"in use by process {other.pid}; .*--data"), DataLock(tmp_path):
            pass
        other.kill()
    assert DataLock(tmp_path).holder() is None
    with DataLock(tmp_path):
        assert DataLock(tmp_path).holder() == os.getpid()


def test_a_file_is_replaced_in_one_piece_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "info.json"
    for text in ("long text", "short"):
        write_whole(file, text)
        assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


def test_all_ports_of_an_installation_differ_and_lie_within_forty() -> None:
    ports = Ports(9700)
    engines = ports.engines
    used = [*ports.own(), engines.kafka, engines.kafka_controller, engines.mongo, engines.s3]
    assert len(set(used)) == len(used) == 8 + 2 * len(SERVICES)
    assert all(9700 <= port < 9740 for port in used)


def test_what_run_sets_wins_over_what_the_shell_says(tmp_path: Path) -> None:
    inherited = {"RELAYDESK_KAFKA": "elsewhere:9092", "RELAYDESK_LOG_LEVEL": "debug", "PATH": "/bin"}
    environment = service_environment(Ports(9700), installation_secrets(tmp_path), ENGINES, inherited)
    assert environment["RELAYDESK_KAFKA"] == "k:1"
    assert environment["RELAYDESK_LOG_LEVEL"] == "debug"
    assert environment["RELAYDESK_GATEWAY_STREAM_URL"] == "ws://127.0.0.1:9702/v1/stream"
