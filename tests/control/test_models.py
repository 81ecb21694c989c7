"""Every key of the file fills its field of the spec, and what is not written keeps the spec's own default."""

import dataclasses
from typing import Any

import pytest
from pydantic import ValidationError

from steelyard.control import config, effective, models
from steelyard.control.shapes import Shape
from steelyard.core import spec
from tests.control.own import OwnPolicies, readers_of
from tests.control.said import listener, load, pool, problems, route

ALL_KEYS = """
    listeners:
      web:
        bind: "[::1]:8443"
        protocol: http
        routes:
          - path: /health
            respond: {status: 201, body: "yes", content_type: text/html}
          - path: /api/*
            host: [Example.org, "*.example.org"]
            methods: [get, POST]
            headers: {X-Debug: "*", X-Tier: 2}
            content_type: image/*
            max_body: 10MiB
            priority: 2
            pool: api
          - pool: api
        trusted_proxies: [10.0.0.0/8, "::1"]
        timeouts: {head: 1s, body: 2s, idle: 3s, write: 4s}
        max_head: 64KiB
        max_fields: 50
        underscores_in_headers: yes
        backlog: 100
    pools:
      api:
        policy: {name: hash, key: header:X-User}
        backends:
          - localhost:8000
          - {address: "[::1]:8001", weight: 3, max_connections: 200, tier: 2}
          - {address: "localhost:8002", backup: true}
        health_check: {kind: http, path: /up, expect: [200, 3xx], interval: 9s, timeout: 8s,
                       rise: 7, fall: 6, jitter: 5%, log: all}
        retry: {tries: 8, same_backend: 2, delay: 3ms, max_delay: 9ms, try_timeout: 1s,
                on_status: [502, 504], budget: 4%, budget_floor: 5, mark_down: on, hold_body: 6B}
        timeouts: {connect: 1s, response: 2s, total: 3s, idle: 4s, tunnel: 5s}
        max_idle: 10
        panic_threshold: 40%
        slow_start: {window: 20s, aggression: 1.5}
        ejection: {errors: off, gateway_errors: 1, window: 2s, min_requests: 3, min_backends: 4, deviations: 1.5,
                   max_ejected: 6%, penalty: 7s, max_penalty: 8s}
        circuit_breaker: {consecutive_failures: off, error_rate: 2%, slow_call: 3s, slow_rate: 4%, min_requests: 5,
                          window: 6s, open_for: 7s, trials: 8}
        pool_circuit_breaker: {error_rate: off}
        sticky: {cookie: lb, secret: 0123456789abcdef}
        hedge: {after: p99}
        max_in_flight: 70
        queue: {size: 5, timeout: 6s}
    access_log: /var/log/a.log
    drain_timeout: 5m
    workers: 3
    max_backends: 20
    user: root
    pid_file: run/lb.pid
    watch: yes
"""


def test_every_key_fills_its_field() -> None:
    routes = (
        spec.RouteSpec(path="/health", respond=spec.RespondSpec(201, "yes", "text/html")),
        spec.RouteSpec(
            path="/api/*",
            hosts=("example.org", "*.example.org"),
            methods=("GET", "POST"),
            headers=(("x-debug", "*"), ("x-tier", "2")),
            content_type="image/*",
            pool="api",
            max_body_bytes=10 * 1024**2,
            priority=2,
        ),
        spec.RouteSpec(pool="api"),
    )
    web = spec.ListenerSpec(
        "web", "::1", 8443, routes, ("10.0.0.0/8", "::1"), spec.ListenerTimeouts(1, 2, 3, 4), 65536, 50, True, 100
    )
    api = spec.PoolSpec(
        "api",
        (
            spec.BackendSpec("localhost", 8000),
            spec.BackendSpec("::1", 8001, 3, 200, 2),
            spec.BackendSpec("localhost", 8002, backup=True),
        ),
        spec.PolicySpec("hash", "header:x-user"),
        spec.HealthCheckSpec("http", "/up", ((200, 200), (300, 399)), 9.0, 8.0, 7, 6, 0.05, "all"),
        spec.RetrySpec(8, 2, 0.003, 0.009, 1.0, (502, 504), 0.04, 5, True, 6),
        spec.PoolTimeouts(1, 2, 3, 4, 5),
        10,
        0.4,
        spec.SlowStartSpec(20.0, 1.5),
        spec.StickySpec("lb", "0123456789abcdef"),
        spec.HedgeSpec(spec.After(None, 0.99)),
        70,
        None,
        spec.QueueSpec(5, 6.0),
        spec.EjectionSpec(None, 1, 2.0, 3, 4, 1.5, 0.06, 7.0, 8.0),
        spec.BreakerSpec(None, 0.02, 3.0, 0.04, 5, 6.0, 7.0, 8),
        spec.BreakerSpec(error_rate=None),
    )
    assert spec.Spec((web,), (api,), "/var/log/a.log", 300.0, 3, 20, "root", "run/lb.pid", True) == load(ALL_KEYS)


