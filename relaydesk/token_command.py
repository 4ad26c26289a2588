"""`relaydesk token`: signed with the key of a local installation. Development only: production has an issuer."""

import argparse

from relaydesk.demo import MEMBERS
from relaydesk.installation import known_secrets
from relaydesk.tokens import Person, mint


def print_token(options: argparse.Namespace) -> int:
    """Print it alone on a line. Raises EngineError where there is no installation."""
    secrets = known_secrets(options.data)
    known = MEMBERS[options.role]
    member = options.member or known.member_id
    name = options.name or (known.name if member == known.member_id else member)
    person = Person(member, name, options.role, options.workspace)
    print(mint(secrets.jwt_private, person, options.hours * 3600))
    return 0
