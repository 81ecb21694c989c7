"""System 1: three servers behind one door, from examples/three-servers as a person runs it."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.systems.programs import EXAMPLES, Program, get, get_on_one_connection, program, variant

pytestmark = pytest.mark.real

EXAMPLE = EXAMPLES / "three-servers"
ROUND = ["Server 1", "Server 2", "Server 3"]


@pytest.fixture
def servers() -> Iterator[list[int]]:
    """The ports of the three servers."""
    with ExitStack() as stack:
        started = [stack.enter_context(program(EXAMPLE / "server.py", number, 0)) for number in (1, 2, 3)]
        yield [server.port() for server in started]


@pytest.fixture(params=["file", "command line"])
def balancer(request: pytest.FixtureRequest, servers: list[int], tmp_path: Path) -> Iterator[Program]:
    if request.param == "file":
        places = {f"server{at}": f"localhost:{8000 + at} -> localhost:{port}" for at, port in enumerate(servers)}
        file = variant(EXAMPLE / "steelyard.yaml", tmp_path / "it.yaml", bind="127.0.0.1:8080 -> 127.0.0.1:0", **places)
        arguments = ["-c", str(file)]
    else:
        arguments = [*(f"localhost:{port}" for port in servers), "--listen", ":0"]
    with program("-m", "steelyard", "run", *arguments) as running:
        yield running


def test_refreshing_gives_1_2_3_1_2_3_over_one_connection_and_over_separate_ones(balancer: Program) -> None:
    port = balancer.port()
    assert ROUND * 2 == [get(port).text for _ in range(6)]
    assert ROUND * 2 == [reply.text for reply in get_on_one_connection(port, ["/"] * 6)]


def test_many_clients_at_once_are_shared_out_exactly(balancer: Program) -> None:
    port = balancer.port()
    with ThreadPoolExecutor(8) as clients:
        rounds = clients.map(lambda _: get_on_one_connection(port, ["/"] * 6), range(20))
        assert dict.fromkeys(ROUND, 40) == Counter(reply.text for replies in rounds for reply in replies)


def test_each_server_is_still_reachable_on_its_own_port(balancer: Program, servers: list[int]) -> None:
    balancer.port()
    assert ROUND == [get(port).text for port in servers]


def test_ctrl_c_ends_a_server_without_a_traceback() -> None:
    with program(EXAMPLE / "server.py", 7, 0) as server:
        server.port()
        assert 0 == server.end(2)
        assert "Server 7 ends" == server.rest()[-1]
