"""Streams that nobody reads, or that are not there, neither end a balancer nor change its exit status."""

import asyncio
import errno
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from steelyard.observe.streams import outlived, say
from tests.real.programs import accepting
from tests.real.support import free_ports, until
from tests.systems.programs import HOST, PATIENCE_S, get


def unread() -> io.TextIOWrapper:
    """A stream into a pipe that nobody reads."""
    reads, writes = os.pipe()
    os.close(reads)
    return open(writes, "w", encoding="utf-8")


def test_what_is_said_is_there_at_once(tmp_path: Path) -> None:
    with open(tmp_path / "said", "w", encoding="utf-8") as stream:
        say("listening", stream)
        assert "listening\n" == (tmp_path / "said").read_text()


def test_what_cannot_be_written_does_no_harm_and_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    with unread() as out, unread() as err:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with outlived():
            for stream in (out, err):
                say("listening", stream)
                with pytest.raises(BrokenPipeError):
                    stream.flush()
        for stream in (out, err):
            stream.flush()


def test_what_nobody_takes_is_not_waited_for() -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with open(writes, "w", encoding="utf-8") as stream:
        say("listening", stream)
        filled = 0
        with suppress(BlockingIOError):
            while True:
                filled += os.write(writes, 4096 * b"a")
        os.set_blocking(writes, True)
        say("lost", stream)
        assert b"listening\n" + filled * b"a" == os.read(reads, 1 << 20)
        say("stopping", stream)
        assert b"stopping\n" == os.read(reads, 1 << 20)
    os.close(reads)


@pytest.mark.parametrize("sign", ["x", "\N{CJK UNIFIED IDEOGRAPH-4E2D}"])
def test_of_a_line_that_is_longer_than_a_pipe_has_room_the_rest_is_not_waited_for(sign: str) -> None:
    reads, writes = os.pipe()
    with open(writes, "w", encoding="utf-8") as stream:
        for _ in range(3):
            say(100_000 * sign, stream)
        said = os.read(reads, 1 << 20).decode()
        assert 10_000 < len(said) == said.count(sign)
        say(20_000 * "y", stream)
        assert 20_000 * "y" + "\n" == os.read(reads, 1 << 20).decode()
    os.close(reads)


def test_what_can_be_written_is_not_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with open(tmp_path / "said", "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with outlived():
            stream.write("a record")
        assert "a record" == (tmp_path / "said").read_text()
        stream.write(" and more")
    assert "a record and more" == (tmp_path / "said").read_text()


def test_an_error_goes_through() -> None:
    with pytest.raises(OSError, match="disk"), outlived():
        raise OSError(errno.EIO, "disk")


@contextmanager
def balancer(
    home: Path, *, redirected: str = "", stdout: int | None = None, stderr: int | None = None
) -> Iterator[Any]:
    """(process, port) of a `steelyard run` from a shell. It has two lines to say, and an access log to print.

    stdout, stderr: a descriptor that is taken over; None is the null device.
    """
    ports = free_ports(2)
    answer = {"routes": [{"respond": {"body": "OK"}}]}
    listeners = {f"at{port}": {"bind": f"{HOST}:{port}", **answer} for port in ports}
    file = home / "balancer.yaml"
    file.write_text(json.dumps({"listeners": listeners, "access_log": "-"}), encoding="utf-8")
    arguments = [sys.executable, "-m", "steelyard", "run", "-c", str(file)]
    process = subprocess.Popen(["sh", "-c", f'exec "$@" {redirected}', "sh", *arguments], stdout=stdout, stderr=stderr)
    try:
        yield process, ports[-1]
    finally:
        process.kill()
        process.wait()


def serves_until_a_signal(process: subprocess.Popen[bytes], port: int) -> None:
    """Whether it answers, ends when it is told to, and says that all was well."""
    asyncio.run(asyncio.wait_for(accepting(port), PATIENCE_S))
    for _ in range(2):
        assert 200 == get(port).status
    assert None is process.poll()
    process.send_signal(signal.SIGTERM)
    assert 0 == process.wait(PATIENCE_S)


@pytest.mark.real
@pytest.mark.parametrize("gone", ["stdout", "stderr", "both"])
def test_a_balancer_goes_on_when_nobody_reads_what_it_says(gone: str, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    with unread() as pipe, open(heard, "w", encoding="utf-8") as kept:
        out, err = (pipe if gone in (name, "both") else kept for name in ("stdout", "stderr"))
        with balancer(tmp_path, stdout=out.fileno(), stderr=err.fileno()) as (process, port):
            serves_until_a_signal(process, port)
    assert "Traceback" not in heard.read_text()


@pytest.mark.real
def test_a_balancer_goes_on_behind_head_1(tmp_path: Path) -> None:
    """Its reader goes away after a line."""
    heard = tmp_path / "heard"
    reads, writes = os.pipe()
    with (
        open(heard, "w", encoding="utf-8") as kept,
        open(reads, encoding="utf-8") as pipe,
        balancer(tmp_path, stdout=writes, stderr=kept.fileno()) as (process, port),
    ):
        os.close(writes)
        assert pipe.readline().startswith("listening on http://")
        pipe.close()
        serves_until_a_signal(process, port)
    assert "access log -: [Errno 32] Broken pipe" in heard.read_text()
    assert "Traceback" not in heard.read_text()


@pytest.mark.real
@pytest.mark.parametrize("redirected", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_balancer_that_is_started_with_closed_streams_runs_and_ends_like_any(redirected: str, tmp_path: Path) -> None:
    """Their numbers are not given to sockets, which uvloop could not close."""
    heard = tmp_path / "heard"
    with (
        open(heard, "w", encoding="utf-8") as kept,
        balancer(tmp_path, redirected=redirected, stdout=kept.fileno(), stderr=kept.fileno()) as (process, port),
    ):
        if ">&-" not in redirected.split():  # said when all workers serve, which is after the first of them does
            asyncio.run(until(lambda: "listening on" in heard.read_text()))
        serves_until_a_signal(process, port)
    said = heard.read_text()
    assert "Traceback" not in said
    assert (">&-" not in redirected.split()) is ("listening on" in said)


def test_a_line_is_written_in_one_piece() -> None:
    """Who reads it from a pipe never sees it without its end, buffered or not."""
    pieces: list[str] = []

    class Unbuffered(io.StringIO):
        def write(self, text: str) -> int:
            pieces.append(text)
            return len(text)

    say("listening", Unbuffered())
    assert ["listening\n"] == pieces
