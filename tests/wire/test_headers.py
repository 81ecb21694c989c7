"""wire/headers.py: the heads that we send, and who the client is."""

from collections import Counter
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.wire import framing
from steelyard.wire.headers import request_bytes, response_pieces
from steelyard.wire.peer import UNIX_CLIENT, Network, Peer, is_trusted
from tests.wire.three_ways import get, lines, read_request, read_response

OUR_PROXIES: list[Network] = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
ADDRESS = "203.0.113.9"
LOCAL = "192.0.2.1:8080"


def peer(address: str = ADDRESS, scheme: str = "http", networks: list[Network] | None = None) -> Peer:
    return Peer(address, scheme, OUR_PROXIES if networks is None else networks, LOCAL)


def sent(data: bytes, by: Peer | None = None, underscores: bool = False) -> bytes:
    """What a backend gets for this request."""
    by = by or peer()
    return request_bytes(read_request(data, trusted=by.trusted, underscores=underscores), by)


def fields_of(head: bytes) -> list[tuple[bytes, bytes]]:
    """The field lines of a head as (name in lower case, value); fails if they are not all well-formed."""
    start, _, rest = head.partition(b"\r\n")
    assert rest.endswith(b"\r\n") if rest == b"\r\n" else rest.endswith(b"\r\n\r\n")
    found = []
    for line in rest[:-2].split(b"\r\n")[:-1]:
        name, colon, value = line.partition(b":")
        assert name
        assert colon
        assert not set(b"\r\n\0") & set(line)
        found.append((name.lower(), value.strip(b" \t")))
    assert not set(b"\r\n\0") & set(start)
    return found


def values(head: bytes, name: bytes) -> list[bytes]:
    return [value for found, value in fields_of(head) if found == name]


# Requests.


def test_a_request_goes_out_with_our_own_lines_around_what_is_kept() -> None:
    assert (
        b"GET /x HTTP/1.1\r\n"
        b"Host: example.org\r\n"
        b"X-Forwarded-Host: example.org\r\n"
        b"Accept: */*\r\n"
        b"Cookie: a\r\n"
        b"X-Forwarded-For: 203.0.113.9\r\n"
        b"X-Real-IP: 203.0.113.9\r\n"
        b"X-Forwarded-Proto: http\r\n"
        b"Via: 1.1 steelyard\r\n"
        b"\r\n"
    ) == sent(b"GET /x HTTP/1.1\r\nAccept: */*\r\nHost: example.org\r\nConnection: keep-alive\r\nCookie: a\r\n\r\n")


def test_a_length_is_written_anew_in_its_shortest_form() -> None:
    assert [b"5"] == values(sent(get(b"content-length: 0005")), b"content-length")
    assert [b"0"] == values(sent(get(b"Content-Length: 0")), b"content-length")
    assert [b"0"] == values(sent(get(b"Content-Length: 000")), b"content-length")
    assert [b"9" * 18] == values(sent(get(b"Content-Length: " + b"9" * 18)), b"content-length")
    assert [] == values(sent(get()), b"content-length")


def test_chunks_are_announced_anew() -> None:
    assert [b"chunked"] == values(sent(get(b"TRANSFER-Encoding: Chunked")), b"transfer-encoding")


