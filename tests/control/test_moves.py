"""A request moves when two configurations send it to different places, and nothing private is asked for that."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.control import config
from steelyard.control.destinations import QuietPool
from steelyard.control.moves import GROUPS, Move, Seen, moves, parts_needed, summary
from steelyard.core.spec import BackendSpec, ListenerSpec, PolicySpec, PoolSpec, RouteSpec, Spec, StickySpec
from tests.control.own import OwnPolicies
from tests.control.said import load
from tests.control.test_effective import specs

FEW = 25  # whole configurations take long to draw, and each has many of what is asked about
STICKY = "sticky: {cookie: lb, secret: 0123456789abcdef}"
OTHER_SECRET = "sticky: {cookie: lb, secret: fedcba9876543210}"
CLIENTS = [f"10.0.{index >> 8}.{index & 255}" for index in range(1000)]


def balancer(pools: str, routes: str = "[{pool: web}]") -> Spec:
    """A file with one listener `in` and these pools: `NAME: {...}, ...`."""
    return load(f"listeners: {{in: {{bind: ':80', routes: {routes}}}}}\npools: {{{pools}}}")


def web(backends: str, keys: str = "policy: round_robin") -> Spec:
    """With one pool `web`."""
    return balancer(f"web: {{backends: {backends}, {keys}}}")


def seen(backend: str = "a:1", pool: str = "web", listener: str = "in", **parts: str | None) -> Seen:
    """A request; `header__x` is its part `header:x`."""
    return Seen(listener, pool, backend, {name.replace("__", ":"): value for name, value in parts.items()})


def cookie_of(spec: Spec, address: str) -> str:
    """What a client of that backend of the first pool brings."""
    quiet = QuietPool(spec.pools[0])
    assert quiet.pool.sticky is not None
    return quiet.pool.sticky.lines[quiet.backends[address]].partition(";")[0].partition("=")[2]


def choice_of(spec: Spec, client: str) -> str | None:
    """What the first pool chooses for a client."""
    return QuietPool(spec.pools[0]).choose({"client_ip": client}).backend


TWO = web("['a:1', 'b:1']")


def test_a_request_whose_backend_is_gone_goes_to_any_other() -> None:
    new = web("['b:1', 'c:1']")
    assert [Move("web/a:1", "any of web", "backend is gone")] == moves(TWO, new, [seen("a:1"), seen("b:1")])


def test_a_backend_that_was_given_weight_0_serves_no_more_requests() -> None:
    new = web("[{address: 'a:1', weight: 0}, 'b:1']")
    assert [Move("web/a:1", "any of web", "backend has weight 0 now")] == moves(TWO, new, [seen("a:1"), seen("b:1")])
    assert [] == moves(new, web("[{address: 'a:1', weight: 0}, 'b:1', 'c:1']"), [seen("a:1")])


def test_a_backend_that_became_a_backup_waits() -> None:
    new = web("[{address: 'a:1', backup: on}, 'b:1']")
    assert [Move("web/a:1", "any of web", "backend waits behind another tier now")] == moves(TWO, new, [seen("a:1")])


def test_a_backup_that_served_while_others_were_down_counts_only_when_it_is_gone() -> None:
    old = web("[{address: 'a:1', backup: on}, 'b:1']")
    assert [] == moves(old, web("[{address: 'a:1', tier: 2}, 'b:1']"), [seen("a:1")])
    assert ["backend is gone"] == [move.why for move in moves(old, web("['b:1']"), [seen("a:1")])]


@pytest.mark.parametrize(
    "policy", ["round_robin", "least_connections", "sticky_round_robin", "{name: rendezvous, bound: 1.25}"]
)
def test_who_looks_at_turns_or_loads_moves_nobody_that_could_stay(policy: str) -> None:
    old, new = (web(backends, f"policy: {policy}") for backends in ("['a:1', 'b:1']", "['b:1', 'a:1', 'c:1']"))
    assert [] == moves(old, new, [seen(client_ip=address) for address in CLIENTS[:50]])


def test_a_request_that_matches_another_route_goes_to_another_pool() -> None:
    pools = "web: {backends: ['a:1', 'b:1']}, api: {backends: ['c:1'], policy: hash}"
    old = balancer(pools)
    new = balancer(pools, "[{path: /api/*, pool: api}, {pool: web}]")
    assert ["client_ip", "path"] == parts_needed(old, new)
    requests = [seen(path="/api/x", client_ip="10.0.0.1"), seen(path="/api/x"), seen(path="/", client_ip="10.0.0.1")]
    assert [
        Move("web/a:1", "api/c:1", "route changed"),
        Move("web/a:1", "any of api", "route changed"),
    ] == moves(old, new, requests)


def test_what_the_balancer_answers_itself_is_a_place_too() -> None:
    pools = "web: {backends: ['a:1']}"
    old = balancer(pools, "[{path: /up, respond: {}}, {path: /a%2Fb, respond: {}}, {methods: [GET], pool: web}]")
    new = balancer(pools, "[{path: /up, respond: {status: 503}}, {pool: web}]")
    assert [
        Move("answer 200", "answer 503", "route changed"),
        Move("404", "any of web", "route changed"),
        Move("400", "any of web", "route changed"),
    ] == moves(
        old,
        new,
        [
            seen("-", "-", path="/up", method="GET"),
            seen("-", "-", path="/", method="PUT"),
            seen("-", "-", path="/a%2Fb", method="GET"),
            seen(path="/", method="GET"),
        ],
    )
    assert [Move("web/a:1", "404", "route changed")] == moves(new, old, [seen(path="/", method="PUT")])


def test_another_text_of_the_same_answer_moves_nobody() -> None:
    old, new = (load(f"listeners: {{in: {{bind: ':80', routes: [{{respond: {{body: {b}}}}}]}}}}") for b in "ab")
    assert [] == moves(old, new, [seen("-", "-")])


def test_a_request_of_a_pool_that_is_gone_goes_where_its_route_leads_now() -> None:
    new = balancer("two: {backends: ['a:1']}", "[{pool: two}]")
    assert [Move("web/b:1", "any of two", "pool is gone")] == moves(TWO, new, [seen("b:1")])


def test_a_listener_that_is_gone_takes_nothing() -> None:
    new = load("listeners: {other: {bind: ':80', routes: [{respond: {}}]}}")
    assert [
        Move("web/a:1", "nowhere", "listener is gone"),
        Move("any of web", "nowhere", "listener is gone"),
        Move("no pool", "nowhere", "listener is gone"),
    ] == moves(TWO, new, [seen("a:1"), seen("-"), seen("-", "-")])
    assert [] == parts_needed(TWO, new)


def test_what_the_old_configuration_does_not_know_does_not_count() -> None:
    """It was served before an earlier reload."""
    new = web("['b:1']")
    for request in (seen(listener="gone"), seen(pool="gone"), seen("gone:1"), seen("-", "-")):
        assert [] == moves(TWO, new, [request])


def test_only_the_keys_of_a_backend_that_is_gone_move_on_a_ring() -> None:
    old, new = (web(b, "policy: consistent_hash") for b in ("['a:1', 'b:1', 'c:1']", "['a:1', 'b:1']"))
    found = moves(old, new, [seen(client_ip=address) for address in CLIENTS[:200]])
    assert sum(choice_of(old, address) == "c:1" for address in CLIENTS[:200]) == len(found)
    assert {("web/c:1", "backend is gone")} == {(move.before, move.why) for move in found}


def test_choice_is_compared_with_choice_and_not_with_what_served_while_that_was_down() -> None:
    old, new = (web(f"['a:1', 'b:1', 'c:1'], max_idle: {n}", "policy: hash") for n in (1, 2))
    altered = web("['a:1', 'b:1', {address: 'c:1', max_connections: 5}]", "policy: hash")
    requests = [seen(backend, client_ip="10.0.0.1") for backend in ("a:1", "b:1", "c:1")]
    assert [] == moves(old, new, requests)
    assert [] == moves(old, altered, requests)


@pytest.mark.parametrize("policy", ["hash", "consistent_hash", "{name: maglev, table_size: 251}", "rendezvous"])
def test_a_new_backend_takes_keys_by_every_hashing_policy(policy: str) -> None:
    old, new = (web(b, f"policy: {policy}") for b in ("['a:1', 'b:1']", "['a:1', 'b:1', 'c:1']"))
    found = moves(old, new, [seen(client_ip=address) for address in CLIENTS[:100]])
    moved = sum(choice_of(old, address) != choice_of(new, address) for address in CLIENTS[:100])
    assert moved == len(found) > 0
    assert {"key hashes to another backend"} == {move.why for move in found}


@settings(max_examples=FEW)
@given(st.integers(2, 10), st.sampled_from("abcdefgh"))
def test_one_backend_more_on_a_ring_moves_its_share_and_no_more(count: int, host: str) -> None:
    """Of 1 / (n + 1) the ring's own deviation is 8 %, and that of 1,000 keys 10 %: half as much again is 4 of both."""
    backends = [f"{host}:{1 + index}" for index in range(count + 1)]
    old, new = (web(str(some), "policy: consistent_hash") for some in (backends[:-1], backends))
    found = moves(old, new, [seen(client_ip=address) for address in CLIENTS])
    assert 0.5 < len(found) / (len(CLIENTS) / (count + 1)) < 1.5
    assert {f"web/{backends[-1]}"} == {move.after for move in found}


