"""A configuration in force, as bytes that any process of ours can take: the specification, and whose rows are which.

Backends travel in packets, so that a worker that serves can unpack ten thousand of them in short steps, and as plain
tuples: a frozen dataclass takes ten times as long to be unpickled as to be made. Pickled: both ends are the same
program and the same user, and the supervisor, who may be root, never unpacks what it passes on.
"""

import pickle
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from operator import attrgetter
from typing import Final, NamedTuple

from steelyard.core.rows import Rows
from steelyard.core.spec import BackendSpec, Spec

PACKET: Final = 1000
_VALUES: Final = attrgetter(*[field.name for field in fields(BackendSpec)])


class Snapshot(NamedTuple):
    """number: counts the configurations of one supervisor, from 1. beside: the directory of its file, or empty."""

    number: int
    spec: Spec
    rows: Rows
    beside: str = ""


def pack(snapshot: Snapshot) -> bytes:
    """As bytes."""
    pools = snapshot.spec.pools
    packets = [
        [
            pickle.dumps([_VALUES(backend) for backend in pool.backends[at : at + PACKET]])
            for at in range(0, len(pool.backends), PACKET)
        ]
        for pool in pools
    ]
    bare = replace(snapshot.spec, pools=tuple(replace(pool, backends=()) for pool in pools))
    return pickle.dumps((snapshot.number, bare, snapshot.rows, snapshot.beside, packets))


async def unpack(blob: bytes, rest: Callable[[], Awaitable[None]]) -> Snapshot:
    """From bytes. rest: is awaited between two packets."""
    number, bare, rows, beside, packets = pickle.loads(blob)
    pools = []
    for pool, its_packets in zip(bare.pools, packets, strict=True):
        backends: list[BackendSpec] = []
        for packet in its_packets:
            await rest()
            backends += [BackendSpec(*values) for values in pickle.loads(packet)]
        pools.append(replace(pool, backends=tuple(backends)))
    return Snapshot(number, replace(bare, pools=tuple(pools)), rows, beside)
