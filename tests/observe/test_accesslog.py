"""The access log: one JSON line an exchange, in batches, and never at traffic's cost."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from steelyard import errors
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
    record = refused_record(1.0, "192.0.2.7", "web", errors.BAD_REQUEST)
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
    assert log.file.closed


def test_an_existing_log_is_continued(tmp_path: Path) -> None:
    for _ in range(2):
        _, log = a_log(tmp_path / "log")
        log.add(RECORD)
        log.close()
    assert 2 == len(lines(tmp_path / "log"))


def test_a_dash_is_the_standard_output_which_stays_open(capsys: pytest.CaptureFixture[str]) -> None:
    _, log = a_log("-")
    log.add(RECORD)
    log.close()
    assert "/a?b" == json.loads(capsys.readouterr().out)["target"]
    assert not sys.stdout.closed


def test_a_log_that_cannot_be_opened_is_a_wrong_configuration(tmp_path: Path) -> None:
    """Also for a program that embeds the balancer: no bare OSError, which might be anything's."""
    with pytest.raises(errors.ConfigError) as caught:
        a_log(tmp_path / "no" / "log")
    assert (
        f"configuration: access_log: cannot be written: No such file or directory (got {tmp_path}/no/log); "
        "name a file that may be written, '-' for standard output, or off"
    ) == str(caught.value)


class Full:
    """A file on a disk that is full until there is room."""

    def __init__(self) -> None:
        self.room = False
        self.written: list[str] = []

    def write(self, text: str) -> None:
        if not self.room:
            raise OSError(28, "No space left on device")
        self.written.append(text)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_log_that_cannot_be_written_is_said_once_each_time_that_it_happens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loop, log = a_log(tmp_path / "log")
    log.file.close()
    log.file = full = Full()  # type: ignore[assignment]
    with caplog.at_level(logging.ERROR, "steelyard"):
        for _ in range(3):
            log.add(RECORD)
            loop.turn(1.0)
        assert 1 == len(caplog.records)
        assert "No space left on device" in caplog.text
        full.room = True
        log.add(RECORD)
        loop.turn(1.0)
        assert 1 == len(full.written)
        full.room = False
        log.add(RECORD)
        loop.turn(1.0)
        assert 2 == len(caplog.records)
    log.close()
