"""Everything that can go wrong: one tree of exceptions, and one table of the ways an exchange can fail.

A `Kind` is one row of that table: whose fault it is, how far the exchange had come, whether another try is
safe, the HTTP status the client gets, and the one word that the access log and the counters use for it.
Nothing else in the program maps an error to a status or to a word.

Expected outcomes travel as values (a `Kind`, a `Refusal`); exceptions are for broken rules.
Source of the shape (kind, side, retry): Pingora's error type; statuses by RFC 9110 section 15.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final


class Side(Enum):
    """Whose fault it is."""

    CLIENT = "client"
    BACKEND = "backend"
    OURS = "ours"


class Phase(Enum):
    """How far the exchange had come when it failed."""

    REQUEST = "request"  # while the client's request was read
    CHOOSE = "choose"  # while a route or a backend was chosen
    CONNECT = "connect"  # before any byte was sent to a backend
    SENT = "sent"  # bytes were sent, no byte of the answer had come
    ANSWER = "answer"  # the answer had begun


class Retry(Enum):
    """Whether another try is safe as far as this kind of failure goes (core/retry.py decides)."""

    NEVER = "never"
    IF_SAFE = "if safe"  # only when running the request twice does no harm
    ALWAYS = "always"  # nothing of the request has left us


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One way an exchange can fail: a row of the table below.

    word: in the access log and as the counters' label.
    status: what the client is answered; 0 when there is nobody, or no way, to answer.
    text: the sentence in the answer's body.
    closes: whether the client's connection ends with it: where its request went wrong it may not end where it seems to.
    One that was read whole, and is only not granted, leaves the connection as it is.
    """

    word: str
    status: int
    side: Side
    phase: Phase
    retry: Retry
    text: str
    closes: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "closes", self.side is Side.CLIENT and self.phase is not Phase.CHOOSE)


_REQUEST = (Side.CLIENT, Phase.REQUEST, Retry.NEVER)

