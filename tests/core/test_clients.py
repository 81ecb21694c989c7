"""core/clients.py: which addresses are one client."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.clients import client_key, client_of


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "unix:", "unix:/run/a.sock", "unknown", "", "a:b", "::ffff:1.2.3.400"]
)
def test_an_ipv4_address_and_what_is_no_address_stand_for_themselves(address: str) -> None:
    assert address == client_of(address)


@pytest.mark.parametrize("address", ["::ffff:192.0.2.1", "::FFFF:c000:201", "0:0:0:0:0:ffff:192.0.2.1"])
def test_an_ipv4_address_is_the_same_client_however_it_is_written(address: str) -> None:
    assert "192.0.2.1" == client_of(address)


@given(st.integers(2**64, 2**64 - 1 << 64), st.integers(0, 2**64 - 1), st.sampled_from(["", "%eth0"]))
def test_all_addresses_of_a_64_are_one_client_however_they_are_written(number: int, host: int, zone: str) -> None:
    one, other = IPv6Address(number), IPv6Address(number >> 64 << 64 | host)
    assert client_of(str(one)) == client_of(one.exploded) == client_of(f"{other}{zone}")


def test_another_64_is_another_client() -> None:
    assert 3 == len({client_of(address) for address in ("2001:db8::1", "2001:db8:0:1::1", "2001:db8:1::1")})


def test_a_client_has_one_key_however_its_address_is_written() -> None:
    assert client_key("192.0.2.1") == client_key("::ffff:192.0.2.1") == client_key("192.0.2.1")
    assert client_key("2001:db8::1") == client_key("2001:db8::2")
    assert 3 == len({client_key(address) for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1")})
