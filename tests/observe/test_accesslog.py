"""The access log: one JSON line an exchange, in batches, and never at traffic's cost."""

import fcntl
import json
import os
import pty
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from errno import ENOSPC
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from steelyard import errors
from steelyard.observe import accesslog
from steelyard.observe.accesslog import BATCH, FLUSH_S, AccessLog, Record, line, refused_record
from tests.fakes import FakeLoop

RECORD = Record(100.0, "192.0.2.7", "web", "GET", "site", "/a?b", 200, "-", "pool", "a:80", 1, 0.0123456789, 3, 5)


def a_log(path: Path | str) -> tuple[FakeLoop, AccessLog]:
    loop = FakeLoop()
    return loop, AccessLog(loop, str(path))  # type: ignore[arg-type]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(written) for written in path.read_text("utf-8").splitlines()]


def test_a_record_is_one_line_of_json_with_its_time_in_utc() -> None:
    assert {
        "time": "1970-01-01T00:01:41.500+00:00",
        "client": "192.0.2.7",
        "listener": "web",
        "method": "GET",
        "host": "site",
        "target": "/a?b",
        "status": 200,
        "word": "-",
        "pool": "pool",
        "backend": "a:80",
        "tries": 1,
        "duration_s": 0.012346,
        "received": 3,
        "sent": 5,
    } == json.loads(line(RECORD, 1.5))


@pytest.mark.parametrize("hostile", ['"', "\\", "\n", "\r", "\x00", "\x1b[2J", "\x7f", "\xe9", "\u2028", "a" * 10_000])
def test_whatever_a_client_sends_stays_within_its_field_and_line(hostile: str) -> None:
    written = line(RECORD._replace(target=hostile, host=hostile), 0.0)
    assert "\n" not in written
    assert "\x1b" not in written
    assert [hostile, hostile] == [json.loads(written)[name] for name in ("target", "host")]


def test_bytes_that_never_became_a_request_have_a_record_too() -> None:
    record = refused_record(1.0, "192.0.2.7", "web", errors.BAD_REQUEST, 400)
    assert (1.0, "192.0.2.7", "web", "-", "-", "-", 400, "bad_request", "-", "-", 0, 0.0, 0, 0) == record


def test_records_are_written_together_after_a_while(tmp_path: Path) -> None:
    loop, log = a_log(tmp_path / "log")
    for _ in range(3):
        log.add(RECORD)
    loop.turn(FLUSH_S - 0.01)
    assert [] == lines(tmp_path / "log")
    loop.turn(0.02)
    assert 3 == len(lines(tmp_path / "log"))
    loop.turn(10.0)
    assert 3 == len(lines(tmp_path / "log"))
    assert [] == loop.timers
    log.add(RECORD)
    loop.turn(FLUSH_S + 0.01)
    assert 4 == len(lines(tmp_path / "log"))
    log.close()


def test_a_burst_is_written_sooner(tmp_path: Path) -> None:
    loop, log = a_log(tmp_path / "log")
    for _ in range(BATCH + 1):
        log.add(RECORD)
    assert BATCH <= len(lines(tmp_path / "log"))
    log.close()
    assert BATCH + 1 == len(lines(tmp_path / "log"))
    assert all(timer.cancelled for timer in loop.timers)


def test_a_close_loses_nothing(tmp_path: Path) -> None:
    loop, log = a_log(tmp_path / "log")
    log.add(RECORD)
    log.close()
    assert 1 == len(lines(tmp_path / "log"))
    loop.turn(10.0)
    assert 1 == len(lines(tmp_path / "log"))


def test_a_record_that_comes_after_the_close_goes_nowhere(tmp_path: Path) -> None:
    """Its descriptor's number may be a client's by then."""
    loop, log = a_log(tmp_path / "log")
    log.close()
    with open(tmp_path / "next", "wb"):
        log.add(RECORD)
        loop.turn(10.0)
        log.close()
    assert [[], []] == [lines(tmp_path / name) for name in ("log", "next")]


def test_an_existing_log_is_continued(tmp_path: Path) -> None:
    for _ in range(2):
        _, log = a_log(tmp_path / "log")
        log.add(RECORD)
        log.close()
    assert 2 == len(lines(tmp_path / "log"))


def test_a_new_log_is_nothing_that_could_be_executed(tmp_path: Path) -> None:
    a_log(tmp_path / "log")[1].close()
    assert 0 == (tmp_path / "log").stat().st_mode & 0o111


def test_text_that_is_no_unicode_is_still_json(tmp_path: Path) -> None:
    _, log = a_log(tmp_path / "log")
    log.add(RECORD._replace(target="/\udc80"))
    log.close()
    assert ["/\udc80"] == [written["target"] for written in lines(tmp_path / "log")]


