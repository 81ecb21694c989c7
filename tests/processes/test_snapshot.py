"""A configuration in force travels as bytes, and comes out as it went in."""

import asyncio
from dataclasses import replace

import pytest

from steelyard.control import config
from steelyard.control.changes import changes
from steelyard.control.ledger import Ledger
from steelyard.control.unshown import Filled
from steelyard.core.spec import PolicySpec, Spec
from steelyard.processes.snapshot import PACKET, Snapshot, pack, unpack
from tests.fakes_core import a_table

EVERYTHING = """
workers: 3
access_log: ${LOG}
drain_timeout: 5s
listeners:
  web:
    bind: '[::1]:8080'
    trusted_proxies: [10.0.0.0/8]
    timeouts: {idle: 20s}
    routes:
      - {path: /health, respond: {status: 200, body: OK}}
      - {host: [a.org, '*.b.org'], methods: [GET], headers: {X-A: '*'}, pool: app}
      - {content_type: image/*, pool: other, max_body: 1MiB}
  local: {bind: 'unix:/run/a.sock', pool: other}
pools:
  app:
    policy: {name: hash, key: 'header:X-User'}
    backends: [a:1, {address: b:2, weight: 3, max_connections: 200}, {address: c:3, backup: true}]
    sticky: {cookie: lb, secret: '${SECRET}'}
    health_check: {kind: http, path: /health}
    retry: {tries: 3}
  other: {policy: least_connections, backends: [d:4]}
"""
ENVIRON = {"LOG": "/var/log/a.log", "SECRET": "0123456789abcdef"}


def snapshot(spec: Spec) -> Snapshot:
    rows = sum(len(pool.backends) for pool in spec.pools) + 20
    return Snapshot(7, spec, Ledger(a_table(rows)).plan(spec))


async def travelled(one: Snapshot) -> tuple[Snapshot, int]:
    """As it comes out, and how often it rested on the way."""
    rests = 0

    async def rest() -> None:
        nonlocal rests
        rests += 1
        await asyncio.sleep(0)

    return await unpack(pack(one), rest), rests


@pytest.mark.parametrize("text", [EVERYTHING, "listeners: {up: {bind: ':1', routes: [{respond: {}}]}}"])
async def test_it_comes_out_as_it_went_in(text: str) -> None:
    one = snapshot(config.loads(text, environ=ENVIRON))
    found, _ = await travelled(one)
    assert one == found
    assert [] == changes(one.spec, found.spec)


async def test_a_secret_comes_too_and_stays_untold() -> None:
    """The other process signs with it and compares it, and must not print it."""
    found, _ = await travelled(snapshot(config.loads(EVERYTHING, environ=ENVIRON)))
    other = config.loads(EVERYTHING, environ={**ENVIRON, "SECRET": "fedcba9876543210"})
    assert ENVIRON["SECRET"] == getattr(found.spec.pools[0].sticky, "secret", None)
    assert {(None, None)} == {(one.before, one.after) for one in changes(found.spec, other)}


async def test_an_option_from_the_environment_comes_with_how_it_was_written() -> None:
    token = Filled("0123", raw="${TOKEN}")
    spec = config.loads("listeners: {web: {bind: ':1', pool: a}}\npools: {a: {backends: [b:1]}}")
    own = replace(spec.pools[0], policy=PolicySpec("mine:pick", options=(("token", token),)))
    found, _ = await travelled(snapshot(replace(spec, pools=(own,))))
    ((_, came),) = found.spec.pools[0].policy.options
    assert isinstance(came, Filled)
    assert (token, "${TOKEN}") == (came, came.raw)


@pytest.mark.parametrize(("backends", "rests"), [(1, 1), (PACKET, 1), (PACKET + 1, 2), (3 * PACKET, 3)])
async def test_many_backends_come_in_packets_with_a_rest_before_each(backends: int, rests: int) -> None:
    text = {"backends": [f"h:{port}" for port in range(1, backends + 1)]}
    one = snapshot(config.from_mapping({"listeners": {"web": {"bind": ":1", "pool": "a"}}, "pools": {"a": text}}))
    assert (one, rests) == await travelled(one)
