"""Which route a request takes: the first one whose every condition holds.

Lazy: the request is asked (`request.get("path")`, `"host"`, `"method"`, `"content_type"`, `"header:NAME"`) only
for what a route's conditions need, and a router whose first route takes everything (`only`) asks for nothing.
Paths are compared in their normal form. Where a path can be read in several ways (paths.py), all readings must
lead to the same route, or a backend that reads it differently would serve what another route should have: such a
request is AMBIGUOUS and the proxy refuses it.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from steelyard.core.paths import decoded, readings
from steelyard.core.spec import RouteSpec


class Asked(Protocol):
    """What the router needs of a request."""

    def get(self, name: str, /) -> str | None:
        """The named part, or None when the request has none."""
        ...


class Route:
    """A route ready for use: its conditions, and room for what the proxy attaches.

    pool, respond, limit: the proxy's own objects for what the specification names, None for none. max_body_bytes: -1
    for no limit.
    takes_all: whether it has no condition at all.
    """

    def __init__(self, spec: RouteSpec) -> None:
        self.spec = spec
        self.pool: object = None
        self.respond: object = None
        self.limit: object = None
        self.max_body_bytes = -1 if spec.max_body_bytes is None else spec.max_body_bytes
        self.priority = spec.priority
        self.prefix = spec.path is not None and spec.path.endswith("*")
        self.path = None if spec.path is None else decoded(spec.path.removesuffix("*"))
        self.methods = spec.methods
        self.hosts = tuple([_bare_host(host) for host in spec.hosts])
        self.headers = tuple([(f"header:{name}", value) for name, value in spec.headers])
        self.content_type = None if spec.content_type is None else spec.content_type.lower()
        if self.prefix and self.path == "/":
            self.path = None  # every path begins so, and `*` (OPTIONS) is nobody else's
        self.takes_all = (
            self.path is None and not (self.methods or self.hosts or self.headers) and self.content_type is None
        )

    def matches_path(self, path: str) -> bool:
        """Whether the path's condition holds; path: one reading of the request's."""
        if self.path is None:
            return True
        return path.startswith(self.path) if self.prefix else path == self.path

    def matches_rest(self, request: Asked) -> bool:
        """Whether all conditions but the path's hold."""
        if self.methods and request.get("method") not in self.methods:
            return False
        if self.hosts and not _host_matches(request.get("host"), self.hosts):
            return False
        if self.content_type is not None and not _type_matches(request.get("content_type"), self.content_type):
            return False
        for name, wanted in self.headers:
            value = request.get(name)
            if value is None or (wanted != "*" and value != wanted):
                return False
        return True


AMBIGUOUS: Final = Route(RouteSpec())


class Router:
    """The routes of one listener, in order. only: the first route when it takes everything, else None."""

    def __init__(self, routes: Sequence[RouteSpec]) -> None:
        self.routes = tuple([Route(spec) for spec in routes])
        self.only = self.routes[0] if self.routes and self.routes[0].takes_all else None
        self.asks_path = bool([route for route in self.routes if route.path is not None])

    def match(self, request: Asked) -> Route | None:
        """The request's route; None when there is none, AMBIGUOUS when its path can be read as several."""
        if self.only is not None:
            return self.only
        if not self.asks_path:
            return self.first(request, "")
        paths = readings(request.get("path") or "")
        chosen = self.first(request, paths[0])
        for path in paths[1:]:
            if self.first(request, path) is not chosen:
                return AMBIGUOUS
        return chosen

    def first(self, request: Asked, path: str) -> Route | None:
        """The first route that takes the request when its path is read so."""
        for route in self.routes:
            if route.matches_path(path) and route.matches_rest(request):
                return route
        return None


def _bare_host(host: str) -> str:
    """A host as compared: lower case, without port and final dot; the brackets of an IPv6 address stay."""
    bare, colon, port = host.rpartition(":")
    if colon and (port.isdigit() or not port) and not bare.endswith(":"):
        host = bare
    return host.lower().removesuffix(".")


def _host_matches(host: str | None, wanted: tuple[str, ...]) -> bool:
    if host is None:
        return False
    bare = _bare_host(host)
    for pattern in wanted:
        if bare == pattern or (pattern.startswith("*.") and bare.endswith(pattern[1:]) and len(bare) >= len(pattern)):
            return True
    return False


def _type_matches(value: str | None, wanted: str) -> bool:
    """Media types without their parameters (RFC 9110 section 8.3.1); `type/*` takes any subtype."""
    if value is None:
        return False
    bare = value.partition(";")[0].strip().lower()
    return bare.startswith(wanted[:-1]) if wanted.endswith("/*") else bare == wanted
