"""What is tested, and what it promises: the base of all parts of the suite."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any, ClassVar, Final, TypeVar

from steelyard.control import config, plugins
from steelyard.core.policy import Policy, names
from steelyard.core.spec import PolicySpec
from steelyard.testing.scene import Between, Scene

DEVIATIONS: Final = 5  # chance alone goes as far once in 1.7 million times

Test = TypeVar("Test", bound=Callable[..., None])

_adopted: Final[dict[Any, str]] = {}


def promised(*promises: str) -> Callable[[Test], Test]:
    """A test that only those have to stand who promise all of this; for others it is not there."""

    def mark(test: Test) -> Test:
        test.__dict__["promises"] = promises
        return test

    return mark


class Subject:
    """A policy and its promises. Set `policy`, and turn off or on what it does not, or does, promise.

    policy: `"module:name"`, a name in the register, a function, a Policy subclass, a PolicySpec, or a mapping as in
    the configuration: `{"name": "mymodule:Mine", "options": {"limit": "8"}}`.
    """

    policy: ClassVar[Any] = None

    spreads: ClassVar[bool] = True
    """Backends that are alike get alike (of requests with keys of their own, where it goes by the key)."""

    spreads_when_idle: ClassVar[bool] = True
    """Also when nothing is in flight at any of them."""

    honours_weights: ClassVar[bool] = True
    """Shares are as the weights."""

    tolerance: ClassVar[float] = 0.1
    """How far a share may be off, as a part of it, beyond what chance explains."""

    counts_load: ClassVar[bool] = False
    """A backend with far more requests in flight than others gets no more for now..."""

    sees_workers: ClassVar[bool] = True
    """...also where another worker has sent them..."""

    least_share: ClassVar[float] = 0.0
    """...but for this part of its fair share."""

    keyed: ClassVar[bool] = False
    """Equal keys (`request.key`) get equal backends."""

    agrees: ClassVar[bool] = True
    """Of a keyed one: the key alone decides, so that another worker gives it the same backend."""

    moves_few: ClassVar[bool] = True
    """Of a keyed one: when one of n backends goes, about 1/n of the keys move."""

    may_abstain: ClassVar[bool] = False
    """It may answer None, which leaves the choice to its fallback."""

    def between_requests(self, policy: Policy, now: float) -> None:
        """Override it to give the policy what it gets from elsewhere. Called after each request."""

    @classmethod
    def spec(cls) -> PolicySpec:
        """What the configuration would say. Raises ConfigError for a policy that cannot be loaded."""
        given = inspect.getattr_static(cls, "policy")
        if isinstance(given, staticmethod):
            given = given.__func__
        if isinstance(given, PolicySpec):
            plugins.find(given.name)
            return given
        if isinstance(given, str):
            return config.policy_from_mapping({"name": given}, cls.__name__)
        if isinstance(given, Mapping):
            return config.policy_from_mapping(given, cls.__name__)
        assert given is not None, f"{cls.__name__} does not say which policy: write policy = 'mymodule:pick'"
        return PolicySpec(_name_of(given))

    def scene(self, weights: Sequence[int], *, limit: int | None = None, workers: int = 1, seed: int = 1) -> Scene:
        """The policy over backends of these weights."""
        overridden = type(self).between_requests is not Subject.between_requests
        between: Between | None = self.between_requests if overridden else None
        return Scene(
            self.spec(),
            weights,
            limit=limit,
            workers=workers,
            seed=seed,
            may_abstain=self.may_abstain,
            between=between,
        )

    def check_shares(self, got: Sequence[int], weights: Sequence[int]) -> None:
        """Shares are as the weights, within the tolerance and chance."""
        count = sum(got)
        for index, weight in enumerate(weights):
            part = weight / sum(weights)
            expected = count * part
            allowed = self.tolerance * expected + DEVIATIONS * sqrt(expected * (1 - part))
            assert abs(got[index] - expected) <= allowed, (
                f"backend {index} of weights {list(weights)} got {got[index]} of {count} requests; "
                f"expected {expected:.0f}, give or take {allowed:.0f} (all: {list(got)})"
            )


def _name_of(made: Any) -> str:
    """The name under which a function or a class is in the register."""
    if _adopted.get(made) not in names():
        name = f"{getattr(made, '__module__', '')}:{getattr(made, '__qualname__', type(made).__qualname__)}"
        while name in names():
            name += "'"  # another one of this name, such as a class in a function
        plugins.adopt(name, made, "a test")
        _adopted[made] = name
    return _adopted[made]
