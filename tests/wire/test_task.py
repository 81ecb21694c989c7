"""wire/task.py: what is a task's request, when it is whole, and what its client is told when it is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.approaches import known
from steelyard.core.spec import PolicySpec
from steelyard.errors import APPROACH_UNKNOWN, BAD_TASK, TASK_TOO_LONG, Kind, ProtocolError
from steelyard.wire.task import MAX_BYTES, Progress, Task, ends_line, error_line, parse, progress, shown

NAMES = frozenset({"round_robin", "least_connections", "least_response_time", "hash", "random", "random_two"})
ENDS = (b"", b"\n", b"\r\n")


def read(data: bytes) -> Task | tuple[Kind, str]:
    """What these bytes are, as they stand."""
    try:
        return parse(data, NAMES)
    except ProtocolError as exc:
        return exc.kind, exc.detail


def arriving(pieces: list[bytes]) -> bytes:
    """What is read as the request when the pieces arrive quickly one after the other, and then nothing more."""
    data = b""
    for piece in pieces:
        data += piece
        if progress(data, NAMES) is Progress.WHOLE:
            break
    return data


REQUESTS = [
    (b"AppID:Long:least_connections", Task("Long", "least_connections")),
    (b"AppID:Short:round_robin", Task("Short", "round_robin")),
    (b"AppID:Long:hash", Task("Long", "hash")),
    (b"AppID:x:random_two", Task("x", "random_two")),
    (b"AppID:Re-size.2_A!#$%&'*+^`|~:least_response_time", Task("Re-size.2_A!#$%&'*+^`|~", "least_response_time")),
    (b"AppID:" + b"k" * (MAX_BYTES - 20) + b":hash", Task("k" * (MAX_BYTES - 20), "hash")),
]
OPEN = [
    (b"AppID:Long", Task("Long", None)),
    (b"AppID:Long:random", Task("Long", "random")),
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("data", "expected"), [*REQUESTS, *OPEN])
def test_a_request_is_read_with_or_without_a_lines_end_however_it_is_cut(
    data: bytes, expected: Task, end: bytes
) -> None:
    whole = data + end
    assert expected == read(whole)
    assert expected == read(arriving([whole[at : at + 1] for at in range(len(whole))]))
    for cut in range(len(whole)):
        assert expected == read(arriving([whole[:cut], whole[cut:]])), f"cut at {cut}"


@pytest.mark.parametrize(("data", "expected"), REQUESTS)
def test_one_that_cannot_go_on_is_whole_at_its_last_byte_and_not_before(data: bytes, expected: Task) -> None:
    assert Progress.WHOLE is progress(data, NAMES)
    for cut in range(len(data)):
        assert progress(data[:cut], NAMES) in (Progress.NOT_YET, Progress.PERHAPS)


@pytest.mark.parametrize(("data", "expected"), OPEN)
def test_one_that_could_go_on_is_perhaps_whole(data: bytes, expected: Task) -> None:
    assert Progress.PERHAPS is progress(data, NAMES)
    assert Progress.NOT_YET is progress(data + b"\r", NAMES)
    assert Progress.WHOLE is progress(data + b"\n", NAMES)


def test_no_built_in_name_begins_with_another_so_that_each_is_whole_at_once() -> None:
    names = known(PolicySpec())
    assert 13 <= len(names)
    assert {Progress.WHOLE} == {progress(b"AppID:Long:" + name.encode(), names) for name in names}


@pytest.mark.parametrize("data", [b"", b"A", b"AppID", b"AppID:", b"AppID:Long:", b"AppID:Long:least", b"AppID:Long:r"])
def test_a_beginning_is_not_yet_one(data: bytes) -> None:
    assert Progress.NOT_YET is progress(data, NAMES)


@pytest.mark.parametrize(
    "data",
    [
        *(b"GET / HTTP/1.1", b"\0", b"appid:Long", b" AppID:Long", b"AppID::hash", b"AppID: Long", b"AppID:L\xffng"),
        *(b"AppID:Long:best", b"AppID:Long:hash:", b"AppID:Long:hash ", b"AppID:Long: hash", b"\r", b"AppID:Lo\rng"),
        *(b"AppID:Long:Hash", b"AppID:Long:hash\r\r", b"AppID:Long:least\r"),
    ],
)
def test_what_can_never_become_one_is_said_to_be_none(data: bytes) -> None:
    assert Progress.NEVER is progress(data, NAMES)
    assert isinstance(read(data), tuple)
    assert isinstance(read(data + b"\n"), tuple)


REFUSED = [
    (b"", BAD_TASK, "'' is no request; write AppID:KIND:APPROACH, such as AppID:Long:least_connections"),
    (b"GET / HTTP/1.1\r", BAD_TASK, r"'GET / HTTP/1.1\r' is no request; write AppID:KIND:APPROACH, such as "),
    (b"AppID", BAD_TASK, "'AppID' is no request; "),
    (b"AppID:", BAD_TASK, "there is no kind of work in 'AppID:'; write "),
    (b"AppID::hash", BAD_TASK, "there is no kind of work in 'AppID::hash'; write "),
    (b"AppID:L ng:hash", BAD_TASK, "'L ng' is no kind of work in 'AppID:L ng:hash'; write "),
    (b"AppID:L\xffng:hash", BAD_TASK, r"'L\xffng' is no kind of work in 'AppID:L\xffng:hash'; write "),
    (b"AppID:Long:", APPROACH_UNKNOWN, "no approach behind the last colon of 'AppID:Long:'; known: hash, least_conn"),
    (b"AppID:Long:least", APPROACH_UNKNOWN, "unknown approach 'least'; did you mean least_connections or least_res"),
    (b"AppID:Long:roundrobin", APPROACH_UNKNOWN, "unknown approach 'roundrobin'; did you mean round_robin?"),
    (b"AppID:Long:HASH", APPROACH_UNKNOWN, "unknown approach 'HASH'; did you mean hash?"),
    (b"AppID:Long:best", APPROACH_UNKNOWN, "unknown approach 'best'; "),
    (b"AppID:Long:zzz", APPROACH_UNKNOWN, "unknown approach 'zzz'; known: hash, least_connections, least_response_t"),
    (b"AppID:Long:hash:now", APPROACH_UNKNOWN, "unknown approach 'hash:now'; "),
    (b"AppID:Long:\xff\x1b[31m", APPROACH_UNKNOWN, r"unknown approach '\xff\x1b[31m'; known: "),
]


@pytest.mark.parametrize(("data", "kind", "begins"), REFUSED)
def test_an_error_says_what_is_wrong_the_value_and_the_mend(data: bytes, kind: Kind, begins: str) -> None:
    found = read(data)
    assert isinstance(found, tuple)
    assert kind is found[0]
    assert begins == found[1][: len(begins)]
    if not data.endswith(b"\r"):
        for end in ENDS:
            assert found == read(data + end)


@pytest.mark.parametrize(("data", "kind", "begins"), REFUSED)
def test_an_error_is_the_same_however_its_bytes_are_cut(data: bytes, kind: Kind, begins: str) -> None:
    """But for what lies behind a whole request: that is another one's error, where it comes later."""
    whole = data + b"\n"
    if data == b"AppID:Long:hash:now":
        assert b"AppID:Long:hash" == arriving([b"AppID:Long:hash", b":now\n"])
        return
    assert read(whole) == read(arriving([whole[at : at + 1] for at in range(len(whole))]))
    for cut in range(len(whole)):
        assert read(whole) == read(arriving([whole[:cut], whole[cut:]]))


