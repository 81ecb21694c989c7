"""core/homes.py: who was sent where, the same for all who look, and bounded."""

import os
import subprocess
import sys
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from subprocess import PIPE

import pytest
from hypothesis import given
from hypothesis import strategies as st

import steelyard
from steelyard.core.homes import NOBODY, Homes, cells_needed, seal
from steelyard.core.stable import stable_hash

# As the module's own, which compiled are C's alone.
WAYS = 8
ROW_BITS = 24
LAST = (1 << 39) - 1
HALF = 1 << 38
LARGEST = (1 << 64) - 1
ROUNDS = 1_000_000  # long enough that two of the three processes run side by side


def cells_for(clients: int) -> "array[int]":
    return array("q", bytes(8 * cells_needed(clients)))


def a_memory(clients: int) -> Homes:
    return Homes(cells_for(clients), 0, cells_needed(clients))


def found(homes: Homes, keys: Iterable[int]) -> dict[int, int]:
    """Which of these are known, and where they were sent."""
    return {key: row for key in keys if (row := homes.find(key)) != NOBODY}


def test_a_client_is_found_where_it_was_put_last() -> None:
    homes = a_memory(100)
    assert NOBODY == homes.find(11)
    homes.put(11, 3)
    homes.put(12, 0)
    assert [3, 0, NOBODY] == [homes.find(key) for key in (11, 12, 13)]
    homes.put(11, 5)
    assert [5, 0] == [homes.find(key) for key in (11, 12)]


@pytest.mark.parametrize("key", [1, (1 << 63) - 1, 1 << 63, LARGEST])
@pytest.mark.parametrize("row", [0, 1, (1 << ROW_BITS) - 1])
def test_every_key_and_every_row_can_be_remembered(key: int, row: int) -> None:
    homes = a_memory(1)
    homes.put(key, row)
    assert row == homes.find(key)
    assert NOBODY == homes.find(key ^ 1 << 62)


def test_cells_that_cannot_be_had_are_refused() -> None:
    with pytest.raises(ValueError, match="16 cells from 8 on, of 23; an entry takes two"):
        Homes(array("q", bytes(8 * 23)), 8, 16)
    with pytest.raises(ValueError, match="1 cells from 0 on, of 23"):
        Homes(array("q", bytes(8 * 23)), 0, 1)
    with pytest.raises(ValueError, match="16 cells from -1 on, of 23"):
        Homes(array("q", bytes(8 * 23)), -1, 16)


@given(st.lists(st.tuples(st.integers(1, LARGEST), st.integers(0, 1000)), max_size=200), st.integers(2, 70))
def test_no_other_cells_are_touched(puts: list[tuple[int, int]], length: int) -> None:
    cells = array("q", [-7] * 100)
    cells[9 : 9 + length] = array("q", bytes(8 * length))
    homes = Homes(cells, 9, length)
    for key, row in puts:
        homes.put(key, row)
        assert row == homes.find(key)
    assert [-7] * 9 == list(cells[:9])
    assert [-7] * (91 - length) == list(cells[9 + length :])


@given(
    st.integers(1, WAYS),
    st.lists(st.tuples(st.booleans(), st.integers(1, 12), st.integers(0, 9)), max_size=100),
    st.sampled_from([0, LAST - 20]),
)
def test_of_few_clients_exactly_the_last_ones_are_remembered(
    clients: int, steps: list[tuple[bool, int, int]], stamp: int
) -> None:
    """Also when the stamps run out meanwhile."""
    cells = cells_for(clients)
    homes = Homes(cells, 0, len(cells))
    model: OrderedDict[int, int] = OrderedDict()
    homes.put(99, 9)
    model[99] = 9
    cells[clients] |= stamp << ROW_BITS  # of this one, the first
    for puts, key, row in steps:
        if puts:
            homes.put(key, row)
            model[key] = row
            model.move_to_end(key)
            if len(model) > clients:
                model.popitem(last=False)
        else:
            assert model.get(key, NOBODY) == homes.find(key)
            if key in model:
                model.move_to_end(key)
    assert model == found(homes, (99, *range(1, 13)))


def test_when_stamps_run_out_all_become_older_and_nobody_is_forgotten() -> None:
    cells = cells_for(3)
    homes = Homes(cells, 0, 6)
    for key in (11, 12, 13):
        homes.put(key, key)
    # 11 was here just now, 12 half a life ago, 13 long before.
    cells[3:] = array("q", [LAST << ROW_BITS | 11, HALF + 5 << ROW_BITS | 12, 7 << ROW_BITS | 13])
    assert 12 == homes.find(12)
    assert [LAST - HALF, LAST - HALF + 1, 1] == [cells[at] >> ROW_BITS for at in (3, 4, 5)]
    assert {key: key for key in (11, 12, 13)} == found(homes, (11, 12, 13))


