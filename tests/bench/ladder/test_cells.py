"""The ladder's measurements come in a fair order, hide nothing that went wrong, and see every client."""

import socket
from contextlib import ExitStack
from dataclasses import replace

import pytest

from bench.ladder.cells import CONNECTIONS, STEPS, TITLES, Cell, balancer_of, clients_answered, medians, plan
from bench.ladder.rung import NAMES

CELL = Cell(1, "one-loop", 10, 1000, 500.0, 800.0, 2000.0, 20.0, 0.5, 0.4, 0.02, 30, 0, 0)


def test_the_four_rungs_and_steelyard_are_measured() -> None:
    assert [*NAMES, "steelyard-1", "steelyard-2"] == list(TITLES)
    assert {name for step in STEPS for name in step} == set(TITLES)
    assert (10, 100, 1000, 5000) == CONNECTIONS
    assert "bench.ladder.rung" in balancer_of("one-loop").command
    assert ("--workers", "2") == balancer_of("steelyard-2").command[-2:]


def test_every_round_has_every_rung_at_every_number_and_another_one_begins() -> None:
    steps = plan(3, (10, 100))
    assert {(number, many, rung) for number in (1, 2, 3) for many in (10, 100) for rung in TITLES} == set(steps)
    assert 36 == len(steps)
    assert list(TITLES)[:3] == [steps[number * 12][2] for number in range(3)]
    assert [10] * 6 + [100] * 6 == [many for _, many, _ in steps[:12]]


def test_figures_are_medians_and_what_went_wrong_is_the_worst() -> None:
    rounds = [
        CELL,
        replace(CELL, round=2, cpu_us=22.0, p99_us=9000.0, errors=7, memory_bytes=20),
        replace(CELL, round=3, cpu_us=40.0, p99_us=2500.0, unanswered=3),
    ]
    (found,) = medians(rounds)
    assert replace(CELL, round=0, cpu_us=22.0, p99_us=2500.0, errors=7, unanswered=3) == found


def test_the_sums_are_in_the_order_of_the_rungs_at_each_number() -> None:
    found = medians([replace(CELL, rung=rung, connections=many) for rung in reversed(TITLES) for many in (10, 100)])
    assert [(many, rung) for many in (10, 100) for rung in TITLES] == [(cell.connections, cell.rung) for cell in found]


@pytest.mark.real
@pytest.mark.needs("ss")
def test_a_client_counts_as_answered_when_it_has_taken_in_some_bytes() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        clients, accepted = [], []
        for _ in range(3):
            clients.append(stack.enter_context(socket.create_connection(("127.0.0.1", port))))
            accepted.append(stack.enter_context(listener.accept()[0]))
        clients[0].sendall(b"asked in vain")
        assert 0 == clients_answered(port)
        for sock in accepted[1:]:
            sock.sendall(b"answer")
        assert [b"answer"] * 2 == [client.recv(100) for client in clients[1:]]
        assert 2 == clients_answered(port)