def test_what_is_not_written_keeps_the_default_of_the_spec() -> None:
    web = spec.ListenerSpec("web", "0.0.0.0", 8080, (spec.RouteSpec(pool="app"),))
    app = spec.PoolSpec("app", (spec.BackendSpec("a", 1),))
    assert spec.Spec((web,), (app,)) == load(listener(""))


def test_a_listener_on_a_unix_socket_has_a_path_and_neither_host_nor_port() -> None:
    web = spec.ListenerSpec("web", "", 0, (spec.RouteSpec(pool="app"),), path="/run/lb.sock")
    assert web == load(listener("").replace(":8080", "unix:/run/lb.sock")).listeners[0]


def fields_of(shape: type[Shape]) -> set[str]:
    types = [kind for kind in (shape.spec_type, shape.local_type) if kind is not None]
    return {field.name for kind in types for field in dataclasses.fields(kind)}


@pytest.mark.parametrize(
    ("shape", "own", "made"),
    [
        (models.ListenerTimeouts, set(), set()),
        (models.Respond, set(), set()),
        (models.Route, set(), set()),
        (models.Listener, {"bind", "pool"}, {"name", "host", "port", "path"}),
        (models.Probe, set(), set()),
        (models.Policy, set(), set()),
        (models.SlowStart, set(), set()),
        (models.Sticky, set(), set()),
        (models.Backend, {"address"}, {"host", "port", "path", "local", "index", "name", "where", "at"}),
        (models.HealthCheck, set(), set()),
        (models.Ejection, set(), set()),
        (models.Breaker, set(), set()),
        (models.Retry, set(), set()),
        (models.PoolTimeouts, set(), set()),
        (models.Pool, set(), {"name", "protocols"}),
        (models.File, set(), set()),
    ],
)
def test_every_field_of_the_spec_has_a_key(shape: type[Shape], own: set[str], made: set[str]) -> None:
    """A field that is added to core/spec.py must get its key here (or be named as one that is made of others)."""
    assert fields_of(shape) - made == set(shape.model_fields) - own


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"policy": spec.PolicySpec("least_connections")}, "policy: least_connections"),
        ({"policy": spec.PolicySpec("hash", "client_ip")}, "policy: hash"),
        ({"policy": spec.PolicySpec("hash", "path")}, "policy: {name: hash, key: path}"),
        ({"policy": spec.PolicySpec("power_of_two", choices=3)}, "policy: {name: power_of_two, choices: 3}"),
        ({"health_check": None}, "health_check: off"),
        ({"panic_threshold": 0.0}, "panic_threshold: off"),
        ({"panic_threshold": 0.0}, "panic_threshold: 0%"),
        ({"panic_threshold": 1.0}, "panic_threshold: 100%"),
        ({"slow_start": spec.SlowStartSpec(60.0)}, "slow_start: 1m"),
        ({"slow_start": spec.SlowStartSpec()}, "slow_start: {}"),
        ({"slow_start": None}, "slow_start: off"),
        ({"sticky": None}, "sticky: off"),
        ({"retry": spec.RetrySpec(budget=None)}, "retry: {budget: off}"),
        ({"retry": spec.RetrySpec(on_status=(503,))}, "retry: {on_status: 503}"),
        ({"retry": spec.RetrySpec(delay_s=0.0, same_backend=3)}, "retry: {delay: 0s, same_backend: 3}"),
        ({"retry": spec.RetrySpec(mark_down=True)}, "retry: {mark_down: true}"),
        ({"timeouts": spec.PoolTimeouts(total_s=None)}, "timeouts: {total: off}"),
        (
            {"health_check": spec.HealthCheckSpec("http", expect=((200, 299),))},
            "health_check: {kind: http, expect: 2xx}",
        ),
    ],
)
def test_a_pool_can_be_written_in_short_forms(field: dict[str, Any], text: str) -> None:
    expected = spec.PoolSpec("app", (spec.BackendSpec("a", 1),), **field)
    assert expected == load(pool(text)).pools[0]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"hosts": ("a.org",)}, "host: a.org"),
        ({"methods": ("GET",)}, "methods: GET"),
        ({"max_body_bytes": None}, "max_body: off"),
        ({"rate_limit": None}, "rate_limit: off"),
        ({"rate_limit": spec.RateLimitSpec(100.0)}, "rate_limit: 100/s"),
        (
            {"rate_limit": spec.RateLimitSpec(0.5, 3, "header:x-key", 7, True)},
            "rate_limit: {rate: 30/m, burst: 3, key: 'header:X-Key', keys: 7, dry_run: yes}",
        ),
        ({"rate_limit": spec.RateLimitSpec(1.0, key="global")}, "rate_limit: {rate: 1/s, burst: auto, key: global}"),
    ],
)
def test_a_route_can_be_written_in_short_forms(field: dict[str, Any], text: str) -> None:
    assert (spec.RouteSpec(pool="app", **field),) == load(route(text)).listeners[0].routes


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"workers": None}, "workers: auto"),
        ({"user": None}, "user: off"),
        ({"user": "0"}, "user: 0"),
        ({"pid_file": None}, "pid_file: off"),
        ({"pid_file": "/run/lb.pid"}, "pid_file: /run/lb.pid"),
        ({"watch": False}, "watch: off"),
    ],
)
def test_what_is_of_the_whole_balancer_can_be_left_to_it(field: dict[str, Any], text: str) -> None:
    assert dataclasses.replace(load(listener("")), **field) == load(listener("") + text + "\n")


