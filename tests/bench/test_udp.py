"""The clients of the benchmark of datagrams count what they get, and see what is not theirs."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bench import balancers, processes, udp
from bench.udp import CLIENTS, RATES, Load, Udp, best, compared, count, keeps_up, typical
from steelyard.control import config

pytestmark = pytest.mark.real


@contextmanager
def answering(how: str) -> Iterator[int]:
    """A server that echoes, drops every tenth, or answers all to the client that came first. Gives its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve() -> None:
            first = None
            for n in range(10**9):
                datagram, client = sock.recvfrom(200)
                if datagram == b"end":
                    return
                first = first or client
                if how != "drops" or n % 10:
                    sock.sendto(datagram, first if how == "mixes" else client)

        thread = threading.Thread(target=serve)
        thread.start()
        port: int = sock.getsockname()[1]
        try:
            yield port
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
                end.sendto(b"end", ("127.0.0.1", port))
            thread.join()


@pytest.mark.parametrize(
    ("how", "answered", "wrong"), [("echoes", 100, 0), ("drops", 90, 0), ("mixes", 10, 90)], ids=str
)
def test_what_came_back_is_counted_by_whose_it_is(how: str, answered: int, wrong: int) -> None:
    with answering(how) as port, ExitStack() as stack:
        load = Load([stack.enter_context(udp._client(port)) for _ in range(10)])
        load.run(100, 10_000)
    assert (answered, wrong) == (load.answered, load.wrong)


def test_a_loss_of_ours_counts_only_where_nginx_loses_none() -> None:
    def lost(nginx: int, ours: int) -> list[Udp]:
        return [Udp(1, "nginx", 10, 10.0, nginx, 1.0, 1.0), Udp(1, "steelyard", 10, 10.0, ours, 1.0, 1.0)]

    assert [True, False, None] == [keeps_up(lost(*each), 10) for each in ((0, 0), (0, 1), (2, 1))]
    assert keeps_up(lost(0, 0)[1:], 10) is None
    assert keeps_up([*lost(0, 1), *lost(5, 0)], 10)


def test_the_round_with_the_least_lost_counts_and_the_medians_of_all() -> None:
    samples = [Udp(n, "nginx", 10, 10.0, lost, float(n), float(n)) for n, lost in enumerate((5, 0, 9), start=1)]
    found = best(samples, "nginx", 10)
    assert found is not None
    assert (2, (2.0, 2.0)) == (found.round, typical(samples, "nginx", 10))
    assert best(samples, "nginx", 11) is None


def test_each_round_has_each_rate_of_each_balancer() -> None:
    assert 2 * len(RATES) * len(compared()) == count(2)
    assert "steelyard" in compared()


def test_the_configuration_is_right() -> None:
    values = {"port": 5353, "backend": 5354}
    text = balancers.fill((balancers.CONFIGS / "udp.steelyard.yaml").read_text(), values)
    spec = config.loads(text)
    assert ["udp", "http"] == [listener.protocol for listener in spec.listeners]
    assert all(listener.max_sessions > CLIENTS for listener in spec.listeners)


@pytest.mark.needs("nginx")
@pytest.mark.skipif(udp.stream_module() is None, reason="nginx has no stream module (libnginx-mod-stream)")
@pytest.mark.slow
def test_nginx_passes_datagrams_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "PATIENCE_S", 20.0)
    directory = tmp_path
    with answering("echoes") as backend:
        port = processes.free_port()
        file = directory / "udp.nginx.conf"
        values = {"directory": directory, "port": port, "backend": backend, "load_module": udp.stream_module() or ""}
        file.write_text(balancers.fill((balancers.CONFIGS / file.name).read_text(), values))
        command = ["nginx", "-p", str(directory), "-c", str(file)]
        with processes.server("nginx", command, "0-1", port, directory), ExitStack() as stack:
            load = Load([stack.enter_context(udp._client(port)) for _ in range(10)])
            load.run(100, 10_000)
    assert (100, 0) == (load.answered, load.wrong)