@pytest.mark.parametrize("behind", [b"\n", b"AppID:Short:hash", b"\0", b" "])
@pytest.mark.parametrize("data", [b"AppID:Long:hash\n", b"AppID:Long\r\n", b"\n", b"nonsense\n"])
def test_a_connection_takes_one_request(data: bytes, behind: bytes) -> None:
    assert (BAD_TASK, f"{shown(behind)} behind the request; a connection takes one request") == read(data + behind)


def test_behind_a_whole_request_only_the_lines_end_may_come() -> None:
    request = b"AppID:Long:hash"
    assert all(ends_line(request, data) for data in (b"\n", b"\r", b"\r\n"))
    assert not any(ends_line(request, data) for data in (b"\n\n", b"\r\r\n", b" ", b"x", b":hash", b"\r\nx"))
    assert ends_line(request + b"\r", b"\n")
    assert not any(ends_line(request + end, data) for end in ENDS[1:] for data in (b"\n", b"\r", b"\r\n"))


def test_bytes_right_behind_an_approach_belong_to_it() -> None:
    with pytest.raises(ProtocolError, match="unknown approach 'hashAppID:Short:hash'; known: hash, ") as caught:
        parse(b"AppID:Long:hashAppID:Short:hash", NAMES)
    assert caught.value.kind is APPROACH_UNKNOWN