def test_the_limits_of_a_listener_fill_their_fields() -> None:
    text = "max_connections: 5\nmax_connections_per_client: 4\nmax_in_flight: 7\nmin_body_rate: 2KiB/s"
    web = load(listener(text)).listeners[0]
    assert (5, 4, 7, 2048) == (
        web.max_connections,
        web.max_connections_per_client,
        web.max_in_flight,
        web.min_body_rate,
    )
    off = "max_connections: off\nmax_connections_per_client: off\nmax_in_flight: off\nmin_body_rate: off"
    assert dataclasses.replace(load(listener("")).listeners[0], min_body_rate=None) == load(listener(off)).listeners[0]


def test_a_listener_may_only_give_fixed_answers() -> None:
    made = load("listeners: {web: {bind: ':0', routes: [{respond: {status: 204}}]}}")
    assert ((), 204) == (made.pools, made.listeners[0].routes[0].respond.status)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (
            "a.yaml:5: listeners.web.protocol: unknown protocol (got quic); known: http, tcp, task, udp",
            listener("protocol: quic"),
        ),
        ("a.yaml:5: listeners.web.max_fields: is out of range (got 0); use 1 to 10000", listener("max_fields: 0")),
        ("a.yaml:5: listeners.web.backlog: is out of range (got 0); use 1 to 65535", listener("backlog: 0")),
        ("a.yaml:5: listeners.web.max_head: is out of range (got 2MiB); use 1KiB to 1MiB", listener("max_head: 2MiB")),
        (
            "a.yaml:5: listeners.web.timeouts.idle: has no unit (got 75); write 75s",
            listener("timeouts: {idle: 75}"),
        ),
        (
            "a.yaml:5: listeners.web.underscores_in_headers: is neither true nor false (got maybe); "
            "write true or false",
            listener("underscores_in_headers: maybe"),
        ),
        (
            "a.yaml:5: listeners.web.trusted_proxies[1]: is not an IP address or network (got x); "
            "write 10.0.0.1 or 10.0.0.0/8",
            listener("trusted_proxies: [10.0.0.1, x]"),
        ),
        ("a.yaml:2: listeners.web: has both routes and pool; keep one of the two", listener("routes: [{pool: app}]")),
        ("a.yaml:5: listeners.web.routes: has no route; write - pool: NAME", listener("routes: []")),
        (
            "a.yaml:5: listeners.web.routes[0].host: is empty; take the key out, or write what it is to hold",
            route("host: []"),
        ),
        (
            "a.yaml:5: listeners.web.routes[0].headers.a b: is not a header's name (got 'a b'); "
            "use letters, digits and '-'",
            route("headers: {a b: 1}"),
        ),
        (
            "a.yaml:5: listeners.web.routes[0].respond.status: is out of range (got 100); use 200 to 599",
            route("path: /a, respond: {status: 100}"),
        ),
        (
            "a.yaml:5: listeners.web.routes[0]: has both pool and respond; keep one of the two",
            route("path: /a, respond: {}"),
        ),
        (
            "a.yaml:5: listeners.web.routes[0].respond.body: a 304 answer has no body (got x); "
            "take the body out, or use 200",
            route("respond: {status: 304, body: x}"),
        ),
        ("a.yaml:5: pools.app.policy: unknown policy (got rando); did you mean random?", pool("policy: rando")),
        (
            "a.yaml:6: pools.app.policy.name: unknown policy (got hasch); did you mean hash?",
            pool("policy:\n  name: hasch"),
        ),
        (
            "a.yaml:5: pools.app.policy.key: is not read by policy round_robin (got path); "
            f"take it out, or use policy {readers_of('key')}",
            pool("policy: {key: path}"),
        ),
        (
            "a.yaml:5: pools.app.policy.choices: is not read by policy random (got 2); "
            "take it out, or use policy power_of_two",
            pool("policy: {name: random, choices: 2}"),
        ),
        (
            "a.yaml:5: pools.app.policy.choices: is out of range (got 1); use 2 to 64",
            pool("policy: {name: power_of_two, choices: 1}"),
        ),
        (
            "a.yaml:5: pools.app.policy.fallback: is not read by policy random (got hash); "
            "take it out, or use a policy of your own, module:name",
            pool("policy: {name: random, fallback: hash}"),
        ),
        (
            "a.yaml:5: pools.app.slow_start: is too short (got 900ms); use 1s or more",
            pool("slow_start: 900ms"),
        ),
        (
            "a.yaml:5: pools.app.slow_start.aggression: is out of range (got 0); use 0.1 to 100",
            pool("slow_start: {aggression: 0}"),
        ),
        (
            "a.yaml:5: pools.app.panic_threshold: is not a percentage (got 0.5); "
            "write 50%, or 0.5% if so little is meant",
            pool("panic_threshold: 0.5"),
        ),
        (
            'a.yaml:5: pools.app.sticky.secret: is missing; write secret: "${STICKY_SECRET}"',
            pool("sticky: {cookie: lb}"),
        ),
        (
            "a.yaml:5: pools.app.sticky.cookie: is not a cookie's name (got a b); use letters, digits, '-' and '_'",
            pool("sticky: {cookie: a b, secret: 0123456789abcdef}"),
        ),
        (
            "a.yaml:4: pools.app.backends[0].backup: a backup comes after all tiers, and has none itself (got yes); "
            "keep one of the two",
            pool("").replace("a:1", "{address: a:1, tier: 0, backup: yes}, b:1"),
        ),
        (
            "a.yaml:4: pools.app.backends[0].weight: is out of range (got -1); use 0 to 1000",
            pool("").replace("a:1", "{address: a:1, weight: -1}"),
        ),
        (
            "a.yaml:5: pools.app.health_check: must be a mapping (got on); write its keys below it, indented",
            pool("health_check: on"),
        ),
        (
            "a.yaml:5: pools.app.health_check.kind: unknown kind of check (got htttp); did you mean http?",
            pool("health_check: {kind: htttp}"),
        ),
        (
            "a.yaml:5: pools.app.health_check.path: is not read by a check of kind tcp (got /); add kind: http",
            pool("health_check: {path: /}"),
        ),
        (
            "a.yaml:5: pools.app.health_check.timeout: a check may take 3s but the next one comes after 2s (got 3s); "
            "use a timeout of at most 2s",
            pool("health_check: {timeout: 3s}"),
        ),
        (
            "a.yaml:5: pools.app.health_check.interval: a check may take 1s but the next one comes after 500ms "
            "(got 500ms); use a timeout of at most 500ms",
            pool("health_check: {interval: 500ms}"),
        ),
        (
            "a.yaml:5: pools.app.health_check.interval: is too short (got 9.9ms); use 10ms or more",
            pool("health_check: {interval: 9.9ms, timeout: 1ms}"),
        ),
        (
            "a.yaml:5: pools.app.health_check.interval: is longer than a year (got 999999999999999999h); "
            "use 8760h at most",
            pool("health_check: {interval: 999999999999999999h}"),
        ),
        (
            "a.yaml:5: pools.app.health_check.rise: is out of range (got 0); use 1 to 1000",
            pool("health_check: {rise: 0}"),
        ),
        (
            "a.yaml:5: pools.app.health_check.log: unknown value (got some); known: changes, all",
            pool("health_check: {log: some}"),
        ),
        ("a.yaml:5: pools.app.retry.tries: is out of range (got 0); use 1 to 100", pool("retry: {tries: 0}")),
        (
            "a.yaml:5: pools.app.retry.on_status: is not a status that can be retried (got 500); use 502, 503 or 504",
            pool("retry: {on_status: 500}"),
        ),
        ("a.yaml:5: pools.app.retry.budget: is not a percentage (got 20); write 20%", pool("retry: {budget: 20}")),
        (
            "a.yaml:6: pools.app.retry.mark_down: a backend that is marked down is brought up by a check, "
            "and there is none (got true); take out health_check: off, or mark_down",
            pool("health_check: off\nretry: {mark_down: true}"),
        ),
        (
            "a.yaml:5: pools.app.timeouts.connect: must be longer than nothing (got 0s); "
            "a time that hardly ever ends is written 24h",
            pool("timeouts: {connect: 0s}"),
        ),
        (
            "a.yaml:5: pools.app.hedge.after: is too short (got 0s); use 1ms or more, or p95",
            pool("hedge: {after: 0s}"),
        ),
        (
            "a.yaml:5: pools.app.timeouts.response: is not a duration (got off); write it as 250ms, 20s, 5m or 1h",
            pool("timeouts: {response: off}"),
        ),
        (
            "a.yaml:5: pools.app.timeouts: must be a mapping (got 3s); write its keys below it, indented",
            pool("timeouts: 3s"),
        ),
        (
            "a.yaml:6: drain_timeout: is longer than a year (got 8761h); use 8760h at most",
            pool("") + "drain_timeout: 8761h\n",
        ),
        ("a.yaml:6: access_log: has spaces around it (got 'a '); take them out", pool("") + "access_log: 'a '\n"),
        ("a.yaml:6: workers: is not a whole number (got all); use 1 to 256, or auto", pool("") + "workers: all\n"),
        ("a.yaml:6: max_backends: is out of range (got 0); use 1 to 1000000", pool("") + "max_backends: 0\n"),
        (
            "a.yaml:6: user: there is no such user on this machine (got nobody2); create it, or name another one",
            pool("") + "user: nobody2\n",
        ),
        (
            "a.yaml:6: pid_file: is empty (got ''); write one, or take the key out",
            pool("") + "pid_file: ''\n",
        ),
        (
            "a.yaml:5: listeners.web.routes[0].rate_limit: is not a rate (got 100); write 100/s",
            route("rate_limit: 100"),
        ),
        (
            "a.yaml:5: listeners.web.routes[0].rate_limit: is out of range (got 2000000/s); use 1/h to 1000000/s",
            route("rate_limit: 2000000/s"),
        ),
        (
            "a.yaml:5: listeners.web.routes[0].rate_limit.rate: is missing; write rate: 100/s",
            route("rate_limit: {burst: 3}"),
        ),
        (
            "a.yaml:5: listeners.web.routes[0].rate_limit.key: cannot be a limit's key: a limit is asked before the "
            "body comes (got body:user); known: client_ip, path, url, header:NAME, cookie:NAME, query:NAME, host, "
            "method, global",
            route("rate_limit: {rate: 1/s, key: 'body:user'}"),
        ),
        (
            "a.yaml:5: listeners.web.routes[0].rate_limit.keys: is not read with key: global, where all are one "
            "(got 5); take it out",
            route("rate_limit: {rate: 1/s, key: global, keys: 5}"),
        ),
        (
            "a.yaml:5: listeners.web.routes[0].rate_limit.burst: is out of range (got 0); use 1 to 16777216, or auto",
            route("rate_limit: {rate: 1/s, burst: 0}"),
        ),
        (
            "a.yaml:5: listeners.web.max_connections: is out of range (got 0); use 1 or more",
            listener("max_connections: 0"),
        ),
        (
            "a.yaml:5: listeners.web.min_body_rate: is not a rate of bytes (got 100B); write it as 100B/s or 1KiB/s",
            listener("min_body_rate: 100B"),
        ),
        ("a.yaml:6: watch: is neither true nor false (got 1s); write true or false", pool("") + "watch: 1s\n"),
    ],
)
def test_a_wrong_value_is_reported_with_file_line_key_value_and_mend(expected: str, text: str) -> None:
    assert [expected] == problems(text)


