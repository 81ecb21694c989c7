"""The shape of a configuration file: its keys, what each may hold, and the checks over several keys of one place.

An attribute has the name of the field of core/spec.py that it fills; how that works is in shapes.py. Rules over
several values are in rules.py.
"""

from dataclasses import replace
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, model_validator

from steelyard.control import entries, fields, plugins, protocols, readers, rules, unread
from steelyard.control.fault import Fault
from steelyard.control.shapes import Shape, optional, required, shorthand
from steelyard.core import spec

_AS_IT_IS_OR_OFF: Final = readers.off_or(lambda value: value)


class ListenerTimeouts(Shape):
    """How long a client may take."""

    spec_type = spec.ListenerTimeouts
    head_s: fields.Timeout = optional("head", "for a whole request head, from its first byte")
    body_s: fields.Timeout = optional("body", "between two reads of a request body")
    idle_s: fields.Timeout = optional("idle", "a kept connection without a request")
    write_s: fields.Timeout = optional("write", "without the client reading one byte of its answer")


class Respond(Shape):
    """A fixed answer that the balancer gives itself."""

    spec_type = spec.RespondSpec
    status: Annotated[int, *fields.whole(200, 599)] = optional("status", "the answer's status")
    body: fields.Text = optional("body", "the answer's body")
    content_type: fields.ContentType = optional("content_type", "the body's content type")

    @model_validator(mode="after")
    def _has_no_body_where_none_may_be(self) -> Self:
        if self.status in (204, 304) and self.body:
            raise Fault(f"a {self.status} answer has no body", "take the body out, or use 200", self.body, ("body",))
        return self


class RateLimit(Shape):
    """How often each client of a route may ask; more is answered with 429."""

    spec_type = spec.RateLimitSpec
    rate: fields.Rate = required("rate", "requests, such as 100/s, 10/m or 5/h", "100/s")
    burst: fields.BurstOrAuto = optional("burst", "requests at once; auto is what one second brings")
    key: fields.LimitKey = optional(
        "key",
        "who is one client: client_ip, header:NAME, cookie:NAME, query:NAME, path, url, host, method; global is all",
    )
    most_keys: Annotated[int, *fields.whole(1, 10_000_000)] = optional("keys", "how many clients are told apart")
    dry_run: fields.Flag = optional("dry_run", "refuse nothing, only count what would be")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        rules.keys_to_tell_apart(self.key, self.most_keys)
        return self


class Route(Shape):
    """A match on the request, and what to do with it; the first route that matches is taken."""

    spec_type = spec.RouteSpec
    path: fields.RoutePath = optional("path", "exact, or a prefix when it ends in '*'")
    hosts: Annotated[tuple[fields.HostPattern, ...], BeforeValidator(readers.at_least_one), fields.ALSO_ONE] = optional(
        "host", "any of these hosts; *.example.org matches what is under example.org"
    )
    methods: Annotated[tuple[fields.Method, ...], BeforeValidator(readers.at_least_one), fields.ALSO_ONE] = optional(
        "methods", "any of these methods"
    )
    headers: fields.Headers = optional("headers", "all of these header fields; the value '*' takes any")
    content_type: fields.MediaRange = optional("content_type", "type/subtype or type/*")
    pool: fields.PoolName = optional("pool", "the pool that serves the request")
    respond: Respond = optional("respond", "the balancer's own answer, in place of a pool")
    max_body_bytes: fields.SizeOrOff = optional("max_body", "a larger request body is refused with 413")
    rate_limit: Annotated[
        RateLimit | None, shorthand("rate"), BeforeValidator(_AS_IT_IS_OR_OFF), fields.ALSO_ONE, fields.ALSO_OFF
    ] = optional("rate_limit", "how often each client may ask; more is answered with 429")
    priority: Annotated[int, *fields.whole(0, 9)] = optional("priority", "who waits in a pool's queue: 0 goes first")

    @model_validator(mode="after")
    def _goes_to_one_place(self) -> Self:
        rules.exactly_one("pool", self.pool, "respond", self.respond)
        return self


