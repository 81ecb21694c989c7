"""A file, a mapping and a command line become the same spec, and all that is wrong with one is said at once."""

import json
import textwrap
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from steelyard.control import config, effective
from steelyard.core import spec
from steelyard.errors import ConfigError
from tests.control.own import readers_of
from tests.control.said import load, problems
from tests.control.test_effective import without_secrets
from tests.control.test_models import ALL_KEYS

SMALL = "listeners: {web: {bind: ':8080', pool: web}}\npools: {web: {backends: [a:1]}}\n"
SMALL_SPEC = spec.Spec(
    (spec.ListenerSpec("web", "0.0.0.0", 8080, (spec.RouteSpec(pool="web"),)),),
    (spec.PoolSpec("web", (spec.BackendSpec("a", 1),)),),
)

KNOWN = "known: listeners, pools, access_log, drain_timeout, workers, max_backends, user, pid_file, watch"

BAD = """\
listeners:
  web:
    bind: 8080
    protokol: http
    timeouts: {head: 15, bdy: 3s}
    routes:
      - {path: health, pool: wbe}
      - {path: /y}
  other:
    pool: web
pools:
  web:
    polcy: hash
    policy: leest_connections
    backends:
      - localhost
      - {adress: localhost:8000, weight: 1001}
      - "${HOST}:1"
    retry: {mark_down: maybe}
    retry: {}
  api: {backends: a:1}
plugins: auto
"""


def test_everything_that_is_wrong_is_said_in_the_order_of_the_file() -> None:
    assert [
        "a.yaml:3: listeners.web.bind: has no host (got 8080); "
        "write :8080 for every address, or 127.0.0.1:8080 for this machine alone",
        "a.yaml:4: listeners.web.protokol: unknown key (got http); did you mean protocol?",
        "a.yaml:5: listeners.web.timeouts.head: has no unit (got 15); write 15s",
        "a.yaml:5: listeners.web.timeouts.bdy: unknown key (got 3s); did you mean body?",
        "a.yaml:7: listeners.web.routes[0].path: does not begin with '/' (got health); write /health",
        "a.yaml:7: listeners.web.routes[0].pool: unknown pool (got wbe); did you mean web?",
        "a.yaml:8: listeners.web.routes[1]: has neither pool nor respond; add pool: or respond:",
        "a.yaml:9: listeners.other.bind: is missing; write bind: 0.0.0.0:8080",
        "a.yaml:13: pools.web.polcy: unknown key (got hash); did you mean policy?",
        "a.yaml:14: pools.web.policy: unknown policy (got leest_connections); did you mean least_connections?",
        "a.yaml:16: pools.web.backends[0]: has no port (got localhost); write localhost:8000",
        "a.yaml:17: pools.web.backends[1].weight: is out of range (got 1001); use 0 to 1000",
        "a.yaml:17: pools.web.backends[1].adress: unknown key (got localhost:8000); did you mean address?",
        "a.yaml:18: pools.web.backends[2]: the environment variable HOST is not set; set it, or write ${HOST:-default}",
        "a.yaml:19: pools.web.retry.mark_down: is neither true nor false (got maybe); write true or false",
        "a.yaml:20: pools.web.retry: is written twice, first in line 19; keep one of the two",
        "a.yaml:21: pools.api.backends: must be a list (got a:1); write [one, two], or one a line after '- '",
        "a.yaml:22: plugins: unknown key (got auto); " + KNOWN,
    ] == problems(BAD)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (["a.yaml: file: is empty; write listeners: and pools:, or see steelyard check --help"], "# nothing\n"),
        (["a.yaml:1: listeners: is missing; write listeners: {web: {bind: 0.0.0.0:8080, pool: web}}"], "pools: {}\n"),
        (["a.yaml:1: file: must be a mapping; write its keys below it, indented"], "- a\n"),
        (["a.yaml:1: file: must be a mapping (got a); write its keys below it, indented"], "a\n"),
        (["a.yaml:1: listeners: must be a mapping; write its keys below it, indented"], "listeners: [a]\npools: [b]\n"),
    ],
)
def test_a_file_without_the_right_parts_says_which(expected: list[str], text: str) -> None:
    assert expected == problems(text)[:1]


def test_a_route_to_a_pool_where_there_is_none_is_told_to_add_it() -> None:
    assert ["a.yaml:1: listeners.w.pool: unknown pool (got p); add it under pools"] == problems(
        "listeners: {w: {bind: ':80', pool: p}}\n"
    )


