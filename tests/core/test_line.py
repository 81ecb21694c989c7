"""core/line.py: whose is a point?"""

from bisect import bisect_right
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.line import Line, by_share
from tests.fakes_core import a_policy


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20).filter(any))
def test_every_point_belongs_to_the_one_whose_stretch_it_is_in(lengths: list[int]) -> None:
    """As many points each as its stretch is long, in the order of the list; without a stretch none."""
    _, backends = a_policy("random", [1] * len(lengths))
    ends = list(accumulate(lengths))
    line = Line(backends, ends)
    assert ends[-1] == line.length
    owners = [int(line.owner(point).host) for point in range(line.length)]
    assert lengths == [owners.count(index) for index in range(len(lengths))]
    assert owners == sorted(owners)


@given(st.integers(1, 2**62), st.integers(2, 300), st.data())
def test_long_lines_are_exact(length: int, count: int, data: st.DataObject) -> None:
    ends = [*sorted(data.draw(st.lists(st.integers(0, length), min_size=count - 1, max_size=count - 1))), length]
    _, backends = a_policy("random", [1] * count)
    point = data.draw(st.integers(0, length - 1) | st.sampled_from([max(0, end - 1) for end in ends]))
    assert bisect_right(ends, point) == int(Line(backends, ends).owner(point).host)


def test_without_backends_it_has_no_length() -> None:
    assert 0 == by_share([]).length


def test_shares_are_counted_in_the_largest_unit_that_measures_them_all() -> None:
    _, backends = a_policy("random", [4, 0, 2])
    backends[0].set_share(350)
    line = by_share(backends)
    assert 47 == line.length  # 350 and 2000, by 50
    assert list("0" * 7 + "2" * 40) == [line.owner(point).host for point in range(47)]
