"""A running balancer is found by its socket, in a directory that only its user may write to."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from steelyard.processes import runtime
from steelyard.processes.runtime import NoRuntime


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    return tmp_path / "run"


@contextmanager
def running(place: Path, *pids: int) -> Iterator[None]:
    """Balancers with these process ids."""
    place.mkdir(exist_ok=True)
    socks = [socket.socket(socket.AF_UNIX) for _ in pids]
    for sock, pid in zip(socks, pids, strict=True):
        sock.bind(str(place / f"{pid}.sock"))
        sock.listen()
    yield
    for sock in socks:
        sock.close()


@pytest.mark.parametrize(
    ("expected", "uid", "environ"),
    [
        ("/run/a", 1000, {"RUNTIME_DIRECTORY": "/run/a"}),
        ("/run/a", 0, {"RUNTIME_DIRECTORY": "/run/a:/run/b"}),
        ("/run/steelyard", 0, {"XDG_RUNTIME_DIR": "/run/user/0"}),
        ("/run/user/1000/steelyard", 1000, {"XDG_RUNTIME_DIR": "/run/user/1000"}),
        ("/tmp/steelyard-1000", 1000, {"XDG_RUNTIME_DIR": "", "RUNTIME_DIRECTORY": ""}),
    ],
)
def test_each_user_has_a_directory(
    expected: str, uid: int, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert Path(expected) == runtime.directory(environ)


def test_the_socket_is_for_its_user_alone_and_goes_in_the_end(place: Path) -> None:
    with runtime.listen() as sock:
        path = place / f"{os.getpid()}.sock"
        assert (0o700, 0o600) == tuple(stat.S_IMODE(one.stat().st_mode) for one in (place, path))
        assert (False, [os.getpid()]) == (sock.getblocking(), runtime.alive())
    runtime.remove()
    runtime.remove()
    assert [] == list(place.iterdir())


def test_one_of_the_same_number_that_did_not_end_well_is_replaced(place: Path) -> None:
    runtime.listen().close()
    with runtime.listen():
        assert [os.getpid()] == runtime.alive()


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_directory_that_others_may_write_to_is_refused(mode: int, place: Path) -> None:
    place.mkdir()
    place.chmod(mode)
    with pytest.raises(NoRuntime, match="not a directory that only this user may write to; remove it, or chmod 700"):
        runtime.listen()
    assert [] == list(place.iterdir())


def test_another_user_s_directory_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(NoRuntime, match="only this user may write to"):
        runtime.listen()


def test_a_link_to_a_directory_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "other")
    with pytest.raises(NoRuntime, match="only this user may write to"):
        runtime.listen()


def test_where_there_can_be_no_socket_the_mend_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write_text("a file")
    with pytest.raises(NoRuntime, match=r"no socket for commands at .*: File exists; name a directory"):
        runtime.listen()
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/proc/steelyard/" + "a" * 200)
    with pytest.raises(NoRuntime, match="name a directory that can be written in XDG_RUNTIME_DIR"):
        runtime.listen()


def left_behind(place: Path, *pids: int) -> None:
    """What balancers with these process ids leave that are killed."""
    with running(place, *pids):
        for pid in pids:
            home = place / f"{pid}.local"
            home.mkdir()
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(str(home / "web-0"))


def no_process(pid: int, signal: int) -> None:
    raise ProcessLookupError


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def started_beside(place: Path) -> list[str]:
    """What there is, but for its own socket, when another balancer has started there."""
    place.chmod(0o700)
    with runtime.listen():
        return [name for name in names(place) if name != f"{os.getpid()}.sock"]


def test_what_one_that_was_killed_has_left_is_removed_by_the_next_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(place, 4711, 4194304, os.getpid())  # also under the number that is ours now
    monkeypatch.setattr(os, "kill", no_process)
    assert [] == started_beside(place)


def test_where_there_is_still_a_process_of_its_number_all_stays(place: Path) -> None:
    """It may have handed over, and drain; its socket is another one's then."""
    left_behind(place, os.getppid(), 1)
    kept = names(place)
    assert (4, kept) == (len(kept), started_beside(place))