def test_the_version_of_the_client_is_in_via_and_ours_in_the_request_line() -> None:
    head = sent(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    assert head.startswith(b"GET / HTTP/1.1\r\n")
    assert [b"1.0 steelyard"] == values(head, b"via")
    assert [b"1.0 fred", b"1.1 steelyard"] == values(sent(get(b"Via: 1.0 fred")), b"via")


def test_a_request_without_host_gets_our_own_address_and_no_claim_of_another() -> None:
    head = sent(b"GET / HTTP/1.0\r\nX-Forwarded-Host: evil\r\n\r\n")
    assert [LOCAL.encode()] == values(head, b"host")
    assert [] == values(head, b"x-forwarded-host")


def test_a_wish_for_another_protocol_is_written_anew() -> None:
    head = sent(get(b"Upgrade: websocket", b"Connection: close, Upgrade, X", b"X: y", b"TE: trailers"))
    assert [b"Upgrade"] == values(head, b"connection")
    assert [b"websocket"] == values(head, b"upgrade")
    assert [] == values(head, b"te") == values(head, b"x")


def test_a_client_that_takes_trailers_is_told_of() -> None:
    head = sent(get(b"TE: gzip, trailers"))
    assert [b"TE"] == values(head, b"connection")
    assert [b"trailers"] == values(head, b"te")
    assert [] == values(sent(get(b"TE: gzip")), b"te")


def test_a_peer_over_tls_says_https() -> None:
    assert [b"https"] == values(sent(get(), peer(scheme="https")), b"x-forwarded-proto")


def test_a_trusted_proxy_is_believed_and_added_to_the_chain() -> None:
    proxy = peer("10.0.0.1")
    head = sent(
        get(
            b"X-Forwarded-For: 203.0.113.9",
            b"X-Forwarded-Proto: https",
            b"X-Forwarded-Host: public.example",
            b"X-Forwarded-Port: 443",
            b"X-Real-IP: 1.1.1.1",
            b"Forwarded: for=203.0.113.9",
        ),
        proxy,
    )
    assert [b"203.0.113.9, 10.0.0.1"] == values(head, b"x-forwarded-for")
    assert [b"203.0.113.9"] == values(head, b"x-real-ip")
    assert [b"https"] == values(head, b"x-forwarded-proto")
    assert [b"public.example"] == values(head, b"x-forwarded-host")
    assert [b"443"] == values(head, b"x-forwarded-port")
    assert [b"for=203.0.113.9"] == values(head, b"forwarded")
    assert [b"a"] == values(head, b"host")


def test_a_trusted_proxy_that_says_nothing_is_the_client() -> None:
    head = sent(get(), peer("10.0.0.1"))
    assert [b"10.0.0.1"] == values(head, b"x-forwarded-for") == values(head, b"x-real-ip")
    assert [b"http"] == values(head, b"x-forwarded-proto")
    assert [b"a"] == values(head, b"x-forwarded-host")


def test_a_client_on_a_unix_socket_is_nobody_s_ip_address() -> None:
    """Never left out: a backend would take us for the client, and what the client claims is not passed on either."""
    by = peer(UNIX_CLIENT)
    head = sent(get(b"X-Forwarded-For: 127.0.0.1", b"X-Real-IP: 127.0.0.1"), by)
    assert [b"unix:"] == values(head, b"x-forwarded-for") == values(head, b"x-real-ip")
    assert (False, "unix:") == (by.trusted, by.client_of(read_request(get())))


# Who is trusted, and who the client is.


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("11.0.0.1", False),
        ("fd00::1", True),
        ("fd00::1%eth0", True),
        ("fe80::1%eth0", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.0.0.1", False),
        ("::10.1.2.3", False),
        ("10.1.2", False),
        ("010.1.2.3", False),
        ("10.1.2.3:80", False),
        ("[fd00::1]", False),
        ("localhost", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_an_address_is_trusted_when_it_lies_in_one_of_the_networks(address: str, trusted: bool) -> None:
    assert trusted == is_trusted(address, OUR_PROXIES)
    assert trusted == peer(address).trusted
    assert not is_trusted(address, [])
    assert not peer(address, networks=[]).trusted


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        # The right-most address that is no proxy of ours: what lies left of it is a claim.
        ([b"203.0.113.9"], "203.0.113.9"),
        ([b"1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ([b"203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ([b"1.1.1.1, 203.0.113.9, 10.0.0.3, 10.0.0.2"], "203.0.113.9"),
        ([b"10.0.0.9, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        # All of them ours: the first.
        ([b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ([b"10.0.0.1"], "10.0.0.1"),
        # Several fields are one list.
        ([b"1.1.1.1", b"203.0.113.9"], "203.0.113.9"),
        ([b"203.0.113.9", b"10.0.0.2"], "203.0.113.9"),
        ([b"1.1.1.1, 203.0.113.9", b"10.0.0.3,10.0.0.2"], "203.0.113.9"),
        # IPv6, ports, brackets, zones.
        ([b"2001:db8::9"], "2001:db8::9"),
        ([b"2001:DB8:0:0::9"], "2001:db8::9"),
        ([b"[2001:db8::9]"], "2001:db8::9"),
        ([b"[2001:db8::9]:4711"], "2001:db8::9"),
        ([b"203.0.113.9:4711"], "203.0.113.9"),
        ([b"203.0.113.9, [fd00::2]:80, 10.0.0.2:80"], "203.0.113.9"),
        ([b"fe80::9%eth0"], "fe80::9"),
        ([b"fe80::9%\xe4 log forgery"], "fe80::9"),
        # One client has one address.
        ([b"::ffff:203.0.113.9"], "203.0.113.9"),
        ([b"::FFFF:cb00:7109"], "203.0.113.9"),
        ([b"203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9"),
        # Nonsense ends the search: nobody can vouch for what is left of it.
        ([b"unknown"], "10.0.0.1"),
        ([b"203.0.113.9, unknown"], "10.0.0.1"),
        ([b"203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
        ([b"203.0.113.9, _hidden, 10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ([b"203.0.113.9,"], "10.0.0.1"),
        ([b"203.0.113.9,,10.0.0.2"], "10.0.0.2"),
        ([b""], "10.0.0.1"),
        ([b","], "10.0.0.1"),
        ([b"203.0.113.9", b""], "10.0.0.1"),
        ([b"203.0.113.09"], "10.0.0.1"),
        ([b"203.0.113"], "10.0.0.1"),
        ([b"203.0.113.9 10.0.0.2"], "10.0.0.1"),
        ([b"203.0.113.9;10.0.0.2"], "10.0.0.1"),
        ([b"203.0.113.\xb2"], "10.0.0.1"),
        ([b"2001:db8::9:"], "10.0.0.1"),
        ([b"[]"], "10.0.0.1"),
        ([b"["], "10.0.0.1"),
        ([b":80"], "10.0.0.1"),
        ([b"%eth0"], "10.0.0.1"),
        ([b'"203.0.113.9"'], "10.0.0.1"),
        ([b"\t203.0.113.9 "], "203.0.113.9"),
        # White space is what HTTP calls so, and nothing else.
        ([b"\xa0203.0.113.9"], "10.0.0.1"),
    ],
)
def test_the_client_is_the_right_most_address_that_no_trusted_proxy_vouches_away(
    chain: list[bytes], client: str
) -> None:
    proxy = peer("10.0.0.1")
    data = get(*(b"X-Forwarded-For: " + value for value in chain))
    assert client == proxy.client_of(read_request(data, trusted=True))
    assert [client.encode()] == values(sent(data, proxy), b"x-real-ip")
    assert ADDRESS == peer().client_of(read_request(data))
    assert [ADDRESS.encode()] == values(sent(data), b"x-real-ip")


def test_a_peer_whose_address_is_unknown_is_named_so_and_trusted_by_nobody() -> None:
    head = sent(get(b"X-Forwarded-For: 1.1.1.1"), peer("unknown"))
    assert [b"unknown"] == values(head, b"x-forwarded-for") == values(head, b"x-real-ip")


addresses = st.sampled_from(
    ["203.0.113.9", "10.0.0.7", "fd00::7", "2001:db8::9", "::ffff:10.0.0.8", "1.2.3.4:5", "[fd00::9]:1"]
)
claims = st.lists(
    st.sampled_from([b"1.1.1.1", b"10.0.0.4", b"unknown", b"", b"[::1]", b"fd00::4", b"\xe4"]), max_size=4
)


@given(claims, claims, st.sampled_from(["198.51.100.7", "2001:db8::7"]))
def test_whatever_a_client_claims_behind_our_proxies_it_is_itself(
    claimed: list[bytes], more: list[bytes], true: str
) -> None:
    """Two proxies of ours, each adding who it was asked by: the client's own entries stand left of that."""
    chain = [b", ".join([*claimed, *more, true.encode()]), b"10.0.0.2"]
    data = get(*(b"X-Forwarded-For: " + value for value in chain))
    assert true == peer("10.0.0.1").client_of(read_request(data, trusted=True))


# What no client can do.

OURS = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip", b"host", b"content-length")
SHADY = (
    *OURS,
    *(b"connection", b"transfer-encoding", b"keep-alive", b"upgrade", b"te", b"via", b"forwarded", b"proxy"),
    *(b"x-forwarded-port", b"x-forwarded-by", b"x-forwarded-server", b"x-forwarded-ssl", b"cookie"),
)


@st.composite
def disguised(draw: st.DrawFn, names: tuple[bytes, ...] = SHADY) -> bytes:
    """One of the names, in any case, with underscores for any of its hyphens."""
    name = draw(st.sampled_from(names))
    twist = draw(st.sampled_from([bytes.lower, bytes.upper, bytes.title, bytes.swapcase]))
    name = twist(name)
    for place in draw(st.sets(st.integers(0, len(name) - 1), max_size=3)):
        if name[place] == ord("-"):
            name = name[:place] + b"_" + name[place + 1 :]
    return name


@st.composite
def hostile_requests(draw: st.DrawFn) -> bytes:
    claim = st.sampled_from([b"", b"6.6.6.6", b"evil", b"https", b"6.6.6.6, 7.7.7.7", b"127.0.0.1"])
    fields = draw(st.lists(st.builds(lambda n, v: n + b": " + v, disguised(), claim), max_size=6))
    named = draw(st.lists(disguised(), max_size=6))
    fields += [b"Connection: " + b", ".join(named)] * draw(st.integers(0, 2))
    # These alone would have the request refused: it is what gets through that matters here.
    refused = (b"host", b"content-length", b"transfer-encoding")
    fields = [line for line in fields if line.partition(b":")[0].lower() not in refused]
    fields += draw(st.sampled_from([[], [b"Content-Length: 3"], [b"Transfer-Encoding: chunked"]]))
    minor = draw(st.integers(0, 1)) if b"Transfer-Encoding: chunked" not in fields else 1
    fields.append(b"Host: true.example")
    target = draw(st.sampled_from([b"/", b"http://true.example/", b"http://true.example?x"]))
    return b"GET %b HTTP/1.%d\r\n" % (target, minor) + lines(*draw(st.permutations(fields)))


@given(hostile_requests(), st.booleans())
def test_no_client_can_strip_or_forge_what_we_say_of_it(data: bytes, underscores: bool) -> None:
    """By no option of Connection, underscore, case, duplicate, or absolute target."""
    head = sent(data, underscores=underscores)
    # As CGI and WSGI read names: that is how an underscore would become a forgery.
    said: dict[bytes, list[bytes]] = {}
    for name, value in fields_of(head):
        said.setdefault(name.replace(b"_", b"-"), []).append(value)
    assert [ADDRESS.encode()] == said[b"x-forwarded-for"] == said[b"x-real-ip"]
    assert [b"http"] == said[b"x-forwarded-proto"]
    assert [b"true.example"] == said[b"host"] == said[b"x-forwarded-host"]
    claims = {name for name in said if name.startswith((b"x-forwarded", b"forwarded", b"proxy"))}
    assert {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"} == claims
    counted = Counter(name.replace(b"_", b"-") for name, _ in fields_of(head))
    for name in (b"content-length", b"transfer-encoding", b"connection"):
        assert counted[name] <= 1
    assert (b"Content-Length: 3" in data) == (said.get(b"content-length") == [b"3"])
    assert (b"Transfer-Encoding: chunked" in data) == (said.get(b"transfer-encoding") == [b"chunked"])
    assert set(said.get(b"connection", ())) <= {b"TE", b"Upgrade"}


@given(hostile_requests(), st.booleans())
def test_a_client_cannot_strip_what_its_trusted_proxy_says(data: bytes, underscores: bool) -> None:
    """The proxy has passed a hostile request on, with the true fields added at the end."""
    plain = b"\r\n".join(
        line for line in data[:-4].split(b"\r\n") if not line.lower().startswith((b"x-forwarded-", b"forwarded"))
    )
    true = [b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: public.example"]
    head = sent(plain + b"\r\n" + lines(*true, b"X-Forwarded-Port: 443"), peer("10.0.0.1"), underscores)
    assert [b"198.51.100.7, 10.0.0.1"] == values(head, b"x-forwarded-for")
    assert [b"198.51.100.7"] == values(head, b"x-real-ip")
    assert [b"https"] == values(head, b"x-forwarded-proto")
    assert [b"public.example"] == values(head, b"x-forwarded-host")
    assert [b"443"] == values(head, b"x-forwarded-port")


# Answers.


def answer(data: bytes, how: int, connection: bytes = b"") -> bytes:
    return b"".join(response_pieces(read_response(data), how, connection))


def test_an_answer_goes_out_with_its_own_fields_and_our_framing() -> None:
    data = b"HTTP/1.0 200 Fine\r\nServer: s\r\ncontent-length: 007\r\nConnection: close\r\nETag: x\r\n\r\n"
    assert (
        b"HTTP/1.1 200 Fine\r\nServer: s\r\nETag: x\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n"
    ) == answer(data, framing.LENGTH, b"Connection: keep-alive\r\n")


def test_an_answer_of_unknown_length_says_nothing_or_that_we_chunk_it() -> None:
    assert b"HTTP/1.1 200 OK\r\n\r\n" == answer(b"HTTP/1.1 200 OK\r\n\r\n", framing.UNKNOWN)
    assert b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" == answer(
        b"HTTP/1.1 200 OK\r\n\r\n", framing.CHUNKED
    )


@pytest.mark.parametrize(
    ("status", "field", "said"),
    [
        (200, b"Content-Length: 7", b"Content-Length: 7\r\n"),  # to HEAD: what GET would have got
        (304, b"Content-Length: 7", b"Content-Length: 7\r\n"),
        (204, b"Content-Length: 7", b""),
        (100, b"Content-Length: 7", b""),
        (103, b"Content-Length: 7", b""),
        (200, b"Transfer-Encoding: chunked", b""),
        (304, b"Transfer-Encoding: chunked", b""),
        (204, b"Transfer-Encoding: chunked", b""),
        (101, b"Transfer-Encoding: chunked", b""),
    ],
)
def test_an_answer_without_a_body_has_a_length_only_where_that_may_be(status: int, field: bytes, said: bytes) -> None:
    data = b"HTTP/1.1 %d X\r\n%b\r\n\r\n" % (status, field)
    assert b"HTTP/1.1 %d X\r\n%b\r\n" % (status, said) == answer(data, framing.NO_BODY)


def test_what_the_backend_names_in_connection_is_meant_for_us() -> None:
    data = b"HTTP/1.1 200 OK\r\nX-Hop: 1\r\nA: 2\r\nConnection: x-hop, close\r\n\r\n"
    assert b"HTTP/1.1 200 OK\r\nA: 2\r\n\r\n" == answer(data, framing.UNKNOWN)
