"""Values that are right by themselves must fit together."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.control import rules
from steelyard.control.fault import Fault, Faults
from steelyard.core.spec import After, BackendSpec, PoolSpec, QueueSpec, RouteSpec, Spec
from tests.control.own import OwnPolicies
from tests.control.said import listener, load, pool, problems


def backends(text: str) -> str:
    return f"listeners: {{web: {{bind: ':80', pool: app}}}}\npools:\n  app:\n    backends: {text}\n"


def routes(*written: str) -> str:
    head = "pools: {app: {backends: [a:1]}}\nlisteners:\n  web:\n    bind: :80\n    routes:\n"
    return head + "".join(f"      - {{pool: app{', ' if keys else ''}{keys}}}\n" for keys in written)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (["a.yaml:4: pools.app.backends: has no backend; write [localhost:8000]"], "[]"),
        (
            [
                "a.yaml:4: pools.app.backends[1]: a:1 is the same as backends[0] (got http://a:1); "
                "a larger share is given with weight",
                "a.yaml:4: pools.app.backends[3]: [::1]:1 is the same as backends[2]; "
                "a larger share is given with weight",
            ],
            "[a:1, 'http://a:1', '[::1]:1', {address: '[::1]:1', weight: 2}]",
        ),
        (
            [
                "a.yaml:4: pools.app.backends: every backend has weight 0, so none gets a request; "
                "give one of them weight 1"
            ],
            "[{address: a:1, weight: 0}, {address: b:1, weight: 0}]",
        ),
    ],
)
def test_a_pool_needs_backends_that_can_serve(expected: list[str], text: str) -> None:
    assert expected == problems(backends(text))


def test_one_backend_of_several_may_have_weight_0() -> None:
    assert [0, 1] == [b.weight for b in load(backends("[{address: a:1, weight: 0}, b:1]")).pools[0].backends]


def test_two_listeners_on_one_address_are_both_named() -> None:
    text = """\
    listeners:
      a: {bind: ":80", pool: app}
      b:
        bind: 0.0.0.0:80
        pool: app
      c: {bind: "127.0.0.1:80", pool: app}
      d: {bind: ":0", pool: app}
      e: {bind: ":0", pool: app}
      f: {bind: nonsense, pool: nowhere}
      g: 7
      h: {bind: , pool: app}
      i: {bind: "unix:/run/lb.sock", pool: app}
      j: {bind: "unix:/run/lb.sock", pool: app}
      k: {bind: "unix:/run/other.sock", pool: app}
    pools: {app: {backends: [a:1]}}
    """
    assert [
        "a.yaml:4: listeners.b.bind: is the address of listener a too (got 0.0.0.0:80); give each its own port",
        "a.yaml:9: listeners.f.bind: has no port (got nonsense); write nonsense:8080",
        "a.yaml:9: listeners.f.pool: unknown pool (got nowhere); known: app",
        "a.yaml:10: listeners.g: must be a mapping (got 7); write its keys below it, indented",
        "a.yaml:11: listeners.h.bind: has no value; write one, or take the key out",
        "a.yaml:13: listeners.j.bind: is the address of listener i too (got unix:/run/lb.sock); give each its own path",
    ] == problems(text)


TWO_POOLS = (
    "listeners: {web: {bind: ':80', pool: app}}\npools:\n  app: {backends: [a:1, b:1]}\n  api: {backends: [a:1]}\n"
)


@pytest.mark.parametrize("line", ["max_backends: 2", "max_backends: ${N:-2}"])
def test_all_backends_have_room_together(line: str) -> None:
    assert [
        "a.yaml:5: max_backends: leaves room for 2 backends, and the pools have 3; write max_backends: 3"
    ] == problems(f"{TWO_POOLS}{line}\n")
    assert 3 == load(f"{TWO_POOLS}max_backends: 3\n").max_backends


def test_where_no_room_is_written_the_pools_are_the_place_that_has_too_many() -> None:
    many = ", ".join(f"10.0.{i // 250}.{i % 250}:80" for i in range(16385))
    assert [
        "a.yaml:2: max_backends: leaves room for 16384 backends, and the pools have 16385; write max_backends: 16385"
    ] == problems(f"listeners: {{web: {{bind: ':80', pool: app}}}}\npools:\n  app: {{backends: [{many}]}}\n")


def test_more_backends_than_any_table_has_room_for_are_told_the_most() -> None:
    pools = (PoolSpec("app", (BackendSpec("a", 80),) * 1_000_001),)
    with pytest.raises(Fault) as caught:
        rules.room_for_all(Spec((), pools), given=False)
    assert "1000000 are the most" == caught.value.mend


def test_names_of_listeners_and_pools_are_words() -> None:
    text = "listeners:\n  a b: {bind: ':80', pool: -c}\npools:\n  -c: {backends: [a:1]}\n"
    assert [
        "a.yaml:2: listeners.a b: is not a name (got 'a b'); use letters, digits, '-', '_' and '.'",
        "a.yaml:4: pools.-c: is not a name (got '-c'); use letters, digits, '-', '_' and '.'",
    ] == problems(text)


def test_there_is_a_listener() -> None:
    assert ["a.yaml:1: listeners: has no listener; write web: {bind: 0.0.0.0:8080, pool: NAME}"] == problems(
        "listeners: {}"
    )


HIDDEN = [
    ("", "path: /a"),
    ("path: /*", "host: a.org"),
    ("path: /a", "path: /a"),
    ("path: /a*", "path: /a"),
    ("path: /a/*", "path: /a/b/*"),
    ("path: /a/*", "path: /a/b, methods: GET"),
    ("methods: [GET, POST]", "methods: POST, path: /a"),
    ("methods: GET", "methods: GET"),
    ("host: '*.a.org'", "host: x.a.org"),
    ("host: '*.a.org'", "host: '*.x.a.org'"),
    ("host: [a.org, b.org]", "host: b.org"),
    ("headers: {X: '*'}", "headers: {x: '1'}"),
    ("headers: {X: '1'}", "headers: {x: '1', y: '2'}"),
    ("content_type: image/*", "content_type: image/png"),
    ("content_type: image/png", "content_type: image/png, path: /a"),
]

REACHED = [
    ("path: /a", ""),
    ("path: /a", "path: /a*"),
    ("path: /a", "path: /b"),
    ("path: /a/*", "path: /a"),
    ("methods: GET", ""),
    ("methods: GET", "methods: [GET, POST]"),
    ("host: a.org", ""),
    ("host: a.org", "host: [a.org, b.org]"),
    ("host: '*.a.org'", "host: a.org"),
    ("host: x.a.org", "host: '*.a.org'"),
    ("headers: {X: '1'}", ""),
    ("headers: {X: '1'}", "headers: {X: '2'}"),
    ("headers: {X: '1'}", "headers: {X: '*'}"),
    ("content_type: image/*", ""),
    ("content_type: image/*", "content_type: text/plain"),
    ("content_type: image/png", "content_type: image/*"),
    ("path: /a, methods: GET", "path: /a"),
]


@pytest.mark.parametrize(("first", "second"), HIDDEN)
def test_a_route_behind_one_that_takes_all_its_requests_is_named(first: str, second: str) -> None:
    assert [
        "a.yaml:7: listeners.web.routes[1]: is never reached: routes[0] takes every request that this one would; "
        "put it before routes[0], or take it out"
    ] == problems(routes(first, second))


@pytest.mark.parametrize(("first", "second"), REACHED)
def test_a_route_that_takes_some_request_first_is_right(first: str, second: str) -> None:
    assert 2 == len(load(routes(first, second)).listeners[0].routes)


def test_the_first_route_that_hides_is_named() -> None:
    found = problems(routes("path: /b", "path: /a*", "", "path: /a/b"))
    assert ["a.yaml:9: listeners.web.routes[3]: is never reached: routes[1] takes every"] == [f[:74] for f in found]


PATHS = st.sampled_from([None, "*", "/*", "/", "/a", "/a*", "/a/*", "/a/b", "/a/b*", "/a/b/c"])
HOSTS = st.lists(st.sampled_from(["a.b.c", "b.c", "*.b.c", "*.c", "x"]), min_size=1, max_size=2).map(tuple)


@given(st.lists(st.builds(RouteSpec, path=PATHS, hosts=st.one_of(st.just(()), HOSTS)), min_size=1, max_size=6))
def test_the_routes_that_are_compared_are_all_that_could_hide(routes: list[RouteSpec]) -> None:
    hidden = [
        next((at for at in range(index) if rules._covers(routes[at], route)), None)  # type: ignore[arg-type]
        for index, route in enumerate(routes)
    ]
    try:
        rules.none_is_hidden(tuple(routes))  # type: ignore[arg-type]
        found = {}
    except Faults as exc:
        found = {fault.at[0]: int(re.search(r"routes\[(\d+)\]", fault.message)[1]) for fault in exc.faults}  # type: ignore[index]
    assert {index: at for index, at in enumerate(hidden) if at is not None} == found


@pytest.mark.parametrize("where", ["path: /{}/*", "host: '*.h{}.example.org'"])
def test_thousands_of_routes_are_not_each_compared_with_each(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[object] = []
    monkeypatch.setattr(rules, "_covers", lambda wide, narrow: compared.append(narrow))
    assert 300 == len(load(routes(*(where.format(number) for number in range(300)))).listeners[0].routes)
    assert [] == compared


def test_an_option_is_read_by_the_policies_that_say_so(own: OwnPolicies) -> None:
    own.register("reads_much", options=("key", "table_size"))
    (said,) = problems(pool("policy: {name: reads_much, key: path, table_size: 5, choices: 2}"))
    assert "a.yaml:5: pools.app.policy.choices: is not read by policy reads_much (got 2); take it out, or use" in said
    assert "power_of_two" in said


def test_who_reads_an_option_is_named(own: OwnPolicies) -> None:
    own.register("alpha", options=("clients",))
    own.register("beta", options=("clients",))
    (said,) = problems(pool("policy: {clients: 5}"))
    assert "use policy alpha or beta" in said


def test_a_policy_that_hashes_has_a_key_without_being_told() -> None:
    assert (rules.DEFAULT_KEY, None) == (
        load(pool("policy: hash")).pools[0].policy.key,
        load(pool("policy: random")).pools[0].policy.key,
    )


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (
            "a.yaml:4: pools.app.policy.table_size: 4 backends do not fit into a table of 3 (got 3); "
            "use table_size: 401",
            "    policy: {name: tabular, table_size: 3}\n    backends: [a:1, b:1, c:1, d:1]\n",
        ),
        (
            "a.yaml:4: pools.app.policy: 65538 backends do not fit into a table of 65537 (got tabular); "
            "use table_size: 5000011",
            "    policy: tabular\n    backends: [" + ", ".join(f"h{n}:1" for n in range(65538)) + "]\n",
        ),
    ],
)
def test_a_table_has_room_for_every_backend(own: OwnPolicies, expected: str, text: str) -> None:
    own.register("tabular", options=("table_size",))
    assert [expected] == problems(f"listeners: {{web: {{bind: ':80', pool: app}}}}\npools:\n  app:\n{text}")


def test_a_table_is_one_tier_s(own: OwnPolicies) -> None:
    own.register("tabular", options=("table_size",))
    policy = "policy: {name: tabular, table_size: 3}\nbackends: "
    head = "listeners: {web: {bind: ':80', pool: app}}\npools:\n  app:\n    "
    right = "[a:1, b:1, {address: c:1, tier: 0}, {address: d:1, tier: 1}, {address: e:1, backup: true}]"
    assert 5 == len(load(head + policy.replace("\n", "\n    ") + right + "\n").pools[0].backends)


@pytest.mark.parametrize(
    ("expected", "keys"),
    [
        (
            "max_in_flight: the pool has a limit that is found as well (got 5); "
            "keep one of the two; a bound of the adaptive limit is its max",
            "max_in_flight: 5\nadaptive_limit: {}",
        ),
        (
            "queue: nobody will ever wait: nothing limits the requests in flight; "
            "add max_in_flight, adaptive_limit, or max_connections to the backends",
            "queue: {}",
        ),
        (
            "adaptive_limit.max: the limit would have to be above 10 and below 5 (got 5); use min: 5 or less",
            "adaptive_limit: {max: 5}",
        ),
        (
            "adaptive_limit.min: the limit would have to be above 30 and below 20 (got 30); use min: 20 or less",
            "adaptive_limit: {min: 30, max: 20}",
        ),
        ("hedge: has no unit (got 95); write 95s, or p95", "hedge: 95"),
        ("hedge.after: is out of range (got p30); use p50 to p99.9", "hedge: {after: p30}"),
        ("hedge: is not a duration (got soon); write it as 250ms, 20s, 5m or 1h, or p95", "hedge: soon"),
    ],
)
def test_limits_queues_and_hedges_fit_together(expected: str, keys: str) -> None:
    (said,) = problems(pool(keys))
    assert f"pools.app.{expected}" == said.partition(" ")[2]


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (After(None, 0.95), "hedge: {}"),
        (After(None, 0.999), "hedge: p99.9"),
        (After(0.05, None), "hedge: 50ms"),
        (After(0.05, None), "hedge: {after: 50ms}"),
    ],
)
def test_a_hedge_waits_for_a_time_or_a_quantile(expected: After, text: str) -> None:
    hedge = load(pool(text)).pools[0].hedge
    assert hedge is not None
    assert expected == hedge.after


def test_a_limit_of_a_backend_is_something_to_wait_for() -> None:
    head = "listeners: {web: {bind: ':80', pool: app}}\npools:\n  app:\n    "
    spec = load(head + "queue: {size: 3}\n    backends: [{address: a:1, max_connections: 2}]\n")
    assert QueueSpec(3) == spec.pools[0].queue


@pytest.mark.parametrize(
    ("expected", "keys"),
    [
        ([], "ejection: {}"),
        ([], "ejection: off"),
        ([], "ejection: {errors: off, gateway_errors: 3}"),
        (
            ["a.yaml:5: pools.app.ejection: nothing leads to an ejection; write ejection: off, or errors: 5"],
            "ejection: {errors: off, deviations: off}",
        ),
        (
            ["a.yaml:5: pools.app.ejection.max_ejected: would let nobody go (got 0%); write ejection: off, or 10%"],
            "ejection: {max_ejected: 0%}",
        ),
        (
            [
                "a.yaml:5: pools.app.ejection.penalty: a first penalty of 10m is longer than the longest, 5m "
                "(got 10m); use a max_penalty of 10m or more"
            ],
            "ejection: {penalty: 10m}",
        ),
        (
            [
                "a.yaml:5: pools.app.ejection.max_penalty: a first penalty of 30s is longer than the longest, 2s "
                "(got 2s); use a max_penalty of 30s or more"
            ],
            "ejection: {max_penalty: 2s}",
        ),
        (
            ["a.yaml:5: pools.app.ejection.errors: is out of range (got 21); use 1 to 20"],
            "ejection: {errors: 21}",
        ),
    ],
)
def test_an_ejection_has_a_cause_somebody_may_go_and_penalties_grow(expected: list[str], keys: str) -> None:
    if expected:
        assert expected == problems(pool(keys))
    else:
        assert load(pool(keys)).pools[0].name == "app"


@pytest.mark.parametrize("key", ["circuit_breaker", "pool_circuit_breaker"])
@pytest.mark.parametrize(
    ("expected", "keys"),
    [
        ([], "{}"),
        ([], "off"),
        ([], "{consecutive_failures: off, error_rate: off, slow_call: 1s, slow_rate: 10%}"),
        (
            ["a.yaml:5: pools.app.KEY: nothing opens it; take it out, or write consecutive_failures: 5"],
            "{consecutive_failures: off, error_rate: off}",
        ),
        (["a.yaml:5: pools.app.KEY.error_rate: would open it at once (got 0%); use 50%"], "{error_rate: 0%}"),
        (
            ["a.yaml:5: pools.app.KEY.slow_rate: is not read without slow_call (got 20%); add slow_call: 2s"],
            "{slow_rate: 20%}",
        ),
        ([], "{error_rate: off, slow_call: 1s, window: 5s, min_requests: 9}"),
        (
            [
                "a.yaml:5: pools.app.KEY.min_requests: is not read without error_rate or slow_call (got 9); "
                "take it out",
                "a.yaml:5: pools.app.KEY.window: is not read without error_rate or slow_call (got 5s); take it out",
            ],
            "{error_rate: off, window: 5s, min_requests: 9}",
        ),
        (
            ["a.yaml:5: pools.app.KEY.slow_rate: would open it at once (got 0%); use 50%"],
            "{slow_call: 1s, slow_rate: 0%}",
        ),
    ],
)
def test_a_breaker_has_something_that_opens_it(expected: list[str], keys: str, key: str) -> None:
    text = pool(f"{key}: {keys}")
    if expected:
        assert [line.replace("KEY", key) for line in expected] == problems(text)
    else:
        assert load(text).pools[0].name == "app"


@pytest.mark.parametrize(
    ("expected", "keys"),
    [
        ([], "retry: {tries: 1}"),
        ([], "retry: {tries: 2, on_status: [502]}\nhedge: {}"),
        ([], "retry: {tries: 1, on_status: [502, 503]}"),  # a 503 may ask to be left alone
        (
            [
                "a.yaml:5: pools.app.retry.on_status: asks nobody else, as tries is 1; "
                "use tries: 2 or more, or take it out"
            ],
            "retry: {tries: 1, on_status: [502, 504]}",
        ),
        ([], "retry: {tries: 1}\nhedge: off"),
        (
            [
                "a.yaml:5: pools.app.retry.tries: leaves no try for the hedge (got 1); "
                "use tries: 2 or more, or take hedge out"
            ],
            "retry: {tries: 1}\nhedge: p95",
        ),
        ([], "retry: {delay: 1s, max_delay: 1s}"),
        (
            [
                "a.yaml:5: pools.app.retry.max_delay: a first delay of 2s is longer than the longest, 1s (got 1s); "
                "use a max_delay of 2s or more"
            ],
            "retry: {delay: 2s, max_delay: 1s}",
        ),
        (
            [
                "a.yaml:5: pools.app.retry.delay: a first delay of 2s is longer than the longest, 250ms (got 2s); "
                "use a max_delay of 2s or more"
            ],
            "retry: {delay: 2s}",
        ),
        ([], "timeouts: {total: 2s}\nhedge: 1s\nretry: {try_timeout: 1s}"),
        ([], "timeouts: {total: off}\nhedge: 1h"),
        ([], "timeouts: {total: 1s}\nhedge: p95"),
        (
            [
                "a.yaml:6: pools.app.hedge: never comes: the whole exchange has 1s (got 1s); "
                "use less than 1s, or a longer timeouts: {total}",
                "a.yaml:7: pools.app.retry.try_timeout: never comes: the whole exchange has 1s (got 2s); "
                "use less than 1s, or a longer timeouts: {total}",
            ],
            "timeouts: {total: 1s}\nhedge: 1s\nretry: {try_timeout: 2s}",
        ),
    ],
)
def test_what_a_retry_or_a_hedge_is_told_can_come_about(expected: list[str], keys: str) -> None:
    if expected:
        assert expected == problems(pool(keys))
    else:
        assert load(pool(keys)).pools[0].name == "app"


@pytest.mark.parametrize(
    "keys",
    [
        "ejection: {errors: off, gateway_errors: 3, deviations: off, window: 5s, min_requests: 9, min_backends: 4}",
        "retry: {tries: 1, delay: 20ms, max_delay: 1s, budget: 10%, budget_floor: 1}",
        "retry: {budget: off, budget_floor: 1}",
    ],
)
def test_what_is_turned_off_may_keep_its_other_keys(keys: str) -> None:
    assert load(pool(keys)).pools


@pytest.mark.parametrize("where", ["listener", "other pool"])
def test_a_priority_is_of_those_who_may_have_to_wait(where: str) -> None:
    text = """
        listeners:
          web:
            bind: :80
            routes:
              - {path: /a, pool: app, priority: 1}
              - {path: /b, WHERE, priority: 2}
              - {pool: app}
        pools:
          app: {backends: [a:1], max_in_flight: 5, queue: {}}
          other: {backends: [a:1], max_in_flight: 5}
    """
    to, said = {
        "listener": ("respond: {}", "is not read with respond, which nobody waits for (got 2); take it out"),
        "other pool": (
            "pool: other",
            "is read where requests wait, and pool other has no queue (got 2); add a queue to the pool, or take it out",
        ),
    }[where]
    assert [f"a.yaml:7: listeners.web.routes[1].priority: {said}"] == problems(text.replace("WHERE", to))


def test_priorities_may_stay_where_the_queue_is_turned_off() -> None:
    (listener,) = load("""
        listeners: {web: {bind: ":80", routes: [{pool: app, priority: 1}]}}
        pools: {app: {backends: [a:1], max_in_flight: 5, queue: off}}
    """).listeners
    assert 1 == listener.routes[0].priority


def test_a_client_may_not_have_more_connections_than_all_together() -> None:
    assert [
        "a.yaml:6: listeners.web.max_connections_per_client: is never reached: max_connections is 5 (got 6); "
        "use less than 5, or off"
    ] == problems(listener("max_connections: 5\nmax_connections_per_client: 6"))
    for keys in ("max_connections: 5\nmax_connections_per_client: 5", "max_connections_per_client: 5"):
        assert load(listener(keys)).listeners[0].max_connections_per_client == 5
