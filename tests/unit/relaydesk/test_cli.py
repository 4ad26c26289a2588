"""The words of the command."""

import subprocess
import sys
from pathlib import Path

import pytest

from relaydesk.cli import PORT_BASE, main
from relaydesk.installation import installation_secrets
from relaydesk.ports import DEFAULT_BASE

COMMANDS = ("run", "serve", "engines", "topics", "projection", "restore", "secrets", "demo", "token", "dlq", "doctor")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert [command for command in COMMANDS if f"\n    {command}" not in shown] == []


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["serve"],
        ["serve", "nothing"],
        ["engines"],
        ["run", "--port-base", "x"],
        ["dlq", "replay", "a"],
        ["projection", "rebuild", "A b"],
        ["run", "--port-base", "0"],
        ["run", "--port-base", "65497"],
        ["engines", "up", "--port-base", "70000"],
        ["token", "--hours", "0"],
        ["token", "--hours", "-5"],
        ["token", "--workspace", "BAD WS"],
        ["dlq", "show", "channel.inbound", "--limit", "0"],
        ["dlq", "show", "channel.inbound", "--offset", "-1"],
    ],
)
def test_wrong_usage_is_status_2_with_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: relaydesk" in capsys.readouterr().err


def test_the_help_and_the_layout_agree_on_the_default_ports() -> None:
    assert PORT_BASE == DEFAULT_BASE


def test_the_command_starts_without_importing_what_its_words_do_not_need() -> None:
    code = "import sys; sys.argv = ['relaydesk', '--help']\ntry:\n import relaydesk.__main__\nexcept SystemExit: pass\n"
    code += (
        "print([m for m in ('pydantic', 'aiokafka', 'pymongo', 'aiohttp', 'fastapi', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_token_is_printed_alone_on_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installation_secrets(tmp_path)
    assert main(["token", "--data", str(tmp_path), "--role", "owner"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].count(".") == 2


def test_there_are_no_tokens_without_an_installation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "--data", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("relaydesk: ")
    assert not (tmp_path / "none").exists()


def test_stopping_engines_where_none_run_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "down", "--data", str(tmp_path)]) == 0
    assert "nothing runs" in capsys.readouterr().out


def test_unknown_engines_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINES", "podman")
    command = [sys.executable, "-m", "relaydesk", "run", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (1, "relaydesk: ENGINES=podman: there is `local` and `docker`\n")


@pytest.mark.parametrize("command", ["token", "demo"])
def test_a_folder_that_is_no_installation_is_named_and_left_alone(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--data", str(tmp_path)]) == 1
    assert f"{tmp_path} is no installation" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_lines_that_nobody_reads_are_no_error_to_report() -> None:
    command = f"{sys.executable} -m relaydesk topics rights --commands | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")
