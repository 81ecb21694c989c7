"""What a policy is left with: nothing in flight, nothing remembered of what is over, and no one of those who went."""

import gc
import weakref
from typing import Final

from steelyard.core.policy import UNKNOWN_S, Pick
from steelyard.core.table import IN_FLIGHT
from steelyard.testing.scene import Held, Scene
from steelyard.testing.subject import Subject, promised

STORM: Final = 600
LONG_S: Final = 3600.0  # whatever is forgotten in time is forgotten by then
STARVED: Final = 0.25  # of its fair share, when all is over


class Life(Subject):
    """Begins and ends, comings and goings."""

    def test_nothing_is_in_flight_at_the_end(self) -> None:
        """Counting is the pool's: a policy that counts as well counts twice."""
        scene = self.scene([1, 2, 3], workers=2)
        sent = self._storm(scene)
        assert [backend.in_flight for backend in scene.backends] == [0, 0, 0], "requests are over and still counted"
        counted = sum(backend.requests for backend in scene.backends)
        assert counted == sent, f"{sent} requests were sent, and {counted} were counted"
        assert scene.pools[0].table.total(scene.policy.row, IN_FLIGHT) == 0, "the tier's count is not back at 0"

    def test_a_request_that_is_over_is_forgotten(self) -> None:
        """What is kept of each request grows for as long as the balancer runs."""
        scene = self.scene([1, 1, 1])
        over = [self._ended(scene, failed=number % 3 == 0) for number in range(50)]
        gc.collect()
        kept = sum(reference() is not None for reference in over)
        assert kept == 0, f"{kept} of {len(over)} requests that are over are still remembered"

    def test_a_request_that_is_tried_elsewhere_is_at_two_backends_for_a_moment(self) -> None:
        """It begins at the second one before it ends at the first, and what is kept of it must outlive that."""
        scene = self.scene([1, 1, 1])
        over = [self._tried_twice(scene) for _ in range(30)]
        assert [backend.in_flight for backend in scene.backends] == [0, 0, 0], "tries are over and still counted"
        gc.collect()
        kept = sum(reference() is not None for reference in over)
        assert kept == 0, f"{kept} of {len(over)} requests that were tried twice are still remembered"

    @promised("spreads")
    def test_after_a_storm_it_spreads_as_before(self) -> None:
        """Many at once, some failed, one backend failed for good: when that is over and long ago, it is no more."""
        scene = self.scene([1] * 4)
        self._storm(scene)
        for held in scene.load(1, 40):
            scene.end(held, failed=True, latency_s=UNKNOWN_S)
        scene.pass_time(LONG_S)
        got = scene.run(1200, in_flight=12)
        assert min(got) >= 300 * STARVED, f"a backend got {min(got)} of 1200 requests after a storm ({got})"

    def test_it_takes_note_of_who_comes_and_goes(self) -> None:
        scene = self.scene([1] * 4)
        for there in ([0, 1], [2, 3], [3], [], [0, 1, 2, 3]):
            scene.policy.rebuild([scene.backends[index] for index in there])
            for _ in range(60):
                picked = scene.policy.pick(scene.request())
                assert (picked is None) == (not there), f"{picked} was picked, where {there} are there"
                assert picked is None or scene.indexes[picked] in there, f"{picked} was picked, which is not there"
                scene.pass_time(0.001)

    def test_the_same_requests_get_the_same_backends(self) -> None:
        """Time and chance come with the request: from another source they cannot be simulated, or tested."""
        one, other = self.scene([1, 2, 3]), self.scene([1, 2, 3])
        for number in range(200):
            found, again = one.must(), other.must()
            assert found.index == again.index, f"request {number} went to backend {found.index}, then {again.index}"
            if number % 3:
                one.end(found)
                other.end(again)

    def _ended(self, scene: Scene, failed: bool) -> weakref.ref[Pick]:
        held = scene.must()
        scene.end(held, failed=failed)
        return weakref.ref(held.request)

    def _tried_twice(self, scene: Scene) -> weakref.ref[Pick]:
        first = scene.must()
        second = scene.again(first)
        scene.end(first, failed=True, latency_s=UNKNOWN_S)
        scene.end(second)
        return weakref.ref(first.request)

    def _storm(self, scene: Scene) -> int:
        """Begins and ends in any order, by all workers; how many there were."""
        held: list[Held] = []
        for number in range(STORM):
            held.append(scene.must(worker=number % len(scene.pools)))
            while len(held) > 30 or (held and scene.dice.below(2)):
                over = held.pop(scene.dice.below(len(held)))
                scene.end(over, failed=scene.dice.below(5) == 0, latency_s=0.001 * scene.dice.below(100))
        for left in held:
            scene.end(left, failed=True, latency_s=UNKNOWN_S)
        return STORM
