"""proxy/task.py: one task a connection, from its first byte to the end of its answer, over fake transports."""

import logging
from array import array
from collections.abc import Callable, Iterator
from socket import socket
from typing import Any

import pytest

from steelyard.core.crowd import Crowd
from steelyard.core.router import Router
from steelyard.core.spec import (
    TASK,
    TCP,
    EjectionSpec,
    ListenerTimeouts,
    PoolTimeouts,
    RespondSpec,
    RetrySpec,
    RouteSpec,
)
from steelyard.proxy.task import LINGER_BYTES, TaskDownstream
from tests.fakes import CLIENT, FakeTransport, Peer, World

ANSWER = b"Response from Worker"
LONG = b"AppID:Long"


class TaskWorld(World):
    """A world whose listener takes tasks."""

    def __init__(self, hosts: str = "abc", **settings: Any) -> None:
        super().__init__(hosts, protocols=(TASK,), **settings)

    def client(
        self, address: str = CLIENT, on_unix: bool = False, speaks: Callable[[Any], Any] = TaskDownstream
    ) -> Peer:
        return super().client(address, on_unix, speaks)

    @property
    def words(self) -> list[str]:
        """How each task has ended, or what was refused before it became one."""
        return [record.word for record in self.records]


@pytest.fixture
def make() -> Iterator[Callable[..., TaskWorld]]:
    """Makes worlds, which are checked when the test has passed."""
    made: list[TaskWorld] = []

    def build(*args: object, **settings: object) -> TaskWorld:
        made.append(TaskWorld(*args, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for world in made:
        world.over()


@pytest.fixture
def world(make: Callable[..., TaskWorld]) -> TaskWorld:
    return make()


def served(world: TaskWorld, client: Peer, host: str) -> None:
    """That worker gets the task, and answers it."""
    worker = world.accept(host)
    worker << LONG
    worker >> ANSWER
    worker.eof()
    client << ANSWER
    assert "closed" == client.end


# The request.


def test_a_task_goes_to_a_worker_and_its_answer_comes_back(world: TaskWorld) -> None:
    client = world.client()
    client >> b"AppID:Long:round_robin"
    assert {"a": 1} == world.in_flight
    served(world, client, "a")
    assert {} == world.in_flight
    (record,) = world.records
    assert ("TASK", "AppID:Long:round_robin", 0, "-", "web") == (
        record.method,
        record.target,
        record.status,
        record.word,
        record.pool,
    )
    assert ("a:80", 1, 22, 20) == (record.backend, record.tries, record.received, record.sent)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_request_may_come_byte_by_byte(world: TaskWorld, end: bytes) -> None:
    client = world.client()
    for at in range(len(data := b"AppID:Long:round_robin" + end)):
        client >> data[at : at + 1]
    served(world, client, "a")
    assert [len(data)] == [record.received for record in world.records]


def test_one_without_an_approach_goes_by_the_pools_policy_after_a_short_while(world: TaskWorld) -> None:
    client = world.client()
    client >> LONG
    assert [] == world.dialled
    world.turn(0.3)
    served(world, client, "a")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_lines_end_makes_it_whole_at_once(world: TaskWorld, end: bytes) -> None:
    client = world.client()
    client >> LONG + end
    served(world, client, "a")


def test_a_client_that_closes_its_side_behind_its_request_is_answered(world: TaskWorld) -> None:
    client = world.client()
    client >> LONG
    client.eof()
    served(world, client, "a")
    other = world.client()
    other >> b"AppID:Long:round_robin"
    other.eof()
    served(world, other, "b")


@pytest.mark.parametrize(
    ("data", "word", "line"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "bad_task", rb"'\r\n' behind the request; a connection takes one request"),
        (
            b"hello",
            "bad_task",
            b"'hello' is no request; write AppID:KIND:APPROACH, such as AppID:Long:least_connections",
        ),
        (b"AppID:Long:roundrobin", "approach_unknown", b"unknown approach 'roundrobin'; did you mean round_robin?"),
        (
            b"AppID:Long:least",
            "approach_unknown",
            b"unknown approach 'least'; did you mean least_connections or least_response_time?",
        ),
        (
            b"x" * 1025,
            "task_too_long",
            b"the request is longer than 1024 bytes; write AppID:KIND:APPROACH, such as AppID:Long:least_connections",
        ),
    ],
)
def test_what_is_no_request_gets_one_line_and_a_close(world: TaskWorld, data: bytes, word: str, line: bytes) -> None:
    client = world.client()
    client >> data
    world.turn(1.5)
    client << b"ERROR: " + line + b"\n"
    assert "eof" == client.end
    client.eof()
    assert "closed" == client.end
    assert [word] == world.words
    assert [] == world.dialled


def test_bytes_behind_a_request_end_it(world: TaskWorld) -> None:
    client = world.client()
    client >> b"AppID:Long:round_robin"
    worker = world.accept("a")
    worker << LONG
    client >> b"\r"
    client >> b"\n"
    assert {"a": 1} == world.in_flight
    client >> b"AppID:Short:round_robin"
    client << b"ERROR: bytes behind the request; a connection takes one request\n"
    assert "aborted" == worker.end
    assert ["bad_task"] == world.words


def test_a_line_ends_once_however_its_bytes_are_cut(world: TaskWorld) -> None:
    client = world.client()
    client >> b"AppID:Long:round_robin"
    world.accept("a") << LONG
    client >> b"\r\n"
    client >> b"\n"
    client << b"ERROR: bytes behind the request; a connection takes one request\n"
    assert ["bad_task"] == world.words


def test_bytes_behind_a_request_whose_answer_has_begun_break_it_off(world: TaskWorld) -> None:
    client = world.client()
    client >> b"AppID:Long:round_robin"
    worker = world.accept("a")
    worker << LONG
    worker >> b"Resp"
    client << b"Resp"
    client >> b"more"
    assert "reset" == client.end
    assert ["bad_task"] == world.words


def test_a_client_that_sends_nothing_is_told_so_in_time(make: Callable[..., TaskWorld]) -> None:
    world = make(client_timeouts=ListenerTimeouts(head_s=2.0))
    client = world.client()
    world.turn(1.9)
    assert "open" == client.end
    world.turn(0.3)
    client << (
        b"ERROR: no whole request came within 2 s; write AppID:KIND:APPROACH, such as AppID:Long:least_connections\n"
    )
    assert ["request_timeout"] == world.words


def test_one_that_dribbles_has_no_more_time_than_that(make: Callable[..., TaskWorld]) -> None:
    world = make(client_timeouts=ListenerTimeouts(head_s=2.0))
    client = world.client()
    for byte in b"AppID:":
        client >> bytes([byte])
        world.turn(0.4)
    assert client.take().startswith(b"ERROR: no whole request came within 2 s; ")


@pytest.mark.parametrize("data", [b"", b"AppID:Lo"])
def test_a_client_that_goes_before_it_has_asked_was_never_there(world: TaskWorld, data: bytes) -> None:
    client = world.client()
    client >> data
    client.reset()
    assert [] == world.records


@pytest.mark.parametrize("routes", [(RouteSpec(path="/a", pool="web"),), (RouteSpec(respond=RespondSpec(200, "hi")),)])
def test_one_that_asks_when_its_listener_has_become_one_of_http_is_told(
    world: TaskWorld, routes: tuple[RouteSpec, ...]
) -> None:
    client = world.client()
    client >> b"AppID:Lo"
    world.context.adopt(world.listener, Router(routes), ())
    client >> b"ng:round_robin"
    world.turn(0.3)
    client << b"ERROR: no tasks are taken here any more; connect again\n"


@pytest.mark.parametrize("rest", [b"ng:round_robin", b"ng\n"])
def test_so_is_one_where_all_requests_of_that_http_go_to_its_pool(world: TaskWorld, rest: bytes) -> None:
    client = world.client()
    client >> b"AppID:Lo"
    router = Router((RouteSpec(pool="web"),))
    router.routes[0].pool = (of_http := World()).connections
    world.context.adopt(world.listener, router, ())
    client >> rest
    world.turn(0.3)
    client << b"ERROR: no tasks are taken here any more; connect again\n"
    assert [] == of_http.dialled
    of_http.over()
    assert (["stopping"], []) == (world.words, world.dialled)


def test_a_client_that_closes_its_side_without_a_word_is_let_go(world: TaskWorld) -> None:
    client = world.client()
    client.eof()
    assert "closed" == client.end
    assert [] == world.records


# The worker.


def test_each_request_is_balanced_as_it_says(world: TaskWorld) -> None:
    clients = [world.client() for _ in range(6)]
    for client in clients[:3]:
        client >> b"AppID:Long:first"
    assert {"a": 3} == world.in_flight
    clients[3] >> b"AppID:Long:least_connections"
    clients[4] >> b"AppID:Long:least_connections"
    assert {"a": 3, "b": 1, "c": 1} == world.in_flight
    clients[5] >> b"AppID:Long:round_robin"
    assert {"a": 4, "b": 1, "c": 1} == world.in_flight
    for client, host in zip(clients, "aaabca", strict=True):
        served(world, client, host)


def test_hashing_approaches_keep_a_client_with_its_worker(world: TaskWorld) -> None:
    found = set()
    for _ in range(4):
        client = world.client("198.51.100.9")
        client >> b"AppID:Long:consistent_hash"
        (host,) = world.dialled
        found.add(host)
        served(world, client, host)
    assert 1 == len(found)


def test_a_dead_worker_is_passed_over(world: TaskWorld) -> None:
    client = world.client()
    client >> b"AppID:Long:round_robin"
    world.refuse("a")
    assert {"b": 1} == world.in_flight
    served(world, client, "b")
    (record,) = world.records
    assert ("b:80", 2, "-") == (record.backend, record.tries, record.word)


def test_a_dead_worker_costs_no_task_however_often_it_is_chosen(make: Callable[..., TaskWorld]) -> None:
    """No retry budget, which least_connections would use up: who answers nothing has the least in flight."""
    world = make("ab", ejection=None, retry=RetrySpec(budget=0.0, budget_floor=0))
    for _ in range(20):
        client = world.client()
        client >> b"AppID:Long:first"
        world.refuse("a")
        served(world, client, "b")
    assert {"-"} == set(world.words)


def test_one_that_is_refused_again_and_again_is_ejected(make: Callable[..., TaskWorld]) -> None:
    world = make("ab", ejection=EjectionSpec(errors=3))
    for _ in range(3):
        client = world.client()
        client >> b"AppID:Long:first"
        world.refuse("a")
        served(world, client, "b")
    client = world.client()
    client >> b"AppID:Long:first"
    served(world, client, "b")


def test_when_all_are_dead_the_client_is_told(world: TaskWorld) -> None:
    client = world.client()
    client >> b"AppID:Long:round_robin"
    for host in "abc":
        world.refuse(host)
    client << (
        b"ERROR: no worker could be reached, 3 tried, the last one c:80: connection refused; "
        b"start one, or try again later\n"
    )
    assert ["connect_failed"] == world.words


def test_when_none_is_up_the_client_is_told(world: TaskWorld) -> None:
    for backend in world.pool.backends:
        backend.set_healthy(False)
    client = world.client()
    client >> b"AppID:Long:round_robin"
    client << b"ERROR: no worker is up; start one, or try again later\n"
    assert ["none_up"] == world.words


def test_a_full_pool_is_said(make: Callable[..., TaskWorld]) -> None:
    world = make("a", max_connections=1)
    first, second = world.client(), world.client()
    first >> b"AppID:Long:round_robin"
    second >> b"AppID:Long:round_robin"
    second << b"ERROR: every worker is at its limit; try again later\n"
    served(world, first, "a")


def test_a_worker_that_does_not_accept_in_time_is_passed_over(make: Callable[..., TaskWorld]) -> None:
    world = make("ab", timeouts=PoolTimeouts(connect_s=1.0))
    client = world.client()
    client >> b"AppID:Long:round_robin"
    world.turn(1.1)
    assert ["b"] == world.dialled
    world.turn(1.1)
    client << (
        b"ERROR: no worker could be reached, 2 tried, the last one b:80: did not accept in time; try again later\n"
    )


@pytest.mark.parametrize("banner", [b"", b"welcome"])
def test_a_worker_that_closes_or_speaks_before_it_was_asked_is_passed_over(
    world: TaskWorld, monkeypatch: pytest.MonkeyPatch, banner: bytes
) -> None:
    """It comes between the connection and the word of the event loop that there is one."""
    plain = world.loop.create_connection

    async def create_connection(factory: Callable[[], Any], sock: socket) -> tuple[FakeTransport, Any]:
        transport, protocol = await plain(factory, sock)
        if banner:
            protocol.data_received(banner)
        else:
            protocol.eof_received()
            transport.lose(None)
        return transport, protocol

    client = world.client()
    client >> b"AppID:Long:round_robin"
    monkeypatch.setattr(world.loop, "create_connection", create_connection)
    world.accept("a")
    monkeypatch.undo()
    served(world, client, "b")
    assert 1 == world.pool.backends[0].failures


@pytest.mark.parametrize("how", ["eof", "reset"])
def test_a_worker_that_ends_without_an_answer_is_said_and_the_task_not_done_twice(world: TaskWorld, how: str) -> None:
    client = world.client()
    client >> b"AppID:Long:round_robin"
    worker = world.accept("a")
    worker << LONG
    getattr(worker, how)()
    client << (
        b"ERROR: worker a:80 closed without an answer; the task may have been done, so no other worker was asked\n"
    )
    assert [] == world.dialled
    assert ["closed_early"] == world.words
    assert 1 == world.pool.backends[0].failures


def test_a_worker_that_answers_nothing_is_said_in_time(make: Callable[..., TaskWorld]) -> None:
    world = make(timeouts=PoolTimeouts(response_s=5.0))
    client = world.client()
    client >> b"AppID:Long:round_robin"
    worker = world.accept("a")
    worker << LONG
    world.turn(4.9)
    assert "open" == client.end
    world.turn(0.3)
    client << (
        b"ERROR: worker a:80 did not answer within 5 s; the task may have been done, so no other worker was asked\n"
    )
    assert "aborted" == worker.end
    assert ["response_timeout"] == world.words


def test_an_answer_is_any_bytes_in_any_pieces_up_to_the_workers_end(world: TaskWorld) -> None:
    client = world.client()
    client >> b"AppID:Long:round_robin"
    worker = world.accept("a")
    worker << LONG
    for piece in (b"\0\xff", b"\r\n", b"ERROR: not ours\n", bytes(3000)):
        worker >> piece
        client << piece
    assert "open" == client.end
    worker.eof()
    assert "closed" == client.end


def test_an_answer_that_breaks_off_does_not_look_whole(world: TaskWorld) -> None:
    client = world.client()
    client >> b"AppID:Long:round_robin"
    worker = world.accept("a")
    worker << LONG
    worker >> b"Response fr"
    worker.reset()
    client << b"Response fr"
    assert "reset" == client.end
    assert ["truncated"] == world.words


def test_one_that_stops_in_the_middle_is_broken_off_in_time(make: Callable[..., TaskWorld]) -> None:
    world = make(timeouts=PoolTimeouts(response_s=5.0))
    client = world.client()
    client >> b"AppID:Long:round_robin"
    worker = world.accept("a")
    worker << LONG
    world.turn(4.0)
    worker >> b"Response fr"
    world.turn(4.0)
    assert "open" == client.end
    world.turn(1.3)
    client << b"Response fr"
    assert "reset" == client.end
    assert ["response_timeout"] == world.words


# The client.


@pytest.mark.parametrize("step", ["dialling", "asked", "answering"])
def test_a_client_that_is_reset_lets_its_worker_go(world: TaskWorld, step: str) -> None:
    client = world.client()
    client >> b"AppID:Long:round_robin"
    if step != "dialling":
        worker = world.accept("a")
        worker << LONG
        if step == "answering":
            worker >> b"Resp"
            client << b"Resp"
    client.reset()
    world.loop.settle()
    assert {} == world.in_flight
    assert [] == world.dialled
    assert ["client_gone"] == world.words
    assert 0 == world.pool.backends[0].failures


def test_a_client_that_reads_slowly_holds_its_worker_back(world: TaskWorld) -> None:
    client = world.client()
    client >> b"AppID:Long:round_robin"
    worker = world.accept("a")
    worker << LONG
    client.stop_reading()
    for _ in range(10):
        worker >> bytes(100_000)
    assert 900_000 == worker.unread
    assert 100_000 == client.transport.most_held
    worker.eof()
    client.read()
    assert 1_000_000 == len(client.take())
    assert "closed" == client.end
    assert ["-"] == world.words


def test_one_that_reads_nothing_is_reset_in_time(make: Callable[..., TaskWorld]) -> None:
    world = make(client_timeouts=ListenerTimeouts(write_s=5.0))
    client = world.client()
    client >> b"AppID:Long:round_robin"
    worker = world.accept("a")
    worker << LONG
    client.stop_reading()
    worker >> bytes(1000)
    world.turn(4.0)
    client.read(10)
    client.stop_reading()
    world.turn(4.0)
    assert "open" == client.end
    world.turn(6.0)
    assert "reset" == client.end
    assert ["client_too_slow"] == world.words
    client.take()


def test_one_that_does_not_read_the_end_of_its_answer_is_reset_in_time(make: Callable[..., TaskWorld]) -> None:
    world = make(client_timeouts=ListenerTimeouts(write_s=5.0))
    client = world.client()
    client >> b"AppID:Long:round_robin"
    worker = world.accept("a")
    worker << LONG
    client.stop_reading()
    worker >> bytes(1000)
    client.read(1000)
    client.stop_reading()
    worker >> bytes(1000)
    client.read(0)
    worker.eof()
    world.turn(11.0)
    assert client.transport.lost
    client.take()
    assert 1 == len(world.records)


def test_what_comes_behind_an_error_is_thrown_away_up_to_a_size_and_for_a_while(world: TaskWorld) -> None:
    client, other = world.client(), world.client()
    for peer in (client, other):
        peer >> b"hello\n"
        assert peer.take().startswith(b"ERROR: ")
    client >> bytes(LINGER_BYTES)
    assert "eof" == client.end
    client >> b"x"
    assert "aborted" == client.end
    world.turn(5.1)
    assert "aborted" == other.end


def test_one_with_too_many_connections_is_told_and_closed_at_once(world: TaskWorld) -> None:
    door = world.context.door
    world.context.crowd = Crowd(door.table, door.row, array("q", bytes(64)), 0, 8, 1)
    first, second = world.client(), world.client()
    second << b"ERROR: this address has too many connections open already; close one first\n"
    assert "closed" == second.end
    assert ["crowded"] == world.words
    assert [0] == [record.status for record in world.records], "a status is of HTTP"
    first.reset()
    third = world.client()
    third >> b"AppID:Long:round_robin"
    served(world, third, "a")


def test_a_pool_that_hashes_by_itself_goes_by_the_clients_address(make: Callable[..., TaskWorld]) -> None:
    world = make(policy="hash", key="client_ip")
    found = set()
    for ending in (b"\n", b":hash", b":hash\n", b"\r\n"):
        client = world.client()
        client >> LONG + ending
        (host,) = world.dialled
        found.add(host)
        served(world, client, host)
    assert 1 == len(found)


def test_a_connection_that_outlives_the_pool_of_its_listener_is_told_so(world: TaskWorld) -> None:
    """The listener speaks something else since, and its pool has one policy: there is nothing to name any more."""
    client, other = world.client(), world.client()
    world.reload("abc", protocols=(TCP,))
    client >> b"AppID:Long:round_robin\n"
    other >> LONG + b"\n"
    for told in (client, other):
        told << b"ERROR: no tasks are taken here any more; connect again\n"
    assert [] == world.dialled


def test_one_on_a_unix_socket_is_served(world: TaskWorld) -> None:
    client = world.client("", on_unix=True)
    client >> b"AppID:Long:hash"
    (host,) = world.dialled
    served(world, client, host)


# The balancer.


def test_each_connection_is_said_where_somebody_wants_records(
    world: TaskWorld, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "steelyard"):
        world.client("2001:db8::1")
        assert ["[Broker] Connected with [2001:db8::1]:40000"] == caplog.messages
        world.context.on_record = None
        world.client()
        assert 1 == len(caplog.messages)


def test_when_it_stops_those_who_have_not_asked_go_and_the_others_are_answered(world: TaskWorld) -> None:
    idle, asking, working = world.client(), world.client(), world.client()
    asking >> b"AppID:Lo"
    working >> b"AppID:Long:round_robin"
    now = world.wheel.now()
    for client in (idle, asking, working):
        client.transport.protocol.retire(now)
    world.loop.settle()
    assert ["closed", "open", "open"] == [client.end for client in (idle, asking, working)]
    served(world, working, "a")
    asking >> b"ng:round_robin"
    served(world, asking, "b")


def test_when_the_drain_is_over_who_waits_is_told(world: TaskWorld) -> None:
    asking, waiting, answered = world.client(), world.client(), world.client()
    asking >> b"AppID:Lo"
    waiting >> b"AppID:Long:round_robin"
    worker = world.accept("a")
    worker << LONG
    answered >> b"AppID:Long:round_robin"
    other = world.accept("b")
    other << LONG
    other >> b"Resp"
    answered << b"Resp"
    for client in (asking, waiting, answered):
        client.transport.protocol.cut()
    world.loop.settle()
    waiting << b"ERROR: the broker stopped before worker a:80 had answered; the task may have been done\n"
    assert ["reset", "closed", "reset"] == [client.end for client in (asking, waiting, answered)]
    assert ["stopping", "stopping"] == world.words
