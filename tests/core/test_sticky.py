"""core/sticky.py: cookies that nobody else can make, and that say nothing."""

import hmac
import re
from base64 import urlsafe_b64encode

import pytest

from steelyard.core.backend import Backend
from steelyard.core.spec import BackendSpec, StickySpec
from steelyard.core.sticky import Stickiness
from tests.fakes_core import Ask, a_table

SPEC = StickySpec("lb", "a secret")


def backends_of(*hosts: str) -> list[Backend]:
    table = a_table(len(hosts) + 1)
    return [Backend(BackendSpec(host, 80), table, row + 1, 0) for row, host in enumerate(hosts)]


def line(sticky: Stickiness, backend: Backend) -> str:
    found = sticky.set_cookie(Ask({}), backend)
    assert found is not None
    return found


def code(sticky: Stickiness, backend: Backend) -> str:
    return line(sticky, backend).removeprefix("lb=").partition(";")[0]


def test_a_cookie_is_bound_to_secret_pool_and_address_and_to_nothing_else() -> None:
    """RFC 2104's HMAC with SHA-256 over both, cut to 128 bits."""
    (backend,) = backends_of("10.0.0.1")
    expected = hmac.new(b"a secret", b"web\n10.0.0.1:80", "sha256").digest()[:16]
    text = urlsafe_b64encode(expected).decode().rstrip("=")
    assert f"lb={text}; Path=/; HttpOnly; SameSite=Lax" == line(Stickiness(SPEC, "web", [backend]), backend)
    assert re.fullmatch(r"[\w-]{22}", text)


def test_every_balancer_with_the_same_secret_reads_it_whatever_its_order() -> None:
    a, b, c = backends_of("a", "b", "c")
    one, other = Stickiness(SPEC, "web", [a, b]), Stickiness(SPEC, "web", [c, b, a])
    for backend in (a, b):
        assert backend is other.find(Ask({"cookie:lb": code(one, backend)}))


@pytest.mark.parametrize("spec", [StickySpec("lb", "another secret"), StickySpec("lb", "")])
def test_another_secret_makes_other_cookies(spec: StickySpec) -> None:
    (backend,) = backends_of("a")
    one, other = Stickiness(SPEC, "web", [backend]), Stickiness(spec, "web", [backend])
    assert other.find(Ask({"cookie:lb": code(one, backend)})) is None


def test_another_pool_has_other_cookies_for_the_same_backend() -> None:
    (backend,) = backends_of("a")
    one, other = Stickiness(SPEC, "web", [backend]), Stickiness(SPEC, "api", [backend])
    assert other.find(Ask({"cookie:lb": code(one, backend)})) is None


@pytest.mark.parametrize("value", [None, "", "a:80", "A" * 22, "\xff", "x" * 100_000, "\ud800"])
def test_what_is_not_found_is_nobodys(value: str | None) -> None:
    sticky = Stickiness(SPEC, "web", backends_of("a", "b"))
    assert sticky.find(Ask({} if value is None else {"cookie:lb": value})) is None


def test_no_part_of_a_cookie_is_enough() -> None:
    (backend,) = backends_of("a")
    sticky = Stickiness(SPEC, "web", [backend])
    whole = code(sticky, backend)
    for forged in (whole[:-1], whole + "A", whole.lower(), f'"{whole}"', whole + "=="):
        assert sticky.find(Ask({"cookie:lb": forged})) is None
    assert backend is sticky.find(Ask({"cookie:lb": whole}))


def test_one_of_a_backend_that_was_removed_is_stale() -> None:
    a, b = backends_of("a", "b")
    stale = code(Stickiness(SPEC, "web", [a, b]), b)
    assert Stickiness(SPEC, "web", [a]).find(Ask({"cookie:lb": stale})) is None


def test_a_client_that_has_the_right_one_gets_no_other() -> None:
    a, b = backends_of("a", "b")
    sticky = Stickiness(SPEC, "web", [a, b])
    ask = Ask({"cookie:lb": code(sticky, a)})
    assert sticky.set_cookie(ask, a) is None
    assert line(sticky, b) == sticky.set_cookie(ask, b)


def test_a_backend_that_has_left_while_it_answered_gives_no_cookie() -> None:
    a, b = backends_of("a", "b")
    stale = code(Stickiness(SPEC, "web", [a, b]), b)
    sticky = Stickiness(SPEC, "web", [a])
    assert sticky.set_cookie(Ask({}), b) is None
    assert sticky.set_cookie(Ask({"cookie:lb": stale}), b) is None


# Another configuration.


class Uncounted:
    """In the place of `hmac`, where no code is to be made."""

    @staticmethod
    def digest(*_: object) -> bytes:
        raise AssertionError("a code is made again")


def test_codes_of_backends_that_stay_are_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = backends_of("a", "b", "c")
    before = Stickiness(SPEC, "web", [a, b])
    expected = line(before, b)
    added = Stickiness(SPEC, "web", [b, c], before)
    assert line(Stickiness(SPEC, "web", [c]), c) == line(added, c)
    monkeypatch.setattr("steelyard.core.sticky.hmac", Uncounted)
    after = Stickiness(SPEC, "web", [b], before)
    assert expected == line(after, b)
    assert b is after.find(Ask({"cookie:lb": code(after, b)}))
    assert after.find(Ask({"cookie:lb": code(before, a)})) is None


def test_another_name_of_the_cookie_keeps_its_codes_and_another_secret_does_not() -> None:
    (a,) = backends_of("a")
    before = Stickiness(SPEC, "web", [a])
    renamed = Stickiness(StickySpec("other", SPEC.secret), "web", [a], before)
    assert line(before, a).replace("lb=", "other=") == line(renamed, a)
    sealed = Stickiness(StickySpec("lb", "another secret"), "web", [a], before)
    assert line(Stickiness(StickySpec("lb", "another secret"), "web", [a]), a) == line(sealed, a)
    assert code(before, a) != code(sealed, a)


def test_only_the_cookie_of_its_name_is_asked_for() -> None:
    ask = Ask({})
    Stickiness(StickySpec("other", "s"), "web", backends_of("a")).find(ask)
    assert ["cookie:other"] == ask.asked


def test_a_secret_is_not_shown_by_accident() -> None:
    assert "a secret" not in repr(SPEC)
