"""System 5: the little balancer, from examples/simplelb.yaml: its tries, its checks, its answers, its log lines."""

import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from steelyard.control import config
from steelyard.core.spec import HealthCheckSpec, RetrySpec
from tests.systems.programs import EXAMPLES, HOST, Program, get, program, variant

EXAMPLE = EXAMPLES / "simplelb.yaml"


class Backend(socketserver.ThreadingTCPServer):
    """A backend on a free port. well: whether it answers, or closes as a crashing one does. asked: when, each time."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, name: str, well: bool) -> None:
        super().__init__((HOST, 0), _Conversation)
        self.name = name
        self.well = well
        self.asked: list[float] = []
        self.port: int = self.server_address[1]


class _Conversation(socketserver.StreamRequestHandler):
    server: Backend

    def handle(self) -> None:
        while head := self._head():  # a TCP check sends nothing: it is not a request
            assert head.startswith(b"GET ")
            self.server.asked.append(monotonic())
            if not self.server.well:
                return
            body = self.server.name.encode()
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def _head(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return b""
            head += line
        return head


@contextmanager
def backends(*well: bool) -> Iterator[list[Backend]]:
    """Backends named A, B, C..., each well or not."""
    with ExitStack() as stack:
        made = [stack.enter_context(Backend(name, each)) for name, each in zip("ABCD", well, strict=False)]
        for backend in made:
            thread = threading.Thread(target=backend.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(backend.shutdown)
        yield made


@contextmanager
def balancer(tmp_path: Path, over: list[Backend], **changes: str) -> Iterator[tuple[Program, int]]:
    """The example over these backends, after its first check of each; its port."""
    listed = "\n".join(f"      - {HOST}:{backend.port}" for backend in over)
    places = "      - localhost:8000\n      - localhost:8001\n      - localhost:8002"
    file = variant(
        EXAMPLE, tmp_path / "it.yaml", bind=f"127.0.0.1:3030 -> {HOST}:0", servers=f"{places} -> {listed}", **changes
    )
    with program("-m", "steelyard", "run", "-c", file) as running:
        port = running.port()
        waited_for = {f"http://{HOST}:{backend.port} [up]" for backend in over}
        while waited_for:
            waited_for.discard(running.until(r"http://\S+ \[up\]")[0])
        yield running, port


def test_the_file_has_exactly_its_numbers() -> None:
    (pool,) = config.load(EXAMPLE).pools
    assert (
        RetrySpec(tries=3, same_backend=3, delay_s=0.010, max_delay_s=0.010, budget=None, mark_down=True) == pool.retry
    )
    check = HealthCheckSpec(kind="tcp", interval_s=20.0, timeout_s=2.0, rise=1, fall=1, jitter=0.0, log="all")
    assert check == pool.health_check
    assert "round_robin" == pool.policy.name


def written_variants() -> list[str]:
    """The other policies that the file's comments offer."""
    return re.findall(r"^    #   (policy: (?:\{.*?\}|\w+))", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("policy", written_variants())
def test_every_algorithm_that_its_comments_offer_can_be_put_in(policy: str) -> None:
    text = EXAMPLE.read_text(encoding="utf-8").replace("\n    policy: round_robin", f"\n    {policy}")
    (pool,) = config.loads(text).pools
    assert pool.policy.name in policy
    if "key" in policy:
        assert f"key: {pool.policy.key}" in policy


def test_its_comments_offer_the_other_algorithms() -> None:
    assert 4 == len(written_variants())


@pytest.mark.real
def test_a_failing_backend_is_tried_four_times_10_ms_apart_then_down_and_another_answers(tmp_path: Path) -> None:
    with backends(False, True, True) as (a, b, c), balancer(tmp_path, [a, b, c]) as (running, port):
        assert (200, "B") == ((reply := get(port)).status, reply.text)
        assert 4 == len(a.asked)
        gaps = [later - earlier for earlier, later in zip(a.asked, a.asked[1:], strict=False)]
        assert all(gap >= 0.009 for gap in gaps), gaps  # a timer may be up to a millisecond early
        running.until(rf"http://{HOST}:{a.port} \[down\]")
        assert ["C", "B", "C", "B"] == [get(port).text for _ in range(4)]
        assert 4 == len(a.asked), "a backend that is down is not asked"


@pytest.mark.real
def test_the_pool_goes_on_from_the_backend_that_it_found(tmp_path: Path) -> None:
    with backends(True, False, True) as (a, b, c), balancer(tmp_path, [a, b, c]) as (_, port):
        assert ["A", "C", "A", "C", "A"] == [get(port).text for _ in range(5)]
        assert 4 == len(b.asked)


@pytest.mark.real
def test_at_most_three_backends_are_asked_then_503_service_not_available(tmp_path: Path) -> None:
    with backends(False, False, False, False) as four, balancer(tmp_path, four) as (running, port):
        refused = get(port)
        assert 503 == refused.status
        assert "Service not available" in refused.text
        assert [4, 4, 4, 0] == [len(backend.asked) for backend in four]
        for _ in range(3):
            running.until(r"\[down\]")
        assert 503 == get(port).status
        assert [4, 4, 4, 4] == [len(backend.asked) for backend in four]
        running.until(r"\[down\]")
        assert 503 == get(port).status
        assert [4, 4, 4, 4] == [len(backend.asked) for backend in four], "nobody is up: nobody is asked"


@pytest.mark.real
def test_a_backend_that_answers_again_is_used_again(tmp_path: Path) -> None:
    """With checks every second in place of 20 s. At `fall: 1` a machine must not be so busy that one comes late."""
    sooner: dict[str, Any] = {"i": "interval: 20s -> interval: 1s", "t": "timeout: 2s -> timeout: 1s"}
    with backends(False, True) as (a, b), balancer(tmp_path, [a, b], **sooner) as (running, port):
        assert "B" == get(port).text
        running.until(rf"http://{HOST}:{a.port} \[down\]")
        a.well = True
        running.until(rf"http://{HOST}:{a.port} \[up\]")
        assert {"A", "B"} == {get(port).text for _ in range(2)}


@pytest.mark.real
def test_every_check_leaves_a_line(tmp_path: Path) -> None:
    """Also one that found what the check before had found; with checks every 200 ms in place of 20 s."""
    sooner: dict[str, Any] = {"i": "interval: 20s -> interval: 200ms", "t": "timeout: 2s -> timeout: 200ms"}
    with backends(True) as (a,), balancer(tmp_path, [a], **sooner) as (running, _):
        for _ in range(3):
            running.until(rf"http://{HOST}:{a.port} \[up\]")
        a.shutdown()
        a.server_close()
        for _ in range(2):
            running.until(rf"http://{HOST}:{a.port} \[down\]")
