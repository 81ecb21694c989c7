"""A configuration in force, as bytes that any process of ours can take: the specification, and whose rows are which.

Backends travel in packets, so that a worker that serves can unpack ten thousand of them in short steps. Pickled: both
ends are the same program, and what a worker is sent comes from its own supervisor alone.
"""

import pickle
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, NamedTuple

from steelyard.control.ledger import Rows
from steelyard.core.spec import BackendSpec, Spec

PACKET: Final = 1000


class Snapshot(NamedTuple):
    """number: counts the configurations of one supervisor, from 1."""

    number: int
    spec: Spec
    rows: Rows


def pack(snapshot: Snapshot) -> bytes:
    """As bytes."""
    pools = snapshot.spec.pools
    packets = [
        [pickle.dumps(pool.backends[at : at + PACKET]) for at in range(0, len(pool.backends), PACKET)] for pool in pools
    ]
    bare = replace(snapshot.spec, pools=tuple(replace(pool, backends=()) for pool in pools))
    return pickle.dumps((snapshot.number, bare, dict(snapshot.rows), packets))


async def unpack(blob: bytes, rest: Callable[[], Awaitable[None]]) -> Snapshot:
    """From bytes. rest: is awaited between two packets."""
    number, bare, rows, packets = pickle.loads(blob)
    pools = []
    for pool, its_packets in zip(bare.pools, packets, strict=True):
        backends: list[BackendSpec] = []
        for packet in its_packets:
            await rest()
            backends += pickle.loads(packet)
        pools.append(replace(pool, backends=tuple(backends)))
    return Snapshot(number, replace(bare, pools=tuple(pools)), rows)