class Listener(Shape):
    """An address that is accepted on."""

    spec_type = spec.ListenerSpec
    bind: fields.Bind = required(
        "bind", "host:port; [::]:port; :port is every IPv4 address; unix:/path", "0.0.0.0:8080"
    )
    protocol: Annotated[str, *fields.choice(*spec.PROTOCOLS, what="protocol")] = optional(
        "protocol", "what is spoken here: http, tcp, udp or task"
    )
    routes: Annotated[tuple[Route, ...], AfterValidator(rules.none_is_hidden)] = optional(
        "routes", "the first one that matches is taken"
    )
    pool: fields.PoolName = optional("pool", "one pool for all that comes, in place of routes")
    trusted_proxies: Annotated[tuple[fields.Network, ...], BeforeValidator(readers.one_or_many), fields.ALSO_ONE] = (
        optional("trusted_proxies", "from these alone X-Forwarded-* is believed")
    )
    timeouts: ListenerTimeouts = optional("timeouts", "how long a client may take")
    max_head_bytes: fields.HeadSize = optional("max_head", "a larger request head is refused with 431")
    max_fields: Annotated[int, *fields.whole(1, 10_000)] = optional("max_fields", "header fields of a request")
    underscores_in_headers: fields.Flag = optional("underscores_in_headers", "pass names with underscores on")
    backlog: Annotated[int, *fields.whole(1, 65535)] = optional("backlog", "connections that wait to be accepted")
    max_connections: fields.LimitOrOff = optional("max_connections", "open at once; more wait in the backlog")
    max_connections_per_client: fields.LimitOrOff = optional(
        "max_connections_per_client",
        "of one address (of IPv6: of a /64), open at once; more are answered with 429 and closed",
    )
    max_in_flight: fields.LimitOrOff = optional("max_in_flight", "requests at once; more are answered with 503")
    min_body_rate: fields.ByteRateOrOff = optional("min_body_rate", "a request body that is slower is given up")
    session_timeout_s: fields.Timeout = optional("session_timeout", "of udp: a session without a datagram either way")
    answers: Annotated[int | None, *fields.whole_or_off(0, 1_000_000)] = optional(
        "answers",
        "of udp: how many follow each datagram; then a session is over. off: any number; 0: none, and no session",
    )
    max_sessions: Annotated[int, *fields.whole(1, 1_000_000)] = optional(
        "max_sessions", "of udp: open at once over all workers; what would begin another one is dropped"
    )

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        protocols.listener_fits(self)
        rules.exactly_one("routes", self.routes, "pool", self.pool)
        rules.one_of_many(self.max_connections, self.max_connections_per_client)
        return self

    def named(self, name: str) -> spec.ListenerSpec:
        """The checked listener."""
        given = self.given()
        bind = given.pop("bind")
        host, port, path = ("", 0, bind) if isinstance(bind, str) else (*bind, None)
        pool = given.pop("pool", None)
        routes = given.pop("routes", (spec.RouteSpec(pool=pool),))
        return spec.ListenerSpec(name=name, host=host, port=port, path=path, routes=routes, **given)


class Probe(Shape):
    """How prequal asks backends for their load."""

    spec_type = spec.ProbeSpec
    path: fields.CheckPathOrOff = optional("path", "what a probe asks for; off asks nobody but our own counts")
    per_request: Annotated[float, *fields.real(0.01, 100)] = optional("per_request", "probes for each request")
    keep: Annotated[int, *fields.whole(2, 1024)] = optional("keep", "answers to choose among")
    max_age_s: fields.Timeout = optional("max_age", "an older answer is forgotten")
    timeout_s: fields.Timeout = optional("timeout", "a probe that takes longer has no answer")


