"""What passing TCP on costs is compared within the rounds; the backend and its clients do as they are told."""

from pathlib import Path
from time import monotonic

import pytest

from bench import tcp
from bench.failure import BenchError
from bench.tcp import Tcp, _Echo, _echo, can_hold, count, ratio
from tests.real.client import PATIENCE_S


def test_a_ratio_is_of_the_rounds_that_both_have() -> None:
    samples = [
        Tcp(1, "echo", "haproxy", 10, 10.0),
        Tcp(1, "echo", "steelyard", 10, 12.0),
        Tcp(2, "echo", "haproxy", 10, 20.0),
        Tcp(2, "echo", "steelyard", 10, 22.0),
        Tcp(3, "echo", "steelyard", 10, 99.0),
    ]
    assert 1.15 == pytest.approx(ratio(samples, "echo"))
    assert ratio(samples, "transfer") is None
    assert 12 == count(3)
    assert 0 < can_hold() <= 10_000


def exchanges(echo: _Echo, what: str, least: int) -> int:
    """So many at least, in the first measurement in which the process was let run for long enough."""
    give_up = monotonic() + PATIENCE_S
    while True:
        echo.begin(what)
        found = echo.number()
        if found >= least or monotonic() > give_up:
            return found


@pytest.mark.slow
def test_the_clients_exchange_with_their_own_backend() -> None:
    """Straight, without a balancer: what is counted has been there and back."""
    with _echo(0) as echo:
        assert exchanges(echo, f"echo {echo.port} 4 0.2", 11) > 10
        assert exchanges(echo, f"transfer {echo.port} 2 0.2", 1) > 0
        assert 5 == echo.number(f"hold {echo.port} 5")
        assert 8 == echo.number(f"hold {echo.port} 3")


@pytest.mark.slow
def test_where_nobody_listens_the_measurement_fails(capfd: pytest.CaptureFixture[str]) -> None:
    with _echo(0) as echo, pytest.raises(BenchError, match="has ended"):
        echo.begin("echo 1 1 0.1")
    assert "ConnectionRefusedError" in capfd.readouterr().err


@pytest.mark.slow
def test_two_workers_hold_what_is_more_than_one_process_has_descriptors_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "HELD", 40)
    monkeypatch.setattr(tcp, "can_hold", lambda: 20)
    haproxy, ours = tcp.hold(tmp_path, 0, 0)
    assert [("haproxy", 20), ("steelyard", 40)] == [(one.balancer, one.connections) for one in (haproxy, ours)]