BOUNDS: list[tuple[type[Shape], dict[str, Any], str, int, int]] = [
    (models.Respond, {}, "status", 200, 599),
    (models.Listener, {"bind": ":0", "pool": "p"}, "max_fields", 1, 10_000),
    (models.Listener, {"bind": ":0", "pool": "p"}, "backlog", 1, 65535),
    (models.Policy, {"name": "power_of_two"}, "choices", 2, 64),
    (models.Probe, {}, "keep", 2, 1024),
    (models.Backend, {"address": "a:1"}, "weight", 0, 1000),
    (models.Backend, {"address": "a:1"}, "tier", 0, 100),
    (models.HealthCheck, {}, "rise", 1, 1000),
    (models.HealthCheck, {}, "fall", 1, 1000),
    (models.Retry, {}, "tries", 1, 100),
    (models.Retry, {}, "same_backend", 0, 100),
    (models.Retry, {}, "budget_floor", 0, 1_000_000),
    (models.Pool, {"backends": ["a:1"]}, "max_idle", 0, 100_000),
    (models.File, {"listeners": {"web": {"bind": ":0", "pool": "p"}}}, "workers", 1, 256),
    (models.File, {"listeners": {"web": {"bind": ":0", "pool": "p"}}}, "max_backends", 1, 1_000_000),
]


