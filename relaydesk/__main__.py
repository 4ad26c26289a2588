"""`python -m relaydesk` is the command `relaydesk`."""

import sys

from relaydesk.cli import main

sys.exit(main())