def test_a_value_from_the_environment_is_shown_with_its_origin() -> None:
    text = "listeners: {w: {bind: '${BIND}', pool: p}}\npools: {p: {backends: [a:1]}}\n"
    assert ["a.yaml:1: listeners.w.bind: has no port (got x from ${BIND}); write x:8080"] == problems(
        text, {"BIND": "x"}
    )
    assert ("b", 1) == (load(text, {"BIND": "b:1"}).listeners[0].host, load(text, {"BIND": "b:1"}).listeners[0].port)


def test_numbers_and_switches_can_come_from_the_environment() -> None:
    text = SMALL.replace("bind: ':8080'", "bind: ':8080', backlog: '${N}', underscores_in_headers: '${U:-on}'")
    web = load(text, {"N": "7"}).listeners[0]
    assert (7, True) == (web.backlog, web.underscores_in_headers)


def test_an_unset_variable_is_not_complained_of_twice() -> None:
    text = SMALL.replace("[a:1]", "['${A}', b:1]")
    assert [
        "a.yaml:2: pools.web.backends[0]: the environment variable A is not set; set it, or write ${A:-default}"
    ] == (problems(text))


def test_a_file_is_loaded_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "b.yaml"
    file.write_text(SMALL.replace("a:1", "'${STEELYARD_TEST:-a}:1'"), encoding="utf-8")
    assert SMALL_SPEC == config.load(file)
    assert SMALL_SPEC == config.load(str(file), {})
    monkeypatch.setenv("STEELYARD_TEST", "b")
    assert "b" == config.load(file).pools[0].backends[0].host


