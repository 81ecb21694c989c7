"""What `check` prints is the whole configuration, loads again to the same spec, and can say why each default is so."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.control import config, effective, plugins
from steelyard.control.unread import unread_keys
from steelyard.control.unshown import HIDDEN
from steelyard.core import spec
from steelyard.core.policy import registered
from tests.control.own import OwnPolicies
from tests.control.said import load
from tests.control.test_models import ALL_KEYS

SMALL = load("""
    listeners:
      web:
        bind: "[::]:80"
        routes:
          - {path: /up, respond: {}}
          - {host: "*.a.org", pool: app, max_body: 1MiB}
          - {pool: bare}
    pools:
      app: {policy: hash, backends: ["[::1]:1", {address: b:2, weight: 0, max_connections: 3}]}
      bare: {backends: [a:1], health_check: off, retry: {budget: off}, timeouts: {total: 90s}}
    access_log: "-"
""")

BOUND = "      bound: off\n" if "bound" in registered("hash").options else ""

POOL_DEFAULTS = """\
    retry:
      tries: 3
      same_backend: 0
      delay: 10ms
      max_delay: 250ms
      try_timeout: off
      on_status: []
      budget: 20%
      budget_floor: 3
      mark_down: false
      hold_body: 64KiB
    timeouts:
      connect: 3s
      response: 1m
      total: off
      idle: 30s
      tunnel: 1h
    max_idle: 256
    panic_threshold: 50%
    slow_start: off
    ejection:
      errors: 5
      gateway_errors: off
      window: 10s
      min_requests: 100
      min_backends: 5
      deviations: 1.9
      max_ejected: 10%
      penalty: 30s
      max_penalty: 5m
    circuit_breaker: off
    pool_circuit_breaker: off
    sticky: off
    hedge: off
    max_in_flight: off
    adaptive_limit: off
    queue: off
"""

EXPECTED = f"""\
listeners:
  web:
    bind: "[::]:80"
    protocol: http
    routes:
      - {{path: /up, respond: {{status: 200, body: "", content_type: text/plain}}}}
      - {{host: ["*.a.org"], pool: app, max_body: 1MiB}}
      - {{pool: bare}}
    trusted_proxies: []
    timeouts:
      head: 15s
      body: 1m
      idle: 75s
      write: 1m
    max_head: 32KiB
    max_fields: 100
    underscores_in_headers: false
    backlog: 4096
    max_connections: off
    max_connections_per_client: off
    max_in_flight: off
    min_body_rate: 100B/s