def test_another_policy_or_key_says_so() -> None:
    ring = web("['a:1', 'b:1', 'c:1']", "policy: consistent_hash")
    requests = [seen(client_ip=address, path="/") for address in CLIENTS[:50]]
    for policy in ("hash", "{name: consistent_hash, key: path}"):
        new = web("['a:1', 'b:1', 'c:1']", f"policy: {policy}")
        assert {"policy changed"} == {move.why for move in moves(ring, new, requests)}


def test_a_key_that_no_longer_decides_lets_its_requests_go_anywhere() -> None:
    ring = web("['a:1', 'b:1']", "policy: consistent_hash")
    client = CLIENTS[0]
    chosen = choice_of(ring, client)
    assert [Move(f"web/{chosen}", "any of web", "key no longer decides")] == moves(ring, TWO, [seen(client_ip=client)])
    other = {"a:1": "b:1", "b:1": "a:1"}[str(chosen)]
    requests = [seen(str(chosen), client_ip=client), seen(other, client_ip=client)]
    assert [Move(f"web/{other}", f"web/{chosen}", "key decides now")] == moves(TWO, ring, requests)


def test_a_request_without_the_key_goes_by_chance_and_counts_only_when_its_backend_is_gone() -> None:
    keys = "policy: {name: hash, key: header:x-user}"
    old, new = web("['a:1', 'b:1']", keys), web("['b:1', 'c:1']", keys)
    assert [Move("web/a:1", "any of web", "backend is gone")] == moves(old, new, [seen("a:1"), seen("b:1")])


