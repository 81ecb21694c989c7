"""Addresses and names as they are written in a configuration: binds, backends, hosts, networks, tokens.

Nothing is looked up: a host name is checked for its form only (a name that does not resolve today may do so
tomorrow). Forms: RFC 3986 section 3.2.2 (hosts), RFC 9110 section 5.6.2 (tokens).
Pure functions; every error is a `Fault` that says what to write instead.
"""

import ipaddress
import posixpath
import re
from typing import Final

from steelyard.control.fault import Fault
from steelyard.core.spec import UNIX

# Of Linux's sun_path, 108 bytes, one is the end (unix(7)).
_MAX_PATH_BYTES: Final = 107
_EXAMPLE_PATH: Final = "/run/steelyard/web.sock"

_PORT = re.compile(r"[0-9]{1,10}")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Most backends of a large pool are written so, and ipaddress takes ten times as long to say yes.
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}")
# What Linux lets an interface be called (IFNAMSIZ is 16 with the end), short of signs that nobody uses.
_ZONE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://(.*)", re.DOTALL)


def parse_bind(text: str) -> tuple[str, int] | str:
    """(host, port) of `host:port`, `[::]:port` or `:port` (all IPv4 addresses), or the path of `unix:/path`.

    Port 0 is any free one.
    """
    if text.startswith(UNIX):
        return _socket_path(text.removeprefix(UNIX))
    if _PORT.fullmatch(text):
        raise Fault("has no host", f"write :{text} for every address, or 127.0.0.1:{text} for this machine alone")
    host, port = _split(text, "8080")
    if host == "*":
        raise Fault("names every address with '*'", f"write 0.0.0.0:{port}, or [::]:{port} for IPv6")
    return _host(host) if host else "0.0.0.0", _port(port, lowest=0)


def parse_backend(text: str) -> tuple[str, int] | str:
    """(host, port) of `host:port`, `[::1]:port` or `http://host:port`, or the path of `unix:/path`."""
    if text.startswith(UNIX):
        return _socket_path(text.removeprefix(UNIX))
    scheme = _SCHEME.fullmatch(text)
    if scheme is not None:
        bare = scheme[2].partition("/")[0] or "localhost:8000"
        if scheme[1].lower() != "http":
            raise Fault(f"begins with {scheme[1]}://, but backends are spoken to in plain HTTP", f"write {bare}")
        if "/" in scheme[2]:
            raise Fault("has a path, but the path is the request's", f"write {bare}")
        text = scheme[2]
    if _PORT.fullmatch(text):
        raise Fault("has no host", f"write localhost:{text}")
    host, port = _split(text, "8000")
    if not host:
        raise Fault("has no host", f"write localhost:{port}")
    return _host(host), _port(port, lowest=1)


def parse_host_pattern(text: str) -> str:
    """A host to match, in lower case: `example.org`, `*.example.org` or an IP address."""
    if text.startswith("*."):
        below = _host(text[2:]).lower()
        if ":" in below or below.rpartition(".")[2].isdigit():
            raise Fault("has a '*' before an IP address", f"write {below}")
        return "*." + below
    if text.startswith("[") and text.endswith("]"):
        return f"[{_host(text[1:-1])}]".lower()
    if text.count(":") == 1:
        raise Fault("has a port, which is not looked at when hosts are compared", f"write {text.partition(':')[0]}")
    if ":" in text:
        return f"[{_host(text)}]".lower()
    if "*" in text:
        raise Fault("has a '*' that is not the first label", "write *.example.org, or take the key out to match all")
    return _host(text).lower()


def parse_network(text: str) -> str:
    """An IP address or a network such as `10.0.0.0/8`, as written."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        try:
            meant = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise Fault("is not an IP address or network", "write 10.0.0.1 or 10.0.0.0/8") from None
        raise Fault("has bits set behind its prefix", f"write {meant}") from None
    return text


def is_token(text: str) -> bool:
    """Whether text can be a header's or a method's name."""
    return _TOKEN.fullmatch(text) is not None


def _socket_path(path: str) -> str:
    """A path that the kernel can bind, in its one form: two listeners on one file are seen by comparing them."""
    if not path:
        raise Fault("has no path", f"write {UNIX}{_EXAMPLE_PATH}")
    if not path.isprintable():
        raise Fault("has a path with a character that cannot be seen", "take it out")
    if not path.startswith("/"):
        # Where a balancer is started from says nothing about where its clients look.
        raise Fault(f"has the path {path!r}, which is not absolute", f"write {UNIX}{_EXAMPLE_PATH}")
    normal = "/" + posixpath.normpath(path).lstrip("/")
    if normal != path:
        raise Fault("has a path that can be written shorter", f"write {UNIX}{normal}")
    size_bytes = len(path.encode())
    if size_bytes > _MAX_PATH_BYTES:
        message = f"has a path of {size_bytes} bytes, and the kernel takes {_MAX_PATH_BYTES}"
        raise Fault(message, f"use a shorter one, such as {UNIX}{_EXAMPLE_PATH}")
    return path


def _split(text: str, example_port: str) -> tuple[str, str]:
    """Host (without brackets) and port, both unchecked."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise Fault("has no closing bracket", f"write [{host.rpartition(':')[0] or host}]:{example_port}")
        if not rest.startswith(":") or len(rest) == 1:
            raise Fault("has no port", f"write [{host}]:{example_port}")
        if ":" not in host:
            raise Fault("has brackets around what is not an IPv6 address", f"write {host}{rest}")
        return host, rest[1:]
    if text.count(":") > 1:
        raise Fault("has more than one colon", f"put brackets around an IPv6 address: [{text}]:{example_port}")
    host, _, port = text.partition(":")
    if not port:
        raise Fault("has no port", f"write {host or 'localhost'}:{example_port}")
    return host, port


def _port(text: str, lowest: int) -> int:
    if not _PORT.fullmatch(text):
        raise Fault(f"has the port {text!r}, which is not a number", f"use a port from {lowest} to 65535")
    if not lowest <= int(text) <= 65535:
        raise Fault(f"has the port {text}, which does not exist", f"use a port from {lowest} to 65535")
    return int(text)


def _host(text: str) -> str:
    """A host name or an IP address without brackets."""
    if _IPV4.fullmatch(text):
        return text
    labels = text.removesuffix(".").split(".")
    if ":" in text or labels[-1].isdigit():
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise Fault(f"has the host {text!r}, which is not an IP address") from None
        _, percent, zone = text.partition("%")
        if percent and not _ZONE.fullmatch(zone):
            mend = "write its name or number, as in fe80::1%eth0"
            raise Fault(f"has the zone {zone!r}, which is not an interface", mend)
        return text
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise Fault(f"has the host {text!r}, which is not a host name", "use letters, digits, '-' and '.'")
    return text
