"""`relaydesk demo`: the demo workspace on services that run already, and what its web chat and bot need to start."""

from pathlib import Path

from relaydesk.demo import ChatAddresses, DemoChannel, prepare
from relaydesk.environment import base_url
from relaydesk.installation import known_secrets, write_whole
from relaydesk.ports import Ports


def prepare_demo(data: Path, ports: Ports) -> int:
    """Writes DATA/examples.env and prints the two addresses.

    Raises CommandError when the API does not answer, EngineError where `data` is no installation.
    """
    api = base_url(ports.api)
    chat = ChatAddresses(f"{base_url(ports.webchat)}/deliveries", f"{base_url(ports.bot)}/")
    demo = prepare(api, data, known_secrets(data), chat)
    lines = [f"{name}={value}\n" for name, value in examples_environment(ports, demo.webchat, data).items()]
    write_whole(data / "examples.env", "".join(lines))
    print_addresses(ports, demo.tokens["agent"])
    return 0


def examples_environment(ports: Ports, channel: DemoChannel, data: Path) -> dict[str, str]:
    """The settings of examples/webchat and examples/bot, the same for both."""
    return {
        "WEBCHAT_API": base_url(ports.api),
        "WEBCHAT_CHANNEL_ID": channel.id,
        "WEBCHAT_CHANNEL_SECRET": channel.secret,
        "WEBCHAT_PORT": str(ports.webchat),
        "WEBCHAT_DATA": str(data / "webchat"),
        "BOT_SECRET": channel.secret,
        "BOT_PORT": str(ports.bot),
    }


def print_addresses(ports: Ports, token: str) -> None:
    print(f"\n  web chat, for a visitor:   {base_url(ports.webchat)}/")
    print(f"  console, signed in as Ada: {base_url(ports.api)}/console/#token={token}\n", flush=True)
