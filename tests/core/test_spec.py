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


def test_a_backend_is_called_by_its_path_or_by_what_it_is_before_it_has_a_place() -> None:
    assert "unix:/run/app.sock" == spec.BackendSpec("", 0, path="/run/app.sock").address
    run = spec.LocalSpec("app --port {port}", None, 0, name="web/0")
    function = spec.LocalSpec(None, "app:serve", 1, name="web/1")
    assert [("run", "app --port {port}"), ("callable", "app:serve")] == [
        (one.kind, one.command) for one in (run, function)
    ]
    assert "run web/0" == spec.BackendSpec("", 0, local=run).address
    assert "127.0.0.1:20001" == spec.BackendSpec("127.0.0.1", 20001, local=run).address
    assert "unix:/run/1.sock" == spec.BackendSpec("", 0, path="/run/1.sock", local=function).address


def test_a_pool_is_called_by_the_first_thing_that_is_spoken_to_it() -> None:
    assert "http" == spec.PoolSpec("web", ()).protocol
    assert "tcp" == spec.PoolSpec("web", (), protocols=("tcp", "task")).protocol


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_simple_default_says_why(cls: type) -> None:
    """Parts that are not given match everything, and nested groups have reasons of their own."""
    silent = [f.name for f in fields(cls) if isinstance(f.default, str | int | float) and not f.metadata.get("why")]
    assert [] == silent
