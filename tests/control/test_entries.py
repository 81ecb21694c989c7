"""Entries of a pool that stand for processes: what is read, what becomes of it, and what is refused."""

import pytest

from steelyard.control import config, effective
from steelyard.control.changes import Change, changes
from steelyard.control.entries import entries
from steelyard.core.spec import BackendSpec, LocalSpec, Spec
from tests.control.said import load, pool, problems


def web(*written: str, protocol: str = "http", more: str = "") -> str:
    """A file with a pool `web` of these entries, one a line from line 5 on."""
    lines = "".join(f"      - {entry}\n" for entry in written)
    listener = f"listeners: {{web: {{bind: ':80', protocol: {protocol}, pool: web}}}}\n"
    return f"{listener}pools:\n  web:\n    backends:\n{lines}{more}"


def backends(*written: str) -> tuple[BackendSpec, ...]:
    return load(web(*written)).pools[0].backends


def test_an_entry_becomes_one_backend_a_process() -> None:
    first, second, third = backends("{run: 'serve {port}', processes: 2, weight: 3}", "a:1")
    assert BackendSpec("a", 1) == third
    assert [BackendSpec("", 0, 3, local=LocalSpec("serve {port}", None, i)) for i in range(2)] == [first, second]
    assert ["run web/0", "run web/1"] == [first.address, second.address]


def test_a_function_and_a_command_are_told_all_that_is_written() -> None:
    found = backends(
        "{run: 'serve {socket}', directory: ./app/, environment: {A: '{index}', B: 7}, cpus: auto, ready_timeout: 2s, "
        "stop_timeout: 3s, recycle_after: 100, processes: 2, max_connections: 4, tier: 5}",
        "{callable: 'work.images:Thumb.make', task_timeout: off, max_body: 1MiB, backup: true}",
    )
    local = LocalSpec("serve {socket}", None, 1, "app", (("A", "{index}"), ("B", "7")), "auto", 2.0, 3.0, 2, 100)
    assert BackendSpec("", 0, 1, 4, 5, local=local) == found[1]
    function = LocalSpec(None, "work.images:Thumb.make", 0, task_timeout_s=None, max_body_bytes=2**20)
    assert BackendSpec("", 0, backup=True, local=function) == found[2]


def test_each_process_knows_its_name_and_where_it_was_written() -> None:
    found = [backend.local for backend in backends("a:1", "{run: 'x {port}', processes: 2}", "{callable: 'a:b'}")[1:]]
    assert [
        ("web/0", "a.yaml:6", "pools.web.backends[1].run"),
        ("web/1", "a.yaml:6", "pools.web.backends[1].run"),
        ("web/2", "a.yaml:7", "pools.web.backends[2].callable"),
    ] == [(local.name, local.where, local.at) for local in found if local is not None]


def test_the_directory_of_the_file_is_the_default_however_it_is_written() -> None:
    assert backends("{run: 'x {port}', directory: ./}") == backends("{run: 'x {port}'}")