def test_a_key_in_the_body_is_not_known_any_more() -> None:
    keys = "policy: {name: hash, key: body:user}"
    old, new = web("['a:1', 'b:1']", keys), web("['b:1', 'c:1']", keys)
    assert [] == parts_needed(old, new)
    assert ["backend is gone"] == [move.why for move in moves(old, new, [seen("a:1"), seen("b:1")])]


def test_a_cookie_keeps_its_backend_whatever_else_changes() -> None:
    old, new = (web(b, f"policy: hash, {STICKY}") for b in ("['a:1', 'b:1']", "['b:1', {address: 'a:1', tier: 1}]"))
    assert ["client_ip", "cookie:lb"] == parts_needed(old, new)
    assert [] == moves(old, new, [seen(cookie__lb=cookie_of(old, "a:1"), client_ip="10.0.0.1")])


def test_a_cookie_of_a_backend_that_is_gone_or_without_weight_is_of_no_use() -> None:
    old = web("['a:1', 'b:1']", STICKY)
    request = seen(cookie__lb=cookie_of(old, "a:1"))
    for backends, why in (
        ("['b:1']", "backend is gone"),
        ("[{address: 'a:1', weight: 0}, 'b:1']", "backend has weight 0 now"),
    ):
        assert [Move("web/a:1", "any of web", why)] == moves(old, web(backends, STICKY), [request])


