"""Backends that fail before they answer, and that a client does not see it: docs/cases.md E 47, 48, 50 to 52."""

from typing import Final

import pytest

from tests.real.backends import Script, Talk, backend, echo_name
from tests.real.client import request
from tests.real.stage import stage
from tests.real.support import free_port, free_ports, one_pool, running

SAFE: Final = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]


async def reset_unread(talk: Talk) -> None:
    """Accept, and reset at once: before the request can be answered."""
    talk.reset()


async def reset_after_request(talk: Talk) -> None:
    await talk.request()
    talk.reset()


async def close_after_request(talk: Talk) -> None:
    await talk.request()


@pytest.mark.parametrize("method", [*SAFE, "POST", "PATCH"])
async def test_a_refused_connection_is_retried_elsewhere_whatever_the_method(method: str) -> None:
    """Case 47: no byte was sent, so nothing can be done twice."""
    dead = free_port()
    async with backend() as behind, running(one_pool(dead, behind.port)) as lb:
        client = await lb.client()
        client.send(request(method, "/", body=b"hello"))
        assert 200 == (await client.answer(to_head=method == "HEAD")).status
        assert [b"hello"] == [seen.body for seen in behind.requests]
        assert [2] == [record.tries for record in lb.records]


async def test_with_every_backend_refusing_the_client_hears_502() -> None:
    """Case 47: each is asked once."""
    async with running(one_pool(*free_ports(3))) as lb:
        answer = await lb.ask()
        assert 502 == answer.status
        assert (3, "connect_failed") == (lb.records[0].tries, lb.records[0].word)


@pytest.mark.parametrize("script", [reset_after_request, close_after_request, reset_unread])
@pytest.mark.parametrize("method", SAFE)
async def test_a_backend_that_dies_before_its_answer_is_survived_by_safe_methods(script: Script, method: str) -> None:
    """Case 52: another backend answers, and the client notices nothing."""
    async with stage(script, echo_name) as (lb, behind):
        client = await lb.client()
        client.send(request(method, "/", body=b"hello" if method == "PUT" else b""))
        assert 200 == (await client.answer(to_head=method == "HEAD")).status
        assert [1, 1] == [len(one.talks) for one in behind]


@pytest.mark.parametrize("script", [reset_after_request, close_after_request])
@pytest.mark.parametrize("body", [b"hello", b""])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_request_that_may_not_run_twice_is_not_sent_twice(script: Script, method: str, body: bytes) -> None:
    """Case 48: 502, for nobody knows what the backend did before it died, and nothing may be done twice."""
    async with stage(script, echo_name) as (lb, behind):
        client = await lb.client()
        client.send(request(method, "/", body=body))
        assert 502 == (await client.answer()).status
        assert [1, 0] == [len(one.requests) for one in behind]
        assert ["closed_early"] == lb.words()


@pytest.mark.parametrize("method", SAFE)
async def test_a_kept_connection_that_dies_under_a_request_is_replaced_at_the_same_backend(method: str) -> None:
    """Case 48: the commonest 502 of proxies. The backend gives no sign until the request is there."""

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.answer(b"first")
        await talk.head()
        talk.reset()

    async with stage(script) as (lb, (one,)):
        client = await lb.client()
        for _ in range(2):
            client.send(request(method, "/"))
            assert 200 == (await client.answer(to_head=method == "HEAD")).status
        assert 2 == len(one.talks)
        assert ["-", "-"] == lb.words()
        assert 0 == lb.balancer.pool("web").backends[0].failures


@pytest.mark.parametrize("body", [b"hello", b""])
async def test_a_post_on_a_kept_connection_that_dies_under_it_is_a_502(body: bytes) -> None:
    """Case 48: it was written, so it may have run."""

    async def script(talk: Talk) -> None:
        await talk.request()
        talk.answer(b"first")
        await talk.head()
        talk.reset()

    async with stage(script) as (lb, (one,)):
        client = await lb.client()
        assert 200 == (await client.ask()).status
        client.send(request("POST", "/", body=body))
        assert 502 == (await client.answer()).status
        assert 1 == len(one.talks)
        assert ["-", "stale"] == lb.words()


async def test_a_body_too_large_to_be_held_is_not_sent_again() -> None:
    """PUT is safe to repeat, but there is nothing left to repeat: 502, and nothing half sent elsewhere."""
    async with stage(reset_after_request, echo_name, retry={"hold_body": "1KiB"}) as (lb, behind):
        client = await lb.client()
        client.send(request("PUT", "/", body=b"x" * 100_000))
        assert 502 == (await client.answer()).status
        assert [] == behind[1].talks


async def test_a_held_body_is_sent_again_whole() -> None:
    """64 KiB by default."""
    body = bytes(range(256)) * 200
    async with stage(reset_after_request, echo_name) as (lb, behind):
        client = await lb.client()
        client.send(request("PUT", "/", body=body))
        assert 200 == (await client.answer()).status
        assert [body, body] == [one.requests[0].body for one in behind]


@pytest.mark.parametrize(("listed", "status"), [([503], 200), ([], 503)])
async def test_an_answer_of_503_is_retried_only_where_it_is_listed(listed: list[int], status: int) -> None:
    """Case 50."""

    async def sick(talk: Talk) -> None:
        while True:
            await talk.request()
            talk.answer(b"sick", status="503 Service Unavailable")

    async with stage(sick, echo_name, retry={"on_status": listed}) as (lb, behind):
        assert status == (await lb.ask()).status
        client = await lb.client()
        client.send(request("POST", "/", body=b"x"))
        client.send(request("POST", "/", body=b"y"))
        statuses = {(await client.answer()).status for _ in range(2)}
        assert {200, 503} == statuses  # a POST stays where it went
        assert 2 == sum(seen.method == "POST" for one in behind for seen in one.requests)


async def test_failing_backends_are_not_asked_three_times_for_each_request() -> None:
    """Case 51: of 200 requests, 1.2 times as many tries, and the floor of three."""
    async with stage(*[reset_after_request] * 3) as (lb, behind):
        client = await lb.client()
        for _ in range(200):
            assert 502 == (await client.ask()).status
        tries = sum(len(one.requests) for one in behind)
        assert 200 < tries <= 200 * 1.2 + 3
        assert tries == sum(record.tries for record in lb.records)


async def test_tries_at_the_same_backend_come_first_where_they_are_asked_for() -> None:
    """A backend that resets twice and then answers is waited for."""
    left = [reset_after_request, reset_after_request, echo_name]

    async def script(talk: Talk) -> None:
        await left.pop(0)(talk)

    async with stage(script, echo_name, retry={"same_backend": 2, "delay": "10ms"}) as (lb, behind):
        assert b"0" == (await lb.ask()).body
        assert [3, 0] == [len(one.talks) for one in behind]