@pytest.mark.parametrize(
    ("expected", "entry"),
    [
        ("pools.web.backends[0]: has no address; write address: localhost:8000, or run:", "{weight: 1}"),
        (
            "pools.web.backends[0].run: has address and run (got x {port}); keep one of them",
            "{address: 'a:1', run: 'x {port}'}",
        ),
        ("pools.web.backends[0].callable: has run and callable (got a:b)", "{callable: 'a:b', run: 'x {port}'}"),
        (
            "pools.web.backends[0].run: has both {port} and {socket} (got x {port} {socket})",
            "{run: 'x {port} {socket}'}",
        ),
        (
            "pools.web.backends[0].run: does not say where the process is to listen (got uvicorn app:app)",
            "{run: 'uvicorn app:app'}",
        ),
        ("pools.web.backends[0].run: has {prot}, which stands for nothing", "{run: 'x {prot}'}"),
        ("pools.web.backends[0].run: cannot be split into words: no closing quotation", "{run: 'x \" {port}'}"),
        (
            "pools.web.backends[0].callable: is not a function of a module (got a.b); write package.module:function",
            "{callable: a.b}",
        ),
        ("pools.web.backends[0].processes: is not read with address (got 2)", "{address: 'a:1', processes: 2}"),
        ("pools.web.backends[0].task_timeout: is not read with run (got 2s)", "{run: 'x {port}', task_timeout: 2s}"),
        ("pools.web.backends[0].max_body: is not read with run (got 1MiB)", "{run: 'x {port}', max_body: 1MiB}"),
        ("pools.web.backends[0].processes: is out of range (got 0); use 1 to 1024", "{run: 'x {port}', processes: 0}"),
        ("pools.web.backends[0].cpus: unknown value (got 2)", "{run: 'x {port}', cpus: 2}"),
        (
            "pools.web.backends[0].environment.A-B: is not the name of a variable",
            "{run: 'x {port}', environment: {A-B: 1}}",
        ),
        (
            "pools.web.backends[0].environment.A: has {x}, which stands for nothing",
            "{run: 'x {port}', environment: {A: '{x}'}}",
        ),
        ("pools.web.backends[0].recycle_after: would leave nobody to serve", "{run: 'x {port}', recycle_after: 9}"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(expected: str, entry: str) -> None:
    (said,) = problems(web(entry))
    assert f"a.yaml:5: {expected}" in said


def test_the_same_command_twice_is_one_with_more_processes() -> None:
    (said,) = problems(web("{run: 'x {port}'}", "{run: 'x {port}', weight: 2}"))
    assert (
        "a.yaml:6: pools.web.backends[1]: run: x {port} is the same as backends[0]; more of it are had with processes"
    ) == said
    assert 2 == len(backends("{run: 'x {port}'}", "{run: 'x {port}', directory: other}"))


@pytest.mark.parametrize("protocol", ["tcp", "udp", "task"])
def test_a_function_speaks_http(protocol: str) -> None:
    (said,) = problems(web("{callable: 'a:b'}", protocol=protocol))
    assert (
        f"a.yaml:5: pools.web.backends[0].callable: speaks HTTP, and a listener of {protocol} leads here (got a:b); "
        "use run: with a server that speaks it, or protocol: http"
    ) == said


def test_datagrams_go_to_a_port() -> None:
    (said,) = problems(web("{run: 'x {socket}'}", protocol="udp"))
    assert (
        "a.yaml:5: pools.web.backends[0].run: takes a unix socket, and datagrams go to a port (got x {socket}); "
        "use {port}"
    ) == said
    assert ("udp",) == load(web("{run: 'x {port}'}", protocol="udp")).pools[0].protocols


def test_a_policy_with_a_table_counts_every_process() -> None:
    text = web("{run: 'x {port}', processes: 8}", more="    policy: {name: maglev, table_size: 7}\n")
    assert "8 backends do not fit into a table of 7" in problems(text)[0]


def test_all_processes_have_room() -> None:
    text = web("{run: 'x {port}', processes: 8}", more="max_backends: 7\n")
    assert "leaves room for 7 backends, and the pools have 8" in problems(text)[0]


def test_what_is_printed_has_an_entry_for_each_entry() -> None:
    made = load(
        web("a:1", "{run: 'x {port}', processes: 3, environment: {A: '${B}'}}", "{callable: 'a:b'}"), {"B": "s"}
    )
    text = effective.effective(made)
    assert (
        '- {run: "x {port}", processes: 3, directory: ., environment: {A: "${B}"}, cpus: off, ready_timeout: 30s, '
        in text
    )
    assert "- {callable: a:b, processes: 1, directory: ., cpus: off, ready_timeout: 30s, stop_timeout: 10s, " in text
    assert made == config.loads(text, environ={"B": "s"})
    assert "# ready_timeout, default 30s: " in effective.explained(made)
    assert "ready_timeout" not in effective.explained(load(web("a:1")))


def of_web(old: str, new: str) -> list[Change]:
    return changes(load(web(old)), load(web(new)))


def test_a_change_is_said_of_the_entry() -> None:
    key = "pools.web.backends[run x {port}]"
    assert [
        Change("changed", f"{key}.weight", "1", "2"),
        Change("changed", f"{key}.processes", "1", "4"),
        Change("added", f"{key}.environment.A", None, "b"),
        Change("changed", f"{key}.ready_timeout", "30s", "9s"),
    ] == of_web(
        "{run: 'x {port}'}", "{run: 'x {port}', weight: 2, processes: 4, ready_timeout: 9s, environment: {A: b}}"
    )
    assert [
        Change("removed", key, '{run: "x {port}", processes: 2, cpus: auto}', None),
        Change("added", "pools.web.backends[callable a:b]", None, "{callable: a:b, max_connections: 3}"),
    ] == of_web("{run: 'x {port}', processes: 2, cpus: auto}", "{callable: 'a:b', max_connections: 3}")


def test_a_line_that_moved_is_no_change() -> None:
    assert [] == changes(load(web("{run: 'x {port}'}")), load("\n\n" + web("{run: 'x {port}'}")))


def test_the_same_command_in_two_directories_is_told_apart() -> None:
    both = load(web("{run: 'x {port}'}", "{run: 'x {port}', directory: b}"))
    one = load(web("{run: 'x {port}'}"))
    assert [Change("added", "pools.web.backends[run x {port} #2]", None, '{run: "x {port}", directory: b}')] == changes(
        one, both
    )


def test_backends_without_an_entry_of_processes_are_entries_themselves() -> None:
    found: Spec = load(pool(""))
    assert [(backend, 1) for backend in found.pools[0].backends] == entries(found.pools[0].backends)
