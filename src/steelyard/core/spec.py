"""The checked configuration, as frozen data: what runs, in plain units, with every default and its reason.

Nothing here parses or checks; `control/config.py` makes these from YAML or a command line. Units are in the
names: `_s` seconds, `_bytes` bytes. Every default of the program is written here, once, beside its reason
(`steelyard check --explain` prints them).
"""

from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final, NamedTuple

KIB: Final = 1024
# What the address of a unix socket begins with; as nginx, gunicorn and uvicorn write it.
UNIX: Final = "unix:"
# What a listener may speak. Of a pool that several lead to, the first of these is what its backends are called by.
HTTP: Final = "http"
TCP: Final = "tcp"
TASK: Final = "task"
UDP: Final = "udp"
PROTOCOLS: Final = (HTTP, TCP, TASK, UDP)


def _default(value: Any, why: str) -> Any:
    """A field's default with the reason for it."""
    return field(default=value, metadata={"why": why})


def format_address(host: str, port: int, path: str | None = None) -> str:
    """`host:port`, with brackets around an IPv6 address; `unix:/path` where there is a path."""
    if path is not None:
        return f"{UNIX}{path}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class ListenerTimeouts:
    """How long a client may take."""

    head_s: float = _default(15.0, "a whole request head, from its first byte: no browser needs more, slowloris does")
    body_s: float = _default(60.0, "between two reads of a request body; as nginx")
    idle_s: float = _default(75.0, "a kept client connection without a request; as nginx")
    write_s: float = _default(60.0, "without the client reading one byte of its answer; as nginx")


@dataclass(frozen=True, slots=True)
class RespondSpec:
    """A fixed answer that the balancer gives itself."""

    status: int = _default(200, "the commonest use is a health page")
    body: str = _default("", "an answer needs no body")
    content_type: str = _default("text/plain", "the commonest use is a health page")


@dataclass(frozen=True, slots=True)
class RateLimitSpec:
    """How often each client of a route may ask.

    rate: requests a second. burst: at once, None is one second's worth. key: what tells clients apart: `client_ip`,
    `path`, `url`, `host`, `method`, `header:NAME`, `cookie:NAME`, `query:NAME`, or `global` for all as one. most_keys:
    how many are told apart. dry_run: what is over the limit is counted, and passed on.
    """

    rate: float
    burst: int | None = _default(None, "what one second brings: a page and what belongs to it are asked for at once")
    key: str = _default("client_ip", "as trusted_proxies say; it alone is not the client's to choose")
    most_keys: int = _default(
        100_000, "some 3 MiB for all workers; beyond that, who is furthest from the limit is forgotten"
    )
    dry_run: bool = _default(False, "a limit that is written is meant; try it out with true and look at the counts")

    @property
    def at_once(self) -> int:
        """How many requests a client that has not asked for a while may send at once."""
        return max(1, ceil(self.rate)) if self.burst is None else self.burst


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """A match on the request (every part that is given must hold) and what to do with it.

    path: exact, or a prefix when it ends in `*`; None matches every path.
    hosts, methods: any of them; empty matches all. A host may begin with `*.`.
    headers: (lower-case name, value) pairs; the value `*` asks only that the field is there.
    content_type: `type/subtype` or `type/*`.
    Exactly one of pool and respond is set.
    """

    path: str | None = None
    hosts: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str | None = None
    pool: str | None = None
    respond: RespondSpec | None = None
    max_body_bytes: int | None = _default(None, "the applications behind know best; set it where they do not")
    rate_limit: RateLimitSpec | None = _default(None, "how much is too much, those who run the site know alone")
    priority: int = _default(5, "in the middle of 0, who is served first when requests wait, and 9")


