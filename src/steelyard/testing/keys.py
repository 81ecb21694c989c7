"""Where keys go: equal ones together, and no further than they must when a backend goes."""

from math import sqrt
from typing import Final

from steelyard.testing.scene import Scene
from steelyard.testing.subject import DEVIATIONS, Subject, promised

KEYS: Final = 1000
BACKENDS: Final = 10


class Keys(Subject):
    """What those promise that go by the key."""

    @promised("keyed")
    def test_equal_keys_get_equal_backends(self) -> None:
        """Whatever comes between them."""
        scene = self.scene([1] * 5)
        keys = [scene.dice.bits() for _ in range(50)]
        first = [scene.once(key) for key in keys]
        for _ in range(3):
            scene.run(20)
            for key, index in zip(reversed(keys), reversed(first), strict=True):
                found = scene.once(key)
                assert found == index, f"a key was at backend {index} and then at {found}"

    @promised("keyed")
    def test_a_key_comes_back_after_a_try_elsewhere(self) -> None:
        scene = self.scene([1] * 5)
        for _ in range(50):
            key = scene.dice.bits()
            home = scene.once(key)
            assert scene.once(key, tried=[scene.backends[home]]) != home, "a backend was picked that was tried"
            found = scene.once(key)
            assert found == home, f"a key was at backend {home}, had to try another one, and is at {found} now"

    @promised("keyed", "agrees")
    def test_another_worker_agrees(self) -> None:
        """Other chance, other requests before, another balancer: the key alone decides."""
        here, there = self.scene([1, 2, 3, 4], workers=2, seed=1), self.scene([1, 2, 3, 4], seed=2)
        there.run(50)
        for _ in range(100):
            key = here.dice.bits()
            found = {here.once(key), here.once(key, worker=1), there.once(key)}
            assert len(found) == 1, f"one key was sent to backends {sorted(found)} by three workers"

    @promised("keyed", "moves_few")
    def test_when_one_of_n_goes_about_1_in_n_keys_moves(self) -> None:
        """Whether it is down or no longer there."""
        for gone in (0, BACKENDS // 2, BACKENDS - 1):
            scene = self.scene([1] * BACKENDS)
            keys = [scene.dice.bits() for _ in range(KEYS)]
            before = {key: scene.once(key) for key in keys}
            scene.backends[gone].set_healthy(False)
            self._check_moves(before, {key: scene.once(key) for key in keys}, gone)

            scene = self.scene([1] * BACKENDS)
            before = {key: scene.once(key) for key in keys}
            scene.policy.rebuild([backend for backend in scene.backends if backend is not scene.backends[gone]])
            self._check_moves(before, {key: _picked(scene, key) for key in keys}, gone)

    def _check_moves(self, before: dict[int, int], after: dict[int, int], gone: int) -> None:
        orphans = sum(index == gone for index in before.values())
        others = sum(after[key] != index for key, index in before.items() if index != gone)
        fair = len(before) / BACKENDS
        most = fair + DEVIATIONS * sqrt(fair)
        assert others <= most, (
            f"backend {gone} of {BACKENDS} went with its {orphans} keys, and {others} of {len(before)} that were at "
            f"others moved as well; at most {most:.0f} may"
        )
        homes = {after[key] for key, index in before.items() if index == gone}
        assert gone not in homes, "a key stayed at a backend that is gone"
        assert orphans < BACKENDS or len(homes) > 1, f"all {orphans} keys of backend {gone} went to {homes}"

    @promised("keyed", "agrees", "moves_few")
    def test_keys_come_home_when_it_is_back(self) -> None:
        scene = self.scene([1] * BACKENDS)
        before = {key: scene.once(key) for key in (scene.dice.bits() for _ in range(KEYS // 2))}
        scene.backends[3].set_healthy(False)
        for key in before:
            scene.once(key)
        scene.backends[3].set_healthy(True)
        away = sum(scene.once(key) != index for key, index in before.items())
        assert away == 0, f"{away} of {len(before)} keys did not come home to the backend that was down for a while"

    @promised("keyed", "spreads")
    def test_requests_without_a_key_are_spread(self) -> None:
        scene = self.scene([1] * 4)
        got = [0] * 4
        for _ in range(800):
            got[scene.once(0)] += 1
        self.check_shares(got, [1] * 4)


def _picked(scene: Scene, key: int) -> int:
    """Whom the policy picks, without a pool around it."""
    found = scene.policy.pick(scene.request(key))
    assert found is not None, "nobody was picked, though there are backends that may be"
    return scene.indexes[found]