def test_a_dash_is_the_standard_output_which_stays_open(capfd: pytest.CaptureFixture[str]) -> None:
    _, log = a_log("-")
    log.add(RECORD)
    log.close()
    print("after it")
    written, said = capfd.readouterr().out.splitlines()
    assert "/a?b" == json.loads(written)["target"]
    assert "after it" == said


def test_a_log_that_cannot_be_opened_is_a_wrong_configuration(tmp_path: Path) -> None:
    """Also for a program that embeds the balancer: no bare OSError, which might be anything's."""
    with pytest.raises(errors.ConfigError) as caught:
        a_log(tmp_path / "no" / "log")
    assert (
        f"configuration: access_log: cannot be written: No such file or directory (got {tmp_path}/no/log); "
        "name a file that may be written, '-' for standard output, or off"
    ) == str(caught.value)


def closed_stream() -> StringIO:
    stream = StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stdout", [None, closed_stream(), StringIO(), object()])
def test_a_dash_where_there_is_no_standard_output_is_a_wrong_configuration(
    stdout: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number may be a socket's by now, or the program keeps what is printed in memory."""
    monkeypatch.setattr(sys, "stdout", stdout)
    with pytest.raises(errors.ConfigError) as caught:
        a_log("-")
    assert (
        "configuration: access_log: standard output is closed, or is no file (got -); "
        "name a file, or start with standard output open (such as >/dev/null)"
    ) == str(caught.value)


def test_a_fifo_without_a_reader_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    with pytest.raises(errors.ConfigError, match="No such device or address"):
        a_log(tmp_path / "log")


class Disk:
    """os.write on a disk that takes `most` bytes a call, and has room for `room` bytes more (None: endless)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.whole = os.write
        self.most = 1 << 30
        self.room: int | None = None
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        count = min(len(data), self.most)
        if self.room is not None:
            count = min(count, self.room)
            if not count:
                raise OSError(ENOSPC, "No space left on device")
            self.room -= count
        return self.whole(fd, data[:count])


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, log = a_log(tmp_path / "log")
    Disk(monkeypatch).most = 7
    for _ in range(3):
        log.add(RECORD)
    loop.turn(1.0)
    assert 3 == len(lines(tmp_path / "log"))
    log.close()


def test_a_log_that_cannot_be_written_is_said_once_each_time_that_it_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop, log = a_log(tmp_path / "log")
    disk = Disk(monkeypatch)
    for again in range(2):
        caplog.clear()
        disk.room = 0
        for _ in range(3):
            log.add(RECORD)
            loop.turn(1.0)
        failed = "[Errno 28] No space left on device; records are lost until it can be written again"
        assert [f"access log {log.path}: {failed}"] == caplog.messages
        disk.room = None
        log.add(RECORD)
        loop.turn(1.0)
        assert [f"access log {log.path}: goes on; records lost: 3"] == caplog.messages[1:]
        assert again + 1 == len(lines(tmp_path / "log"))
    log.close()


LINE_BYTES = len(line(RECORD, 0.0)) + 1


@pytest.mark.parametrize("room", sorted({*range(0, 3 * LINE_BYTES, 20), *range(LINE_BYTES - 2, LINE_BYTES + 2)}))
def test_a_line_that_was_cut_short_by_an_error_spoils_no_other(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop, log = a_log(tmp_path / "log")
    disk = Disk(monkeypatch)
    disk.room = room
    for _ in range(2):
        log.add(RECORD)
        log.add(RECORD)
        loop.turn(1.0)
    disk.room = None
    log.add(RECORD)
    log.close()
    whole = 0
    for written in (tmp_path / "log").read_bytes().splitlines():
        with suppress(ValueError):
            whole += bool(json.loads(written))
    lost = 4 - (room + 1) // LINE_BYTES  # a line that lacks nothing but its end is ended later
    assert 5 - lost == whole
    assert f"goes on; records lost: {lost}" in caplog.messages[-1]


def test_a_full_disk_at_the_stop_is_said_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    loop, log = a_log("/dev/full")
    for _ in range(3):
        log.add(RECORD)
        loop.turn(1.0)
    log.add(RECORD)
    log.close()
    assert 2 == len(caplog.messages)
    assert "No space left on device" in caplog.messages[0]
    assert "access log /dev/full: records lost: 4" == caplog.messages[1]


class Reader:
    """The other end of a pipe, a terminal or a socket that is our standard output."""

    def __init__(self, reads: int, writes: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads = reads
        self.writes = writes
        self.got = b""
        os.set_blocking(reads, False)
        self.stdout = open(writes, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - closed by the fixture
        monkeypatch.setattr(sys, "stdout", self.stdout)

    def read(self) -> None:
        """All that is there now."""
        with suppress(BlockingIOError):
            while more := os.read(self.reads, 1 << 16):
                self.got += more

    def targets(self) -> list[str]:
        """Of each line that came; there is nothing else."""
        assert self.got.endswith(b"\n")
        return [json.loads(written)["target"] for written in self.got.splitlines()]


def a_pipe() -> tuple[int, int]:
    reads, writes = os.pipe()
    fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 4096)
    return reads, writes


def a_terminal() -> tuple[int, int]:
    return pty.openpty()


def a_socket() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


Open = Callable[[Callable[[], tuple[int, int]]], Reader]


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    opened: list[Reader] = []

    def make(kind: Callable[[], tuple[int, int]]) -> Reader:
        opened.append(Reader(*kind(), monkeypatch))
        return opened[-1]

    yield make
    for each in opened:
        each.stdout.close()
        for fd in (each.reads, each.writes):
            with suppress(OSError):
                os.close(fd)


LONG = RECORD._replace(target="/" + 9_000 * "a")


@pytest.mark.parametrize("kind", [a_pipe, a_terminal, a_socket])
def test_a_reader_that_stops_holds_nobody_up_and_gets_whole_lines_when_it_goes_on(
    kind: Callable[[], tuple[int, int]], reader: Open
) -> None:
    other = reader(kind)
    loop, log = a_log("-")
    sent = [f"/{number}" + (number % 7 == 0) * 3_000 * "b" for number in range(2_500)]
    for target in sent:
        log.add(RECORD._replace(target=target))
    loop.turn(3.0)
    assert os.get_blocking(other.writes)  # who shares it would be surprised
    assert loop.timers
    for _ in range(2_000):
        other.read()
        loop.turn(FLUSH_S + 0.01)
    other.read()
    assert sent == other.targets()
    assert [] == loop.timers
    log.close()


def test_a_descriptor_that_cannot_be_opened_anew_is_shared_and_never_written_blindly(
    reader: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accesslog, "DESCRIPTORS", "/nowhere")
    other = reader(a_pipe)
    loop, log = a_log("-")
    for number in range(100):
        log.add(LONG._replace(client=str(number)))
    loop.turn(3.0)
    for _ in range(400):
        other.read()
        loop.turn(FLUSH_S + 0.01)
    assert 100 == len(other.targets())
    log.close()


def test_lines_of_others_on_the_same_pipe_do_not_come_in_between(reader: Open) -> None:
    other = reader(a_pipe)
    loop, log = a_log("-")
    for _ in range(50):
        log.add(RECORD)
    for _ in range(50):
        loop.turn(FLUSH_S + 0.01)
        other.read()
        os.write(other.writes, b'{"target": "theirs"}\n')
        other.read()
    assert {"theirs", "/a?b"} == set(other.targets())
    log.close()


def test_a_reader_that_stays_behind_costs_records_and_no_memory(
    reader: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accesslog, "MAX_BEHIND_BYTES", 1 << 20)
    other = reader(a_pipe)
    loop, log = a_log("-")
    for _ in range(30):
        for _ in range(10):
            log.add(LONG)
        loop.turn(FLUSH_S + 0.01)
    assert (1 << 20) - 100_000 <= len(log.unwritten) <= 1 << 20
    assert ["access log -: its reader is 1 MiB behind; records are lost until it has caught up"] == caplog.messages
    lost = log.lost
    while log.unwritten:
        other.read()
        loop.turn(FLUSH_S + 0.01)
    assert [f"access log -: goes on; records lost: {lost}"] == caplog.messages[1:]
    other.read()
    log.add(RECORD)
    log.close()
    other.read()
    assert 300 - lost + 1 == len(other.targets())


def all_of(other: Reader) -> None:
    while more := os.read(other.reads, 1 << 16):
        other.got += more


def test_a_reader_that_is_gone_is_said_once(reader: Open, caplog: pytest.LogCaptureFixture) -> None:
    other = reader(a_pipe)
    loop, log = a_log("-")
    os.close(other.reads)
    for _ in range(3):
        log.add(RECORD)
        loop.turn(1.0)
    log.close()
    assert 2 == len(caplog.messages)
    assert "Broken pipe" in caplog.messages[0]
    assert "access log -: records lost: 3" == caplog.messages[1]


def test_a_close_waits_a_little_for_a_reader_who_is_slow(reader: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesslog, "CLOSE_S", 60.0)
    other = reader(a_pipe)
    os.set_blocking(other.reads, True)
    _, log = a_log("-")
    for _ in range(100):
        log.add(LONG)
    thread = Thread(target=all_of, args=(other,))
    thread.start()
    log.close()
    os.close(other.writes)
    thread.join()
    assert 100 == len(other.targets())


def test_a_close_does_not_wait_for_a_reader_who_never_comes(
    reader: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accesslog, "CLOSE_S", 0.05)
    reader(a_pipe)
    _, log = a_log("-")
    for _ in range(100):
        log.add(LONG)
    log.close()
    assert ["access log -: records lost: 100"] == caplog.messages