@pytest.mark.parametrize(
    ("expected", "content"),
    [
        ("{file}: file: cannot be read: No such file or directory; check the path and its permissions", None),
        ("{file}:2: file: is not UTF-8; save it as UTF-8", b"a: 1\nb: \xff\n"),
        ("{file}:1: file: is not UTF-8; save it as UTF-8", b"\xff\n"),
        ("{file}:2: file: is not UTF-8; save it as UTF-8", b"\n\xff\n"),
        ("{file}:1: a: unknown key (got 1); " + KNOWN, b"\xef\xbb\xbfa: 1\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(expected: str, content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        config.load(file, {})
    assert expected.format(file=file) == str(caught.value.problems[-1])


def test_a_mapping_is_read_like_a_file() -> None:
    mapping: dict[str, Any] = {
        "listeners": {"web": {"bind": ":8080", "pool": "web", "backlog": 5, "underscores_in_headers": True}},
        "pools": {"web": {"backends": ("a:1", {"address": "b:1", "weight": 2}), "health_check": None}},
        "access_log": Path("/tmp/a.log"),
    }
    made = config.from_mapping(mapping)
    assert (5, True) == (made.listeners[0].backlog, made.listeners[0].underscores_in_headers)
    assert (spec.BackendSpec("a", 1), spec.BackendSpec("b", 1, 2)) == made.pools[0].backends
    assert (None, "/tmp/a.log") == (made.pools[0].health_check, made.access_log)


def test_a_mapping_is_taken_as_it_is() -> None:
    mapping = {"listeners": {"w": {"bind": ":80", "routes": [{"respond": {"body": "${A} $$"}}]}}}
    respond = config.from_mapping(mapping).listeners[0].routes[0].respond
    assert respond is not None
    assert "${A} $$" == respond.body


def test_a_wrong_mapping_is_answered_with_the_paths_of_its_keys() -> None:
    with pytest.raises(ConfigError) as caught:
        config.from_mapping(
            {
                "listeners": {"w": {"bind": ":80", "pool": "p", "backlog": True}},
                "pools": {8: {"backends": [7]}},
                "x": {},
            }
        )
    assert [
        "configuration: listeners.w.pool: unknown pool (got p); known: 8",
        "configuration: listeners.w.backlog: is not a whole number (got true); use 1 to 65535",
        "configuration: pools.8.backends[0]: has no host (got 7); write localhost:7",
        "configuration: x: unknown key; " + KNOWN,
    ] == [str(problem) for problem in caught.value.problems]


def test_arguments_make_one_listener_in_front_of_one_pool() -> None:
    assert SMALL_SPEC == config.from_arguments(["a:1"])
    made = config.from_arguments(["a:1", "http://b:2"], "127.0.0.1:9000", "hash", "path")
    assert ("127.0.0.1", 9000) == (made.listeners[0].host, made.listeners[0].port)
    assert spec.PolicySpec("hash", "path") == made.pools[0].policy
    assert ["a:1", "b:2"] == [backend.address for backend in made.pools[0].backends]


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        (
            [
                "command line: --listen: has no host (got 80); write :80 for every address, "
                "or 127.0.0.1:80 for this machine alone",
                "command line: BACKENDS: has no port (got b); write b:8000",
                "command line: --policy: unknown policy (got lest_connections); did you mean least_connections?",
                "command line: --key: unknown key (got pth); did you mean path?",
            ],
            (["a:1", "b"], "80", "lest_connections", "pth"),
        ),
        (
            [
                "command line: --key: is not read by policy round_robin (got path); "
                f"take it out, or use policy {readers_of('key')}"
            ],
            (["a:1"], ":80", None, "path"),
        ),
        (
            [
                "command line: BACKENDS: a:1 is the same as backends[0] (got a:1); a larger share is given with weight",
            ],
            (["a:1", "a:1"],),
        ),
    ],
)
def test_wrong_arguments_are_named_as_they_were_given(expected: list[str], arguments: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        config.from_arguments(*arguments)
    assert sorted(expected) == sorted(str(problem) for problem in caught.value.problems)


def test_a_policy_can_be_checked_by_itself() -> None:
    assert spec.PolicySpec("power_of_two", choices=3) == config.policy_from_mapping(
        {"name": "power_of_two", "choices": 3}
    )
    assert spec.PolicySpec("hash", "client_ip") == config.policy_from_mapping({"name": "hash"})
    assert spec.PolicySpec() == config.policy_from_mapping({})


@pytest.mark.parametrize(
    ("expected", "options"),
    [
        (["--policy: name: unknown policy (got rando); did you mean random?"], {"name": "rando"}),
        (["--policy: choices: is out of range (got 1); use 2 to 64"], {"name": "power_of_two", "choices": "1"}),
        (["--policy: choises: unknown key (got 3); did you mean choices?"], {"name": "power_of_two", "choises": 3}),
        (
            [
                "--policy: key: unknown key (got pth); did you mean path?",
                "--policy: bound: is not a number (got x); use",
            ],
            {"name": "hash", "key": "pth", "bound": "x"},
        ),
    ],
)
def test_a_wrong_policy_is_named_where_it_stands(expected: list[str], options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        config.policy_from_mapping(options, "--policy")
    assert len(expected) == len(caught.value.problems)
    for line, problem in zip(expected, caught.value.problems, strict=True):
        assert str(problem).startswith(line)


def test_the_schema_can_be_had_from_here() -> None:
    assert "$schema" in json.loads(json.dumps(config.json_schema()))


def test_thousands_of_backends_are_no_matter() -> None:
    backends = "".join(f"      - 10.0.{i // 250}.{i % 250}:80\n" for i in range(2000))
    made = load(f"listeners: {{web: {{bind: ':80', pool: app}}}}\npools:\n  app:\n    backends:\n{backends}")
    assert 2000 == len(made.pools[0].backends)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all parts of a configuration."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(leaf for key, part in parts for leaf in leaves(part, (*path, key)))]


FULL: Any = yaml.load(textwrap.dedent(ALL_KEYS), yaml.BaseLoader)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1s", "1KiB", "a:1"]),
    lambda part: st.lists(part, max_size=2) | st.dictionaries(st.text(max_size=4), part, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(leaves(FULL)), VALUES)
def test_any_value_at_any_key_is_read_or_reported(path: tuple[Any, ...], value: Any) -> None:
    mapping = deepcopy({"file": FULL})
    part: Any = mapping
    for key in ("file", *path)[:-1]:
        part = part[key]
    part[("file", *path)[-1]] = value
    if not isinstance(mapping["file"], dict):
        mapping["file"] = {"listeners": mapping["file"]}
    with suppress(ConfigError):  # which is made of problems, or it could not say so
        made = config.from_mapping(mapping["file"])
        assert without_secrets(made) == config.loads(effective.effective(made), environ={})


@given(st.text(st.sampled_from("listeners: web{}[]\n-*&!'\"${}<ab1,"), max_size=60))
def test_any_text_is_read_or_reported(text: str) -> None:
    with pytest.raises(ConfigError):
        config.loads(text, "a.yaml", {})