class Policy(Shape):
    """How a pool chooses. `steelyard policies` says which policy reads which of these keys."""

    spec_type = spec.PolicySpec
    name: fields.PolicyName = optional("name", "the policy; module:name is one of your own")
    key: fields.Key = optional(
        "key", "what is hashed: client_ip, path, url, header:NAME, cookie:NAME, query:NAME or body:FIELD[:N]"
    )
    choices: Annotated[int, *fields.whole(2, 64)] = optional("choices", "how many backends are drawn")
    bound: fields.FactorOrOff = optional("bound", "no backend has more than this many times its share in flight")
    table_size: fields.TableSize = optional("table_size", "entries of the table, a prime")
    decay_s: fields.Timeout = optional("decay", "how fast averages of response times forget")
    clients: Annotated[int, *fields.whole(1, 10_000_000)] = optional("clients", "how many clients are remembered")
    quantile: fields.Percent = optional("quantile", "of the requests in flight: backends above it are hot")
    probe: Probe = optional("probe", "how backends are asked for their load")
    fallback: fields.FallbackName = optional("fallback", "the built-in policy that answers for one that fails")
    time_limit_s: fields.Timeout = optional("time_limit", "a pick of your own policy that takes longer is not used")
    options: fields.Options = optional("options", "whatever your own policy reads: names and texts")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        made = self.spec()
        rules.options_of_policy(made, self.given_keys())
        plugins.try_out(made)
        return self

    def spec(self) -> spec.PolicySpec:
        made = spec.PolicySpec(**self.given())
        return replace(made, key=rules.DEFAULT_KEY) if made.key is None and rules.hashes(made) else made


class Backend(Shape):
    """One server of a pool, or several that the balancer itself starts: processes of a command, or of a function."""

    spec_type = spec.BackendSpec
    local_type = spec.LocalSpec
    address: fields.BackendAddress = optional("address", "host:port, or unix:/path")
    run: fields.Command = optional(
        "run", "a server that the balancer starts; it listens at {port} or {socket}, {index} is which of its processes"
    )
    function: fields.Function = optional(
        "callable", "a Python function that the balancer serves, package.module:function"
    )
    weight: Annotated[int, *fields.whole(0, 1000)] = optional("weight", "its share of the requests; 0 gets no new ones")
    max_connections: fields.LimitOrOff = optional("max_connections", "requests in flight at once")
    tier: Annotated[int, *fields.whole(0, 100)] = optional("tier", "serves when no backend of a lower tier can")
    backup: fields.Flag = optional("backup", "serves when no other backend can")
    processes: Annotated[int, *fields.whole(1, entries.MOST_PROCESSES)] = optional(
        "processes", "of run and callable: how many of it there are, each a backend"
    )
    directory: fields.Directory = optional("directory", "of run and callable: where it runs, seen from the file")
    environment: fields.Environment = optional(
        "environment", "of run and callable: variables, beside the balancer's own; {port}, {socket}, {index} too"
    )
    cpus: fields.CpusOrOff = optional("cpus", "of run and callable: auto pins each process to a core of its own")
    ready_timeout_s: fields.Timeout = optional("ready_timeout", "of run and callable: until it accepts and is healthy")
    stop_timeout_s: fields.Timeout = optional("stop_timeout", "of run and callable: what it gets to end by itself")
    recycle_after: fields.LimitOrOff = optional(
        "recycle_after", "of run and callable: requests after which a process is replaced"
    )
    task_timeout_s: fields.TimeoutOrOff = optional("task_timeout", "of callable: for one call of the function")
    max_body_bytes: fields.Size = optional("max_body", "of callable: a larger body is refused with 413")

    @model_validator(mode="after")
    def _has_one_rank(self) -> Self:
        entries.fits(self)
        rules.one_rank(self.backup, self.tier)
        return self

    def specs(self) -> tuple[spec.BackendSpec, ...]:
        """The server, or one for each process."""
        given = self.given()
        if self.address is None:
            local = {name: given.pop(name) for name in ("run", "function", *entries.OF_PROCESS) if name in given}
            made = spec.LocalSpec(**{"run": None, "function": None, "index": 0, **local})
            return entries.made(spec.BackendSpec(host="", port=0, **given), made)
        address = given.pop("address")
        host, port, path = ("", 0, address) if isinstance(address, str) else (*address, None)
        return (spec.BackendSpec(host=host, port=port, path=path, **given),)


class SlowStart(Shape):
    """How a backend that came back gets its share."""

    spec_type = spec.SlowStartSpec
    window_s: fields.Window = optional("window", "until it has its whole share")
    aggression: Annotated[float, *fields.real(0.1, 100)] = optional("aggression", "above 1: faster at first")


class Sticky(Shape):
    """Clients keep their backend, by a signed cookie."""

    spec_type = spec.StickySpec
    cookie: fields.CookieName = required("cookie", "the cookie's name", "steelyard")
    secret: fields.Secret = required("secret", "what cookies are signed with, best as ${NAME}", '"${STICKY_SECRET}"')