@pytest.mark.parametrize(("shape", "other", "key", "lowest", "highest"), BOUNDS)
def test_a_number_is_taken_up_to_its_bounds_and_no_further(
    shape: type[Shape], other: dict[str, Any], key: str, lowest: int, highest: int
) -> None:
    known = {"beside": None, "pools": ("p",)}
    for number in (lowest, highest):
        assert number == getattr(shape.model_validate({**other, key: number}, context=known), key)
    for number in (lowest - 1, highest + 1):
        with pytest.raises(ValidationError, match="is out of range"):
            shape.model_validate({**other, key: number}, context=known)


DURATIONS: list[tuple[type[Shape], str, str]] = [
    *((models.ListenerTimeouts, key, "1ms") for key in ("head", "body", "idle", "write")),
    *((models.PoolTimeouts, key, "1ms") for key in ("connect", "response", "total", "idle", "tunnel")),
    (models.HealthCheck, "interval", "10ms"),
    (models.HealthCheck, "timeout", "1ms"),
    (models.Retry, "delay", "0s"),
    (models.SlowStart, "window", "1s"),
    (models.Probe, "max_age", "1ms"),
]


@pytest.mark.parametrize(("shape", "key", "shortest"), DURATIONS)
def test_a_duration_is_one_that_a_timer_can_keep(shape: type[Shape], key: str, shortest: str) -> None:
    """From one that costs no more than it brings, up to a year: both ends are taken, and nothing beyond."""
    beside = {"timeout": {"interval": "8760h"}, "interval": {"timeout": "1ms"}, "delay": {"max_delay": "8760h"}}
    other = beside.get(key, {})
    for right in (shortest, "8760h"):
        shape.model_validate({**other, key: right})
    with pytest.raises(ValidationError, match="is longer than a year"):
        shape.model_validate({**other, key: "8761h"})
    if shortest != "0s":
        with pytest.raises(ValidationError, match="is too short"):
            shape.model_validate({**other, key: "0.001ms"})


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_may_not_have_one(status: int) -> None:
    assert status == models.Respond.model_validate({"status": status, "body": ""}).status
    with pytest.raises(ValidationError, match=f"a {status} answer has no body"):
        models.Respond.model_validate({"status": status, "body": "x"})