# The client's request.
BAD_REQUEST: Final = Kind("bad_request", 400, *_REQUEST, "The request breaks the rules of HTTP/1.1.")
AMBIGUOUS_PATH: Final = Kind(
    "ambiguous_path", 400, *_REQUEST, "The path would mean one route encoded and another one decoded."
)
METHOD_REFUSED: Final = Kind("method_refused", 405, *_REQUEST, "This method is not passed on.")
REQUEST_TIMEOUT: Final = Kind("request_timeout", 408, *_REQUEST, "The request did not arrive in time.")
BODY_TOO_LARGE: Final = Kind("body_too_large", 413, *_REQUEST, "The body is larger than this route takes.")
TARGET_TOO_LONG: Final = Kind("target_too_long", 414, *_REQUEST, "The request line is too long.")
HEAD_TOO_LARGE: Final = Kind("head_too_large", 431, *_REQUEST, "The header section is too large.")
CODING_UNKNOWN: Final = Kind("coding_unknown", 501, *_REQUEST, "Only the transfer coding 'chunked' is known.")
LOOP: Final = Kind("loop", 508, *_REQUEST, "The request came through here too often: a loop of proxies.")
VERSION_UNKNOWN: Final = Kind("version_unknown", 505, *_REQUEST, "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
CROWDED: Final = Kind("crowded", 429, *_REQUEST, "This address has too many connections open already.")
CLIENT_GONE: Final = Kind("client_gone", 0, *_REQUEST, "The client closed the connection.")
CLIENT_TOO_SLOW: Final = Kind(
    "client_too_slow", 0, Side.CLIENT, Phase.ANSWER, Retry.NEVER, "The client did not read its answer in time."
)
# A connection of TCP, which says nothing of whose turn it was to speak.
IDLE: Final = Kind("idle", 0, Side.CLIENT, Phase.ANSWER, Retry.NEVER, "Nothing has passed either way for too long.")

# A task's request: its client gets one line that says what is wrong, and tasks have no statuses.
BAD_TASK: Final = Kind("bad_task", 0, *_REQUEST, "The request is not AppID:KIND:APPROACH.")
TASK_TOO_LONG: Final = Kind("task_too_long", 0, *_REQUEST, "The request is longer than one may be.")
APPROACH_UNKNOWN: Final = Kind("approach_unknown", 0, *_REQUEST, "The request names an approach that nobody knows.")

# The choice.
NO_ROUTE: Final = Kind("no_route", 404, Side.CLIENT, Phase.CHOOSE, Retry.NEVER, "No route takes this request.")
RATE_LIMITED: Final = Kind(
    "rate_limited", 429, Side.CLIENT, Phase.CHOOSE, Retry.NEVER, "Too many requests in too short a time."
)
OVERLOADED: Final = Kind(
    "overloaded", 503, Side.OURS, Phase.CHOOSE, Retry.NEVER, "Too many requests are being answered already."
)
NONE_UP: Final = Kind("none_up", 503, Side.BACKEND, Phase.CHOOSE, Retry.NEVER, "Service not available")
FULL: Final = Kind("full", 503, Side.BACKEND, Phase.CHOOSE, Retry.NEVER, "Every backend is at its limit.")
QUEUE_TIMEOUT: Final = Kind(
    "queue_timeout",
    503,
    Side.BACKEND,
    Phase.CHOOSE,
    Retry.NEVER,
    "Every backend is at its limit, and stayed so for too long.",
)
BREAKER_OPEN: Final = Kind(
    "breaker_open", 503, Side.BACKEND, Phase.CHOOSE, Retry.NEVER, "The backends failed too often and are left alone."
)
STOPPING: Final = Kind(
    "stopping", 0, Side.OURS, Phase.ANSWER, Retry.NEVER, "The balancer stopped before the answer was whole."
)
INTERNAL: Final = Kind("internal", 500, Side.OURS, Phase.CHOOSE, Retry.NEVER, "The balancer has a bug.")

# The backend.
CONNECT_FAILED: Final = Kind(
    "connect_failed", 502, Side.BACKEND, Phase.CONNECT, Retry.ALWAYS, "The backend could not be reached."
)
CONNECT_TIMEOUT: Final = Kind(
    "connect_timeout", 504, Side.BACKEND, Phase.CONNECT, Retry.ALWAYS, "The backend did not accept in time."
)
NO_FILES: Final = Kind(
    "no_files", 503, Side.OURS, Phase.CONNECT, Retry.NEVER, "The balancer is out of file descriptors."
)
# A kept connection that the backend had closed: says nothing about the backend's health.
STALE: Final = Kind("stale", 502, Side.BACKEND, Phase.SENT, Retry.IF_SAFE, "The backend closed the kept connection.")
CLOSED_EARLY: Final = Kind(
    "closed_early", 502, Side.BACKEND, Phase.SENT, Retry.IF_SAFE, "The backend closed before it answered."
)
# Not retried: the work may still be going on over there, and the client's patience is used up.
RESPONSE_TIMEOUT: Final = Kind(
    "response_timeout", 504, Side.BACKEND, Phase.SENT, Retry.NEVER, "The backend did not answer in time."
)
# The time that a pool gives one try: it is asked for because another backend may be faster.
TRY_TIMEOUT: Final = Kind(
    "try_timeout", 504, Side.BACKEND, Phase.SENT, Retry.IF_SAFE, "The backend did not answer in the time of a try."
)
TOTAL_TIMEOUT: Final = Kind(
    "total_timeout", 504, Side.BACKEND, Phase.SENT, Retry.NEVER, "The whole exchange took too long."
)
BAD_ANSWER: Final = Kind(
    "bad_answer", 502, Side.BACKEND, Phase.ANSWER, Retry.NEVER, "The backend's answer breaks the rules of HTTP."
)
TRUNCATED: Final = Kind("truncated", 502, Side.BACKEND, Phase.ANSWER, Retry.NEVER, "The backend broke off its answer.")
# The answer to a request whose answer had a status listed in `retry.on_status`.
STATUS: Final = Kind("status", 502, Side.BACKEND, Phase.SENT, Retry.IF_SAFE, "The backend answered with an error.")

KINDS: Final[dict[str, Kind]] = {kind.word: kind for kind in list(globals().values()) if isinstance(kind, Kind)}


class SteelyardError(Exception):
    """The root of all our exceptions."""


class ProtocolError(SteelyardError):
    """Bytes that break the rules of their protocol.

    kind: the row of the table that says what becomes of the exchange.
    detail: which rule, in one sentence (goes to the log, never to the other side).
    """

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(f"{kind.word}: {detail}")
        self.kind = kind
        self.detail = detail


class ListenError(SteelyardError):
    """An address cannot be listened on; the message begins with the key that holds it, and names the mend.

    listener: its name. what: the message without the key: the address, what is wrong with it and the mend.
    """

    def __init__(self, listener: str, what: str) -> None:
        super().__init__(f"listeners.{listener}.bind: {what}")
        self.listener = listener
        self.what = what


class ConfigError(SteelyardError):
    """A configuration that cannot run.

    problems: one `Problem` each, all that were found, in the order of the file.
    """

    def __init__(self, problems: "list[Problem]") -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a configuration: where, which key, which value, and how to mend it.

    where: `file.yaml:12`, or `command line`; key: dotted, such as `pools.web.policy`.
    value: the offending value as written, or None when the key itself is the problem.
    As text it is one line whatever the file has: what is not printable is shown as in Python, such as \\x1b.
    """

    where: str
    key: str
    message: str
    value: str | None = None
    mend: str | None = None

    def __str__(self) -> str:
        line = f"{self.where}: {self.key}: {self.message}"
        if self.value is not None:
            line += f" (got {self.value})"
        if self.mend is not None:
            line += f"; {self.mend}"
        return line if line.isprintable() else "".join(map(_printable, line))


def _printable(letter: str) -> str:
    return letter if letter.isprintable() else ascii(letter)[1:-1]


class TaskRefused(SteelyardError):
    """What a function raises for a task that it will not do: the client gets the status and the reason.

    reason: one sentence for whoever has sent the task. status: 400 to 599; 422 says that it was understood, and cannot
    be done (RFC 9110 section 15.5.21). Any other exception is a 500 whose cause stays in the log.
    """

    def __init__(self, reason: str, status: int = 422) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"a task is refused with a status of 400 to 599, and not with {status}")
        super().__init__(reason)
        self.reason = reason
        self.status = status