@dataclass(frozen=True, slots=True)
class ListenerSpec:
    """An address that is accepted on. port 0 takes a free one.

    path: of a unix socket, absolute; the host is then empty and the port 0. max_connections, max_in_flight: over all
    workers. min_body_rate: bytes a second, on average; None asks for none.
    protocol: one of PROTOCOLS; all but http have one route, which takes everything. Of udp alone: session_timeout_s,
    answers (to each of the client's datagrams, with the last of which a session is over; None is any number),
    max_sessions (over all workers).
    """

    name: str
    host: str
    port: int
    routes: tuple[RouteSpec, ...]
    trusted_proxies: tuple[str, ...] = _default((), "X-Forwarded-* of an unknown peer is a claim, not a fact")
    timeouts: ListenerTimeouts = ListenerTimeouts()
    max_head_bytes: int = _default(32 * KIB, "nginx 4 x 8 KiB, HAProxy 16 KiB, Envoy 60 KiB")
    max_fields: int = _default(100, "Envoy 100, HAProxy 101")
    underscores_in_headers: bool = _default(
        False, "CGI and WSGI read X_Real_IP and X-Real-IP as one; fields with underscores are dropped, as by nginx"
    )
    backlog: int = _default(4096, "a burst of new connections waits in the kernel instead of being refused")
    path: str | None = None
    max_connections: int | None = _default(
        None, "as many as the descriptors of a process allow: half of them, for each may need another to a backend"
    )
    max_connections_per_client: int | None = _default(
        None, "behind one address may be an office, a mobile network or another proxy; set it where that cannot be"
    )
    max_in_flight: int | None = _default(None, "backends are overloaded long before the balancer is, and have limits")
    min_body_rate: int | None = _default(
        100, "slower than the slowest modem; with the body timeout alone a byte a minute holds a backend for ever"
    )
    protocol: str = _default(HTTP, "what most services speak")
    session_timeout_s: float = _default(60.0, "without a datagram either way; as Envoy, nginx waits for 10 minutes")
    answers: int | None = _default(None, "who answers how often, the two ends know alone; name it where it is known")
    max_sessions: int = _default(
        16384, "each needs a local port, of which Linux has 28,232; and a datagram with a false sender begins one too"
    )

    @property
    def address(self) -> str:
        """As it is written in a file: `host:port` or `unix:/path`."""
        return format_address(self.host, self.port, self.path)


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """How `prequal` asks backends for their load.

    path: what a probe asks for with GET; the answer's fields X-Requests-In-Flight and X-Latency-Ms (both optional)
    say what the backend knows of itself. None sends nothing: then our own numbers stand for the answer.
    """

    path: str | None = _default(None, "our own counts need no help from the backend; with many balancers, name one")
    per_request: float = _default(3.0, "probes for each request, as in the paper (NSDI 2024, section 5)")
    keep: int = _default(16, "answers to choose among, as in the paper")
    max_age_s: float = _default(1.0, "an older answer tells of another load")
    timeout_s: float = _default(0.1, "a slower answer comes too late to be of use")


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """How a pool chooses.

    name: a registered policy, or `module:name` of one's own. key: what hashing ones hash: `client_ip`, `path`, `url`,
    `header:NAME`, `cookie:NAME`, `query:NAME` or `body:FIELD` of a JSON body.
    choices: how many `power_of_two` draws. bound: c of the bounded loads. table_size: `maglev`'s M, a prime.
    decay_s: of the averages of response times. clients: how many `sticky_round_robin` remembers.
    quantile: `prequal` calls a backend hot above this one of the requests in flight. probe: see ProbeSpec.
    fallback, time_limit_s, options: for a policy of one's own; options are its to read.
    """

    name: str = _default("round_robin", "what nginx and Envoy do; everyone can predict it")
    key: str | None = _default(None, "client_ip where a hashing policy is named without a key")
    choices: int = _default(2, "the second choice brings nearly all there is to win (Mitzenmacher 2001)")
    bound: float | None = _default(None, "a key's backend is its backend; try 1.25 where some keys are hot")
    table_size: int = _default(65537, "shares within 1 % up to 655 backends (Eisenbud et al., NSDI 2016)")
    decay_s: float = _default(10.0, "what was ten seconds ago counts a third (Finagle)")
    clients: int = _default(65536, "some 3 MiB for all workers; the client that was away longest is forgotten first")
    quantile: float = _default(0.84, "the paper's Q_RIF")
    probe: ProbeSpec = ProbeSpec()
    fallback: str = _default("round_robin", "answers for a policy of one's own that fails; it cannot fail itself")
    time_limit_s: float = _default(0.005, "while a policy thinks, no byte moves; 5 ms are noticed by nobody")
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LocalSpec:
    """A process of this machine that the balancer itself starts and watches: one of those that one entry stands for.

    run: a command with placeholders (backends/command.py); function: `package.module:function` of Python. One of the
    two is None. index: which process of its entry it is, from 0. cpus: `auto` pins it to a core.
    directory: where it runs; what is not absolute begins at the directory of the file. recycle_after: requests.
    task_timeout_s, max_body_bytes: of a function. name: what people call it; where and at: the file and line, and the
    key, of its entry. These three, and how many processes that has, do not make it another one.
    """

    run: str | None
    function: str | None
    index: int
    directory: str | None = _default(None, "the configuration file's: what it runs usually stands beside it")
    environment: tuple[tuple[str, str], ...] = _default((), "the balancer's own is handed on, as by a shell")
    cpus: str | None = _default(None, "the kernel places processes well unless every core has one to itself")
    ready_timeout_s: float = _default(30.0, "as long as systemd and Docker let an application start, about")
    stop_timeout_s: float = _default(
        10.0, "as docker stop: a server that was told to end has nothing in flight by then"
    )
    processes: int = field(
        default=1, compare=False, metadata={"why": "one is one server; name as many as have a core to run on"}
    )
    recycle_after: int | None = _default(None, "a process that grows should be mended; set it until that is done")
    task_timeout_s: float | None = _default(60.0, "as the response timeout of a pool: nobody waits for it any longer")
    max_body_bytes: int = _default(64 * KIB * KIB, "a photograph or a short video; all of it is held in memory")
    name: str = field(default="local", compare=False, metadata={"why": "whoever makes it knows a better one"})
    where: str = field(default="configuration", compare=False, metadata={"why": "it is in no file"})
    at: str = field(default="pools", compare=False, metadata={"why": "it is in no file"})

    @property
    def kind(self) -> str:
        """`run` or `callable`, as the key in the file."""
        return "callable" if self.run is None else "run"

    @property
    def command(self) -> str:
        """What is run, as written."""
        return (self.function if self.run is None else self.run) or ""


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """One server of a pool. tier: lower ones serve as long as they can; backup: after all that are not.

    path: of a unix socket, absolute; the host is then empty and the port 0.
    local: what is started to have it, or None for a server that runs anyway. Until it has been given its place
    (backends/places.py) it has no address.
    """

    host: str
    port: int
    weight: int = _default(1, "all backends alike; 0 gets no new request")
    max_connections: int | None = _default(None, "requests in flight at once; no limit")
    tier: int = _default(0, "all backends alike")
    backup: bool = _default(False, "a server that only waits is one that has to be asked for")
    path: str | None = None
    local: LocalSpec | None = None

    @property
    def address(self) -> str:
        """`host:port`, with brackets around an IPv6 address, or `unix:/path`.

        Of a local one that has no place yet: what it is.
        """
        if self.local is not None and self.path is None and self.port == 0:
            return f"{self.local.kind} {self.local.name}"
        return format_address(self.host, self.port, self.path)


