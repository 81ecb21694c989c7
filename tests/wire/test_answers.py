"""wire/answers.py: the answers that the balancer gives itself."""

import h11
import pytest

from steelyard import errors
from steelyard.errors import KINDS, Kind
from steelyard.wire.answers import fixed_answer, reason, refusal

ANSWERED = [kind for kind in KINDS.values() if kind.status]


def read(answer: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    """The answer as a strict client understands it; fails on bytes that are left over."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(answer)
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert b"" == client.trailing_data[0]
    return head, body


def test_a_fixed_answer_has_its_type_its_length_and_its_body() -> None:
    assert (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK"
    ) == fixed_answer(200, b"OK", "text/plain", b"Connection: close\r\n", False)


def test_the_answer_to_head_says_the_length_and_leaves_the_body_out() -> None:
    answer = fixed_answer(200, b"OK", "text/plain", b"", True)
    assert b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n" == answer
    assert b"" == read(answer, "HEAD")[1]


@pytest.mark.parametrize("status", [100, 103, 204, 304])
def test_a_status_without_a_body_gets_none_even_if_one_is_given(status: int) -> None:
    answer = fixed_answer(status, b"HTTP/1.1 200 OK\r\n\r\n", "text/plain", b"", False)
    assert f"HTTP/1.1 {status} {reason(status)}\r\n\r\n".encode() == answer


@pytest.mark.parametrize("status", [200, 205, 301, 404, 503, 599])
def test_any_other_status_says_the_length_of_its_body_even_of_none(status: int) -> None:
    head, body = read(fixed_answer(status, b"", "text/plain", b"", False))
    assert status == head.status_code
    assert b"0" == dict(head.headers)[b"content-length"]
    assert b"" == body


def test_a_status_that_nobody_has_named_has_no_reason() -> None:
    assert "Not Found" == reason(404)
    assert "" == reason(599)
    assert fixed_answer(599, b"", "text/plain", b"", False).startswith(b"HTTP/1.1 599 \r\n")


@pytest.mark.parametrize("kind", ANSWERED, ids=lambda kind: kind.word)
def test_a_refusal_has_the_status_and_the_sentence_of_its_kind(kind: Kind) -> None:
    head, body = read(refusal(kind, b"Connection: close\r\n", False))
    fields = dict(head.headers)
    assert kind.status == head.status_code
    assert f"{kind.status} {reason(kind.status)}\n{kind.text}\n".encode() == body
    assert b"close" == fields[b"connection"]
    assert b"text/plain; charset=utf-8" == fields[b"content-type"]
    assert (kind.status in (429, 503)) == (b"retry-after" in fields)
    assert (kind.status == 405) == (b"allow" in fields)


def test_a_refusal_of_head_has_no_body() -> None:
    head, body = read(refusal(errors.NONE_UP, b"", True), "HEAD")
    assert 503 == head.status_code
    assert b"" == body
    assert b"1" == dict(head.headers)[b"retry-after"]
