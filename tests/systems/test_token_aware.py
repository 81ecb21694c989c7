"""examples/token_aware: the policy by itself, by the kit, and with servers that take as long as their tokens."""

import http.client
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from steelyard.control import config
from steelyard.core.policy import Policy, create, registered
from steelyard.core.spec import PolicySpec
from steelyard.testing import PolicyConformance
from tests.control.own import own_policies
from tests.fakes_core import Ask, a_policy, a_table
from tests.real.support import free_ports
from tests.systems.programs import EXAMPLES, HOST, PATIENCE_S, PATIENT_CHECKS, Program, program, variant

EXAMPLE = EXAMPLES / "token_aware"
NAME = "token_aware:FewestTokens"


@pytest.fixture(autouse=True)
def loaded() -> Iterator[None]:
    """The example's configuration, with which its policy comes; both are gone afterwards."""
    with own_policies(EXAMPLE):
        (pool,) = config.load(EXAMPLE / "balancer.yaml", {}).pools
        assert PolicySpec(NAME, fallback="least_connections") == pool.policy
        yield


class TestFewestTokens(PolicyConformance):
    """Every request of the kit asks for nonsense in place of a number of tokens, and so for the same."""

    policy = PolicySpec(NAME)
    counts_load = True
    sees_workers = False


def asks(tokens: int | None, prompt: str = "") -> Ask:
    parts = {"body:messages.0.content": prompt, **({} if tokens is None else {"body:max_tokens": str(tokens)})}
    return Ask(parts)


class Servers:
    """The policy over servers of these weights."""

    def __init__(self, *weights: int) -> None:
        _, self.backends = a_policy("random", list(weights))
        self.policy: Any = create(PolicySpec(NAME), a_table(1), 0)
        self.policy.rebuild(self.backends)

    def send(self, request: Ask) -> int:
        found = self.policy.pick(request)
        found.begin()
        self.policy.began(request, found)
        return self.backends.index(found)

    def end(self, request: Ask, server: int) -> None:
        self.backends[server].finish(False)
        self.policy.ended(request, self.backends[server], False, 0.1, 0.0)


def test_it_asks_for_bodies() -> None:
    assert Servers(1).policy.reads_body
    assert "The server with the fewest tokens outstanding, for its weight." == registered(NAME).summary


def test_short_requests_avoid_the_server_with_the_long_one() -> None:
    servers = Servers(1, 1)
    long = asks(10_000)
    busy = servers.send(long)
    assert [1 - busy] * 5 == [servers.send(asks(100)) for _ in range(5)]
    servers.end(long, busy)
    assert busy == servers.send(asks(100))


def test_a_prompt_costs_too() -> None:
    servers = Servers(1, 1)
    busy = servers.send(asks(10, "x" * 4000))
    assert [1 - busy] * 3 == [servers.send(asks(100)) for _ in range(3)]


def test_a_missing_body_counts_as_a_usual_one() -> None:
    for parts in ({}, {"body:max_tokens": "-5"}, {"body:max_tokens": "1" * 5000}, {"body:max_tokens": "many"}):
        servers = Servers(1, 1)
        busy = servers.backends[servers.send(Ask(parts))]
        assert 256 == servers.policy.tokens[busy]


def test_a_heavier_server_bears_more_tokens() -> None:
    servers = Servers(1, 3)
    sent = [servers.send(asks(100)) for _ in range(40)]
    assert (10, 30) == (sent.count(0), sent.count(1))


def test_nothing_is_kept_of_what_is_over() -> None:
    servers = Servers(1, 1)
    held = [asks(number) for number in range(20)]
    places = [servers.send(request) for request in held]
    for request, place in zip(held, places, strict=True):
        servers.end(request, place)
    assert ({}, 0) == (servers.policy.costs, servers.policy.tokens.total())


def test_the_policy_is_as_short_as_it_is_said_to_be() -> None:
    source = (EXAMPLE / "token_aware.py").read_text(encoding="utf-8")
    body = source[source.index("class FewestTokens") :].splitlines()
    code = [line for line in body if line.strip() and not line.strip().startswith(("#", '"""'))]
    assert len(code) <= 15
    assert isinstance(Servers(1).policy, Policy)


@contextmanager
def asked(port: int, max_tokens: int) -> Iterator[http.client.HTTPConnection]:
    """A chat request, whose client leaves at the end of the block."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)
    content = {"max_tokens": max_tokens, "messages": [{"role": "user", "content": "Hi"}]}
    try:
        connection.request("POST", "/v1/chat", json.dumps(content), {"Content-Type": "application/json"})
        yield connection
    finally:
        connection.close()


def chat(port: int, max_tokens: int) -> str:
    """Which model answers."""
    with asked(port, max_tokens) as connection:
        return str(json.loads(connection.getresponse().read())["model"])


@pytest.mark.real
def test_short_requests_go_together_where_a_long_one_is_not(tmp_path: Path) -> None:
    """By their number, one of four at once would go to the server with the long one; by their tokens, none does."""
    ports = free_ports(2)
    places = {f"MODEL_{number}": f"{HOST}:{port}" for number, port in enumerate(ports, 1)}
    server = EXAMPLE / "model_server.py"
    file = variant(EXAMPLE / "balancer.yaml", tmp_path / "balancer.yaml", checks=PATIENT_CHECKS)
    shutil.copy(EXAMPLE / "token_aware.py", tmp_path)
    with program(server, "one", ports[0], "0.0002") as one, program(server, "two", ports[1], "0.0002") as two:
        for running, port in ((one, ports[0]), (two, ports[1])):
            until(partial(is_idle, port), running)
        with program("-m", "steelyard", "run", "-c", file, LISTEN=f"{HOST}:0", **places) as balancer:
            port = balancer.port()
            with asked(port, 900_000), ThreadPoolExecutor(4) as clients:  # 3 minutes, for which nobody waits
                until(lambda: sum(map(at_work, ports)) == 1, one, two, balancer)
                working = [at_work(one_port) for one_port in ports]
                short = list(clients.map(chat, [port] * 4, [1000] * 4))
                assert working == [at_work(one_port) for one_port in ports]
                assert ["two" if working[0] else "one"] * 4 == short
            assert 0 == balancer.end()
            assert not [line for line in balancer.rest() if "answers in its place" in line]


def at_work(port: int) -> int:
    """How many requests a model server has; -1 while it does not listen."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/health")
        return int(json.loads(connection.getresponse().read())["requests"])
    except ConnectionRefusedError:
        return -1
    finally:
        connection.close()


def is_idle(port: int) -> bool:
    return at_work(port) == 0


def until(holds: Callable[[], bool], *running: Program) -> None:
    """Ask again and again, as long as these programs run."""
    give_up = monotonic() + PATIENCE_S
    while not holds():
        assert monotonic() < give_up
        assert [None] * len(running) == [program.process.poll() for program in running]
        threading.Event().wait(0.02)
