"""What one configuration says of a request, when nothing but the two is known."""

from steelyard.control import plugins
from steelyard.control.destinations import HASHING, By, Choice, Destinations, Place, QuietPool, hashes, parts_of_choice
from steelyard.core.keyed import Keyed
from steelyard.core.policy import registered
from steelyard.core.spec import BackendSpec, PolicySpec, PoolSpec, StickySpec
from tests.control.said import load

BACKENDS = (BackendSpec("a", 1), BackendSpec("b", 1), BackendSpec("c", 1, tier=1))
STICKY = StickySpec("lb", "0123456789abcdef")


def test_every_built_in_policy_that_hashes_is_asked() -> None:
    made = {name: registered(name).policy for name in plugins.built_in()}
    assert {name for name, policy in made.items() if isinstance(policy, type) and issubclass(policy, Keyed)} == HASHING


def test_bounded_loads_depend_on_the_traffic() -> None:
    assert hashes(PolicySpec("rendezvous", key="path"))
    assert not hashes(PolicySpec("rendezvous", key="path", bound=1.25))


def test_a_route_leads_to_a_pool_or_to_an_answer() -> None:
    there = Destinations(
        load("""
            listeners:
              in:
                bind: :80
                routes: [{path: /up, respond: {status: 204}}, {path: "/a%2Fb", respond: {}}, {path: /app/*, pool: web}]
            pools: {web: {backends: [a:1]}}
        """)
    )
    assert Place("web") == there.place("in", {"path": "/app/x?y"})
    assert Place(None, "answer 204") == there.place("in", {"path": "/up"})
    assert Place(None, "404") == there.place("in", {})
    assert Place(None, "400") == there.place("in", {"path": "/app/..%2Fx"})
    assert {"web"} == there.pools_of("in")
    assert {"path"} == there.parts_of_routes("in")


def test_a_pool_is_made_once() -> None:
    there = Destinations(load("listeners: {in: {bind: ':80', pool: web}}\npools: {web: {backends: [a:1]}}"))
    assert there.pool("web") is there.pool("web")


def test_a_choice_leaves_nothing_in_flight_and_is_always_the_same() -> None:
    quiet = QuietPool(PoolSpec("web", BACKENDS, PolicySpec("hash", key="path")))
    choices = {quiet.choose({"path": "/x?query"}) for _ in range(5)}
    assert 1 == len(choices)
    assert By.KEY is choices.pop().by
    assert [0, 0, 0] == [backend.in_flight for backend in quiet.pool.backends]


def test_without_a_key_nothing_is_known() -> None:
    quiet = QuietPool(PoolSpec("web", BACKENDS, PolicySpec("hash", key="header:x")))
    assert Choice(By.TURN, None) == quiet.choose({"header:x": None}) == quiet.choose({"header:x": ""})


def test_a_pool_that_nobody_can_serve_chooses_nobody() -> None:
    quiet = QuietPool(PoolSpec("web", (BackendSpec("a", 1, 0),), PolicySpec("hash", key="path")))
    assert Choice(By.TURN, None) == quiet.choose({"path": "/"})
    assert not quiet.serves("a:1")


def test_the_first_tier_that_has_a_weight_serves() -> None:
    quiet = QuietPool(PoolSpec("web", BACKENDS))
    assert [True, True, False, False] == [quiet.serves(f"{host}:1") for host in "abcd"]
    quiet = QuietPool(PoolSpec("web", (BackendSpec("a", 1, 0), BackendSpec("c", 1, tier=1))))
    assert [False, True] == [quiet.serves(f"{host}:1") for host in "ac"]


def test_a_pool_asks_for_its_cookie_and_its_key_alone() -> None:
    def asked(policy: PolicySpec, sticky: StickySpec | None = None) -> set[str]:
        return parts_of_choice(PoolSpec("web", BACKENDS, policy, sticky=sticky))

    assert {"cookie:lb"} == asked(PolicySpec(), STICKY)
    assert {"path", "cookie:lb"} == asked(PolicySpec("hash", key="url"), STICKY)
    assert {"query:id"} == asked(PolicySpec("maglev", key="query:id"))
    for policy in (
        PolicySpec("sticky_round_robin", key="client_ip"),
        PolicySpec("hash", key="body:user"),
        PolicySpec("hash", key="client_ip", bound=2.0),
        PolicySpec("own:pick", key="header:x"),
        PolicySpec("hash"),
    ):
        assert set() == asked(policy)
