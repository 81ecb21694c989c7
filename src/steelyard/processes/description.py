"""Who runs, what each has, and what they say to each other: the one list that the code and the docs go by.

A channel refuses to send what is not in MESSAGES, and the picture in the documentation is drawn from these tuples
(docs/images/make_process_picture.py); so neither can say what the other does not do.
"""

from typing import Final, NamedTuple


class Part(NamedTuple):
    """A process. number: how many there are. does, holds: in a few words each."""

    name: str
    number: str
    does: tuple[str, ...]
    holds: tuple[str, ...]


class Message(NamedTuple):
    """What one part says to another. brings: what comes with the words (a blob, descriptors), if anything."""

    name: str
    sender: str
    receiver: str
    means: str
    brings: str = ""


SUPERVISOR: Final = "supervisor"
CONTROL: Final = "control"
WORKER: Final = "worker"

PARTS: Final = (
    Part(
        SUPERVISOR,
        "1",
        (
            "starts, watches and replaces the others, and local backends",
            "binds; takes the signals",
            "hands over to a new program",
        ),
        ("every listening socket", "the table", "the snapshot in force"),
    ),
    Part(
        CONTROL,
        "1",
        ("reads and checks the configuration", "checks the backends' health", "answers steelyard reload, status, diff"),
        ("the ledger of the table's rows",),
    ),
    Part(
        WORKER,
        "N",
        ("accepts, chooses, moves bytes",),
        ("its socket of each listener", "its column of the table", "its connections"),
    ),
)

MESSAGES: Final = (
    Message("begin", SUPERVISOR, CONTROL, "read the configuration", "the command line's words"),
    Message("resume", SUPERVISOR, CONTROL, "go on with what is in force", "the snapshot, the table"),
    Message("reload", SUPERVISOR, CONTROL, "SIGHUP: read the configuration anew"),
    Message("open", CONTROL, SUPERVISOR, "so many workers, so large a table, this user"),
    Message("prepare", CONTROL, SUPERVISOR, "bind, and have every worker prepare", "a snapshot"),
    Message("commit", CONTROL, SUPERVISOR, "put it into force, everywhere"),
    Message("drop", CONTROL, SUPERVISOR, "forget what was prepared"),
    Message("ask", CONTROL, SUPERVISOR, "put a question to every worker"),
    Message("report", CONTROL, SUPERVISOR, "who runs, since when?"),
    Message("upgrade", CONTROL, SUPERVISOR, "start the new program on our sockets"),
    Message("locals", CONTROL, SUPERVISOR, "have these local backends run"),
    Message("restart", CONTROL, SUPERVISOR, "put a new process in place of this local backend's"),
    Message("end", CONTROL, SUPERVISOR, "nothing is in flight any more at these local backends"),
    Message("local", SUPERVISOR, CONTROL, "a local backend is ready, or is so no more"),
    Message("sockets", SUPERVISOR, WORKER, "these are yours", "descriptors"),
    Message("prepare", SUPERVISOR, WORKER, "build it beside what serves", "the snapshot"),
    Message("commit", SUPERVISOR, WORKER, "switch to it"),
    Message("drop", SUPERVISOR, WORKER, "forget what was prepared"),
    Message("ask", SUPERVISOR, WORKER, "a question of the control process"),
    Message("stop", SUPERVISOR, WORKER, "accept no more, finish, end"),
    Message("answer", WORKER, SUPERVISOR, "done, or why not"),
    Message("answer", SUPERVISOR, CONTROL, "done, or why not", "the table, once"),
)

NAMES: Final = frozenset(message.name for message in MESSAGES)