@dataclass(frozen=True, slots=True)
class SlowStartSpec:
    """How a backend that came back gets its share: weight x max(0.1, (t / window)^(1 / aggression))."""

    window_s: float = _default(30.0, "caches and pools of connections fill in some seconds; named, it is on")
    aggression: float = _default(1.0, "a straight line; above 1 rises faster at first (Envoy)")


@dataclass(frozen=True, slots=True)
class StickySpec:
    """Clients keep their backend by a signed cookie. secret: of which the codes are made; the same on all balancers."""

    cookie: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HealthCheckSpec:
    """Active checks.

    kind: `tcp` (a connect) or `http` (GET path, and a status that is expected).
    expect: inclusive status ranges. log: `changes` or `all` (a line for every check).
    """

    kind: str = _default("tcp", "needs nothing from the backend")
    path: str = _default("/", "the one path every server has")
    expect: tuple[tuple[int, int], ...] = _default(((200, 399),), "as HAProxy: 2xx and 3xx")
    interval_s: float = _default(2.0, "as HAProxy; with fall 3 a dead backend is out within 6 s")
    timeout_s: float = _default(1.0, "a healthy backend on the same network answers far sooner")
    rise: int = _default(2, "as HAProxy: one lucky check does not bring a flapping backend back")
    fall: int = _default(3, "as HAProxy: one lost packet does not take a backend out")
    jitter: float = _default(0.1, "share of the interval; keeps many balancers from probing in step")
    log: str = _default("changes", "a line for each check is noise unless asked for")