def test_a_newcomer_may_be_the_one_for_whom_no_stamp_is_left() -> None:
    cells = cells_for(2)
    homes = Homes(cells, 0, 4)
    homes.put(11, 1)
    homes.put(12, 2)
    cells[3] = LAST << ROW_BITS | 2
    homes.put(13, 3)
    assert {12: 2, 13: 3} == found(homes, (11, 12, 13))


def test_many_more_clients_than_there_is_room_for_are_forgotten() -> None:
    homes = a_memory(64)
    keys = [stable_hash(str(number)) for number in range(5000)]
    for row, key in enumerate(keys):
        homes.put(key, row)
    known = [row for row, key in enumerate(keys) if homes.find(key) == row]
    assert cells_needed(64) // 2 >= len(known)
    assert 64 <= len([row for row in known if row >= 5000 - 200])  # and those are the last ones


def test_as_many_as_asked_for_are_known_whatever_the_number() -> None:
    for clients in (1, 8, 9, 10, 100, 3000):
        homes = a_memory(clients)
        keys = [stable_hash(str(number)) for number in range(clients)]
        for row, key in enumerate(keys):
            homes.put(key, row)
        known = sum(homes.find(key) == row for row, key in enumerate(keys))
        assert known >= 0.99 * clients


def test_two_views_of_the_same_cells_are_one_memory() -> None:
    cells = cells_for(100)
    here, there = Homes(cells, 0, len(cells)), Homes(memoryview(cells), 0, len(cells))
    for number in range(1, 100):
        (here, there)[number % 2].put(number, number)
    assert list(range(1, 100)) == [here.find(number) for number in range(1, 100)]
    assert list(range(1, 100)) == [there.find(number) for number in range(1, 100)]
    there.put(7, 70)
    assert 70 == here.find(7)


def test_who_is_here_most_lately_of_all_costs_no_store() -> None:
    cells = cells_for(100)
    homes = Homes(cells, 0, len(cells))
    homes.put(11, 1)
    before = cells.tobytes()
    assert 1 == homes.find(11)
    assert before == cells.tobytes()


def test_of_a_client_that_was_entered_twice_the_newer_entry_counts() -> None:
    """As when two workers enter it at once, in two places."""
    for newer, older in ((0, 1), (1, 0)):
        cells = cells_for(3)
        cells[newer], cells[3 + newer] = seal(11, 5), 9 << ROW_BITS | 5
        cells[older], cells[3 + older] = seal(11, 6), 8 << ROW_BITS | 6
        homes = Homes(cells, 0, 6)
        assert 5 == homes.find(11)
        homes.put(11, 7)
        assert 7 == homes.find(11)
        assert [7, 6] == [cells[3 + at] & 255 for at in (newer, older)]


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=32, max_size=32), st.integers(1, LARGEST))
def test_whatever_was_in_the_cells_is_nobodys_entry(garbage: list[int], key: int) -> None:
    """A worker with another configuration may still take a lot for its own, and lay it out in another way."""
    homes = Homes(array("q", garbage), 0, 32)
    assert NOBODY == homes.find(key)
    homes.put(key, 3)
    homes.put(key ^ 32, 4)
    assert [3, 4] == [homes.find(key), homes.find(key ^ 32)]


class Meanwhile:
    """Cells where something happens just before the nth look at one, or store of a seal.

    A value is stored by a swap: compiled, nothing comes between its look and its store.
    """

    def __init__(self, cells: "memoryview[int]", nth: int, happens: Callable[[], object]) -> None:
        self.cells = cells
        self.left = nth
        self.happens = happens

    def __getitem__(self, at: int) -> int:
        self.count()
        return self.cells[at]

    def __setitem__(self, at: int, value: int) -> None:
        if at < 3:
            self.count()
        self.cells[at] = value

    def count(self) -> None:
        if self.left == 0:
            self.happens()
        self.left -= 1


def full() -> "array[int]":
    """A memory of one set, three clients in it; 11 is the one who was away longest."""
    cells = cells_for(3)
    homes = Homes(cells, 0, 6)
    for key in (11, 12, 13):
        homes.put(key, key)
    return cells


STEPS: dict[str, Callable[[Homes], object]] = {
    "comes again": lambda homes: homes.find(11),
    "comes": lambda homes: homes.put(14, 24),
    "another comes": lambda homes: homes.put(15, 25),
    "comes too": lambda homes: homes.put(14, 34),
    "moves": lambda homes: homes.put(11, 21),
    "moves elsewhere": lambda homes: homes.put(11, 31),
}
# Whoever is found is where one of the workers has put it.
LAWFUL = {11: {11, 21, 31}, 12: {12}, 13: {13}, 14: {24, 34}, 15: {25}}


