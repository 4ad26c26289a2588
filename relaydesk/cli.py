"""The command `relaydesk`: its words and options. Each command's code is imported only when it is called."""

import argparse
import os
import re
import select
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DATA = Path(".local/data")
PORT_BASE = 8700
LAST_PORT = 65_535
YEAR_H = 8_766
DESCRIPTION = "Conversational support: customers on any channel, agents in one inbox. `relaydesk run` starts all of it."
EPILOG = "`relaydesk COMMAND --help` explains a command. Services are set by RELAYDESK_* variables."
REBUILD = """Make the gateway's read model anew: of the event archive, then of the log's tail, into the database
<prefix>_gateway_NAME. Nothing that is kept changes. Stopped or killed, the same command goes on where it was."""
REBUILD_EPILOG = """Reads RELAYDESK_KAFKA, RELAYDESK_TOPIC_PREFIX, RELAYDESK_MONGO, RELAYDESK_MONGO_PREFIX and
RELAYDESK_GATEWAY_READ_MODEL as the gateway has them. To show it: run with --follow, restart the gateway's replicas one
by one with RELAYDESK_GATEWAY_READ_MODEL=NAME, then press Ctrl-C. See docs/read-model.md."""

APPLY = """Make the topics that are missing and set what differs from the registry. Settings that the registry does not
declare stay as they are, and so does a retention that is longer than declared (retention.ms, retention.bytes,
delete.retention.ms). What a person has to do is said and is no error. May be repeated."""
CHECK = """Say what differs from the registry, a line each: topics that are missing, other settings, a longer retention,
other numbers of partitions, fewer copies than there are brokers for. The exit status is 1 then. Changes nothing."""