@dataclass(frozen=True, slots=True)
class EjectionSpec:
    """When a backend is left alone for a while, by how it answers requests.

    errors, gateway_errors: so many in a row, in one worker; the second counts 502, 503, 504 and no answer alone.
    deviations: a success rate that is this many standard deviations below the mean of all, in a window.
    max_ejected: of the pool's members; one may always go, and the last available one never.
    penalty_s: times how often it was ejected in a row.
    """

    errors: int | None = _default(5, "as Envoy: five in a row are no accident, and cost five requests a worker")
    gateway_errors: int | None = _default(None, "every error counts; for applications whose own 500s mean nothing")
    window_s: float = _default(10.0, "as Envoy: long enough for numbers, short enough for a user's patience")
    min_requests: int = _default(100, "as Envoy: of fewer a rate says little")
    min_backends: int = _default(5, "as Envoy: of fewer nobody can be two deviations away from the mean")
    deviations: float | None = _default(1.9, "as Envoy: below the 2 that one of five backends can be away at most")
    max_ejected: float = _default(
        0.1, "as Envoy: when more fail it is hardly their own fault, and the rest would drown"
    )
    penalty_s: float = _default(30.0, "as Envoy: a restart takes so long; a backend that fails again waits longer")
    max_penalty_s: float = _default(300.0, "as Envoy: one that was mended is back within five minutes")


@dataclass(frozen=True, slots=True)
class BreakerSpec:
    """When a circuit breaker opens, and how it closes again. None turns a rule off.

    slow_call_s: an answer whose head takes so long is slow. trials: answers in a row, one at a time, that close it.
    """

    consecutive_failures: int | None = _default(5, "as linkerd's 7 and Envoy's 5: no accident")
    error_rate: float | None = _default(0.5, "as Resilience4j: half of the requests wasted is worse than a clear no")
    slow_call_s: float | None = _default(None, "what is slow is for each service to say")
    slow_rate: float = _default(0.5, "as error_rate")
    min_requests: int = _default(20, "of fewer a rate says little; a quiet service has consecutive_failures")
    window_s: float = _default(10.0, "as that of ejection")
    open_for_s: float = _default(30.0, "a restart takes so long")
    trials: int = _default(1, "a backend that answers is asked; it opens again soon if that was luck")


@dataclass(frozen=True, slots=True)
class RetrySpec:
    """What happens when a try fails (core/retry.py holds the rules of safety).

    delay_s: before a second try at the same backend, and before a third backend; doubles each time, and up to half as
    much comes on top by chance. try_timeout_s: for one try, from the whole request to the head of its answer.
    """

    tries: int = _default(3, "backends asked for one request, the first included")
    same_backend: int = _default(0, "more tries at the same backend before another one; a second server is better")
    delay_s: float = _default(0.010, "the second backend is asked at once: it is another server; then hurry helps none")
    max_delay_s: float = _default(0.250, "a client that waits longer than this for a retry would rather know")
    try_timeout_s: float | None = _default(None, "a slow answer is not a failed one; set it where another is faster")
    on_status: tuple[int, ...] = _default((), "an answer is an answer, unless its status is listed: of 502, 503, 504")
    budget: float | None = _default(0.2, "retries per request: a failing pool is asked 1.2 times, not 3 times")
    budget_floor: int = _default(3, "retries that are always allowed in 10 s, so that quiet pools have some")
    mark_down: bool = _default(False, "a backend whose tries are used up goes down until a check finds it up")
    hold_body_bytes: int = _default(64 * KIB, "of a request body are kept for another try")


class After(NamedTuple):
    """How long to wait: so many seconds, or as long as this share of all answers takes; one of the two is None."""

    seconds: float | None
    quantile: float | None


@dataclass(frozen=True, slots=True)
class HedgeSpec:
    """A second backend is asked as well when the first one is slow, and the first answer counts. Safe methods only."""

    after: After = _default(After(None, 0.95), "one or two requests in twenty are sent twice, and the slowest are gone")


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """Requests wait for a place when the pool is full."""

    size: int = _default(100, "of each worker; who would wait behind more gives up sooner than he is served")
    timeout_s: float = _default(1.0, "most clients ask again after some seconds; an answer after that is for nobody")


