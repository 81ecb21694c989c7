"""What a listener's protocol means for the keys of the file: which are read, and by whom."""

import pytest

from steelyard.control import config, effective
from steelyard.control.changes import changes
from tests.control.said import load, problems


def file(protocol: str, listener: str = "", pool: str = "", backend: str = "a:1") -> str:
    """One listener of this protocol before one pool, each with these keys as well."""
    return (
        f"listeners:\n  front: {{bind: ':80', protocol: {protocol}, pool: app, {listener}}}\n"
        f"pools:\n  app: {{backends: ['{backend}'], {pool}}}\n"
    )


@pytest.mark.parametrize("protocol", ["http", "tcp", "udp", "task"])
def test_what_is_effective_loads_again_to_the_same(protocol: str) -> None:
    spec = load(file(protocol))
    assert protocol == spec.listeners[0].protocol == spec.pools[0].protocol
    assert spec == load(effective.effective(spec))
    assert spec == load(effective.explained(spec))


@pytest.mark.parametrize(("protocol", "checked"), [("http", True), ("tcp", True), ("udp", False), ("task", False)])
def test_pools_are_checked_by_themselves_only_where_a_server_bears_it(protocol: str, checked: bool) -> None:
    assert checked == (load(file(protocol)).pools[0].health_check is not None)
    assert load(file(protocol, pool="health_check: {kind: http}")).pools[0].health_check is not None


def test_a_pool_of_several_is_called_by_the_first_and_spared_checks_that_one_does_not_bear() -> None:
    text = (
        "listeners:\n  a: {bind: ':80', protocol: task, pool: app}\n  b: {bind: ':81', protocol: tcp, pool: app}\n"
        "pools: {app: {backends: ['a:1'], timeouts: {response: 1s, tunnel: 2s}}}\n"
    )
    spec = load(text)
    assert (("tcp", "task"), None) == (spec.pools[0].protocols, spec.pools[0].health_check)
    assert spec == load(effective.effective(spec))


def test_a_port_of_datagrams_is_another_than_that_of_connections() -> None:
    both = "listeners:\n  a: {bind: ':53', protocol: tcp, pool: p}\n  b: {bind: ':53', protocol: udp, pool: p}\n"
    assert 2 == len(load(both + "pools: {p: {backends: ['a:1']}}\n").listeners)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (
            "a.yaml:2: listeners.front.max_head: is not read by listeners of tcp (got 64KiB); "
            "take it out, or use protocol: http",
            file("tcp", "max_head: 64KiB"),
        ),
        (
            "a.yaml:2: listeners.front.answers: is not read by listeners of http (got 1); "
            "take it out, or use protocol: udp",
            file("http", "answers: 1"),
        ),
        (
            "a.yaml:2: listeners.front.timeouts: is not read by listeners of tcp; "
            "take it out; a connection's times are its pool's timeouts: {connect, tunnel}",
            file("tcp", "timeouts: {idle: 1s}"),
        ),
        (
            "a.yaml:2: listeners.front.timeouts: is not read by listeners of udp; "
            "take it out; a session's time is session_timeout",
            file("udp", "timeouts: {idle: 1s}"),
        ),
        (
            "a.yaml:2: listeners.front.timeouts.body: is not read by listeners of task (got 1s); take it out",
            file("task", "timeouts: {head: 1s, body: 1s}"),
        ),
        (
            "a.yaml:2: listeners.front.backlog: is not read by listeners of udp (got 5); "
            "take it out, or use protocol: http",
            file("udp", "backlog: 5"),
        ),
        (
            "a.yaml:2: listeners.front.max_connections: is not read by listeners of udp (got 5); "
            "write max_sessions, which limits the sessions of all clients",
            file("udp", "max_connections: 5"),
        ),
        (
            "a.yaml:2: listeners.front.max_connections_per_client: is not read by listeners of udp (got 5); "
            "write max_sessions, which limits the sessions of all clients",
            file("udp", "max_connections_per_client: 5"),
        ),
        (
            "a.yaml:2: listeners.front.bind: is a path, and datagrams go to a port (got unix:/a); write 0.0.0.0:5353",
            file("udp").replace(":80", "unix:/a"),
        ),
        (
            "a.yaml:4: pools.app.queue: is not read by listeners of tcp; take it out",
            file("tcp", pool="queue: {size: 1}, max_in_flight: 1"),
        ),
        (
            "a.yaml:4: pools.app.policy.key: is not read by listeners of tcp (got path); take it out",
            file("tcp", pool="policy: {name: hash, key: path}"),
        ),
        (
            "a.yaml:4: pools.app.policy.probe.path: is not read by listeners of task (got /load); take it out",
            file("task", pool="policy: {name: prequal, probe: {path: /load}}"),
        ),
        (
            "a.yaml:4: pools.app.retry.on_status: is not read by listeners of task; take it out",
            file("task", pool="retry: {on_status: [503]}"),
        ),
        (
            "a.yaml:4: pools.app.retry.budget: is not read by listeners of task (got off); take it out",
            file("task", pool="retry: {budget: off}"),
        ),
        (
            "a.yaml:4: pools.app.timeouts.tunnel: is not read by listeners of task (got 1s); take it out",
            file("task", pool="timeouts: {tunnel: 1s}"),
        ),
        (
            "a.yaml:4: pools.app.backends: is a unix socket, and datagrams go to a port; write host:port",
            file("udp", backend="unix:/a"),
        ),
        (
            "a.yaml:4: pools.app.retry.mark_down: is undone by a check alone, and a pool of task has none "
            "unless one is written (got true); add a health_check",
            file("task", pool="retry: {mark_down: true}"),
        ),
    ],
)
def test_what_nobody_reads_is_an_error(expected: str, text: str) -> None:
    assert [expected] == problems(text)