RESTORE = """Bring a MongoDB that was put back to an earlier moment forward to what Kafka's topics say: channels,
conversations, deliveries; then place the groups so that the services read the rest again. Run it after the restore and
before any service starts. Stopped or killed, the same command goes on."""
RESTORE_EPILOG = """Reads RELAYDESK_KAFKA, RELAYDESK_TOPIC_PREFIX, RELAYDESK_MONGO, RELAYDESK_MONGO_PREFIX and
RELAYDESK_GATEWAY_READ_MODEL as the services have them, and needs some room for temporary files (TMPDIR). What does not
come back, and every step: docs/operations.md, Backup and restore."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0 done, 1 could not, 2 wrong usage."""
    from relaydesk.errors import CommandError
    from shared.engines.process import EngineError

    options = _parser().parse_args(arguments)
    try:
        status: int = options.call(options)
        return status
    except (CommandError, EngineError) as error:
        print(f"relaydesk: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        if not _reader_left():
            raise
        return 1


def _reader_left() -> bool:
    """Whether nobody reads our lines any more, as `head` does after the tenth; what is left of them is dropped."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="relaydesk", description=DESCRIPTION, epilog=EPILOG)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    first = (_add_run, _add_serve, _add_engines, _add_topics, _add_projection, _add_restore)
    for add in (*first, _add_secrets, _add_demo, _add_token, _add_dlq, _add_doctor, _add_proxy):
        add(commands)
    return parser


def _add_run(commands: "Commands") -> None:
    text = "engines, all services, web chat and a demo workspace on this machine, until Ctrl-C"
    run = commands.add_parser("run", help=text, description=f"Run {text}.")
    _add_data(run)
    _add_port_base(run)
    run.add_argument("--info", type=Path, metavar="FILE", help="written, as DIR/info.json is, when all is ready")
    run.add_argument("--split", action="store_true", help="a process for every service instead of one for all")
    run.set_defaults(call=_run)


def _add_serve(commands: "Commands") -> None:
    from relaydesk.services import SERVICES

    serve = commands.add_parser("serve", help="one or more services in this process, as in production")
    serve.add_argument("services", nargs="+", choices=list(SERVICES), metavar="SERVICE", help=", ".join(SERVICES))
    serve.set_defaults(call=_serve)


def _add_engines(commands: "Commands") -> None:
    engines = commands.add_parser("engines", help="Kafka, MongoDB and S3 alone, without the services")
    verbs = engines.add_subparsers(required=True, metavar="up|down")
    up = verbs.add_parser("up", help="start them and stay in the foreground (--detach: return when they are ready)")
    _add_data(up)
    _add_port_base(up)
    up.add_argument("--detach", action="store_true", help="run in the background; `engines down` stops them")
    up.set_defaults(call=_engines_up)
    down = verbs.add_parser("down", help="stop the ones that run over this data folder")
    _add_data(down)
    down.set_defaults(call=_engines_down)


def _add_topics(commands: "Commands") -> None:
    topics = commands.add_parser("topics", help="the topics of the Kafka that RELAYDESK_KAFKA names")
    verbs = topics.add_subparsers(required=True, metavar="apply|check|rights")
    apply = verbs.add_parser("apply", help="make what is missing, set what differs", description=APPLY)
    text = "set a retention that is longer than declared back, too: the broker deletes at once what is older"
    apply.add_argument("--shorten", action="store_true", help=text)
    apply.set_defaults(call=_topics_apply)
    check = verbs.add_parser("check", help="say what differs from the registry", description=CHECK)
    check.set_defaults(call=_topics_check)
    text = "what each service needs on Kafka and no more, as access control lists"
    rights = verbs.add_parser("rights", help=text, description=f"Print {text}; needs no Kafka.")
    rights.add_argument("--commands", action="store_true", help="as commands of Kafka's own kafka-acls.sh")
    rights.set_defaults(call=_topics_rights)


def _add_projection(commands: "Commands") -> None:
    projection = commands.add_parser("projection", help="the gateway's read model")
    verbs = projection.add_subparsers(required=True, metavar="rebuild")
    text = "make the read model anew beside the one that is kept, while everything runs"
    rebuild = verbs.add_parser("rebuild", help=text, description=REBUILD, epilog=REBUILD_EPILOG)
    rebuild.add_argument("name", type=_read_model, help="what to call it: up to 20 of a-z and 0-9")
    rebuild.add_argument("--follow", action="store_true", help="then keep it as new as the log, until Ctrl-C")
    rebuild.add_argument("--fresh", action="store_true", help="drop what there is under this name and begin anew")
    rebuild.set_defaults(call=_projection_rebuild)


def _add_restore(commands: "Commands") -> None:
    text = "after MongoDB was restored from a backup: bring it forward from Kafka's topics"
    restore = commands.add_parser("restore", help=text, description=RESTORE, epilog=RESTORE_EPILOG)
    since = "read the topics from here on only: a moment *before* the backup's, as 2026-11-27T09:30Z (default: all)"
    restore.add_argument("--since", type=_moment, metavar="TIME", help=since)
    restore.set_defaults(call=_restore)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("expected a time as 2026-11-27T09:30Z") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError("expected a time with its zone, as 2026-11-27T09:30Z")
    return moment


def _read_model(text: str) -> str:
    if not re.fullmatch("[a-z0-9]{1,20}", text):
        raise argparse.ArgumentTypeError("expected up to 20 of a-z and 0-9")
    return text


def _add_secrets(commands: "Commands") -> None:
    secrets = commands.add_parser("secrets", help="print the secrets of an installation: settings, or a manifest")
    _add_data(secrets)
    text = "fresh ones, as the Secret NAME for `kubectl apply -f -`; --data is not read then"
    secrets.add_argument("--kubernetes", metavar="NAME", help=text)
    secrets.set_defaults(call=_secrets)


def _add_demo(commands: "Commands") -> None:
    demo = commands.add_parser("demo", help="make the demo workspace on services that run (`run` does it by itself)")
    _add_data(demo)
    _add_port_base(demo)
    demo.set_defaults(call=_demo)


def _add_token(commands: "Commands") -> None:
    token = commands.add_parser("token", help="print a token for an installation of `relaydesk run` (development only)")
    _add_data(token)
    token.add_argument("--role", choices=("owner", "manager", "agent"), default="agent", help="default: %(default)s")
    token.add_argument("--workspace", type=_slug, default="demo", help="default: %(default)s")
    token.add_argument("--member", metavar="ID", help="member id (default: the demo workspace's member of that role)")
    token.add_argument("--name", help="the person's name (default: as in the demo workspace, else the id)")
    token.add_argument(
        "--hours",
        type=_number(1, 10 * YEAR_H),
        default=24,
        metavar="N",
        help="valid for so long (default: %(default)s)",
    )
    token.set_defaults(call=_token)


def _add_dlq(commands: "Commands") -> None:
    dlq = commands.add_parser("dlq", help="dead letters: records that could not be processed")
    verbs = dlq.add_subparsers(required=True, metavar="list|show|replay")
    verbs.add_parser("list", help="how many there are per topic").set_defaults(call=_dlq_list)
    show = verbs.add_parser("show", help="the letters of a topic: where from, why, and their bytes")
    replay = verbs.add_parser("replay", help="write letters to the topic they came from, once more")
    for verb in (show, replay):
        verb.add_argument("topic", help="the source topic or its dead letters, for example channel.inbound")
    show.add_argument("--offset", type=_number(0), metavar="N", help="this letter only")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("--offset", type=_number(0), metavar="N", help="this letter only")
    which.add_argument("--all", action="store_true", help="all that are kept")
    show.add_argument("--limit", type=_number(1), default=20, metavar="N", help="the newest N (default: %(default)s)")
    show.set_defaults(call=_dlq_show)
    replay.set_defaults(call=_dlq_replay)


def _add_doctor(commands: "Commands") -> None:
    doctor = commands.add_parser("doctor", help="what this machine has and lacks; what of an installation works")
    _add_data(doctor)
    text = "look at the installation that the environment names instead, and at these services"
    doctor.add_argument("--deployment", nargs="*", metavar="SERVICE=PROBE_URL", help=text)
    doctor.set_defaults(call=_doctor)


def _add_proxy(commands: "Commands") -> None:
    proxy = commands.add_parser("proxy", help="the development proxy alone; `run` starts it")
    proxy.add_argument("--port", type=_number(1, LAST_PORT), required=True, metavar="N")
    proxy.add_argument("upstreams", nargs="+", metavar="SERVICE=URL")
    proxy.set_defaults(call=_proxy)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="data folder (default: %(default)s)")


def _add_port_base(parser: argparse.ArgumentParser) -> None:
    text = "first of the 40 ports of this installation (default: %(default)s; the layout is in relaydesk/ports.py)"
    parser.add_argument("--port-base", type=_number(1, LAST_PORT - 39), default=PORT_BASE, metavar="N", help=text)


def _number(low: int, high: int | None = None) -> Callable[[str], int]:
    """An argument's type: a whole number from `low` to `high`; anything else is wrong usage."""

    def parsed(text: str) -> int:
        number = int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None
        if number is None or number < low or (high is not None and number > high):
            limits = f"{low} to {high}" if high is not None else f"{low} or more"
            raise argparse.ArgumentTypeError(f"{text!r} is no number of {limits}")
        return number

    return parsed


def _slug(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,63}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no slug: up to 63 of a-z, 0-9 and -")
    return text


def _run(options: argparse.Namespace) -> int:
    from relaydesk.ports import Ports
    from relaydesk.run import Options, run

    return run(Options(options.data, Ports(options.port_base), options.info, options.split))


def _serve(options: argparse.Namespace) -> int:
    from relaydesk.services import serve

    return serve(options.services)


def _engines_up(options: argparse.Namespace) -> int:
    from relaydesk.engines_command import up, up_detached
    from relaydesk.ports import Ports

    return (up_detached if options.detach else up)(options.data, Ports(options.port_base))


def _engines_down(options: argparse.Namespace) -> int:
    from relaydesk.engines_command import down

    return down(options.data)


def _topics_apply(options: argparse.Namespace) -> int:
    from relaydesk.topics_command import apply

    return apply(options.shorten)


def _topics_check(options: argparse.Namespace) -> int:
    from relaydesk.topics_command import check

    return check()


def _topics_rights(options: argparse.Namespace) -> int:
    from relaydesk.topics_command import rights

    return rights(options.commands)


def _projection_rebuild(options: argparse.Namespace) -> int:
    from relaydesk.projection_command import rebuild

    return rebuild(options.name, options.follow, options.fresh)


def _restore(options: argparse.Namespace) -> int:
    from relaydesk.restore_command import restore

    return restore(options.since)


def _secrets(options: argparse.Namespace) -> int:
    from relaydesk.secrets_command import print_environment, print_manifest

    return print_manifest(options.kubernetes) if options.kubernetes else print_environment(options.data)


def _demo(options: argparse.Namespace) -> int:
    from relaydesk.demo_command import prepare_demo
    from relaydesk.ports import Ports

    return prepare_demo(options.data, Ports(options.port_base))


def _token(options: argparse.Namespace) -> int:
    from relaydesk.token_command import print_token

    return print_token(options)


def _dlq_list(options: argparse.Namespace) -> int:
    from relaydesk.dlq_command import count

    return count()


def _dlq_show(options: argparse.Namespace) -> int:
    from relaydesk.dlq_command import show

    return show(options.topic, options.offset, options.limit)


def _dlq_replay(options: argparse.Namespace) -> int:
    from relaydesk.dlq_command import replay

    return replay(options.topic, options.offset)


def _doctor(options: argparse.Namespace) -> int:
    if options.deployment is not None:
        from relaydesk.deployment_check import examine as examine_deployment

        return examine_deployment(options.deployment)
    from relaydesk.doctor import examine

    return examine(options.data)


def _proxy(options: argparse.Namespace) -> int:
    from relaydesk.proxy import run

    return run(options.port, dict(upstream.split("=", 1) for upstream in options.upstreams))
