"""`relaydesk token`: signed with the key of a local installation. Development only: production has an issuer."""

import argparse

from relaydesk.demo import MEMBERS
from relaydesk.errors import CommandError
from relaydesk.installation import installation_secrets
from relaydesk.tokens import Person, mint


def print_token(options: argparse.Namespace) -> int:
    """Print it alone on a line. Raises CommandError where there is no installation."""
    if not (options.data / "secrets").is_dir():
        raise CommandError(f"{options.data} is no installation: start one with `relaydesk run`, or name it with --data")
    known = MEMBERS[options.role]
    member = options.member or known.member_id
    name = options.name or (known.name if member == known.member_id else member)
    person = Person(member, name, options.role, options.workspace)
    print(mint(installation_secrets(options.data).jwt_private, person, options.hours * 3600))
    return 0
