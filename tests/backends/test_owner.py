"""All local backends of a balancer over fakes: wanted, kept, dropped, ended, and stopped together."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from steelyard.backends import local as module
from steelyard.backends.knock import Knock
from steelyard.backends.local import KNOCK_S
from steelyard.backends.owner import Owner
from steelyard.backends.restarts import YOUNG_S
from steelyard.backends.wanted import Wanted
from tests.backends.fakes import FakeLaunch, FakeProcess, FakeReactor, a_wanted

ONE, TWO, THREE = (a_wanted(f"web/{number}") for number in range(3))


class OpenKnock(Knock):
    """Everybody is there at once, but who is closed."""

    closed: ClassVar[set[str]] = set()

    def answered(self, age_s: float) -> bool:
        return self.wanted.name not in self.closed


class Stage:
    """An owner of fakes. answers: of the latest want, None while it waits. told: reports of changes."""

    def __init__(self, place: Path) -> None:
        self.reactor = FakeReactor()
        self.launch = FakeLaunch(self.reactor)
        self.told: list[tuple[str, str]] = []
        self.answers: list[dict[str, Any]] | None = None
        self.owner = Owner(
            self.reactor,
            str(place),
            lambda report: self.told.append((report["name"], report["state"])),
            lambda line: None,
            None,
            self.launch,
            self.reactor.clock,
        )

    def want(self, *wanted: Wanted) -> None:
        self.answers = None

        def answer(answers: list[dict[str, Any]]) -> None:
            self.answers = answers

        self.owner.want(wanted, answer)

    def serve(self, *wanted: Wanted) -> None:
        """These are in force, and well."""
        self.want(*wanted)
        self.reactor.wait(KNOCK_S)
        self.owner.keep([one.key for one in wanted], 30.0)
        self.reactor.wait(YOUNG_S)

    def process(self, wanted: Wanted) -> FakeProcess:
        """The latest one of it."""
        return [one for one, key in zip(self.launch.started, self.launch.keys, strict=True) if key == wanted.key][-1]

    def names(self) -> list[str]:
        return [report["name"] for report in self.owner.reports()]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    monkeypatch.setattr(module, "Knock", OpenKnock)
    monkeypatch.setattr(OpenKnock, "closed", set())
    return Stage(tmp_path / "place")


def test_who_wants_some_hears_of_them_when_all_have_settled(stage: Stage) -> None:
    OpenKnock.closed = {"web/1"}
    stage.want(ONE, TWO)
    stage.reactor.wait(KNOCK_S)
    assert stage.answers is None
    stage.process(TWO).says(b"cannot\n")
    stage.process(TWO).ends(1)
    assert stage.answers is not None
    assert [("web/0", "ready", True, ""), ("web/1", "waiting", True)] == [
        tuple(one[key] for key in ("name", "state", "new", "why") if not (key == "why" and one["why"]))
        for one in stage.answers
    ]
    assert "exit status 1" in stage.answers[1]["why"]


def test_who_wants_none_hears_at_once(stage: Stage) -> None:
    stage.want()
    assert [] == stage.answers


def test_those_that_run_go_on_and_only_new_ones_are_started(stage: Stage) -> None:
    stage.serve(ONE, TWO)
    pids = [report["pid"] for report in stage.owner.reports()]
    stage.want(ONE, TWO, THREE)
    stage.reactor.wait(KNOCK_S)
    assert stage.answers is not None
    assert [*pids, 3] == [one["pid"] for one in stage.answers]
    assert [False, False, True] == [one["new"] for one in stage.answers]


def test_those_that_are_dropped_end_and_the_others_stay(stage: Stage) -> None:
    stage.serve(ONE)
    stage.want(ONE, TWO)
    stage.owner.drop()
    stage.reactor.wait(60.0)
    assert (["web/0"], True, False) == (stage.names(), stage.process(TWO).finished, stage.process(ONE).finished)
    assert stage.answers is None


def test_another_want_drops_the_one_before(stage: Stage) -> None:
    stage.serve(ONE)
    stage.want(ONE, TWO)
    stage.want(ONE, THREE)
    stage.reactor.wait(KNOCK_S)
    assert (["web/0", "web/2"], True) == (stage.names(), stage.process(TWO).finished)


def test_those_in_force_no_more_end_when_nothing_is_in_flight_there(stage: Stage) -> None:
    stage.serve(ONE, TWO)
    stage.want(TWO)
    stage.owner.keep([TWO.key], 30.0)
    stage.reactor.wait(29.0)
    assert not stage.process(ONE).finished
    stage.owner.end([ONE.key, TWO.key])  # the second one is in force, whatever is said
    stage.reactor.wait()
    assert ([True, False], ["web/1"]) == ([stage.process(one).finished for one in (ONE, TWO)], stage.names())


def test_those_in_force_no_more_end_when_their_time_is_over(stage: Stage) -> None:
    stage.serve(ONE, TWO)
    stage.owner.keep([TWO.key], 30.0)
    stage.reactor.wait(30.0)
    assert [True, False] == [stage.process(one).finished for one in (ONE, TWO)]


def test_one_that_comes_back_before_its_time_is_over_stays(stage: Stage) -> None:
    stage.serve(ONE, TWO)
    stage.owner.keep([TWO.key], 30.0)
    stage.want(ONE, TWO)
    stage.owner.keep([ONE.key, TWO.key], 30.0)
    stage.reactor.wait(60.0)
    assert (2, ["web/0", "web/1"]) == (len(stage.launch.started), sorted(stage.names()))


@pytest.mark.parametrize("by_time", [False, True])
def test_one_that_is_to_come_back_is_not_ended_meanwhile(stage: Stage, by_time: bool) -> None:
    """A reload wants it again, while another process of it becomes ready; and what was in flight there ends."""
    stage.serve(ONE, TWO)
    stage.owner.keep([TWO.key], 30.0)
    OpenKnock.closed = {"web/2"}
    stage.want(ONE, TWO, THREE)
    if by_time:
        stage.reactor.wait(29.9)
    else:
        stage.owner.end([ONE.key])
    OpenKnock.closed = set()
    stage.reactor.wait(2 * KNOCK_S)
    stage.reactor.wait(0.1)
    assert stage.answers is not None
    assert {"web/0", "web/1", "web/2"} == {one["name"] for one in stage.answers}
    stage.owner.decided()
    stage.owner.drop()  # who wanted it is gone, but that is decided
    stage.owner.keep([ONE.key, TWO.key, THREE.key], 30.0)
    stage.reactor.wait(60.0)
    assert ({"web/0", "web/1", "web/2"}, False) == (set(stage.names()), stage.process(ONE).finished)


def test_one_that_was_to_come_back_and_does_not_ends_then(stage: Stage) -> None:
    stage.serve(ONE, TWO)
    stage.owner.keep([TWO.key], 30.0)
    stage.want(ONE, TWO)
    stage.owner.end([ONE.key])
    stage.reactor.wait()
    assert not stage.process(ONE).finished
    stage.owner.drop()
    stage.reactor.wait()
    assert ([True, False], ["web/1"]) == ([stage.process(one).finished for one in (ONE, TWO)], stage.names())


def test_one_that_came_back_and_goes_again_has_all_its_time(stage: Stage) -> None:
    stage.serve(ONE)
    stage.owner.keep([], 30.0)
    stage.reactor.wait(10.0)
    stage.owner.keep([ONE.key], 30.0)
    stage.reactor.wait(10.0)
    stage.owner.keep([], 30.0)
    stage.reactor.wait(29.0)
    assert not stage.process(ONE).finished
    stage.reactor.wait(1.0)
    assert stage.process(ONE).finished


def test_one_that_comes_back_while_it_ends_is_started_when_its_place_is_free(stage: Stage) -> None:
    stage.launch.obedient = False
    stage.serve(ONE)
    stage.want()
    stage.owner.keep([], 0.0)
    stage.reactor.wait(1.0)
    stage.want(ONE)
    assert 1 == len(stage.launch.started)
    stage.process(ONE).ends(0)
    stage.reactor.wait(KNOCK_S)
    assert (2, "ready") == (len(stage.launch.started), (stage.answers or [{}])[0].get("state"))


def test_changes_are_told(stage: Stage) -> None:
    stage.serve(ONE)
    stage.process(ONE).ends(-9)
    stage.reactor.wait(KNOCK_S)
    assert [("web/0", "ready"), ("web/0", "waiting"), ("web/0", "ready")] == stage.told


def test_a_restart_is_for_the_process_that_was_meant(stage: Stage) -> None:
    stage.serve(ONE)
    stage.owner.restart(ONE.key, 99, "hangs")
    stage.owner.restart("nobody", 1, "hangs")
    assert [] == stage.process(ONE).signals
    stage.owner.restart(ONE.key, 1, "hangs")
    assert [15] == stage.process(ONE).signals


def test_all_end_together_and_who_has_asked_goes_on(stage: Stage) -> None:
    stage.serve(ONE, TWO)
    ended: list[bool] = []
    stage.owner.stop(lambda: ended.append(True))
    assert [] == ended
    stage.reactor.wait()
    assert ([True], [True, True]) == (ended, [stage.process(one).finished for one in (ONE, TWO)])


def test_at_once_is_at_once(stage: Stage) -> None:
    stage.launch.obedient = False
    stage.serve(ONE)
    stage.owner.stop(lambda: None)
    stage.owner.stop(lambda: None, at_once=True)
    stage.reactor.wait()
    assert ([15, 9], True) == (stage.process(ONE).signals, stage.process(ONE).finished)


def test_where_there_are_none_all_have_ended(stage: Stage) -> None:
    ended: list[bool] = []
    stage.owner.stop(lambda: ended.append(True))
    assert [True] == ended


def test_the_place_of_unix_sockets_is_made_for_us_alone_and_leaves_with_them(stage: Stage, tmp_path: Path) -> None:
    place = tmp_path / "place"
    stage.serve(a_wanted("web/0", path=str(place / "web-0"), host="", port=0))
    assert 0o700 == place.stat().st_mode & 0o777
    (place / "web-0").touch()
    stage.owner.stop(lambda: None)
    stage.reactor.wait()
    assert not place.exists()


def test_a_place_that_was_cleared_away_with_all_around_it_is_made_again(stage: Stage, tmp_path: Path) -> None:
    """Somebody has removed $RUNTIME_DIRECTORY: what has its sockets in there could never be started again."""
    place = tmp_path / "run" / "7.local"
    stage.owner.directory = str(place)
    one = a_wanted("web/0", path=str(place / "web-0"), host="", port=0)
    stage.serve(one)
    place.rmdir()
    place.parent.rmdir()
    stage.process(one).ends(1)
    stage.reactor.wait(YOUNG_S)
    assert 2 == len(stage.launch.started)
    assert [0o700] * 2 == [path.stat().st_mode & 0o777 for path in (place.parent, place)]


def test_a_place_that_others_may_write_to_is_not_used(stage: Stage, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o777)
    stage.want(a_wanted("web/0", path=str(place / "web-0"), host="", port=0))
    stage.reactor.wait()
    assert stage.answers is not None
    assert "cannot be started: File exists" in stage.answers[0]["why"]
    assert 0 == len(stage.launch.started)


@pytest.mark.parametrize("path", ["victim", "place/../victim"])
def test_a_path_elsewhere_is_nobodys_place(stage: Stage, tmp_path: Path, path: str) -> None:
    """Who asks may be another user than the owner: nothing of others is removed for it."""
    victim = tmp_path / "victim"
    victim.touch()
    stage.want(a_wanted("web/0", path=f"{tmp_path}/{path}", host="", port=0))
    assert stage.answers is not None
    assert f"cannot be started: its socket is to be in {tmp_path}/place" in stage.answers[0]["why"]
    stage.owner.drop()
    assert ([], True) == (stage.launch.started, victim.exists())