def test_a_limit_of_connections_is_at_least_one() -> None:
    assert 1 == models.Backend.model_validate({"address": "a:1", "max_connections": 1}).max_connections
    with pytest.raises(ValidationError, match="is out of range"):
        models.Backend.model_validate({"address": "a:1", "max_connections": 0})


@pytest.mark.parametrize(
    ("shape", "other", "key", "lowest", "highest", "beyond"),
    [
        (models.Probe, {}, "per_request", 0.01, 100.0, (0.009, 100.1)),
        (models.SlowStart, {}, "aggression", 0.1, 100.0, (0.09, 100.1)),
    ],
)
def test_a_number_with_a_point_has_bounds_too(
    shape: type[Shape], other: dict[str, Any], key: str, lowest: float, highest: float, beyond: tuple[float, float]
) -> None:
    for number in (lowest, highest):
        assert number == getattr(shape.model_validate({**other, key: number}), key)
    for number in beyond:
        with pytest.raises(ValidationError, match="is out of range"):
            shape.model_validate({**other, key: number})


# What the policies that come with the balancer do not all read; each is read by a policy that says so.
OPTIONS: list[tuple[str, str, Any]] = [
    ("key", 'key: "body:a.0[:16]"', "body:a.0[:16]"),
    ("choices", "choices: 5", 5),
    ("bound", "bound: 1.25", 1.25),
    ("bound", "bound: off", None),
    ("table_size", "table_size: 251", 251),
    ("decay_s", "decay: 250ms", 0.25),
    ("clients", "clients: 10", 10),
    ("quantile", "quantile: 84%", 0.84),
    (
        "probe",
        "probe: {path: /load, per_request: 0.5, keep: 4, max_age: 2s, timeout: 50ms}",
        spec.ProbeSpec("/load", 0.5, 4, 2.0, 0.05),
    ),
    ("probe", "probe: {path: off}", spec.ProbeSpec()),
    ("fallback", "fallback: least_connections", "least_connections"),
    ("time_limit_s", "time_limit: 2ms", 0.002),
    ("options", "options: {limit: 12, mode: off, deep: true}", (("limit", "12"), ("mode", "off"), ("deep", "true"))),
]


