"""Differences are found part by part, said in the words of the file, and no secret is among them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.control import config
from steelyard.control.changes import NOT_BY_RELOAD, Change, changes
from steelyard.core.spec import BackendSpec, PolicySpec, PoolSpec, RouteSpec, Spec
from tests.control.own import OwnPolicies
from tests.control.said import load
from tests.control.test_effective import specs

SECRET = "0123456789abcdef"
OTHER_SECRET = "fedcba9876543210"
FEW = 25  # whole configurations take long to draw, and each has many of what is asked about
LISTENERS = "listeners: {web: {bind: ':80', pool: web}}\n"


def of_pools(old: str, new: str, environ: dict[str, str] | None = None) -> list[Change]:
    """Between two files with one pool `web` of these keys."""
    before, after = (load(f"{LISTENERS}pools: {{web: {{{keys}}}}}", environ) for keys in (old, new))
    return changes(before, after)


def of_listeners(old: str, new: str) -> list[Change]:
    """Between two files with one listener `web` of these keys, and the pools `a` and `b`."""
    rest = "pools: {a: {backends: ['a:1']}, b: {backends: ['b:1']}}"
    before, after = (load(f"listeners: {{web: {{{keys}}}}}\n{rest}") for keys in (old, new))
    return changes(before, after)


@settings(max_examples=FEW)
@given(specs())
def test_a_configuration_does_not_differ_from_itself(made: Spec) -> None:
    assert [] == changes(made, made)
    assert [] == changes(made, replace(made, listeners=made.listeners[::-1], pools=made.pools[::-1]))


@settings(max_examples=FEW)
@given(specs(), specs())
def test_back_again_is_the_same_with_old_and_new_exchanged(one: Spec, other: Spec) -> None:
    """But for routes: each is known by its place in one list alone, and of two that change places either may move."""
    turned = {"added": "removed", "removed": "added", "changed": "changed"}
    there = {change for change in changes(one, other) if ".routes" not in change.key}
    back = {change for change in changes(other, one) if ".routes" not in change.key}
    assert there == {Change(turned[kind], key, after, before) for kind, key, before, after in back}  # type: ignore[arg-type]


def test_a_backend_is_known_by_its_address() -> None:
    assert [
        Change("removed", "pools.web.backends[a:1]", "a:1", None),
        Change("changed", "pools.web.backends[b:1].weight", "1", "3"),
        Change("changed", "pools.web.backends[b:1].max_connections", "off", "9"),
        Change("added", "pools.web.backends[[::1]:1]", None, '{address: "[::1]:1", weight: 2, backup: true}'),
    ] == of_pools(
        "backends: ['a:1', 'b:1']",
        "backends: [{address: 'b:1', weight: 3, max_connections: 9}, {address: '[::1]:1', weight: 2, backup: on}]",
    )


def test_an_order_of_backends_that_changed_is_said_from_where_it_did() -> None:
    backends = [f"h:{port}" for port in range(1, 8)]
    turned = ["h:1", "h:3", "h:2", *backends[3:]]
    found = of_pools(f"backends: {backends}", f"backends: {turned}")
    assert [Change("changed", "pools.web.backends", "[..., h:2, h:3, h:4, ...]", "[..., h:3, h:2, h:4, ...]")] == found
    assert [Change("changed", "pools.web.backends", "[a:1, b:1]", "[b:1, a:1]")] == of_pools(
        "backends: ['a:1', 'b:1']", "backends: ['b:1', 'a:1']"
    )


def test_one_backend_put_in_before_the_others_is_all_that_changes() -> None:
    assert [Change("added", "pools.web.backends[c:1]", None, "c:1")] == of_pools(
        "backends: ['a:1', 'b:1']", "backends: ['c:1', 'a:1', 'b:1']"
    )


def test_values_are_written_as_in_the_file() -> None:
    assert [
        Change("changed", "pools.web.retry.budget", "20%", "off"),
        Change("changed", "pools.web.retry.hold_body", "64KiB", "1MiB"),
        Change("changed", "pools.web.timeouts.connect", "3s", "250ms"),
        Change("changed", "pools.web.timeouts.total", "off", "90s"),
    ] == of_pools(
        "backends: ['a:1']",
        "backends: ['a:1'], retry: {budget: off, hold_body: 1MiB}, timeouts: {connect: 250ms, total: 90s}",
    )


def test_a_part_that_is_turned_on_is_shown_whole_and_without_what_it_does_not_read() -> None:
    assert [
        Change(
            "changed",
            "pools.web.health_check",
            "off",
            "{kind: tcp, interval: 2s, timeout: 1s, rise: 2, fall: 5, jitter: 10%, log: changes}",
        ),
        Change("changed", "pools.web.slow_start", "{window: 20s, aggression: 1.0}", "off"),
    ] == of_pools("backends: ['a:1'], health_check: off, slow_start: 20s", "backends: ['a:1'], health_check: {fall: 5}")


def test_what_only_one_policy_reads_is_added_and_removed_with_it() -> None:
    assert [
        Change("changed", "pools.web.policy.name", "power_of_two", "maglev"),
        Change("added", "pools.web.policy.key", None, "path"),
        Change("removed", "pools.web.policy.choices", "3", None),
        Change("added", "pools.web.policy.bound", None, "off"),
        Change("added", "pools.web.policy.table_size", None, "251"),
    ] == of_pools(
        "backends: ['a:1'], policy: {name: power_of_two, choices: 3}",
        "backends: ['a:1'], policy: {name: maglev, key: path, table_size: 251}",
    )


def test_what_nothing_reads_is_no_change() -> None:
    """A program may have made the Spec by hand."""
    old, new = (
        Spec((), (PoolSpec("web", (BackendSpec("a", 1),), PolicySpec("round_robin", choices=choices)),))
        for choices in (2, 3)
    )
    assert [] == changes(old, new)


def test_a_part_of_a_part_is_named_by_all_keys_on_the_way() -> None:
    assert [Change("changed", "pools.web.policy.probe.max_age", "1s", "2s")] == of_pools(
        "backends: ['a:1'], policy: prequal", "backends: ['a:1'], policy: {name: prequal, probe: {max_age: 2s}}"
    )


def test_a_listener_changes_key_by_key() -> None:
    assert [
        Change("changed", "listeners.web.bind", "0.0.0.0:80", '"[::1]:81"'),
        Change("changed", "listeners.web.trusted_proxies", "[]", "[10.0.0.0/8]"),
        Change("changed", "listeners.web.timeouts.head", "15s", "1s"),
        Change("changed", "listeners.web.max_head", "32KiB", "64KiB"),
    ] == of_listeners(
        "bind: ':80', pool: a",
        "bind: '[::1]:81', pool: a, trusted_proxies: 10.0.0.0/8, timeouts: {head: 1s}, max_head: 64KiB",
    )


def test_another_pool_for_all_requests_is_another_route() -> None:
    assert [Change("changed", "listeners.web.routes[0]", "{pool: a}", "{pool: b}")] == of_listeners(
        "bind: ':80', pool: a", "bind: ':80', pool: b"
    )


def test_a_route_put_in_before_the_others_is_all_that_changes() -> None:
    assert [Change("added", "listeners.web.routes[0]", None, "{path: /new/*, pool: b}")] == of_listeners(
        "bind: ':80', routes: [{path: /a, pool: a}, {pool: b}]",
        "bind: ':80', routes: [{path: /new/*, pool: b}, {path: /a, pool: a}, {pool: b}]",
    )


def test_routes_that_change_are_known_by_their_new_places_and_those_removed_by_their_old_ones() -> None:
    respond = '{status: 503, body: "", content_type: text/plain}'
    assert [
        Change("changed", "listeners.web.routes[0]", "{path: /a, pool: a}", f"{{path: /a, respond: {respond}}}"),
        Change("removed", "listeners.web.routes[1]", "{path: /b, pool: a}", None),
    ] == of_listeners(
        "bind: ':80', routes: [{path: /a, pool: a}, {path: /b, pool: a}, {pool: b}]",
        "bind: ':80', routes: [{path: /a, respond: {status: 503}}, {pool: b}]",
    )


def test_what_is_new_or_gone_as_a_whole_is_one_change() -> None:
    old = load("listeners: {web: {bind: ':80', pool: a}}\npools: {a: {backends: ['a:1']}}")
    new = load("listeners: {two: {bind: ':81', pool: b}}\npools: {b: {policy: first, backends: ['a:1', 'b:1']}}")
    assert [
        Change("removed", "listeners.web", "0.0.0.0:80", None),
        Change("added", "listeners.two", None, "0.0.0.0:81"),
        Change("removed", "pools.a", "round_robin, 1 backend", None),
        Change("added", "pools.b", None, "first, 2 backends"),
    ] == changes(old, new)


def test_the_keys_of_the_file_itself_have_no_dot() -> None:
    rest = f"{LISTENERS}pools: {{web: {{backends: ['a:1']}}}}\n"
    assert [
        Change("changed", "access_log", "off", '"-"'),
        Change("changed", "drain_timeout", "30s", "5m"),
    ] == changes(load(rest), load(f"{rest}access_log: '-'\ndrain_timeout: 5m"))


@pytest.mark.parametrize("key", sorted(NOT_BY_RELOAD))
def test_what_is_settled_at_the_start_takes_a_restart(key: str) -> None:
    assert not Change("changed", key, "1", "2").reload
    assert Change("changed", f"pools.{key}.max_idle", "1", "2").reload


def test_everything_else_is_applied_by_a_reload() -> None:
    assert all(change.reload for change in of_pools("backends: ['a:1']", "backends: ['b:1'], max_idle: 3"))


@pytest.mark.parametrize("new", [OTHER_SECRET, '"${S}"'])
def test_a_changed_secret_is_a_change_without_values(new: str) -> None:
    found = of_pools(
        f"backends: ['a:1'], sticky: {{cookie: lb, secret: {SECRET}}}",
        f"backends: ['a:1'], sticky: {{cookie: lb, secret: {new}}}",
        {"S": OTHER_SECRET},
    )
    assert [Change("changed", "pools.web.sticky.secret", None, None)] == found


def test_a_secret_that_is_the_same_is_no_change_however_it_was_written() -> None:
    sticky = "backends: ['a:1'], sticky: {cookie: lb, secret: SECRET}"
    assert [] == of_pools(sticky.replace("SECRET", SECRET), sticky.replace("SECRET", '"${S}"'), {"S": SECRET})


@pytest.mark.parametrize(
    ("written", "shown"), [(SECRET, "***"), ('"${S}"', "${S}"), ('"${T:-0123456789abcdef}"', "***")]
)
def test_a_secret_that_comes_with_its_part_is_not_shown_either(written: str, shown: str) -> None:
    found = of_pools(
        "backends: ['a:1']", f"backends: ['a:1'], sticky: {{cookie: lb, secret: {written}}}", {"S": SECRET}
    )
    assert [Change("changed", "pools.web.sticky", "off", f'{{cookie: lb, secret: "{shown}"}}')] == found


def test_options_from_the_environment_may_be_secrets(own: OwnPolicies) -> None:
    own.write("changes_own.py")

    def made(options: str, environ: dict[str, str]) -> Spec:
        return config.load(own.config(f"{{name: 'changes_own:pick', options: {options}}}"), environ)

    old = made('{plain: 1, same: 1, gone: "${S}", a: "${S}", b: 2, "x y": 1}', {"S": SECRET})
    new = made('{plain: 2, same: 1, new: "${S:-d}", a: "${S}", b: "x${S}", "x y": 2}', {"S": OTHER_SECRET})
    found = changes(old, new)
    key = "pools.app.policy.options"
    assert [
        Change("changed", f"{key}.plain", '"1"', '"2"'),
        Change("removed", f"{key}.gone", '"${S}"', None),
        Change("changed", f"{key}.a", None, None),
        Change("changed", f"{key}.b", None, None),
        Change("changed", f'{key}."x y"', '"1"', '"2"'),
        Change("added", f"{key}.new", None, '"***"'),
    ] == found
    bare = config.load(own.config("round_robin"))
    for change in [*changes(bare, new), *changes(new, bare)]:
        assert OTHER_SECRET not in str(change)


@settings(max_examples=FEW)
@given(specs(), st.data())
def test_no_secret_is_in_any_change(made: Spec, data: st.DataObject) -> None:
    """Those of the strategy are drawn from few letters, so each gets one that stands nowhere else."""
    hidden = [
        pool if pool.sticky is None else replace(pool, sticky=replace(pool.sticky, secret="!secret!" * 2))
        for pool in made.pools
    ]
    other: Any = data.draw(st.sampled_from([made, replace(made, pools=())]))
    with_secrets = replace(made, pools=tuple(hidden))
    for change in [*changes(with_secrets, other), *changes(other, with_secrets)]:
        assert "!secret!" not in str(change)


def test_a_change_of_every_one_of_many_backends_is_found_in_one_pass() -> None:
    """Quadratic, this would take minutes."""
    old = PoolSpec("web", tuple(BackendSpec("h", 1 + index) for index in range(10_000)))
    new = replace(old, backends=tuple(replace(backend, weight=2) for backend in old.backends[1:]))
    found = changes(Spec((), (old,)), Spec((), (new,)))
    assert (1, 9_999) == tuple(sum(change.kind == kind for change in found) for kind in ("removed", "changed"))


def test_a_spec_made_by_hand_may_have_a_route_without_conditions_more_than_once() -> None:
    listener = load(f"{LISTENERS}pools: {{web: {{backends: ['a:1']}}}}").listeners[0]
    twice = replace(listener, routes=(RouteSpec(pool="web"), RouteSpec(pool="web")))
    assert [Change("added", "listeners.web.routes[1]", None, "{pool: web}")] == changes(
        Spec((listener,), ()), Spec((twice,), ())
    )