class HealthCheck(Shape):
    """Active checks."""

    spec_type = spec.HealthCheckSpec
    kind: Annotated[str, *fields.choice("tcp", "http", what="kind of check")] = optional("kind", "a connect, or a GET")
    path: fields.CheckPath = optional("path", "what an http check asks for")
    expect: Annotated[tuple[fields.Expect, ...], BeforeValidator(readers.at_least_one), fields.ALSO_ONE] = optional(
        "expect", "statuses of a healthy backend: 200, 2xx, 200-299, or a list of them"
    )
    interval_s: fields.Interval = optional("interval", "from one check to the next")
    timeout_s: fields.Timeout = optional("timeout", "a check that takes longer has failed")
    rise: Annotated[int, *fields.whole(1, 1000)] = optional("rise", "good checks in a row that bring a backend up")
    fall: Annotated[int, *fields.whole(1, 1000)] = optional("fall", "failed checks in a row that take it down")
    jitter: fields.Percent = optional("jitter", "how far an interval may be off")
    log: Annotated[str, *fields.choice("changes", "all", what="value")] = optional("log", "changes, or every check")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        rules.check_fits(self.spec(), frozenset(self.model_fields_set))
        return self


class Ejection(Shape):
    """When a backend is left alone for a while, by how it answers requests."""

    spec_type = spec.EjectionSpec
    errors: fields.ErrorsOrOff = optional("errors", "so many in a row, or among four times as many if others do well")
    gateway_errors: fields.GatewayErrorsOrOff = optional(
        "gateway_errors", "as many 502, 503, 504 or no answers in a row"
    )
    window_s: fields.Window = optional("window", "in which backends are compared")
    min_requests: Annotated[int, *fields.whole(1, 1_000_000)] = optional(
        "min_requests", "a backend with fewer in a window is not compared"
    )
    min_backends: Annotated[int, *fields.whole(3, 1000)] = optional("min_backends", "fewer are not compared")
    deviations: fields.DeviationsOrOff = optional(
        "deviations", "a success rate that is so many standard deviations below the mean ejects"
    )
    max_ejected: fields.Percent = optional(
        "max_ejected", "of the pool's members; one may always go, the last one never"
    )
    penalty_s: fields.Timeout = optional("penalty", "how long, times how often in a row")
    max_penalty_s: fields.Timeout = optional("max_penalty", "how long at most")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        rules.ejection_fits(self.spec(), frozenset(self.model_fields_set))
        return self


class Breaker(Shape):
    """When a circuit breaker opens, and how it closes again."""

    spec_type = spec.BreakerSpec
    consecutive_failures: fields.LimitOrOff = optional("consecutive_failures", "so many in a row open it")
    error_rate: fields.PercentOrOff = optional("error_rate", "so large a share of a window's requests opens it")
    slow_call_s: fields.TimeoutOrOff = optional("slow_call", "an answer that takes so long is slow")
    slow_rate: fields.Percent = optional("slow_rate", "so large a share of slow answers opens it")
    min_requests: Annotated[int, *fields.whole(1, 1_000_000)] = optional(
        "min_requests", "with fewer in a window no share counts"
    )
    window_s: fields.Window = optional("window", "of which shares are taken")
    open_for_s: fields.Timeout = optional("open_for", "until it is tried again")
    trials: Annotated[int, *fields.whole(1, 1000)] = optional("trials", "good answers in a row that close it")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        rules.breaker_fits(self.spec(), self.given_keys())
        return self


class Retry(Shape):
    """What happens when a try fails."""

    spec_type = spec.RetrySpec
    tries: Annotated[int, *fields.whole(1, 100)] = optional("tries", "backends asked for one request, with the first")
    same_backend: Annotated[int, *fields.whole(0, 100)] = optional("same_backend", "more tries at one before another")
    delay_s: fields.Duration = optional("delay", "before another try at the same backend, or at a third; doubles")
    max_delay_s: fields.Duration = optional("max_delay", "what the delay grows to")
    try_timeout_s: fields.TimeoutOrOff = optional("try_timeout", "for one try, until its answer begins")
    on_status: Annotated[tuple[fields.RetryStatus, ...], BeforeValidator(readers.one_or_many), fields.ALSO_ONE] = (
        optional("on_status", "answers that count as failures: of 502, 503, 504")
    )
    budget: fields.PercentOrOff = optional("budget", "retries, as a share of the requests")
    budget_floor: Annotated[int, *fields.whole(0, 1_000_000)] = optional(
        "budget_floor", "retries always allowed in 10 s"
    )
    mark_down: fields.Flag = optional("mark_down", "a backend whose tries are used up is down until a check is good")
    hold_body_bytes: fields.Size = optional("hold_body", "how much of a request body is kept for another try")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        rules.retry_fits(self.spec(), frozenset(self.model_fields_set))
        return self