@dataclass(frozen=True, slots=True)
class AdaptiveSpec:
    """The pool's limit of requests in flight follows its response times (core/adaptive.py)."""

    least: int = _default(10, "fewer would leave servers idle that wait for others themselves")
    most: int = _default(1000, "more in flight than this are a queue, whatever the times say")
    tolerance: float = _default(1.5, "times may rise by half before that counts as waiting (Netflix's gradient)")
    window_s: float = _default(0.5, "long enough for an average, short enough to bend before it breaks")


@dataclass(frozen=True, slots=True)
class PoolTimeouts:
    """How long a backend may take."""

    connect_s: float = _default(3.0, "one lost SYN is repeated after 1 s; a second one means trouble")
    response_s: float = _default(60.0, "between two reads; as nginx")
    total_s: float | None = _default(None, "downloads and streams may last")
    idle_s: float = _default(30.0, "a kept backend connection; below the 60 s that most servers keep theirs")
    tunnel_s: float = _default(3600.0, "an upgraded connection without a byte either way; WebSockets ping sooner")


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """A set of backends that can serve the same request, with one policy.

    protocols: what the listeners speak that lead to it; not written here in a file, for they say so there.
    """

    name: str
    backends: tuple[BackendSpec, ...]
    policy: PolicySpec = PolicySpec()
    health_check: HealthCheckSpec | None = HealthCheckSpec()
    retry: RetrySpec = RetrySpec()
    timeouts: PoolTimeouts = PoolTimeouts()
    max_idle: int = _default(256, "kept connections a backend; beyond that, closing is cheaper than keeping")
    panic_threshold: float = _default(
        0.5, "with fewer healthy ones than this the checks are believed no more; as Envoy; 0% is never"
    )
    slow_start: SlowStartSpec | None = _default(None, "most servers are ready when they answer")
    sticky: StickySpec | None = _default(None, "servers that keep nothing of a client can be chosen freely")
    hedge: HedgeSpec | None = _default(None, "work that is done twice is worth it only where the slowest answers hurt")
    max_in_flight: int | None = _default(None, "what a pool can bear nobody knows but its owner")
    adaptive_limit: AdaptiveSpec | None = _default(None, "a limit that is guessed can be wrong; named, it is on")
    queue: QueueSpec | None = _default(None, "a refusal at once is what most clients handle best")
    ejection: EjectionSpec | None = EjectionSpec()
    circuit_breaker: BreakerSpec | None = _default(None, "ejection does it better, unless a backend needs its rest")
    pool_circuit_breaker: BreakerSpec | None = _default(None, "a service that fails in part still serves in part")
    protocols: tuple[str, ...] = (HTTP,)

    @property
    def protocol(self) -> str:
        """What its backends are called by."""
        return self.protocols[0]

    @property
    def approaches(self) -> bool:
        """Whether requests may name another one of the built-in policies: those of tasks may (core/approaches.py)."""
        return TASK in self.protocols


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything that one balancer runs.

    access_log: a path, `-` for standard output, or None for no log.
    workers: processes that serve; None is one a core. max_backends: of all pools together, now and after any reload.
    user: a name or a number, as written, that the workers run as, with the groups of that user; None changes nothing.
    pid_file: a path, for the number of the main process. watch: a change of the file is loaded at once.
    """

    listeners: tuple[ListenerSpec, ...]
    pools: tuple[PoolSpec, ...]
    access_log: str | None = _default(None, "costs a write for every batch of requests; most fleets log elsewhere")
    drain_timeout_s: float = _default(30.0, "what in-flight requests get to finish when the balancer stops")
    workers: int | None = _default(None, "one a core that this process may use: a second event loop there only waits")
    max_backends: int = _default(16384, "what the table that workers share has room for; unused room costs no memory")
    user: str | None = _default(None, "whoever started it; a balancer that root starts, for port 80, should name one")
    pid_file: str | None = _default(None, "systemd, containers and shells know the number of what they start")
    watch: bool = _default(False, "files are saved in steps: a reload that is asked for never reads half of one")