def interleaved(one: str, other: str) -> Iterator[tuple[int, Homes]]:
    """The memory after one worker's step, during which another's took place: at each of its looks and stores."""
    nth = 0
    while True:
        cells = full()
        homes, there = Homes(cells, 0, 6), Homes(cells, 0, 6)
        watched = Meanwhile(memoryview(cells), nth, partial(STEPS[other], there))
        homes.cells = watched  # type: ignore[assignment]
        assert STEPS[one](homes) in {*LAWFUL[11], NOBODY, 0}  # 0: of a put
        if watched.left >= 0:
            return
        yield nth, there
        nth += 1


@pytest.mark.interpreted
@pytest.mark.parametrize("one", STEPS)
@pytest.mark.parametrize("other", STEPS)
def test_two_at_once_never_send_a_client_where_nobody_has_put_it(one: str, other: str) -> None:
    moments = 0
    for nth, homes in interleaved(one, other):
        known = found(homes, LAWFUL)
        wrong = {key: row for key, row in known.items() if row not in LAWFUL[key]}
        assert {} == wrong, f"at its look or store number {nth}"
        assert {12, 13} & set(known)  # of those who are not concerned one may have to go
        moments += 1
    assert moments > 6


@pytest.mark.interpreted
@pytest.mark.parametrize(("one", "other"), [("comes again", "moves"), ("moves", "comes again")])
def test_who_comes_again_while_it_is_moved_is_known_at_one_of_both(one: str, other: str) -> None:
    for nth, homes in interleaved(one, other):
        assert homes.find(11) in (11, 21), f"at its look or store number {nth}"


@pytest.mark.interpreted
def test_of_two_that_want_one_place_one_has_it() -> None:
    for nth, homes in interleaved("comes", "another comes"):
        assert {homes.find(14), homes.find(15)} & {24, 25}, f"at its look or store number {nth}"


# Each process sends keys to rows of its own, of which it can be seen whose key they are for.
SENDER = f"""
import mmap, os, sys
me = int(sys.argv[2])
cores = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, [cores[me % len(cores)]])  # or they may take turns on one
from steelyard.core.homes import Homes
homes = Homes(memoryview(mmap.mmap(int(sys.argv[1]), 4096)).cast("q"), 0, 512)
print("ready", flush=True)
sys.stdin.read(1)  # all begin together
drawn, found, wrong = me + 1, 0, 0
for number in range({ROUNDS}):
    drawn = drawn * 6364136223846793005 + 1442695040888963407 & 0xFFFF_FFFF_FFFF_FFFF
    key = (drawn >> 40) % 400 + 1
    row = homes.find(key)
    if row >= 0:
        found += 1
        wrong += row >> 4 != key
    if row < 0 or number % 4 == 0:
        homes.put(key, key << 4 | me << 2 | number & 3)
print(found, wrong)
"""


@pytest.mark.compiled
@pytest.mark.real
def test_three_processes_at_once_never_mix_their_clients_up() -> None:
    """Four hundred keys in room for 256. With a value that is not looked at again, this mixes some up every time."""
    shared = os.memfd_create("homes")
    os.ftruncate(shared, 4096)
    paths = os.pathsep.join([str(Path(str(steelyard.__file__)).parents[1]), *sys.path])
    command = [sys.executable, "-c", SENDER, str(shared)]
    environ = {**os.environ, "PYTHONPATH": paths}
    with ExitStack() as ended:
        senders = [
            ended.enter_context(
                subprocess.Popen([*command, str(index)], stdin=PIPE, stdout=PIPE, pass_fds=[shared], env=environ)
            )
            for index in range(3)
        ]
        for sender in senders:
            assert sender.stdout is not None
            assert b"ready\n" == sender.stdout.readline()
        for sender in senders:
            assert sender.stdin is not None
            sender.stdin.write(b"!")
            sender.stdin.flush()
        for sender in senders:
            assert sender.stdout is not None
            hits, wrong = map(int, sender.stdout.read().split())
            assert 0 == sender.wait()
            assert 0 == wrong
            assert ROUNDS / 3 < hits
    homes = Homes(memoryview(bytearray(os.pread(shared, 4096, 0))).cast("q"), 0, 512)
    os.close(shared)
    known = found(homes, range(1, 401))
    assert 200 < len(known)
    assert all(row >> 4 == key for key, row in known.items())