def test_routes_are_of_http_alone() -> None:
    text = file("tcp").replace("pool: app, ", "routes: [{pool: app}]")
    expected = "a.yaml:2: listeners.front.routes: are of http alone; listeners of tcp know no requests; "
    assert [expected + "write pool: NAME in place of routes"] == problems(text)


def test_a_pool_that_http_leads_to_as_well_may_have_all() -> None:
    text = (
        "listeners:\n  a: {bind: ':80', pool: app}\n  b: {bind: ':81', protocol: tcp, pool: app}\n"
        "pools: {app: {backends: ['a:1'], max_idle: 3, timeouts: {response: 1s}}}\n"
    )
    spec = load(text)
    assert (3, 1.0) == (spec.pools[0].max_idle, spec.pools[0].timeouts.response_s)
    assert spec == load(effective.effective(spec))


def test_another_protocol_is_a_change_that_is_said() -> None:
    found = changes(load(file("tcp")), load(file("http")))
    assert ["listeners.front.protocol"] == [change.key for change in found]


def test_a_unix_socket_is_a_backend_with_a_path() -> None:
    spec = config.loads(file("http", backend="unix:/run/app.sock"))
    (backend,) = spec.pools[0].backends
    assert ("", 0, "/run/app.sock", "unix:/run/app.sock") == (backend.host, backend.port, backend.path, backend.address)
    expected = "pools.app.backends[0]: has the path 'app.sock', which is not absolute"
    (problem,) = problems(file("http", backend="unix:app.sock"))
    assert expected in problem


@pytest.mark.parametrize("protocol", ["tcp", "udp", "task"])
@pytest.mark.parametrize(("bind", "backend"), [(":80", "localhost:80"), ("10.0.0.1:80", "10.0.0.1:80")])
def test_a_listener_is_no_backend_of_its_own_pool(protocol: str, bind: str, backend: str) -> None:
    (problem,) = problems(file(protocol, backend=backend).replace("':80'", f"'{bind}'"))
    assert f"a.yaml:4: pools.app.backends[0]: is listener front itself (got {backend}); write where the server is" == (
        problem
    )


@pytest.mark.parametrize(
    ("bind", "backend"),
    [(":80", "10.0.0.1:80"), ("10.0.0.1:80", "localhost:80"), (":80", "localhost:81"), ("unix:/a", "unix:/b")],
)
def test_another_one_of_the_same_port_is(bind: str, backend: str) -> None:
    assert 1 == len(load(file("tcp", backend=backend).replace("':80'", f"'{bind}'")).pools[0].backends)


def test_a_unix_socket_is_no_backend_of_its_own_listener() -> None:
    (problem,) = problems(file("tcp", backend="unix:/a").replace("':80'", "unix:/a"))
    assert "pools.app.backends[0]: is listener front itself" in problem


def test_a_listener_of_http_may_be_its_own_backend_and_says_508() -> None:
    assert 1 == len(load(file("http", backend="localhost:80")).pools[0].backends)


def test_one_that_is_started_here_has_an_address_of_its_own() -> None:
    assert 1 == len(load(file("tcp").replace("'a:1'", "{run: 'server {port}'}")).pools)