class Hedge(Shape):
    """A second backend is asked as well when the first one is slow."""

    spec_type = spec.HedgeSpec
    after: fields.After = optional("after", "how long the first one has: a time, or p95 of all answers' times")


class Queue(Shape):
    """Requests wait for a place when the pool is full."""

    spec_type = spec.QueueSpec
    size: Annotated[int, *fields.whole(1, 1_000_000)] = optional("size", "how many may wait in each worker")
    timeout_s: fields.Timeout = optional("timeout", "who has waited so long is refused with 503")


class AdaptiveLimit(Shape):
    """The limit of requests in flight follows the response times."""

    spec_type = spec.AdaptiveSpec
    least: Annotated[int, *fields.whole(1, 1_000_000)] = optional("min", "the limit never falls below")
    most: Annotated[int, *fields.whole(1, 1_000_000)] = optional("max", "nor does it rise above")
    tolerance: Annotated[float, *fields.real(1, 10)] = optional("tolerance", "how far times may rise before it falls")
    window_s: fields.Interval = optional("window", "from one adjustment to the next")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        rules.limits_in_order(self.spec(), "least" in self.model_fields_set)
        return self


class PoolTimeouts(Shape):
    """How long a backend may take."""

    spec_type = spec.PoolTimeouts
    connect_s: fields.Timeout = optional("connect", "until a connection is accepted")
    response_s: fields.Timeout = optional("response", "between two reads of an answer")
    total_s: fields.TimeoutOrOff = optional("total", "for a whole exchange, all tries included")
    idle_s: fields.Timeout = optional("idle", "a kept connection without a request")
    tunnel_s: fields.Timeout = optional("tunnel", "an upgraded connection, or one of tcp, without a byte either way")


