"""core/ratelimit.py: whose request it is, whether it may pass, and what is counted."""

import pytest

from steelyard.core import table as cells
from steelyard.core.door import LIMITED, OVER
from steelyard.core.policy import Pick
from steelyard.core.ratelimit import RateLimit, cells_needed
from steelyard.core.spec import RateLimitSpec
from steelyard.core.table import Table

ROW = 1


class Asked(Pick):
    """A request of these parts."""

    def __init__(self, **parts: str) -> None:
        super().__init__(lambda n: 0)
        self.parts = {name.replace("_", ":", 1) if name.startswith("header") else name: parts[name] for name in parts}

    def get(self, name: str) -> str | None:
        return self.parts.get(name)


def a_table(lot: int = 64) -> Table:
    table = Table(bytearray(Table.size_bytes(2, 1) + 8 * lot), 2)
    if lot:
        table.set(ROW, cells.LOT, 1)
        table.set(ROW, cells.LOT_CELLS, lot)
    return table


def a_limit(key: str = "client_ip", table: Table | None = None, **more: object) -> RateLimit:
    return RateLimit(RateLimitSpec(1.0, 1, key, 8, **more), table or a_table(), ROW)  # type: ignore[arg-type]


def passes(limit: RateLimit, *requests: Pick) -> list[bool]:
    return [limit.wait(request, 5.0) == 0.0 for request in requests]


def test_each_client_has_its_own_rate_and_what_is_refused_is_counted() -> None:
    limit = a_limit()
    a, b = Asked(client_ip="192.0.2.1"), Asked(client_ip="192.0.2.2")
    assert [True, False, True, False, False] == passes(limit, a, a, b, b, a)
    assert (3, 0) == (limit.table.total(ROW, LIMITED), limit.table.total(ROW, OVER))
    assert 1.0 == pytest.approx(limit.wait(a, 5.0), abs=0.02)


def test_dry_it_passes_all_and_counts_what_it_would_not_have_passed() -> None:
    limit = a_limit(dry_run=True)
    a = Asked(client_ip="192.0.2.1")
    assert [True, True, True] == passes(limit, a, a, a)
    assert (0, 2) == (limit.table.total(ROW, LIMITED), limit.table.total(ROW, OVER))


def test_requests_without_the_part_are_limited_together_with_those_where_it_is_empty() -> None:
    limit = a_limit("header:x-key")
    assert [True, False, False, True] == passes(
        limit, Asked(), Asked(path="/b"), Asked(header_x="", **{"header_x-key": ""}), Asked(**{"header_x-key": "k"})
    )


def test_all_are_one_where_the_limit_is_global() -> None:
    limit = a_limit("global")
    assert [True, False] == passes(limit, Asked(client_ip="a"), Asked(client_ip="b"))
    assert (8, 8, 40) == tuple(
        cells_needed(RateLimitSpec(1.0, None, key, keys)) for key, keys in (("global", 1000), ("host", 8), ("host", 10))
    )


def test_a_part_that_a_request_has_twice_is_no_part_of_it() -> None:
    class Twice(Asked):
        def one(self, name: str) -> str | None:
            return None

    limit = a_limit("header:x-key")
    one, other = Twice(**{"header_x-key": "1"}), Twice(**{"header_x-key": "2"})
    assert [True, False, False] == passes(limit, one, other, Asked())


def test_addresses_of_one_ipv6_network_are_one_client() -> None:
    limit = a_limit()
    addresses = ("2001:db8::1", "2001:db8::2:1", "2001:db8:0:1::1", "::ffff:192.0.2.1", "192.0.2.1")
    assert [True, False, True, True, False] == passes(limit, *(Asked(client_ip=address) for address in addresses))


def test_another_way_to_write_a_path_is_not_another_path() -> None:
    written = [Asked(path=path) for path in ("/a?x", "/%61?x", "//a?x", "/./a?x", "/b/../a?x", "/b?x")]
    for key in ("path", "url"):
        assert [True, False, False, False, False, True] == passes(a_limit(key), *written)
    assert [True, False, True] == passes(a_limit("url"), Asked(path="/a"), Asked(path="/a?"), Asked(path="/a?%61"))


def test_a_path_is_without_its_query_and_a_url_is_with_it() -> None:
    one, other = Asked(path="/a?b"), Asked(path="/a?c")
    assert [True, False] == passes(a_limit("path"), one, other)
    assert [True, True, False] == passes(a_limit("url"), one, other, one)


def test_with_a_lot_all_workers_limit_as_one_and_without_each_for_itself() -> None:
    a = Asked(client_ip="a")
    for table, expected in ((a_table(), False), (a_table(0), True)):
        assert [True] == passes(a_limit(table=table), a)
        assert [expected] == passes(a_limit(table=table), a)


def test_it_serves_a_specification_as_long_as_nothing_of_it_is_another() -> None:
    table = a_table()
    limit = a_limit(table=table)
    assert limit.serves(limit.spec, ROW)
    assert not limit.serves(limit.spec, 0)
    assert not limit.serves(RateLimitSpec(2.0, 1, "client_ip", 8), ROW)
    table.set(ROW, cells.LOT, 9)
    assert not limit.serves(limit.spec, ROW)


def test_a_burst_that_is_not_given_is_what_one_second_brings() -> None:
    assert [1, 1, 8, 100, 3] == [
        RateLimitSpec(rate, burst).at_once for rate, burst in ((0.1, None), (1, None), (7.5, None), (100, None), (5, 3))
    ]