def test_what_another_user_s_process_may_have_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(pid: int, signal: int) -> None:
        raise PermissionError

    left_behind(place, 4711)
    monkeypatch.setattr(os, "kill", forbidden)
    assert ["4711.local", "4711.sock"] == started_beside(place)


def test_one_whose_socket_answers_lives_though_its_process_is_in_another_container(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(place, 4711)
    (place / "4711.sock").unlink()
    monkeypatch.setattr(os, "kill", no_process)
    with running(place, 4711):
        assert ["4711.local", "4711.sock"] == started_beside(place)
        assert ["web-0"] == names(place / "4711.local")


def test_no_link_is_followed(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    left_behind(place, 4711)
    (place / "4712.local").symlink_to(other)
    (place / "4711.local" / "link").symlink_to(other)
    monkeypatch.setattr(os, "kill", no_process)
    assert ["4712.local"] == started_beside(place)
    assert ["file"] == names(other)


def test_what_is_no_balancer_s_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_behind(place, 4711)
    (place / "4711.local" / "directory").mkdir()
    others = ["0.local", "04712.local", "4711.local.local", "99999999.sock", "notes.local", "\u0664.sock"]
    for name in others:
        (place / name).mkdir()
    monkeypatch.setattr(os, "kill", no_process)
    assert sorted(["4711.local", *others]) == started_beside(place)


def test_the_only_one_is_meant(place: Path) -> None:
    with running(place, 4711):
        assert [4711, 4711] == [runtime.find(), runtime.find(4711)]


def test_of_several_one_has_to_be_named(place: Path) -> None:
    with running(place, 12, 4711, 4):
        assert 12 == runtime.find(12)
        with pytest.raises(
            NoRuntime, match=r"several balancers run: 4, 12, 4711 \(looked in .*\); name one with --pid"
        ):
            runtime.find()
        with pytest.raises(NoRuntime, match="has the process id 5; running: 4, 12, 4711"):
            runtime.find(5)


def test_what_nobody_listens_at_is_none(place: Path) -> None:
    with running(place, 12):
        pass
    (place / "notes.sock").touch()
    (place / "13.sock").touch()
    assert [] == runtime.alive()
    with pytest.raises(NoRuntime, match=r"no balancer of this user is running \(looked in .*\); start one with"):
        runtime.find()
    with pytest.raises(NoRuntime, match="has the process id 12; running: none"):
        runtime.find(12)


def test_without_a_directory_none_is_running(place: Path) -> None:
    assert ([], False) == (runtime.alive(), place.exists())


def test_one_that_is_too_busy_to_accept_is_alive(place: Path) -> None:
    place.mkdir()
    with socket.socket(socket.AF_UNIX) as sock, socket.socket(socket.AF_UNIX) as caller:
        sock.bind(str(place / "7.sock"))
        sock.listen(0)
        caller.connect(str(place / "7.sock"))
        assert [7] == runtime.alive()


def test_sockets_of_local_backends_are_beside_ours_unless_another_user_must_reach_them(place: Path) -> None:
    place.mkdir(mode=0o700, exist_ok=True)
    assert [str(place / "7.local")] * 2 == [runtime.place_of_locals(7), runtime.place_of_locals(7, os.geteuid())]
    others = {runtime.place_of_locals(7, 65534) for _ in range(2)}
    assert (2, {Path("/tmp")}) == (len(others), {Path(path).parent for path in others})


def test_without_a_directory_of_ours_they_are_where_everybody_may_write(place: Path) -> None:
    assert not place.exists()
    assert runtime.place_of_locals(7).startswith("/tmp/steelyard-7-")


@pytest.mark.parametrize(("uid", "mode"), [(os.geteuid(), 0o777), (os.geteuid() + 1, 0o700)])
def test_nor_are_they_in_a_directory_in_which_another_user_can_put_his_own_for_ours(
    uid: int, mode: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.mkdir()
    place.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert runtime.place_of_locals(7).startswith("/tmp/steelyard-7-")
