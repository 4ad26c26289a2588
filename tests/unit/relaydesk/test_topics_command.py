"""What `relaydesk topics apply|check` prints, and its exit status."""

import pytest

from relaydesk.cli import main
from shared.runtime import topic_admin
from shared.runtime.messaging import Messaging
from shared.runtime.topic_admin import Applied

LEFT = "topic media has something that only a person changes"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAYDESK_KAFKA", "127.0.0.1:1")


class Topics:
    """Stands for `topic_admin`; remembers whether it was to shorten."""

    def __init__(self, done: Applied) -> None:
        self.done = done
        self.shortened: list[bool] = []

    async def apply(self, messaging: Messaging, registry: None = None, shorten: bool = False) -> Applied:
        self.shortened.append(shorten)
        return self.done

    async def check(self, messaging: Messaging) -> list[str]:
        return list(self.done.left)


def topics(monkeypatch: pytest.MonkeyPatch, done: Applied) -> Topics:
    made = Topics(done)
    monkeypatch.setattr(topic_admin, "apply", made.apply)
    monkeypatch.setattr(topic_admin, "check", made.check)
    return made


def test_what_was_done_and_what_is_left_are_said_and_are_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    topics(monkeypatch, Applied(("contacts",), ("media", "channels"), left=(LEFT,)))
    assert main(["topics", "apply"]) == 0
    assert capsys.readouterr().out == f"created: contacts\nconfigured: media, channels\nleft: {LEFT}\n"


def test_topics_are_not_called_as_declared_while_something_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    topics(monkeypatch, Applied(left=(LEFT,)))
    assert main(["topics", "apply"]) == 0
    assert capsys.readouterr().out == f"left: {LEFT}\n"
    topics(monkeypatch, Applied())
    assert main(["topics", "apply"]) == 0
    assert capsys.readouterr().out == "all topics are as declared\n"


@pytest.mark.parametrize(("words", "shorten"), [([], False), (["--shorten"], True)])
def test_retention_is_shortened_only_when_told_so(
    monkeypatch: pytest.MonkeyPatch, words: list[str], shorten: bool
) -> None:
    made = topics(monkeypatch, Applied())
    assert main(["topics", "apply", *words]) == 0
    assert made.shortened == [shorten]


def test_what_is_left_is_a_difference_to_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    topics(monkeypatch, Applied(left=(LEFT,)))
    assert main(["topics", "check"]) == 1
    assert capsys.readouterr().out == f"{LEFT}\n"
