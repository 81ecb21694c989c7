"""The types of the configuration's keys: the reader of each, and the schema that tells an editor its form.

Used by models.py alone. The words of the schemas are for completion while one types; `steelyard check` is
stricter than they are.
"""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, GetJsonSchemaHandler, PlainValidator, WithJsonSchema
from pydantic_core import CoreSchema

from steelyard.control import conditions, entries, hashed, readers, sealed
from steelyard.core import spec
from steelyard.core.limiter import MOST_BURST
from steelyard.core.outlier import MOST_ERRORS, MOST_GATEWAY_ERRORS

# A variable may stand wherever a quantity may.
_OR_VARIABLE = r"|^.*\$\{.*$"
_VARIABLE_SCHEMA: Final = {"type": "string", "pattern": r"^.*\$\{.*$"}
_OFF_SCHEMA: Final = {"enum": ["off", False]}


class Also:
    """Lets the schema allow a shorter form beside the one of the type."""

    def __init__(self, **schema: Any) -> None:
        self.schema = schema

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [self.schema, handler(core)]}


ALSO_ONE: Final = Also(type=["string", "integer"])
ALSO_OFF: Final = Also(**_OFF_SCHEMA)


def whole(lowest: int, highest: int | None = None) -> tuple[BeforeValidator, WithJsonSchema]:
    """Reader and schema of a whole number in these bounds."""
    bounds = {"minimum": lowest} if highest is None else {"minimum": lowest, "maximum": highest}
    schema = {"anyOf": [{"type": "integer", **bounds}, _VARIABLE_SCHEMA]}
    return BeforeValidator(readers.integer(lowest, highest)), WithJsonSchema(schema)


def whole_or_off(lowest: int, highest: int) -> tuple[BeforeValidator, WithJsonSchema]:
    """The same, or `off`."""
    schema = {"anyOf": [{"type": "integer", "minimum": lowest, "maximum": highest}, _VARIABLE_SCHEMA, _OFF_SCHEMA]}
    return BeforeValidator(readers.off_or(readers.integer(lowest, highest))), WithJsonSchema(schema)


def real(lowest: float, highest: float) -> tuple[BeforeValidator, WithJsonSchema]:
    """Reader and schema of a number in these bounds."""
    schema = {"anyOf": [{"type": "number", "minimum": lowest, "maximum": highest}, _VARIABLE_SCHEMA]}
    return BeforeValidator(readers.number(lowest, highest)), WithJsonSchema(schema)


def choice(*names: str, what: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """Reader and schema of one of a few words; what: the word for them in an error."""
    return BeforeValidator(readers.one_of(names, what)), WithJsonSchema({"type": "string", "enum": list(names)})


def _text_schema(**more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **more})


_DURATION_SCHEMA: Final = {
    "type": "string",
    "pattern": r"^[0-9]+(\.[0-9]+)? *(ms|s|m|h)$" + _OR_VARIABLE,
    "examples": ["250ms", "20s", "5m", "1h"],
}
_SIZE_SCHEMA: Final = {
    "type": "string",
    "pattern": r"^[0-9]+(\.[0-9]+)? *(B|KiB|MiB|GiB|kB|MB|GB)$" + _OR_VARIABLE,
    "examples": ["1500B", "64KiB", "10MiB"],
}
_RATE_SCHEMA: Final = {
    "type": "string",
    "pattern": r"^[0-9]+(\.[0-9]+)? */ *(s|m|h)$" + _OR_VARIABLE,
    "examples": ["100/s", "10/m"],
}
_BYTE_RATE_SCHEMA: Final = {
    "type": "string",
    "pattern": r"^[0-9]+(\.[0-9]+)? *(B|KiB|MiB|GiB|kB|MB|GB) */ *s$" + _OR_VARIABLE,
    "examples": ["100B/s", "1KiB/s"],
}
_PERCENT_SCHEMA: Final = {
    "type": "string",
    "pattern": r"^[0-9]+(\.[0-9]+)? *%$" + _OR_VARIABLE,
    "examples": ["20%"],
}
_ADDRESS_SCHEMA: Final = {
    "type": "string",
    "examples": ["localhost:8000", "[::1]:8000", "http://10.0.0.1:8000", "unix:/run/app.sock"],
}