def test_with_another_secret_no_cookie_is_understood() -> None:
    old, new = (web("['a:1', 'b:1']", sticky) for sticky in (STICKY, OTHER_SECRET))
    request = seen(cookie__lb=cookie_of(old, "a:1"))
    assert [Move("web/a:1", "any of web", "cookie names no backend now")] == moves(old, new, [request])
    assert [Move("web/b:1", "web/a:1", "cookie names another backend")] == moves(
        new, old, [seen("b:1", cookie__lb=cookie_of(old, "a:1"))]
    )


def test_a_policy_of_one_s_own_is_never_called(own: OwnPolicies) -> None:
    own.write("moves_own.py", "def pick(request, backends):\n    return backends[0]\n")
    old = config.load(own.config(f"{{name: 'moves_own:pick', key: path}}\n    {STICKY}"))
    (pool,) = old.pools
    # Of a name that nobody has loaded, it could not even be made.
    stranger = replace(pool, policy=replace(pool.policy, name="nobody_has:it"), backends=pool.backends[1:])
    new = replace(old, pools=(stranger,))
    assert ["cookie:lb"] == parts_needed(old, new)
    requests = [seen("a:1", "app", "web", path="/"), seen("b:1", "app", "web", path="/")]
    assert [Move("app/a:1", "any of app", "backend is gone")] == moves(old, new, requests)


def test_nothing_is_asked_where_nothing_can_move() -> None:
    routes = "[{path: /a, host: a.org, headers: {X-Key: '*'}, pool: web}, {pool: web}]"
    old, new = (
        balancer(f"web: {{backends: ['a:1'], policy: hash, {STICKY}, max_idle: {idle}}}", routes) for idle in (1, 2)
    )
    assert [] == parts_needed(old, new)


def test_parts_of_routes_are_asked_of_a_listener_whose_routes_changed() -> None:
    old = balancer("web: {backends: ['a:1']}", "[{host: a.org, headers: {X-Key: '*'}, pool: web}, {pool: web}]")
    new = balancer(
        "web: {backends: ['a:1'], policy: {name: hash, key: url}}",
        "[{methods: [GET], content_type: image/*, pool: web}, {path: /*, pool: web}]",
    )
    assert ["content_type", "header:x-key", "host", "method", "path"] == parts_needed(old, new)


def test_a_route_behind_one_that_takes_everything_is_not_asked_about() -> None:
    """A file cannot have one; a Spec made by hand can."""
    (listener,) = TWO.listeners
    hidden = replace(listener, routes=(*listener.routes, replace(listener.routes[0], methods=("GET",))))
    assert [] == parts_needed(TWO, replace(TWO, listeners=(hidden,)))


STICKY_WEB = PoolSpec("web", (BackendSpec("a", 1),), sticky=StickySpec("A", "0123456789abcdef"))
PARTS: dict[str, tuple[str | None, ...]] = {
    "path": ("/", "/0/a", "/1/b%2Fc"),
    "host": ("a.org", None),
    "method": ("GET", "PUT"),
    "content_type": ("image/png", None),
    "client_ip": ("10.0.0.1", "10.0.0.2"),
    "header:x-user": ("x", None),
    "cookie:A": (cookie_of(Spec((), (STICKY_WEB,)), "a:1"), None),
}


def requests_to(spec: Spec) -> st.SearchStrategy[list[Seen]]:
    """Requests that it may have served, and some that it cannot have."""
    listeners = [listener.name for listener in spec.listeners]
    pools = [pool.name for pool in spec.pools]
    backends = [backend.address for pool in spec.pools for backend in pool.backends]
    headers = {f"header:{name}" for one in spec.listeners for route in one.routes for name, _ in route.headers}
    values = dict.fromkeys(sorted(headers), ("x", None)) | PARTS
    parts = st.fixed_dictionaries({name: st.sampled_from(some) for name, some in values.items()})
    one = st.builds(
        Seen,
        st.sampled_from([*listeners, "gone"]),
        st.sampled_from([*pools, "-"]),
        st.sampled_from([*backends, "-"]),
        parts,
    )
    return st.lists(one, min_size=5, max_size=20)


