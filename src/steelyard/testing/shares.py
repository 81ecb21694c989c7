"""Who gets how much: alike where backends are alike, by weight, by load, and never nothing."""

from typing import Final

from steelyard.core.policy import UNKNOWN_S
from steelyard.testing.subject import DEVIATIONS, Subject, promised

PER_BACKEND: Final = 300
LOAD: Final = 20  # requests in flight at one, where the others have none
STARVED: Final = 0.25  # of its fair share
LONG_S: Final = 300.0  # as long as anything should be held against a backend


class Shares(Subject):
    """How requests are distributed."""

    @promised("spreads")
    def test_equal_backends_get_equal_shares(self) -> None:
        """With some requests at each."""
        self.check_shares(self.scene([1] * 5).run(5 * PER_BACKEND, in_flight=15), [1] * 5)

    @promised("spreads", "spreads_when_idle")
    def test_idle_backends_get_equal_shares(self) -> None:
        self.check_shares(self.scene([1] * 5).run(5 * PER_BACKEND), [1] * 5)

    @promised("spreads")
    def test_no_backend_starves(self) -> None:
        """One whose first answers were slow, or failed, has its share again when it has long been like the others."""
        for failed in (False, True):
            scene = self.scene([1] * 5)
            for held in scene.load(2, 3):
                scene.pass_time(5.0)
                scene.end(held, failed=failed, latency_s=UNKNOWN_S if failed else 5.0)
            scene.run(5 * PER_BACKEND, in_flight=10, every_s=LONG_S / (5 * PER_BACKEND))
            got = scene.run(5 * PER_BACKEND, in_flight=10)
            least = PER_BACKEND * STARVED
            assert min(got) >= least, (
                f"a backend whose first answers {'failed' if failed else 'were slow'}, {LONG_S:.0f} s ago, "
                f"got {min(got)} of {sum(got)} requests: fewer than {least:.0f} (all: {got})"
            )

    @promised("honours_weights")
    def test_weights_are_kept(self) -> None:
        """With some in flight, as a weight also says how many at once a backend can bear."""
        weights = [1, 2, 4]
        self.check_shares(self.scene(weights).run(7 * PER_BACKEND, in_flight=28), weights)

    @promised("honours_weights")
    def test_a_weight_that_is_changed_counts_from_then_on(self) -> None:
        scene = self.scene([1, 1, 1])
        scene.run(30)
        scene.pools[0].set_weight(scene.backends[1], 4)
        got = scene.run(6 * PER_BACKEND, in_flight=24)
        assert got[1] >= 1.3 * max(got[0], got[2]), f"the backend whose weight is 4 by now got {got[1]} (all: {got})"

    @promised("counts_load")
    def test_a_loaded_backend_is_spared(self) -> None:
        """Among two as well as among four: who looks at fewer than it should, errs there."""
        for size in (2, 4):
            for loaded in range(size):
                scene = self.scene([1] * size)
                scene.load(loaded, LOAD)
                self._check_spared(scene.run(size * PER_BACKEND // 3), loaded)

    @promised("counts_load", "sees_workers")
    def test_load_that_another_worker_has_sent_counts(self) -> None:
        scene = self.scene([1, 1, 1], workers=2)
        scene.load(1, LOAD, worker=1)
        got = [0, 0, 0]
        for _ in range(PER_BACKEND):
            got[scene.once()] += 1
        self._check_spared(got, 1)

    def _check_spared(self, got: list[int], loaded: int) -> None:
        fair = sum(got) / len(got)
        most = self.least_share * fair + (DEVIATIONS * fair**0.5 if self.least_share else 0)
        assert got[loaded] <= most, (
            f"backend {loaded} has {LOAD} requests in flight and the others none, "
            f"and yet it got {got[loaded]} of {sum(got)} more (all: {got})"
        )

    @promised("spreads")
    def test_several_workers_share_as_one(self) -> None:
        scene = self.scene([1] * 4, workers=3)
        self.check_shares(scene.run(4 * PER_BACKEND, in_flight=12), [1] * 4)
