"""core/spec.py: defaults with their reasons, and how an address is written."""

from dataclasses import fields, is_dataclass

import pytest

from steelyard.core import spec

CLASSES = [value for value in vars(spec).values() if isinstance(value, type) and is_dataclass(value)]


@pytest.mark.parametrize(("host", "address"), [("10.0.0.1", "10.0.0.1:80"), ("a.b", "a.b:80"), ("::1", "[::1]:80")])
def test_an_ipv6_host_stands_in_brackets(host: str, address: str) -> None:
    assert address == spec.BackendSpec(host, 80).address


def test_a_listener_on_a_unix_socket_is_called_by_its_path() -> None:
    assert "unix:/run/lb.sock" == spec.ListenerSpec("web", "", 0, (), path="/run/lb.sock").address
    assert "[::]:80" == spec.ListenerSpec("web", "::", 80, ()).address


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_simple_default_says_why(cls: type) -> None:
    """Parts that are not given match everything, and nested groups have reasons of their own."""
    silent = [f.name for f in fields(cls) if isinstance(f.default, str | int | float) and not f.metadata.get("why")]
    assert [] == silent
