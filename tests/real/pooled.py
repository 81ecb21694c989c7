"""Configurations of one listener and one pool whose way to choose is what a test is about."""

from collections.abc import Mapping
from typing import Any

from tests.real.client import HOST
from tests.real.support import Config, one_pool


def pooled(
    ports: list[int],
    policy: Mapping[str, Any],
    *,
    each: Mapping[str, Any] | None = None,
    sticky: Mapping[str, Any] | None = None,
    pool: Mapping[str, Any] | None = None,
    trusted: bool = False,
) -> Config:
    """One listener, one pool of backends on these ports.

    policy, sticky: as in the configuration; pool: whatever else the pool has; each: what every backend has beside its
    address. trusted: clients may say who they are, by X-Forwarded-For.
    """
    backends = [{"address": f"{HOST}:{port}", **(each or {})} for port in ports]
    more = {} if sticky is None else {"sticky": dict(sticky)}
    listener = {"trusted_proxies": [f"{HOST}/32"]} if trusted else {}
    return one_pool(*backends, listener=listener, pool={"policy": dict(policy), **more, **(pool or {})})
