"""Close codes of the stream (DESIGN 8). After 1001 and 4008 a client resumes; after 4001 with a new ticket."""

from typing import Final

GOING_AWAY: Final = 1001
TOKEN_EXPIRED: Final = 4001
FORBIDDEN: Final = 4003
TOO_SLOW: Final = 4008
PROTOCOL_ERROR: Final = 4009
TOO_MANY_FRAMES: Final = 4029
