"""How the end of a message's body is known (RFC 9112 section 6.3).

Not compiled; the modules that compare with these import them into C variables of their own.
"""

from typing import Final

NO_BODY: Final = 0  # there is none, whatever the fields say: HEAD, 1xx, 204, 304
LENGTH: Final = 1  # so many bytes
CHUNKED: Final = 2  # the pieces carry their own chunk framing
UNKNOWN: Final = 3  # until the sender closes; whoever passes it on must frame it
