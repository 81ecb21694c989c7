"""The request is a browser's, and the answers have their exact sizes."""

from bench.workload import CASES, body, request_head


def test_every_request_has_ten_fields() -> None:
    assert [10] * len(CASES) == [len(case.fields) for case in CASES]


def test_the_smallest_request_has_535_bytes() -> None:
    assert 535 == len(request_head(CASES[0]))
    assert request_head(CASES[0]).startswith(b"GET /small HTTP/1.1\r\nHost: www.example.com\r\n")


def test_bodies_have_their_size_and_no_two_places_alike() -> None:
    assert [95, 10240, 1048576, 95] == [len(body(case.body_bytes)) for case in CASES]
    content = body(10240)[:10232]
    assert len({content[at : at + 8] for at in range(0, len(content), 8)}) == len(content) // 8
