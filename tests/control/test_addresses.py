"""Addresses are read in the forms that people write, and whoever wrote another one is told which."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.control import addresses
from steelyard.control.fault import Fault
from steelyard.core.spec import format_address
from tests.control.said import fault

SHORTER = "and the kernel takes 107; use a shorter one, such as unix:/run/steelyard/web.sock"
NO_ZONE = "which is not an interface; write its name or number, as in fe80::1%eth0"


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (("0.0.0.0", 8080), "0.0.0.0:8080"),
        (("0.0.0.0", 8080), ":8080"),
        (("::", 8080), "[::]:8080"),
        (("::1", 0), "[::1]:0"),
        (("fe80::1%eth0", 80), "[fe80::1%eth0]:80"),
        (("fe80::1%2", 80), "[fe80::1%2]:80"),
        (("fe80::1%br-0123_a.1000", 80), "[fe80::1%br-0123_a.1000]:80"),
        (("localhost", 65535), "localhost:65535"),
        (("my_app-1.example.org.", 80), "my_app-1.example.org.:80"),
        ("/run/lb.sock", "unix:/run/lb.sock"),
        ("/run/a b/é.sock", "unix:/run/a b/é.sock"),
        ("/" + "a" * 106, "unix:/" + "a" * 106),
    ],
)
def test_a_bind_is_a_host_and_a_port_or_the_path_of_a_socket(expected: object, text: str) -> None:
    assert expected == addresses.parse_bind(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("has no host; write :8080 for every address, or 127.0.0.1:8080 for this machine alone", "8080"),
        ("has no path; write unix:/run/steelyard/web.sock", "unix:"),
        ("has the path 'lb.sock', which is not absolute; write unix:/run/steelyard/web.sock", "unix:lb.sock"),
        ("has the path '@lb', which is not absolute; write unix:/run/steelyard/web.sock", "unix:@lb"),
        ("has a path that can be written shorter; write unix:/run/lb.sock", "unix:///run/lb.sock"),
        ("has a path that can be written shorter; write unix:/run/lb.sock", "unix://run/./x/../lb.sock"),
        ("has a path that can be written shorter; write unix:/run", "unix:/run/"),
        ("has a path with a character that cannot be seen; take it out", "unix:/run/lb\n.sock"),
        (f"has a path of 108 bytes, {SHORTER}", "unix:/" + "a" * 107),
        (f"has a path of 109 bytes, {SHORTER}", "unix:/" + "é" * 54),
        ("names every address with '*'; write 0.0.0.0:80, or [::]:80 for IPv6", "*:80"),
        ("has no port; write localhost:8080", "localhost"),
        ("has no port; write localhost:8080", "localhost:"),
        ("has no port; write localhost:8080", ""),
        ("has no port; write localhost:8080", ":"),
        ("has no port; write [::]:8080", "[::]"),
        ("has no port; write [::]:8080", "[::]:"),
        ("has no port; write [::]:8080", "[::]80"),
        ("has no closing bracket; write [::1]:8080", "[::1:80"),
        ("has no closing bracket; write [1]:8080", "[1"),
        ("has more than one colon; put brackets around an IPv6 address: [::1]:8080", "::1"),
        ("has brackets around what is not an IPv6 address; write localhost:80", "[localhost]:80"),
        ("has the port 'x', which is not a number; use a port from 0 to 65535", "a:x"),
        ("has the port '-1', which is not a number; use a port from 0 to 65535", "a:-1"),
        ("has the port 65536, which does not exist; use a port from 0 to 65535", "a:65536"),
        ("has the host '256.0.0.1', which is not an IP address", "256.0.0.1:80"),
        ("has the host '10.0.1', which is not an IP address", "10.0.1:80"),
        ("has the host ':::', which is not an IP address", "[:::]:80"),
        (f"has the zone '\\x00', {NO_ZONE}", "[fe80::1%\0]:80"),
        (f"has the zone 'é', {NO_ZONE}", "[fe80::1%é]:80"),
        (f"has the zone 'a b', {NO_ZONE}", "[fe80::1%a b]:80"),
        (f"has the zone '{'a' * 16}', {NO_ZONE}", f"[fe80::1%{'a' * 16}]:80"),
        ("has the host 'fe80::1%', which is not an IP address", "[fe80::1%]:80"),
        ("has the host 'a b', which is not a host name; use letters, digits, '-' and '.'", "a b:80"),
        ("has the host 'a..b', which is not a host name; use letters, digits, '-' and '.'", "a..b:80"),
        ("has the host '-a', which is not a host name; use letters, digits, '-' and '.'", "-a:80"),
    ],
)
def test_a_wrong_bind_says_what_to_write(expected: str, text: str) -> None:
    assert expected == fault(addresses.parse_bind, text)


def test_a_host_name_has_at_most_253_characters() -> None:
    long = ".".join(["a" * 63] * 4)
    assert f"has the host {long!r}, which is not a host name; use letters, digits, '-' and '.'" == fault(
        addresses.parse_bind, f"{long}:80"
    )
    assert (long[:253], 80) == addresses.parse_bind(f"{long[:253]}:80")
    assert f"has the host {long[:254]!r}" in fault(addresses.parse_bind, f"{long[:254]}:80")


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (("localhost", 8000), "localhost:8000"),
        (("localhost", 8000), "http://localhost:8000"),
        (("10.0.0.1", 1), "HTTP://10.0.0.1:1"),
        (("::1", 8000), "[::1]:8000"),
        (("::1", 8000), "http://[::1]:8000"),
        (("fe80::1%eth0", 8000), "[fe80::1%eth0]:8000"),
    ],
)
def test_a_backend_is_a_host_and_a_port_with_or_without_http(expected: tuple[str, int], text: str) -> None:
    assert expected == addresses.parse_backend(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("has no host; write localhost:8000", "8000"),
        ("has no host; write localhost:8000", ":8000"),
        ("has no port; write localhost:8000", "localhost"),
        ("has no port; write localhost:8000", "http://localhost"),
        ("has a path, but the path is the request's; write a:1", "http://a:1/"),
        ("has a path, but the path is the request's; write localhost:8000", "http:///x"),
        ("begins with https://, but backends are spoken to in plain HTTP; write a:443", "https://a:443/x"),
        ("begins with tcp://, but backends are spoken to in plain HTTP; write a:1", "tcp://a:1"),
        (f"has the zone '\\x00', {NO_ZONE}", "[fe80::1%\0]:80"),
        ("has the port 0, which does not exist; use a port from 1 to 65535", "a:0"),
        ("has the port 70000, which does not exist; use a port from 1 to 65535", "a:70000"),
    ],
)
def test_a_wrong_backend_says_what_to_write(expected: str, text: str) -> None:
    assert expected == fault(addresses.parse_backend, text)


@given(st.ip_addresses().map(str) | st.sampled_from(["localhost", "a.example.org"]), st.integers(1, 65535))
def test_a_written_address_is_read_as_the_same_one(host: str, port: int) -> None:
    assert (host, port) == addresses.parse_bind(format_address(host, port))
    assert (host, port) == addresses.parse_backend(format_address(host, port))


@given(st.text(max_size=20))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    for parse in (addresses.parse_bind, addresses.parse_backend, addresses.parse_host_pattern, addresses.parse_network):
        with suppress(Fault):
            assert parse(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("example.org", "Example.ORG"),
        ("*.example.org", "*.Example.org"),
        ("10.0.0.1", "10.0.0.1"),
        ("[::1]", "[::1]"),
        ("[fe80::a]", "FE80::A"),
    ],
)
def test_a_host_to_match_is_compared_in_lower_case(expected: str, text: str) -> None:
    assert expected == addresses.parse_host_pattern(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("has a port, which is not looked at when hosts are compared; write a.org", "a.org:80"),
        ("has a '*' that is not the first label; write *.example.org, or take the key out to match all", "a.*.org"),
        ("has a '*' that is not the first label; write *.example.org, or take the key out to match all", "*"),
        ("has the host 'a/b', which is not a host name; use letters, digits, '-' and '.'", "a/b"),
        ("has a '*' before an IP address; write ::1", "*.::1"),
        ("has a '*' before an IP address; write 10.0.0.1", "*.10.0.0.1"),
        ("has the host 'x::', which is not an IP address", "x::"),
    ],
)
def test_a_wrong_host_to_match_says_what_to_write(expected: str, text: str) -> None:
    assert expected == fault(addresses.parse_host_pattern, text)


@pytest.mark.parametrize("text", ["10.0.0.0/8", "127.0.0.1", "::1", "fd00::/8"])
def test_a_network_is_kept_as_written(text: str) -> None:
    assert text == addresses.parse_network(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("has bits set behind its prefix; write 10.0.0.0/8", "10.1.2.3/8"),
        ("is not an IP address or network; write 10.0.0.1 or 10.0.0.0/8", "localhost"),
        ("is not an IP address or network; write 10.0.0.1 or 10.0.0.0/8", "10.0.0.0/33"),
    ],
)
def test_a_wrong_network_says_what_to_write(expected: str, text: str) -> None:
    assert expected == fault(addresses.parse_network, text)


def test_a_token_is_what_rfc_9110_says() -> None:
    assert addresses.is_token("X-Real_IP!#$%&'*+.^`|~")
    for text in ("", "a b", "a:b", "é", "a\n", "(a)"):
        assert not addresses.is_token(text)