@pytest.mark.parametrize(("field", "text", "value"), OPTIONS)
def test_every_option_of_a_policy_has_its_key(own: OwnPolicies, field: str, text: str, value: Any) -> None:
    own.register("reads_it", options=(field,))
    made = load(pool(f"policy: {{name: reads_it, {text}}}"))
    assert value == getattr(made.pools[0].policy, field)
    assert made == config.loads(effective.effective(made))


def test_every_option_of_a_policy_is_among_them() -> None:
    assert {field.name for field in dataclasses.fields(spec.PolicySpec)} - {"name"} == {
        field for field, _, _ in OPTIONS
    }


@pytest.mark.parametrize(
    ("expected", "field", "text"),
    [
        ("bound: is out of range (got 0.9); use 1 to 100", "bound", "bound: 0.9"),
        ("bound: is not a number (got 1,25); use 1 to 100, such as 1.25", "bound", "bound: '1,25'"),
        ("table_size: is not a prime (got 65536); write 65537", "table_size", "table_size: 65536"),
        ("table_size: is out of range (got 1); use 2 to 5000011", "table_size", "table_size: 1"),
        ("quantile: is more than all (got 184%); use 0% to 100%", "quantile", "quantile: 184%"),
        ("clients: is out of range (got 0); use 1 to 10000000", "clients", "clients: 0"),
        ("decay: has no unit (got 10); write 10s", "decay_s", "decay: 10"),
        ("probe.pth: unknown key (got /a); did you mean path?", "probe", "probe: {pth: /a}"),
        ("probe.path: does not begin with '/' (got a); write /a", "probe", "probe: {path: a}"),
        ("options: must be a mapping of names to texts (got a); write {NAME: TEXT}", "options", "options: a"),
        ("options.a: must be one value, not a list", "options", "options: {a: [1], b: 1}"),
        (
            "fallback: is not a built-in policy, and those alone cannot fail (got rando); did you mean random?",
            "fallback",
            "fallback: rando",
        ),
        (
            "fallback: is not a built-in policy, and those alone cannot fail (got m:pick); known: ",
            "fallback",
            "fallback: m:pick",
        ),
    ],
)
def test_a_wrong_option_of_a_policy_says_what_to_write(own: OwnPolicies, expected: str, field: str, text: str) -> None:
    own.register("reads_it", options=(field,))
    (said,) = problems(pool(f"policy: {{name: reads_it, {text}}}"))
    assert said.startswith(f"a.yaml:5: pools.app.policy.{expected}")
