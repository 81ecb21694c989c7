"""What the kit's tests stand on: requests whose parts follow from the key, dice from a seed, a clock that is turned."""

from steelyard.core.spec import PolicySpec
from steelyard.core.table import REQUESTS
from steelyard.testing.scene import START_S, Dice, Scene


def test_dice_from_the_same_seed_fall_alike_and_all_numbers_come() -> None:
    one, other, third = Dice(1), Dice(1), Dice(2)
    drawn = [one.below(6) for _ in range(600)]
    assert drawn == [other.below(6) for _ in range(600)]
    assert drawn != [third.below(6) for _ in range(600)]
    # 100 expected of each, give or take 5 standard deviations of 9.1
    assert all(54 <= drawn.count(number) <= 146 for number in range(6))


def test_a_request_has_parts_that_follow_from_its_key() -> None:
    scene = Scene(PolicySpec(), [1])
    request, same, keyless = scene.request(0x10203), scene.request(0x10203), scene.request(0)
    parts = ("client_ip", "path", "host", "method", "header:x-user", "body:messages.0.content")
    assert ["10.1.2.3", "/10203", "conformance.test", "GET", "10203", "10203"] == [request.get(name) for name in parts]
    assert [request.get(name) for name in parts] == [same.get(name) for name in parts]
    assert ["10.0.0.0", "/0", "conformance.test", "GET", None, None] == [keyless.get(name) for name in parts]


def test_time_passes_with_every_request_and_policies_hear_of_it() -> None:
    heard: list[float] = []
    scene = Scene(PolicySpec(), [1], workers=2, between=lambda policy, now: heard.append(now))
    scene.once()
    scene.pass_time(1.0)
    assert [START_S + 0.001] * 2 + [START_S + 1.001] * 2 == heard


def test_what_is_held_is_in_flight_until_it_ends() -> None:
    scene = Scene(PolicySpec(), [1, 1])
    held = scene.load(1, 3)
    assert [0, 3] == [backend.in_flight for backend in scene.backends]
    for one in held:
        scene.end(one)
    assert [5, 5] == scene.run(10, in_flight=4)
    assert [0, 0] == [backend.in_flight for backend in scene.backends]


def test_a_run_is_by_all_workers_in_turn() -> None:
    scene = Scene(PolicySpec("random"), [1, 1], workers=3)
    scene.run(9, in_flight=9)
    rows = [backend.row for backend in scene.backends]
    assert [3, 3, 3] == [sum(pool.table.mine(row, REQUESTS) for row in rows) for pool in scene.pools]
