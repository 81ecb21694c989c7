"""How large an answer's head may be, for all who read answers.

Not compiled; upstream.py imports these into C variables of its own. A request's limits are the listener's.
"""

from typing import Final

# Envoy 60 KiB, Node 16 KiB; answers carry more cookies than requests.
ANSWER_HEAD_BYTES: Final = 64 * 1024
ANSWER_FIELDS: Final = 200
