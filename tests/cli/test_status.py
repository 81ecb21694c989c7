"""`steelyard status` shows who runs and how the backends are: a table for people, JSON for programs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from steelyard.cli.main import app
from steelyard.cli.status import SHOWN, _age
from tests.cli.running import Running, invoke, several

pytestmark = pytest.mark.real


def backend(port: int, state: str = "up") -> dict[str, Any]:
    return {
        "address": f"h:{port}",
        "state": state,
        "weight": 3,
        "in_flight": 2,
        "requests": 77,
        "failures": 1,
        "ejected_s": 0.0,
        "ejections": 0,
        "circuit": "closed",
        "trips": 0,
    }


ANSWER: dict[str, Any] = {
    "pid": 12,
    "age_s": 3725.0,
    "workers": [
        {"number": 0, "pid": 13, "age_s": 3724.0, "replaced": 0, "clients": 8, "beat_s": 0.2},
        {"number": 1, "pid": 99, "age_s": 4.2, "replaced": 5, "clients": 0, "beat_s": 0.1},
    ],
    "locals": [
        {"key": "k", "name": "web/0", "address": "l:1", "pid": 77, "state": "ready", "age_s": 61.0, "restarts": 4},
        {"key": "l", "name": "web/1", "address": "l:2", "pid": 0, "state": "waiting", "age_s": 0.0, "restarts": 9},
    ],
    "file": "/etc/steelyard.yaml",
    "configuration": 4,
    "reloads": 3,
    "refused": 1,
    "workers_lost": 5,
    "counters": {"answered": 1200, "none_up": 0, "full": 7, "retries": 2},
    "listeners": {
        "front": {
            "connections": 8,
            "max_connections": 100,
            "max_connections_per_client": None,
            "crowded": 4,
            "in_flight": 6,
            "max_in_flight": 50,
            "overloaded": 9,
            "limits": [
                {
                    "route": "/[a]*",
                    "rate": "5/s",
                    "burst": 9,
                    "key": "host",
                    "dry_run": False,
                    "limited": 31,
                    "over": 0,
                },
                {"route": "*", "rate": "7/m", "burst": 1, "key": "global", "dry_run": True, "limited": 0, "over": 42},
            ],
        },
        "open": {
            "connections": 1,
            "max_connections": None,
            "max_connections_per_client": None,
            "crowded": 0,
            "in_flight": None,
            "max_in_flight": None,
            "overloaded": 0,
            "limits": [],
        },
    },
    "circuits": {},
    "pools": {"web": [backend(1), backend(2, "down"), backend(3, "silent")], "api": []},
}


@pytest.fixture
def balancer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    with several(tmp_path, monkeypatch, 12) as (one,):
        one.answer = ANSWER
        yield one


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_processes_and_backends_are_shown_in_tables(balancer: Running) -> None:
    result = invoke("status")
    assert (0, "", [{"do": "status"}]) == (result.exit_code, result.stderr, balancer.asked)
    assert result.stdout.splitlines()[0] == (
        "supervisor 12, up 1h 2m; configuration 4 of /etc/steelyard.yaml; 3 reloads, 1 refused, 5 workers lost"
    )
    shown = rows(result.stdout)
    for expected in (
        ["0", "13", "1h", "2m", "8", "0"],
        ["1", "99", "4s", "0", "5"],
        ["web/0", "77", "ready", "1m", "1s", "4", "l:1"],
        ["web/1", "-", "waiting", "-", "9", "l:2"],
        ["answered", "1200", "full", "7", "retries", "2"],
        ["pool", "web"],
        ["h:1", "up", "3", "2", "77", "1"],
        ["h:2", "down", "3", "2", "77", "1"],
        ["h:3", "silent", "3", "2", "77", "1"],
        ["pool", "api"],
        ["front", "8/100", "4", "6/50", "9"],
        ["open", "1", "0", "-", "0"],
        ["front", "/[a]*", "5/s", "9", "host", "31"],
        ["front", "*", "7/m", "1", "global", "42", "(dry", "run)"],
    ):
        assert expected in shown


def test_a_balancer_without_a_file_has_none_to_show(balancer: Running) -> None:
    balancer.answer = {**ANSWER, "file": None}
    assert "configuration 4; 3 reloads" in invoke("status").stdout


def test_a_local_backend_is_shown_in_its_pool_by_its_name(balancer: Running) -> None:
    """And above that with its address, however long that is."""
    paths = [f"unix:/run/user/1000/steelyard/4711.local/images-ac28beb3-{number}" for number in range(2)]
    local = ANSWER["locals"][0]
    locals_ = [{**local, "name": f"images/{at}", "address": path} for at, path in enumerate(paths)]
    backends = [{**backend(1), "address": path} for path in paths]
    balancer.answer = {**ANSWER, "locals": locals_, "pools": {"images": [*backends, backend(3)]}}
    said = CliRunner().invoke(app, ["status"], env={"COLUMNS": "80"}).stdout
    for expected in ("images/0", "images/1", "h:3"):
        assert [expected, "up", "3", "2", "77", "1"] in rows(said)
    assert paths[1] in "".join(line[40:].strip() for line in said.splitlines())


def test_an_ipv6_address_is_shown_whole(balancer: Running) -> None:
    """Although rich takes what begins with a letter in brackets for a style."""
    balancer.answer = {**ANSWER, "file": "/etc/[a].yaml", "pools": {"web": [{**backend(1), "address": "[fd00::1]:80"}]}}
    said = invoke("status").stdout
    assert ["[fd00::1]:80", "up", "3", "2", "77", "1"] in rows(said)
    assert "of /etc/[a].yaml;" in said


def test_who_is_ejected_and_whose_circuit_is_open_is_said_in_place_of_up(balancer: Running) -> None:
    """Unless checks have taken it out: that lasts longer."""
    backends = [
        {**backend(1), "ejected_s": 23.2, "circuit": "half-open"},
        {**backend(2), "circuit": "open"},
        {**backend(3), "circuit": "half-open"},
        {**backend(4, "down"), "ejected_s": 3.0},
    ]
    balancer.answer = {**ANSWER, "circuits": {"web": "open", "api": "closed"}, "pools": {"web": backends, "api": []}}
    shown = [" ".join(row) for row in rows(invoke("status").stdout)]
    for expected in (
        "pool web, circuit open",
        "pool api",
        "h:1 ejected 24 s 3 2 77 1",
        "h:2 circuit open 3 2 77 1",
        "h:3 circuit half-open 3 2 77 1",
        "h:4 down 3 2 77 1",
    ):
        assert expected in shown


def test_the_first_line_is_one_wherever_it_goes(balancer: Running) -> None:
    result = CliRunner().invoke(app, ["status"], env={"COLUMNS": "40"})
    assert result.stdout.splitlines()[0].endswith("5 workers lost")


def test_of_a_large_pool_the_first_are_shown_and_the_rest_is_counted(balancer: Running) -> None:
    balancer.answer = {**ANSWER, "pools": {"web": [backend(port) for port in range(SHOWN + 7)]}}
    said = invoke("status").stdout
    assert "and 7 more: --json has them all" in said
    assert (True, False) == (f"h:{SHOWN - 1} " in said, f"h:{SHOWN} " in said)


def test_programs_get_json(balancer: Running) -> None:
    result = invoke("status", "--json")
    assert (0, ANSWER) == (result.exit_code, json.loads(result.stdout))


@pytest.mark.parametrize(
    ("expected", "seconds"),
    [
        ("0s", 0.4),
        ("59s", 59.9),
        ("1m", 60.0),
        ("1m 1s", 61.0),
        ("1h", 3600.0),
        ("3d 4h", 273_659.0),
        ("1d 5s", 86_405.0),
    ],
)
def test_an_age_has_two_units_at_most(expected: str, seconds: float) -> None:
    assert expected == _age(seconds)
