"""What may be a secret is recognised by the words around it, and is not in any message."""

import pytest

from steelyard.control import config, unsaid
from steelyard.control.models import (
    Backend,
    File,
    HealthCheck,
    Listener,
    ListenerTimeouts,
    Policy,
    Pool,
    PoolTimeouts,
    Probe,
    Respond,
    Retry,
    Route,
    SlowStart,
)
from steelyard.errors import ConfigError
from tests.control.said import pool, problems

SECRET = "hunter2"


@pytest.mark.parametrize(
    "keys",
    [
        f"sticky: {{cookie: lb, secrt: {SECRET}}}",
        f"sticky: {{cookie: lb, extra: {SECRET}}}",
        f"sticky: {{cookie: lb, secret:{SECRET}}}",
        f"sticky: {{cookie: lb, {SECRET}: 1}}",
        f"sticky: {{{SECRET}}}",
        f"sticky: {SECRET}",
        f"stiky: {SECRET}",
        f"secret: {SECRET}",
        f"secret:{SECRET}:",
        f"sticky_secret: {SECRET}",
        f"secret: {SECRET}\nsticky: {{cookie: lb}}",
        f"sticky: {{cookie: lb, secret: {{a: {SECRET}}}}}",
        f"sticky: {{cookie: lb, secret: [{SECRET}]}}",
        f"sticky: {{cookie: lb, secret: ${{S:-{SECRET}}}}}",
        f"sticky: {{cookie: lb, secret: *{SECRET}}}",
        f"sticky:\n  cookie: lb\n  secret:{SECRET}\n",
        "sticky: {cookie: lb, secrt: '${S}'}",
        "sticky: '${S}'",
        "policy: {name: first, secret: '${S}'}",
        "policy: {name: first, api_key: '${S}'}",
        "policy: {name: first, options: '${S}'}",
    ],
)
def test_no_slip_puts_a_secret_into_a_message(keys: str) -> None:
    said = problems(pool(keys), {"S": SECRET})
    assert said
    assert SECRET not in "\n".join(said)


def test_half_a_character_of_a_secret_is_not_shown() -> None:
    for wrong in ({"secret": f"{SECRET}\ud800"}, {"secret": SECRET.encode()}):
        made = {"backends": ["a:1"], "sticky": {"cookie": "lb", **wrong}}
        with pytest.raises(ConfigError) as caught:
            config.from_mapping({"listeners": {"w": {"bind": ":0", "pool": "app"}}, "pools": {"app": made}})
        assert SECRET not in str(caught.value)


def test_a_mistyped_key_is_still_named() -> None:
    said = problems(pool(f"sticky: {{cookie: lb, secrt: {SECRET}}}"))
    assert "a.yaml:5: pools.app.sticky.secrt: unknown key; did you mean secret?" in said


def test_a_user_is_no_secret_but_where_secrets_are() -> None:
    assert ["a.yaml:6: user: has spaces around it (got 'bob '); take them out"] == problems(pool("") + "user: 'bob '\n")
    assert SECRET not in "\n".join(problems(pool(f"sticky: {{cookie: lb, user: {SECRET}}}")))


def test_the_cookie_is_no_secret() -> None:
    (said,) = problems(pool("sticky: {cookie: a b, secret: 0123456789abcdef}"))
    assert "pools.app.sticky.cookie: is not a cookie's name (got a b)" in said


def test_no_other_key_of_the_file_is_taken_for_one() -> None:
    shapes = (
        *(Backend, File, HealthCheck, Listener, ListenerTimeouts, Policy, Pool, PoolTimeouts, Probe),
        *(Respond, Retry, Route, SlowStart),
    )
    keys = [key for shape in shapes for key in shape.model_json_schema()["properties"]]
    assert "sticky" in keys
    assert ["sticky"] == [key for key in keys if unsaid.is_unsaid((key, "x"))]
    assert ["sticky"] == [key for key in keys if unsaid.is_unsaid((key,))]  # `user` has most letters of `secret`


def test_a_pool_may_have_any_name() -> None:
    assert not unsaid.is_unsaid(("pools", "sticky", "backends", 0))
    assert ("pools", "secret: a", "backends", 0) == unsaid.sayable(("pools", "secret: a", "backends", 0))
    assert unsaid.is_unsaid(("pools", "sticky", "sticky", "secret", 0))
    assert not unsaid.is_unsaid(())
