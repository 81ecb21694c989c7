"""Stickiness by cookie: a client that brings back what it was given goes where it was before.

The cookie's value is a code of authentication over the backend's address, made with the pool's secret: it tells a
client nothing about the backend, nobody can make one for a backend of his choice, and every balancer with the same
secret and pool reads it. To read one is to look it up: what is not found (forged, stale, of another pool) is a
request without a cookie. No state is kept per client, and a restart changes nothing.
Source: HMAC-SHA-256 (RFC 2104), cut to 128 bits; RFC 6265 for the field.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Final

from steelyard.core.backend import Backend
from steelyard.core.policy import Pick
from steelyard.core.spec import StickySpec

CODE_BYTES: Final = 16  # beyond guessing, as short as can be in every request


class Stickiness:
    """The cookies of one pool. before: those of its last configuration, which need not be made again."""

    def __init__(
        self, spec: StickySpec, pool: str, backends: Sequence[Backend], before: "Stickiness | None" = None
    ) -> None:
        self.spec = spec
        self.cookie = spec.cookie
        self.part = f"cookie:{spec.cookie}"
        known: dict[Backend, str] = {} if before is None or before.spec.secret != spec.secret else before.codes
        codes = {
            backend: known[backend] if backend in known else _code(spec.secret, pool, backend.address)
            for backend in backends
        }
        self.codes: dict[Backend, str] = codes
        self.backend_of = {code: backend for backend, code in codes.items()}
        self.lines = {
            backend: f"{spec.cookie}={code}; Path=/; HttpOnly; SameSite=Lax" for backend, code in codes.items()
        }

    def find(self, request: Pick) -> Backend | None:
        """The backend that the request's cookie names, or None."""
        code = request.get(self.part)
        return None if code is None else self.backend_of.get(code)

    def set_cookie(self, request: Pick, backend: Backend) -> str | None:
        """The value of the answer's Set-Cookie field; None when the client has this cookie already.

        None also where the backend has left the pool while it answered: the next request goes elsewhere anyway.
        """
        return None if self.find(request) is backend else self.lines.get(backend)


def _code(secret: str, pool: str, address: str) -> str:
    code = hmac.digest(secret.encode(), f"{pool}\n{address}".encode(), "sha256")[:CODE_BYTES]
    return urlsafe_b64encode(code).rstrip(b"=").decode()