pools:
  app:
    policy:
      name: hash
      key: client_ip
{BOUND}    backends:
      - {{address: "[::1]:1", weight: 1, max_connections: off, tier: 0}}
      - {{address: b:2, weight: 0, max_connections: 3, tier: 0}}
    health_check:
      kind: tcp
      interval: 2s
      timeout: 1s
      rise: 2
      fall: 3
      jitter: 10%
      log: changes
{POOL_DEFAULTS}\
  bare:
    policy:
      name: round_robin
    backends:
      - {{address: a:1, weight: 1, max_connections: off, tier: 0}}
    health_check: off
{POOL_DEFAULTS.replace("20%", "off").replace("total: off", "total: 90s")}\
access_log: "-"
drain_timeout: 30s
workers: auto
max_backends: 16384
user: off
pid_file: off
watch: false
"""


def without_secrets(made: spec.Spec) -> spec.Spec:
    """The same with what is shown in place of secrets that stood in the file."""
    pools = [
        pool if pool.sticky is None else replace(pool, sticky=replace(pool.sticky, secret=HIDDEN))
        for pool in made.pools
    ]
    return replace(made, pools=tuple(pools))


def test_everything_is_printed_in_the_form_of_the_file() -> None:
    assert EXPECTED == effective.effective(SMALL)


def test_a_balancer_without_pools_has_no_empty_key() -> None:
    made = load("listeners: {web: {bind: ':0', routes: [{respond: {}}]}}")
    assert "pools" not in effective.effective(made)
    assert made == config.loads(effective.effective(made))


def test_every_default_is_explained() -> None:
    text = effective.explained(SMALL)
    assert "    max_head: 32KiB  # default: nginx 4 x 8 KiB, HAProxy 16 KiB, Envoy 60 KiB\n" in text
    assert "      total: 90s  # default off: downloads and streams may last\n" in text
    assert "      # weight, default 1: all backends alike; 0 gets no new request\n" in text
    assert "      # max_body, default off: the applications behind know best; set it where they do not\n" in text
    assert "      name: hash  # default round_robin: what nginx and Envoy do; everyone can predict it\n" in text
    assert "      key: client_ip  # default: client_ip where a hashing policy is named without a key\n" in text
    assert "    circuit_breaker: off  # default: ejection does it better, unless a backend needs its rest\n" in text
    assert (
        "      errors: 5  # default: as Envoy: five in a row are no accident, and cost five requests a worker\n" in text
    )
    for key in ("workers: auto", "max_backends: 16384", "user: off", "pid_file: off", "watch: false"):
        assert f"\n{key}  # default: " in text


def test_explaining_changes_nothing() -> None:
    for made in (SMALL, load(ALL_KEYS)):
        assert without_secrets(made) == config.loads(effective.explained(made), environ={})
        without_comments = [
            line.partition("  # ")[0]
            for line in effective.explained(made).splitlines()
            if not line.lstrip().startswith("#")
        ]
        assert effective.effective(made).splitlines() == without_comments


WORDS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
HOSTS = st.ip_addresses().map(str) | st.from_regex(r"[a-z][a-z0-9-]{0,5}[a-z]", fullmatch=True)
SECONDS = st.floats(min_value=0.001, max_value=1e6) | st.integers(1, 10**5).map(float)
COUNTS = st.integers(1, 100)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=10).filter(
    lambda text: text == text.strip() and text.lower() not in ("off", "no", "false")
)
TOKENS = st.from_regex(r"[!#$%&'*+.^_`|~0-9a-z-]{1,8}", fullmatch=True)
NORMAL_PATHS = st.lists(st.from_regex(r"[a-z0-9_:,@ $]{0,3}[a-z]", fullmatch=True), max_size=3).map(
    lambda segments: "/" + "/".join(segments)
)
ENDS = st.sampled_from(["", "*"])


def some(items: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, min_size=least, max_size=3).map(tuple)


@st.composite
def limits(draw: st.DrawFn) -> spec.RateLimitSpec:
    key = draw(st.sampled_from(["client_ip", "header:x-key", "host", "method", "global"]))
    told_apart = {} if key == "global" else {"most_keys": draw(COUNTS)}
    rate = draw(st.sampled_from([1 / 3600, 0.1, 100.0, 1e6]) | st.floats(0.001, 1e6))
    return spec.RateLimitSpec(rate, draw(st.none() | COUNTS), key, dry_run=draw(st.booleans()), **told_apart)


@st.composite
def routes(draw: st.DrawFn, index: int, pools: list[str]) -> spec.RouteSpec:
    """A route that no other one hides: each asks for a path of its own."""
    pool = draw(st.sampled_from([*pools, None]))
    status = draw(st.integers(200, 599))
    body = "" if status in (204, 304) else draw(TEXTS)
    return spec.RouteSpec(
        path=f"/{index}{draw(NORMAL_PATHS)}{draw(ENDS)}",
        hosts=draw(some(HOSTS.map(lambda host: f"[{host}]" if ":" in host else host) | st.just("*.a.org"))),
        methods=draw(some(st.sampled_from(["GET", "M-SEARCH"]))),
        headers=tuple(draw(st.dictionaries(TOKENS, LINES, max_size=3)).items()),
        content_type=draw(st.sampled_from([None, "image/*", "application/problem+json"])),
        pool=pool,
        respond=None if pool is not None else spec.RespondSpec(status, body, draw(st.sampled_from(["text/html; a=b"]))),
        max_body_bytes=draw(st.none() | st.integers(0, 2**40)),
        rate_limit=draw(st.none() | limits()),
    )


@st.composite
def listeners(draw: st.DrawFn, index: int, name: str, pools: list[str]) -> spec.ListenerSpec:
    on_tcp = st.tuples(HOSTS, st.sampled_from([0, 1000 + index]), st.none())
    on_unix = st.tuples(st.just(""), st.just(0), st.sampled_from([f"/run/{index}.sock", f"/a b/$${index}: #"]))
    host, port, path = draw(on_tcp | on_unix)
    most = draw(st.none() | COUNTS)
    return spec.ListenerSpec(
        name=name,
        host=host,
        port=port,
        path=path,
        routes=tuple(draw(routes(number, pools)) for number in range(draw(st.integers(1, 3)))),
        trusted_proxies=draw(some(st.sampled_from(["10.0.0.0/8", "::1", "fd00::/8"]))),
        timeouts=draw(st.builds(spec.ListenerTimeouts, SECONDS, SECONDS, SECONDS, SECONDS)),
        max_head_bytes=draw(st.integers(1024, 1024**2)),
        max_fields=draw(COUNTS),
        underscores_in_headers=draw(st.booleans()),
        backlog=draw(COUNTS),
        max_connections=most,
        max_connections_per_client=draw(st.none() | (COUNTS if most is None else st.integers(1, most))),
        max_in_flight=draw(st.none() | COUNTS),
        min_body_rate=draw(st.none() | st.integers(1, 2**40)),
    )


KEYS = st.sampled_from(["client_ip", "path", "url", "header:x-user", "cookie:A", "query:a b", "body:a.0[:9]"]).filter(
    lambda key: " " not in key
)
PROBES = st.builds(
    spec.ProbeSpec,
    st.none() | NORMAL_PATHS.map(lambda path: path.replace(" ", "%20")),
    st.floats(0.01, 100),
    st.integers(2, 1024),
    SECONDS,
    SECONDS,
)
# A value for each field of PolicySpec; a policy is given those that it reads.
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "key": KEYS,
    "choices": st.integers(2, 64),
    "bound": st.none() | st.floats(1, 100),
    "table_size": st.sampled_from([251, 65537]),
    "decay_s": SECONDS,
    "clients": COUNTS,
    "quantile": st.floats(0, 1),
    "probe": PROBES,
    "fallback": st.sampled_from(["random", "least_connections"]),
    "time_limit_s": SECONDS,
    "options": st.dictionaries(TEXTS, TEXTS, max_size=3).map(lambda options: tuple(options.items())),
}


@st.composite
def policies(draw: st.DrawFn) -> spec.PolicySpec:
    name = draw(st.sampled_from(plugins.built_in()))
    return spec.PolicySpec(name, **{field: draw(OPTIONS[field]) for field in registered(name).options})


@st.composite
def checks(draw: st.DrawFn) -> spec.HealthCheckSpec:
    timeout_s, more_s = draw(SECONDS), draw(SECONDS)
    statuses = st.tuples(st.integers(100, 599), st.integers(100, 599)).map(lambda pair: (min(pair), max(pair)))
    http: dict[str, Any] = {
        "kind": "http",
        "path": draw(NORMAL_PATHS).replace(" ", "%20") + "?a=$b",
        "expect": draw(some(statuses, least=1)),
    }
    return spec.HealthCheckSpec(
        interval_s=max(0.01, timeout_s + more_s),
        timeout_s=timeout_s,
        rise=draw(COUNTS),
        fall=draw(COUNTS),
        jitter=draw(st.floats(0, 1)),
        log=draw(st.sampled_from(["changes", "all"])),
        **(http if draw(st.booleans()) else {}),
    )


@st.composite
def ejections(draw: st.DrawFn) -> spec.EjectionSpec:
    penalty_s, more_s = draw(SECONDS), draw(SECONDS)
    return spec.EjectionSpec(
        errors=draw(st.none() | st.integers(1, 20)),
        gateway_errors=draw(st.integers(1, 1000)),
        window_s=draw(SECONDS) + 1,
        min_requests=draw(COUNTS),
        min_backends=draw(st.integers(3, 100)),
        deviations=draw(st.none() | st.floats(0.1, 100)),
        max_ejected=draw(st.floats(0.01, 1)),
        penalty_s=penalty_s,
        max_penalty_s=penalty_s + more_s,
    )


@st.composite
def breakers(draw: st.DrawFn) -> spec.BreakerSpec:
    slow: dict[str, Any] = {"slow_call_s": draw(SECONDS), "slow_rate": draw(st.floats(0.01, 1))}
    made = spec.BreakerSpec(
        consecutive_failures=draw(COUNTS),
        error_rate=draw(st.none() | st.floats(0.01, 1)),
        min_requests=draw(COUNTS),
        window_s=draw(SECONDS) + 1,
        open_for_s=draw(SECONDS),
        trials=draw(COUNTS),
        **(slow if draw(st.booleans()) else {}),
    )
    idle = unread_keys(made)
    defaults: dict[str, Any] = {field.name: field.default for field in fields(made) if field.name in idle}
    return replace(made, **defaults)


@st.composite
def processes(draw: st.DrawFn, at: int) -> list[spec.BackendSpec]:
    """All of one entry; at: its number, which is in its command."""
    word = draw(LINES).replace("{", "{{").replace("}", "}}").replace("'", "")
    run = draw(st.none() | st.sampled_from([f"serve{at} {{port}}", f"serve{at} '{word}' --uds={{socket}}"]))
    texts = st.sampled_from(["", "a b", "{index}", "$x", "off"])
    local = spec.LocalSpec(
        run,
        f"module{at}:function" if run is None else None,
        0,
        directory=draw(st.none() | st.sampled_from(["app", "/srv/app", "../off"])),
        environment=tuple(draw(st.dictionaries(st.sampled_from(["A", "B_2", "null"]), texts)).items()),
        cpus=draw(st.sampled_from([None, "auto"])),
        ready_timeout_s=draw(SECONDS),
        stop_timeout_s=draw(SECONDS),
        task_timeout_s=60.0 if run is not None else draw(st.none() | SECONDS),
        max_body_bytes=64 * 2**20 if run is not None else draw(st.integers(1, 2**30)),
    )
    backend = spec.BackendSpec("", 0, weight=draw(st.integers(1, 9)), tier=draw(st.integers(0, 2)))
    count = draw(st.integers(1, 2))
    return [
        replace(backend, local=replace(local, index=i, recycle_after=7 if count > 1 else None)) for i in range(count)
    ]


@st.composite
def pools(draw: st.DrawFn, name: str) -> spec.PoolSpec:
    check = draw(st.none() | checks())
    seconds_or_off = st.none() | SECONDS
    tries, delay_s = draw(COUNTS), draw(SECONDS | st.just(0.0))
    weights = st.integers(1, 1000)
    ranks = st.tuples(st.integers(0, 100), st.just(False)) | st.just((0, True))
    backends = st.lists(
        st.builds(
            lambda rank, *rest: spec.BackendSpec(*rest, *rank),
            ranks,
            HOSTS,
            st.integers(1, 65535),
            weights,
            st.none() | COUNTS,
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda backend: (backend.host, backend.port),
    )
    return spec.PoolSpec(
        name=name,
        backends=(*draw(backends), *(one for at in range(draw(st.integers(0, 2))) for one in draw(processes(at)))),
        policy=draw(policies()),
        health_check=check,
        retry=spec.RetrySpec(
            tries=tries,
            same_backend=draw(COUNTS),
            delay_s=delay_s,
            max_delay_s=delay_s + draw(SECONDS | st.just(0.0)),
            on_status=draw(some(st.sampled_from([503] if tries == 1 else [502, 503, 504]))),
            budget=draw(st.none() | st.floats(0, 1)),
            budget_floor=draw(COUNTS),
            mark_down=check is not None and draw(st.booleans()),
            hold_body_bytes=draw(st.integers(0, 2**40)),
        ),
        timeouts=draw(st.builds(spec.PoolTimeouts, SECONDS, SECONDS, seconds_or_off, SECONDS, SECONDS)),
        max_idle=draw(COUNTS),
        panic_threshold=draw(st.floats(0, 1)),
        slow_start=draw(st.none() | st.builds(spec.SlowStartSpec, SECONDS.map(lambda s: s + 1), st.floats(0.1, 100))),
        ejection=draw(st.none() | ejections()),
        circuit_breaker=draw(st.none() | breakers()),
        pool_circuit_breaker=draw(st.none() | breakers()),
        sticky=draw(st.none() | st.builds(spec.StickySpec, TOKENS, st.text("a$ '\"{}", min_size=16, max_size=20))),
    )


@st.composite
def specs(draw: st.DrawFn) -> spec.Spec:
    of_pools = draw(st.lists(WORDS, max_size=2, unique=True))
    of_listeners = draw(st.lists(WORDS, min_size=1, max_size=2, unique=True))
    return spec.Spec(
        listeners=tuple(draw(listeners(index, name, of_pools)) for index, name in enumerate(of_listeners)),
        pools=tuple(draw(pools(name)) for name in of_pools),
        access_log=draw(st.none() | LINES),
        drain_timeout_s=draw(SECONDS | st.just(0.0)),
        workers=draw(st.none() | st.integers(1, 256)),
        max_backends=draw(st.integers(16, 1_000_000)),  # two pools of eight have room
        user=draw(st.sampled_from([None, "root", "0"])),
        pid_file=draw(st.none() | LINES),
        watch=draw(st.booleans()),
    )


@given(specs())
def test_what_is_printed_loads_again_to_an_equal_spec(made: spec.Spec) -> None:
    assert without_secrets(made) == config.loads(effective.effective(made), environ={})
    assert without_secrets(made) == config.loads(effective.explained(made), environ={})


@pytest.mark.parametrize("name", ["12", "null", "on"])
def test_a_name_that_yaml_would_misread_is_quoted(name: str) -> None:
    made = load(f"listeners: {{'{name}': {{bind: ':0', pool: p}}}}\npools: {{p: {{backends: [a:1]}}}}")
    assert f'  "{name}":\n' in effective.effective(made)


STICKY = "listeners: {w: {bind: ':80', pool: p}}\npools: {p: {backends: [a:1], sticky: {cookie: lb, secret: SECRET}}}\n"
LITERAL = "0123456789abcdef"


def test_a_secret_is_never_printed() -> None:
    made = load(STICKY.replace("SECRET", LITERAL))
    for text in (effective.effective(made), effective.explained(made), repr(made)):
        assert LITERAL not in text
    assert '      secret: "***"\n' in effective.effective(made)
    assert '      secret: "***"  # never shown; written as ${NAME} it is not' in effective.explained(made)


def test_a_secret_from_the_environment_is_printed_as_its_name() -> None:
    made = load(STICKY.replace("SECRET", '"${S}"'), {"S": LITERAL})
    assert '      secret: "${S}"\n' in effective.effective(made)
    assert made == config.loads(effective.effective(made), environ={"S": LITERAL})


def test_a_secret_that_is_only_the_default_of_a_variable_is_not_printed() -> None:
    for written in ('"${S:-0123456789abcdef}"', '"0123${S:-456789abcdef}"', '"0123456789${T}"'):
        made = load(STICKY.replace("SECRET", written), {"T": "abcdef"})
        assert made.pools[0].sticky == spec.StickySpec("lb", LITERAL)
        assert "0123" not in effective.effective(made)


def test_a_policy_of_one_s_own_is_printed_with_what_it_and_its_fallback_read(own: OwnPolicies) -> None:
    own.write("printed_own.py")
    text = own.config("{name: 'printed_own:pick', fallback: power_of_two, choices: 3, options: {a: 1}}")
    made = config.load(text)
    printed = effective.effective(made)
    for line in ("name: printed_own:pick", "choices: 3", "fallback: power_of_two", "time_limit: 5ms", "options: {a: "):
        assert f"      {line}" in printed
    assert "decay" not in printed
    assert made == config.loads(printed)


def test_a_policy_that_nobody_has_loaded_is_printed_too() -> None:
    """A program may have made the Spec by hand."""
    pool = spec.PoolSpec("p", (spec.BackendSpec("a", 1),), spec.PolicySpec("nobody_loaded:pick", key="path"))
    printed = effective.effective(spec.Spec((), (pool,)))
    assert "      name: nobody_loaded:pick\n      key: path\n      fallback: round_robin\n" in printed
