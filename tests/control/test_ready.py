"""A Spec that nobody has read from a file is made ready, or refused, before it runs."""

import pytest

from steelyard.control import config, effective
from steelyard.control.ready import make_ready
from steelyard.core.policy import registered
from steelyard.core.spec import BackendSpec, PolicySpec, PoolSpec, Spec, StickySpec
from steelyard.errors import ConfigError
from tests.control.own import OwnPolicies


def a_spec(policy: PolicySpec = PolicySpec(), sticky: StickySpec | None = None) -> Spec:  # noqa: B008 - frozen
    return Spec((), (PoolSpec("app", (BackendSpec("a", 1),), policy, sticky=sticky),))


def refused(spec: Spec) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        make_ready(spec)
    return [str(problem) for problem in caught.value.problems]


def test_policies_of_one_s_own_are_loaded(own: OwnPolicies, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the working directory too."""
    own.write("ready_own.py")
    monkeypatch.chdir(own.directory)
    make_ready(a_spec(PolicySpec("ready_own:pick")))
    assert "The first one." == registered("ready_own:pick").summary
    make_ready(a_spec(PolicySpec("ready_own:pick")))


def test_one_that_cannot_be_made_again_is_a_problem_and_no_traceback(own: OwnPolicies) -> None:
    own.write(
        "ready_twice.py",
        "from steelyard.core.policy import Policy\nmade = []\nclass Twice(Policy):\n"
        "    def __init__(self, *given):\n        made.append(1 / (1 - len(made)))\n"
        "    def pick(self, request): return None\n",
    )
    spec = config.load(own.config("'ready_twice:Twice'"))
    assert [
        "configuration: pools.app.policy: cannot be made: ZeroDivisionError: division by zero (ready_twice.py, line 5) "
        "(got ready_twice:Twice); mend it, or the options that it is given"
    ] == refused(spec)


def test_what_cannot_be_had_is_named() -> None:
    assert [
        "configuration: pools.app.policy.name: unknown policy (got rando); did you mean random?",
        "configuration: pools.app.policy.fallback: unknown policy (got hsh); did you mean hash?",
    ] == refused(a_spec(PolicySpec("rando", fallback="hsh")))


def test_a_secret_that_is_only_shown_does_not_run() -> None:
    """The output of `steelyard check` can be checked again, but whoever has read it knows all that is in it."""
    written = a_spec(sticky=StickySpec("lb", "0123456789abcdef"))
    make_ready(written)
    text = effective.effective(written).replace("listeners:", "listeners: {w: {bind: ':0', pool: app}}")
    (said,) = refused(config.loads(text))
    assert said.startswith("configuration: pools.app.sticky.secret: is only what is shown in place of one (got ***);")
