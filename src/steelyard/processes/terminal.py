"""Was our terminal closed just now? Then SIGHUP comes from there and means an end; at any other time it is a reload."""

from steelyard.observe.streams import has_terminal

MOMENT_S = 1.0  # the kernel sends SIGHUP as it hangs up; one that comes later is somebody's


class Terminal:
    """The one that we were started at, if there is one."""

    def __init__(self) -> None:
        self.had = has_terminal()
        self.gone_since: float | None = None

    def just_closed(self) -> bool:
        """Whether we had one until a moment ago."""
        return self.had and not has_terminal()

    def tick(self, now: float) -> None:
        """To be called often. now: monotonic seconds."""
        if not self.had or has_terminal():
            self.gone_since = None
        elif self.gone_since is None:
            self.gone_since = now
        elif now - self.gone_since > MOMENT_S:
            self.had = False  # who has closed it has let us live