@pytest.mark.parametrize("data", [b"AppID:" + b"k" * MAX_BYTES, b"x" * (MAX_BYTES + 1), b"\n" * (MAX_BYTES + 1)])
def test_more_bytes_than_a_request_may_have_are_refused_at_once(data: bytes) -> None:
    assert Progress.WHOLE is progress(data, NAMES)
    text = (
        f"the request is longer than {MAX_BYTES} bytes; write AppID:KIND:APPROACH, such as AppID:Long:least_connections"
    )
    assert (TASK_TOO_LONG, text) == read(data)


def test_the_most_bytes_are_taken() -> None:
    data = b"AppID:" + b"k" * (MAX_BYTES - 12) + b":hash\n"
    assert MAX_BYTES == len(data)
    assert isinstance(read(data), Task)
    assert ends_line(data[:-1], b"\n")


def test_a_lines_end_that_is_one_byte_too_many_is_so_wherever_it_is_cut_off() -> None:
    data = b"AppID:" + b"k" * (MAX_BYTES - 11) + b":hash\n"
    assert TASK_TOO_LONG is read(data)[0]
    assert not ends_line(data[:-1], b"\n")


def test_a_worker_gets_the_kind_and_nothing_else() -> None:
    assert b"AppID:Long" == Task("Long", "least_connections").forwarded
    assert b"AppID:Long" == Task("Long", None).forwarded


def test_an_error_is_one_line_of_ascii_whatever_is_in_it() -> None:
    assert b"ERROR: no worker\n" == error_line("no worker")
    assert b"ERROR: a?b?c\\xfc\\u2192\n" == error_line("a\nb\x1bc\xfc\u2192")


def test_a_quotation_is_not_too_long() -> None:
    assert "'" + "x" * 60 + "'..." == shown(b"x" * 61)
    assert "'" + "x" * 60 + "'" == shown(b"x" * 60)


@given(st.one_of(st.binary(max_size=40), st.from_regex(rb"AppID:[a-zA-Z]{0,4}:?[a-z_]{0,20}(\r?\n)?.{0,3}")))
def test_whatever_comes_is_read_or_refused_and_progress_agrees_with_that(data: bytes) -> None:
    found = read(data)
    said = progress(data, NAMES)
    if isinstance(found, Task):
        assert said in (Progress.WHOLE, Progress.PERHAPS)
        assert found == read(
            f"AppID:{found.kind}".encode() + (f":{found.approach}".encode() if found.approach else b"")
        )
    else:
        assert said is not Progress.PERHAPS
        line = error_line(found[1])
        assert line.endswith(b"\n")
        assert 1 == line.count(b"\n")
        assert all(32 <= byte < 127 for byte in line[:-1])
        assert len(line) < 700