def with_other_limits(spec: Spec) -> Spec:
    """As many differences as there can be without one that moves anybody."""
    pools = [
        replace(pool, backends=tuple(replace(backend, max_connections=7) for backend in pool.backends))
        for pool in spec.pools
    ]
    listeners = [
        replace(listener, routes=tuple(replace(route, max_body_bytes=7) for route in listener.routes))
        for listener in spec.listeners
    ]
    return replace(spec, pools=tuple(pools), listeners=tuple(listeners))


# Few of everything, so that requests do match, and two configurations that are drawn have much in common.
ROUTES = st.builds(
    RouteSpec,
    path=st.sampled_from([None, "/", "/0*"]),
    hosts=st.sampled_from([(), ("a.org",)]),
    methods=st.sampled_from([(), ("GET",)]),
    headers=st.sampled_from([(), (("x-user", "x"),)]),
    content_type=st.sampled_from([None, "image/*"]),
    pool=st.sampled_from(["web", "api"]),
)
KEYS = st.sampled_from(["client_ip", "path", "url", "header:x-user"])
POLICIES = st.builds(PolicySpec, st.sampled_from(["hash", "rendezvous"]), KEYS) | st.just(PolicySpec())
SERVERS = st.lists(st.sampled_from([BackendSpec(host, 1) for host in "abc"]), min_size=1, unique=True)
STICKINESS = st.sampled_from([None, STICKY_WEB.sticky])


@st.composite
def small_specs(draw: st.DrawFn) -> Spec:
    pools = [PoolSpec(name, tuple(draw(SERVERS)), draw(POLICIES), sticky=draw(STICKINESS)) for name in ("web", "api")]
    routes = (*draw(st.lists(ROUTES, max_size=2)), RouteSpec(pool="web"))
    return Spec((ListenerSpec("in", "::", 80, routes),), tuple(pools))


@settings(max_examples=FEW)
@given(st.data())
def test_nobody_moves_where_nothing_that_decides_has_changed(data: st.DataObject) -> None:
    spec = data.draw(specs())
    requests = data.draw(requests_to(spec))
    assert [] == moves(spec, spec, requests)
    assert [] == moves(spec, with_other_limits(spec), requests)
    assert [] == parts_needed(spec, spec)


@given(small_specs(), small_specs(), st.data())
def test_the_parts_that_are_needed_are_enough(old: Spec, new: Spec, data: st.DataObject) -> None:
    needed = parts_needed(old, new)
    requests = data.draw(requests_to(old))
    fewer = [
        request._replace(parts={name: value for name, value in request.parts.items() if name in needed})
        for request in requests
    ]
    assert moves(old, new, requests) == moves(old, new, fewer)


def test_a_summary_counts_what_moves_for_the_same_reason_the_most_frequent_first() -> None:
    found = [Move("web/a:1", "any of web", "backend is gone")] + [Move("web/b:1", "web/c:1", "policy changed")] * 12
    assert [
        "13 of 40 recent requests would go elsewhere",
        "  12  web/b:1 -> web/c:1: policy changed",
        "   1  web/a:1 -> any of web: backend is gone",
    ] == summary(found, 40)


def test_a_summary_stops_at_a_screenful() -> None:
    found = [Move(f"web/{index:02}:1", "404", "route changed") for index in range(GROUPS + 3)] * 2
    lines = summary(found, 100)
    assert 1 + GROUPS + 1 == len(lines)
    assert "  and 6 more, of 3 other kinds" == lines[-1]
    assert "  2  web/00:1 -> 404: route changed" == lines[1]


def test_a_summary_of_nothing_says_so() -> None:
    assert ["0 of 7 recent requests would go elsewhere"] == summary([], 7)
    assert ["no recent request to compare"] == summary([], 0)