class Pool(Shape):
    """A set of backends that can serve the same request, with one policy."""

    spec_type = spec.PoolSpec
    policy: Annotated[Policy, shorthand("name"), fields.Also(type="string")] = optional("policy", "how to choose")
    backends: Annotated[
        tuple[Annotated[Backend, shorthand("address"), fields.Also(type="string")], ...],
        AfterValidator(rules.can_serve),
    ] = required("backends", "host:port, unix:/path, or a mapping with address, run or callable", "[localhost:8000]")
    health_check: Annotated[HealthCheck | None, BeforeValidator(_AS_IT_IS_OR_OFF), fields.ALSO_OFF] = optional(
        "health_check", "active checks"
    )
    retry: Retry = optional("retry", "what happens when a try fails")
    timeouts: PoolTimeouts = optional("timeouts", "how long a backend may take")
    max_idle: Annotated[int, *fields.whole(0, 100_000)] = optional("max_idle", "kept connections a backend")
    panic_threshold: fields.ShareOrOff = optional(
        "panic_threshold", "with fewer healthy ones, backends that answer their checks wrongly are used too"
    )
    slow_start: Annotated[
        SlowStart | None, shorthand("window"), BeforeValidator(_AS_IT_IS_OR_OFF), fields.ALSO_ONE, fields.ALSO_OFF
    ] = optional("slow_start", "a backend that came back gets its share little by little, in this time")
    ejection: Annotated[Ejection | None, BeforeValidator(_AS_IT_IS_OR_OFF), fields.ALSO_OFF] = optional(
        "ejection", "backends that answer worse than the others are left alone for a while"
    )
    circuit_breaker: Annotated[Breaker | None, BeforeValidator(_AS_IT_IS_OR_OFF), fields.ALSO_OFF] = optional(
        "circuit_breaker", "one for each backend: it gets no request while its circuit is open"
    )
    pool_circuit_breaker: Annotated[Breaker | None, BeforeValidator(_AS_IT_IS_OR_OFF), fields.ALSO_OFF] = optional(
        "pool_circuit_breaker", "one for the whole pool: requests are refused while the circuit is open"
    )
    sticky: Annotated[Sticky | None, BeforeValidator(_AS_IT_IS_OR_OFF), fields.ALSO_OFF] = optional(
        "sticky", "clients keep their backend, by a signed cookie"
    )
    hedge: Annotated[
        Hedge | None, shorthand("after"), BeforeValidator(_AS_IT_IS_OR_OFF), fields.ALSO_ONE, fields.ALSO_OFF
    ] = optional("hedge", "a second backend is asked as well when the first one is slow")
    max_in_flight: fields.LimitOrOff = optional("max_in_flight", "requests in flight at once, of all workers")
    adaptive_limit: Annotated[AdaptiveLimit | None, BeforeValidator(_AS_IT_IS_OR_OFF), fields.ALSO_OFF] = optional(
        "adaptive_limit", "a limit of requests in flight that follows the response times"
    )
    queue: Annotated[Queue | None, BeforeValidator(_AS_IT_IS_OR_OFF), fields.ALSO_OFF] = optional(
        "queue", "requests wait when the pool is full"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        rules.mark_down_has_a_check(self.retry, "health_check" in self.model_fields_set and self.health_check is None)
        retry = self.retry.spec() if "retry" in self.model_fields_set else spec.RetrySpec()
        hedge = None if self.hedge is None else self.hedge.spec()
        rules.hedge_can_be_sent(hedge, retry)
        rules.ends_before(self.timeouts.total_s if "timeouts" in self.model_fields_set else None, hedge, retry)
        rules.one_limit_at_most(self.max_in_flight, self.adaptive_limit)
        entries.can_be_recycled(self.backends)
        if self.queue is not None:
            rules.can_be_full(self.max_in_flight, self.adaptive_limit, self.backends)
        if self.policy is not None:
            rules.table_holds_all(self.policy.spec(), self.backends, "table_size" in self.policy.model_fields_set)
        return self

    def named(self, name: str, spoken: set[str]) -> spec.PoolSpec:
        """The checked pool. spoken: by the listeners that lead to it."""
        given = self.given(leave=("backends",))
        given["backends"] = entries.named(name, [one for entry in self.backends for one in entry.specs()])
        if not protocols.is_checked(spoken):
            given.setdefault("health_check", None)
        return spec.PoolSpec(name=name, protocols=protocols.in_order(spoken), **given)


class File(Shape):
    """A Steelyard configuration."""

    spec_type = spec.Spec
    listeners: Annotated[dict[str, Listener], AfterValidator(rules.has_some)] = required(
        "listeners", "addresses that are accepted on, by name", "{web: {bind: 0.0.0.0:8080, pool: web}}"
    )
    pools: dict[str, Pool] = optional("pools", "sets of backends, by name")
    access_log: fields.PathOrOff = optional("access_log", "a path, '-' for standard output, or off")
    drain_timeout_s: fields.Duration = optional("drain_timeout", "what requests in flight get to finish at the end")
    workers: fields.WorkersOrAuto = optional("workers", "processes that serve; auto is one a core")
    max_backends: Annotated[int, *fields.whole(1, rules.MOST_BACKENDS)] = optional(
        "max_backends", "of all pools together, now and after any reload"
    )
    user: fields.UserOrOff = optional("user", "who the workers run as: a name or a number")
    pid_file: fields.PathOrOff = optional("pid_file", "a path; the number of the main process is written there")
    watch: fields.Flag = optional("watch", "load the file anew when it changes")

    @model_validator(mode="after")
    def _has_room_for_all(self) -> Self:
        protocols.pools_fit(self.listeners, self.pools or {})
        unread.priorities_are_read(self.listeners, self.pools or {})
        rules.room_for_all(self.spec(), "max_backends" in self.model_fields_set)
        return self

    def spec(self) -> spec.Spec:
        given = self.given()
        listeners = tuple(listener.named(name) for name, listener in given.pop("listeners").items())
        spoken = protocols.users(self.listeners)
        pools = tuple(pool.named(name, spoken.get(name, set())) for name, pool in given.pop("pools", {}).items())
        return spec.Spec(listeners=listeners, pools=pools, **given)