Duration = Annotated[float, BeforeValidator(readers.duration), WithJsonSchema(_DURATION_SCHEMA)]
# The clock ticks in tens of milliseconds; what is far below one has lost its unit on the way.
_timeout = readers.duration_from("1ms")
Timeout = Annotated[float, BeforeValidator(_timeout), WithJsonSchema(_DURATION_SCHEMA)]
# A check costs some 0.5 ms of a core: a hundred a second are 5 % of one for each backend.
Interval = Annotated[float, BeforeValidator(readers.duration_from("10ms")), WithJsonSchema(_DURATION_SCHEMA)]
TimeoutOrOff = Annotated[
    float | None,
    BeforeValidator(readers.off_or(_timeout)),
    WithJsonSchema({"anyOf": [_DURATION_SCHEMA, _OFF_SCHEMA]}),
]
Size = Annotated[int, BeforeValidator(readers.size), WithJsonSchema(_SIZE_SCHEMA)]
SizeOrOff = Annotated[
    int | None, BeforeValidator(readers.off_or(readers.size)), WithJsonSchema({"anyOf": [_SIZE_SCHEMA, _OFF_SCHEMA]})
]
HeadSize = Annotated[int, BeforeValidator(readers.bounded_size("1KiB", "1MiB")), WithJsonSchema(_SIZE_SCHEMA)]
Percent = Annotated[float, BeforeValidator(readers.percent), WithJsonSchema(_PERCENT_SCHEMA)]
PercentOrOff = Annotated[
    float | None,
    BeforeValidator(readers.off_or(readers.percent)),
    WithJsonSchema({"anyOf": [_PERCENT_SCHEMA, _OFF_SCHEMA]}),
]
Rate = Annotated[float, BeforeValidator(readers.rate), WithJsonSchema(_RATE_SCHEMA)]
ByteRateOrOff = Annotated[
    int | None,
    BeforeValidator(readers.off_or(readers.byte_rate)),
    WithJsonSchema({"anyOf": [_BYTE_RATE_SCHEMA, _OFF_SCHEMA]}),
]
BurstOrAuto = Annotated[
    int | None,
    BeforeValidator(readers.auto_or(readers.integer(1, MOST_BURST))),
    WithJsonSchema(
        {"anyOf": [{"enum": ["auto"]}, {"type": "integer", "minimum": 1, "maximum": MOST_BURST}, _VARIABLE_SCHEMA]}
    ),
]
# None healthy enough to doubt the checks: 0.
ShareOrOff = Annotated[
    float,
    BeforeValidator(lambda value: 0.0 if readers.is_off(value) else readers.percent(value)),
    WithJsonSchema({"anyOf": [_PERCENT_SCHEMA, _OFF_SCHEMA]}),
]
# Below 1 a backend would have to take less than its share; with 100 no bound is met.
FactorOrOff = Annotated[
    float | None,
    BeforeValidator(readers.off_or(readers.number(1, 100))),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 1, "maximum": 100}, _OFF_SCHEMA, _VARIABLE_SCHEMA]}),
]
# Twenty steps, each of which lays the policy out anew.
Window = Annotated[float, BeforeValidator(readers.duration_from("1s")), WithJsonSchema(_DURATION_SCHEMA)]
# As many outcomes as are remembered of each backend, and half of them (core/outlier.py).
ErrorsOrOff = Annotated[
    int | None,
    BeforeValidator(readers.off_or(readers.integer(1, MOST_ERRORS))),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_ERRORS}, _OFF_SCHEMA, _VARIABLE_SCHEMA]}
    ),
]
GatewayErrorsOrOff = Annotated[
    int | None,
    BeforeValidator(readers.off_or(readers.integer(1, MOST_GATEWAY_ERRORS))),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_GATEWAY_ERRORS}, _OFF_SCHEMA, _VARIABLE_SCHEMA]}
    ),
]
DeviationsOrOff = Annotated[
    float | None,
    BeforeValidator(readers.off_or(readers.number(0.1, 100))),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0.1, "maximum": 100}, _OFF_SCHEMA, _VARIABLE_SCHEMA]}),
]
LimitOrOff = Annotated[
    int | None,
    BeforeValidator(readers.off_or(readers.integer(1, None))),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, _OFF_SCHEMA, _VARIABLE_SCHEMA]}),
]
Flag = Annotated[bool, BeforeValidator(readers.flag), WithJsonSchema({"type": "boolean"})]
Text = Annotated[str, BeforeValidator(readers.as_text), _text_schema()]
PathOrOff = Annotated[
    str | None,
    BeforeValidator(readers.off_or(readers.line)),
    WithJsonSchema({"anyOf": [{"type": "string"}, _OFF_SCHEMA]}),
]
WorkersOrAuto = Annotated[
    int | None,
    BeforeValidator(readers.auto_or(readers.integer(1, 256))),
    WithJsonSchema(
        {"anyOf": [{"enum": ["auto"]}, {"type": "integer", "minimum": 1, "maximum": 256}, _VARIABLE_SCHEMA]}
    ),
]
UserOrOff = Annotated[
    str | None,
    BeforeValidator(readers.off_or(readers.user)),
    WithJsonSchema({"anyOf": [{"type": ["string", "integer"], "examples": ["www-data"]}, _OFF_SCHEMA]}),
]

