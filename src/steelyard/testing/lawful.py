"""Who may be picked: nobody that is down, draining, full, of weight 0 or tried, and somebody wherever there is one."""

from typing import Final

from steelyard.testing.scene import Scene
from steelyard.testing.subject import Subject

LARGEST: Final = 11  # backends
SITUATIONS: Final = 25  # with each number of them


class Lawful(Subject):
    """The rules that no policy may break."""

    def test_without_backends_nobody_is_picked(self) -> None:
        """And nothing is raised: a pool may be empty for a while."""
        scene = self.scene([])
        assert scene.ask() is None, "somebody was picked where there is nobody"
        assert scene.policy.pick(scene.request()) is None, "somebody was picked where there is nobody"

    def test_where_all_weights_are_0_nobody_is_picked(self) -> None:
        scene = self.scene([0, 0])
        for _ in range(8):
            assert scene.ask() is None, "a backend of weight 0 was picked"

    def test_the_one_that_is_left_is_always_found(self) -> None:
        """Also where a policy that draws would have to be very lucky."""
        for size in (1, 3, 40, 300):
            scene = self.scene([1] * size)
            for left in sorted({0, size // 2, size - 1}):
                for index, backend in enumerate(scene.backends):
                    backend.set_healthy(index == left)
                for _ in range(8):
                    found = scene.once()
                    assert found == left, f"backend {found} of {size} was picked, where only {left} is up"

    def test_one_that_was_tried_is_not_picked_again(self) -> None:
        scene = self.scene([1] * 4)
        for tried in scene.backends:
            for _ in range(40):
                found = scene.backends[scene.once(tried=[tried])]
                assert found is not tried, "a backend was picked that this request was at before"
        for left in scene.backends:
            others = [backend for backend in scene.backends if backend is not left]
            found = scene.backends[scene.once(tried=others)]
            assert found is left, "the one backend that was not tried was passed over"
        assert scene.ask(tried=scene.backends) is None, "all were tried, and yet one was picked"

    def test_one_that_is_draining_gets_no_request(self) -> None:
        scene = self.scene([1] * 4)
        for draining in range(4):
            scene.backends[draining].set_draining(True)
            for _ in range(40):
                assert scene.once() != draining, "a backend was picked that only finishes what it has"
            scene.backends[draining].set_draining(False)

    def test_one_that_is_down_gets_no_request(self) -> None:
        scene = self.scene([1] * 4)
        for down in range(4):
            scene.backends[down].set_healthy(False)
            for _ in range(40):
                assert scene.once() != down, "a backend was picked that is down"
            scene.backends[down].set_healthy(True)

    def test_one_that_is_full_gets_no_request(self) -> None:
        """Room for six in all: the seventh is refused, and taken as soon as one is over."""
        scene = self.scene([1] * 3, limit=2)
        held = [scene.must() for _ in range(6)]
        assert [backend.in_flight for backend in scene.backends] == [2, 2, 2], "more were sent than a backend takes"
        assert scene.ask() is None, "all backends are full, and yet one was picked"
        for over in held:
            scene.end(over)
            again = scene.must()
            assert again.index == over.index, "a full backend was picked, while another one had room"

    def test_one_of_weight_0_gets_no_request(self) -> None:
        scene = self.scene([1, 0, 2])
        assert scene.run(60)[1] == 0, "a backend of weight 0 was picked"
        scene.pools[0].set_weight(scene.backends[0], 0)
        assert scene.run(20) == [0, 0, 20], "a backend was picked whose weight is 0 by now"

    def test_any_situation_is_answered_lawfully(self) -> None:
        """All of these at once, by chance: never one who may not be picked, and never nobody where there is one."""
        for size in range(LARGEST + 1):
            weights = [number * 7 % 4 for number in range(size)]
            scene = self.scene(weights, limit=2, seed=size)
            for _ in range(SITUATIONS):
                self._check_situation(scene)

    def _check_situation(self, scene: Scene) -> None:
        dice = scene.dice
        for backend in scene.backends:
            backend.set_healthy(True)
            backend.set_draining(False)
        held = [
            one
            for index, backend in enumerate(scene.backends)
            if backend.weight > 0
            for one in scene.load(index, dice.below(3))
        ]
        tried = [backend for backend in scene.backends if dice.below(4) == 0]
        for backend in scene.backends:
            backend.set_healthy(dice.below(4) > 0)
            backend.set_draining(dice.below(4) == 0)
        for _ in range(3):
            lawful = [backend for backend in scene.backends if backend.available and backend not in tried]
            found = scene.ask(tried=tried)
            if found is None:
                assert not lawful, f"nobody was picked, though {len(lawful)} of {len(scene.backends)} may be"
            else:
                assert found.backend in lawful, f"backend {found.index} was picked, which may not be"
                held.append(found)
        for over in held:
            scene.end(over)