Bind = Annotated[
    tuple[str, int] | str,
    BeforeValidator(readers.bind),
    _text_schema(examples=["0.0.0.0:8080", ":8080", "[::]:8080", "unix:/run/steelyard/web.sock"]),
]
BackendAddress = Annotated[
    tuple[str, int] | str, BeforeValidator(readers.backend_address), WithJsonSchema(_ADDRESS_SCHEMA)
]
Network = Annotated[str, BeforeValidator(readers.network), _text_schema(examples=["10.0.0.0/8"])]
HostPattern = Annotated[
    str, BeforeValidator(conditions.host_pattern), _text_schema(examples=["example.org", "*.example.org"])
]
CheckPath = Annotated[str, BeforeValidator(conditions.check_path), _text_schema(pattern="^/")]
CheckPathOrOff = Annotated[
    str | None,
    BeforeValidator(readers.off_or(conditions.check_path)),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": "^/"}, _OFF_SCHEMA]}),
]
RoutePath = Annotated[str, BeforeValidator(conditions.route_path), _text_schema(pattern=r"^/[^*?#]*\*?$")]
Method = Annotated[str, BeforeValidator(conditions.method), _text_schema(examples=["GET", "POST"])]
Headers = Annotated[
    tuple[tuple[str, str], ...],
    BeforeValidator(conditions.headers),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "integer"]}, "minProperties": 1}),
]
MediaRange = Annotated[
    str, BeforeValidator(conditions.media_range), _text_schema(examples=["image/*", "application/json"])
]
ContentType = Annotated[str, BeforeValidator(conditions.content_type), _text_schema(examples=["text/plain"])]
Expect = Annotated[
    tuple[int, int],
    BeforeValidator(conditions.statuses),
    WithJsonSchema({"type": ["string", "integer"], "examples": [200, "2xx", "200-299"]}),
]
RetryStatus = Annotated[int, BeforeValidator(conditions.retry_status), WithJsonSchema({"enum": [502, 503, 504]})]
Key = Annotated[
    str,
    BeforeValidator(hashed.key),
    _text_schema(
        pattern="^(client_ip|path|url|header:.+|cookie:.+|query:.+|body:.+)$" + _OR_VARIABLE,
        examples=["client_ip", "path", "header:X-User", "cookie:session", "body:messages.0.content[:256]"],
    ),
]
LimitKey = Annotated[
    str,
    BeforeValidator(hashed.limit_key),
    _text_schema(
        pattern="^(client_ip|path|url|host|method|global|header:.+|cookie:.+|query:.+)$" + _OR_VARIABLE,
        examples=["client_ip", "header:X-Api-Key", "global"],
    ),
]
PolicyName = Annotated[
    str, BeforeValidator(readers.policy), _text_schema(examples=["round_robin", "least_connections", "mymodule:pick"])
]
FallbackName = Annotated[str, BeforeValidator(readers.fallback), _text_schema(examples=["round_robin"])]
TableSize = Annotated[
    int,
    BeforeValidator(hashed.table_size),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 2, "maximum": hashed.LARGEST_TABLE}, _VARIABLE_SCHEMA]}),
]
Options = Annotated[
    tuple[tuple[str, str], ...],
    PlainValidator(sealed.options),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}),
]
After = Annotated[
    spec.After,
    PlainValidator(readers.after),
    _text_schema(
        pattern=r"^(p[0-9]+(\.[0-9]+)?|[0-9]+(\.[0-9]+)? *(ms|s|m|h))$" + _OR_VARIABLE, examples=["p95", "50ms"]
    ),
]
CookieName = Annotated[str, BeforeValidator(hashed.cookie_name), _text_schema(examples=["steelyard"])]
# In place of the validator of pydantic, which would forget how the secret was written.
Secret = Annotated[
    str,
    PlainValidator(sealed.secret),
    _text_schema(pattern=r"^(.{16,}|\*\*\*)$" + _OR_VARIABLE, examples=["${STICKY_SECRET}"]),
]
Command = Annotated[
    str,
    BeforeValidator(entries.command),
    _text_schema(examples=["uvicorn app:app --port {port}", "gunicorn -b unix:{socket} app:app"]),
]
Function = Annotated[str, BeforeValidator(entries.function), _text_schema(examples=["package.module:function"])]
Directory = Annotated[str | None, BeforeValidator(entries.directory), _text_schema(examples=["app"])]
Environment = Annotated[
    tuple[tuple[str, str], ...],
    PlainValidator(entries.environment),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}),
]
CpusOrOff = Annotated[
    str | None,
    BeforeValidator(readers.off_or(readers.one_of(("auto",), "value"))),
    WithJsonSchema({"enum": ["auto", "off", False]}),
]
PoolName = Annotated[str, BeforeValidator(readers.pool), _text_schema()]
