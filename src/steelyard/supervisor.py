"""The supervisor: the parent of all processes of a balancer. It starts, watches, replaces and stops them.

It holds what must outlive each of them: the listening sockets, the table, and the snapshot of the configuration in
force, which it hands to whoever starts. It reads no configuration and serves no request: the control process checks and
plans, the workers serve, and between them it passes messages on (processes/description.py lists them all).

- A worker that ends is replaced at once, later and later if it keeps ending; its column of the table is zeroed, and
  connections that wait at its socket wait for its successor, which gets the same one.
- The control process is replaced likewise; meanwhile requests go on, only checks and reloads do not.
- SIGHUP reloads, SIGUSR2 starts the new program on our sockets, SIGTERM and SIGINT drain, a second SIGINT ends all.
- When the supervisor itself is killed, the others see their channels close, finish what they have and end.

Standard library alone, and small enough to be read in one sitting. One thread, one selector, nothing that waits.
Source: nginx (signals, upgrade by inherited sockets), Erlang's supervisors (restart with backoff).
"""

import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from mmap import mmap
from types import FrameType
from typing import Final

from steelyard.core import table as cells
from steelyard.core.table import Table
from steelyard.errors import ListenError
from steelyard.observe import log
from steelyard.observe.streams import has_terminal, outlived, say
from steelyard.processes import pid_file, runtime
from steelyard.processes.channel import Message
from steelyard.processes.children import CONTROL, Child, Children, Then, Words, called
from steelyard.processes.notify import notify, watchdog_s
from steelyard.processes.sockets import Sockets
from steelyard.processes.succession import SUPERVISOR, UPGRADE_S, Successor, command, report_ready

CONTROL_MODULE: Final = "steelyard.processes.control_process"
WORKER_MODULE: Final = "steelyard.processes.worker_process"
STOP: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
TICK_S: Final = 0.25
HANG_S: Final = 30.0  # a loop that has not come round for so long is not coming: no step of ours takes a second
YOUNG_S: Final = 5.0  # who ends sooner than this a second time is not replaced at once, but later and later
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0
KILL_AFTER_S: Final = 5.0  # what a process gets beyond its drain before it is killed

_log = logging.getLogger("steelyard")


class Supervisor:
    """One balancer. source: what it runs, as words for the control process.

    pending: a snapshot that is being prepared, with its number and listeners. snapshot: the one in force.
    later: what is to be done when. pause_s, replaced: by a child's number, before its next start; how often.
    """

    def __init__(self, source: Words) -> None:
        self.source = source
        self.selector = selectors.DefaultSelector()
        self.children = Children(self.selector)
        self.sockets = Sockets()
        self.commands = runtime.listen_if_possible()
        self.control: Child | None = None
        self.workers: dict[int, Child] = {}
        self.count = self.rows = 0
        self.memory = -1
        self.table: Table | None = None
        self.pid_file = ""
        self.drain_s = 0.0
        self.pending: tuple[int, bytes, list[Words]] | None = None
        self.snapshot: bytes | None = None
        self.serving = False
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.pause_s: dict[int, float] = {}
        self.replaced: dict[int, int] = {}
        self.successor: Successor | None = None
        self.stopping = False
        self.status: int | None = None
        self.began = self.ticked = time.monotonic()
        self.watchdog_s = watchdog_s()
        self.next_watchdog = 0.0
        self.had_terminal = has_terminal()

    def run(self) -> int:
        """Run to the end. The exit status: 0, or that of the control process where it cannot start."""
        read, write = socket.socketpair()
        write.setblocking(False)
        signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
        self.selector.register(read, selectors.EVENT_READ, lambda: self._on_signals(read.recv(64)))
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # nginx's way to reopen logs, which here a reload does
        for number in (*STOP, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup has asked for that
                signal.signal(number, _wake)
        self._start_control()
        while self.status is None:
            self.children.watch()
            for key, events in self.selector.select(TICK_S):
                if isinstance(key.data, Child):
                    self._talk(key.data, events)
                else:
                    key.data()
            self._tick(time.monotonic())
        runtime.remove()
        return self.status

    # Starting.

    def _start_control(self) -> None:
        if self.stopping:
            return
        fds, none = ([], [-1]) if self.commands is None else ([self.commands.fileno()], [])
        child = self.control = self._start(CONTROL, CONTROL_MODULE, none, fds)
        if child is None:
            return
        if self.snapshot is None:
            child.channel.send("begin", {"source": self.source})
        else:
            words = {
                "source": self.source,
                "workers": self.count,
                "rows": self.rows,
                "addresses": self.sockets.addresses(),
            }
            child.channel.send("resume", words, self.snapshot, [self.memory])

    def _start_worker(self, number: int) -> None:
        if self.stopping:
            return
        title = self.source.get("title", "")
        child = self._start(number, WORKER_MODULE, [self.count, self.rows, title], [self.memory])
        if child is None:
            return
        self.workers[number] = child
        if self.snapshot is not None:  # before that it is told with the others
            self._prepare(child, self.children.number(), self.snapshot)
            child.channel.send("commit", {"id": self.children.number()})

    def _start(self, number: int, module: str, words: Sequence[object], fds: Sequence[int]) -> Child | None:
        """Start a child. None where the system does not let us: it is said, and as long as we serve tried again."""
        try:
            return self.children.start(number, module, words, fds)
        except OSError as exc:
            why = f"{called(number)} cannot be started: {exc}"
        if self.serving:
            pause_s = self._pause_s(number)
            _log.error("%s", f"{why}; another try in {pause_s:g} s")
            self._in(pause_s, self._start_control if number == CONTROL else lambda: self._start_worker(number))
            return None
        if user := self.children.user.get("user"):
            mend = "install Python and Steelyard where that user may read them, or take user out"
            why = f"user: as user {user} {why}; {mend}"
        if self.status is None:
            say(why, sys.stderr)
        self.children.kill()
        self.status = 1
        return None

    def _pause_s(self, number: int) -> float:
        """Before the next try to start this child, which is longer from one to the next."""
        pause_s = max(self.pause_s.get(number, 0.0), FIRST_PAUSE_S)
        self.pause_s[number] = min(2 * pause_s, LONGEST_PAUSE_S)
        return pause_s

    def _prepare(self, child: Child, number: int, blob: bytes) -> None:
        """Have a worker prepare a snapshot; the sockets that it has not yet come before it."""
        child.hand(self.sockets.of(child.number, self.count))
        child.prepared = number
        child.channel.send("prepare", {"id": number}, blob)

    # Talking.

    def _talk(self, child: Child, events: int) -> None:
        if child.channel.closed:  # it was reaped by what the same select told of before
            return
        if events & selectors.EVENT_WRITE:
            child.channel.flush()
        sock = child.channel.sock
        for message in child.channel.receive():
            if child.number != CONTROL:
                if not self.children.answered(child, message.words) and "failed" in message.words:
                    _log.warning("%s", f"{child.name}: {message.words['failed']}")
            elif child is self.control:
                self._on_control(message, message.words)
        if child.channel.closed:
            self.selector.unregister(sock)

    def _on_control(self, message: Message, words: Words) -> None:
        asker = self.control

        def answer(answers: list[Words], descriptors: tuple[int, ...] = ()) -> None:
            if asker is not None and asker is self.control:  # its successor counts its questions anew
                asker.channel.send("answer", {"id": words["id"], "answers": answers}, b"", descriptors)

        match message.name:
            case "open":
                self._open(words)
                answer([], (self.memory,))
            case "prepare":
                self._on_prepare(words["listeners"], message.blob, answer)
            case "commit":
                self._on_commit(words, answer)
            case "drop":
                self._drop()
            case "ask":
                self._ask("ask", words, answer)
            case "report":
                answer([self._report()])
            case "upgrade":
                self._upgrade(answer)

    def _ask(self, name: str, words: Words, then: Then) -> None:
        """Send every worker a message, and go on when all that live have answered."""
        number = self.children.number()
        for child in self.workers.values():
            child.channel.send(name, {**words, "id": number})
        self.children.ask(number, self.workers.values(), then)

    def _report(self) -> Words:
        """Who runs, since when."""
        now = time.monotonic()
        children = [
            {"number": n, "pid": one.process.pid, "age_s": now - one.born, "replaced": self.replaced.get(n, 0)}
            for n, one in sorted(self.workers.items())
        ]
        return {"pid": os.getpid(), "age_s": now - self.began, "workers": children}

    # Configurations.

    def _open(self, words: Words) -> None:
        """The first message of the control process says how large all is, and who the others are to be."""
        self.count, self.rows, self.pid_file = words["workers"], words["rows"], words["pid_file"]
        self.children.user = words["user"]
        self.memory = os.memfd_create("steelyard")
        os.ftruncate(self.memory, words["table_bytes"])
        self.table = Table(mmap(self.memory, words["table_bytes"]), self.rows, self.count)
        for number in range(self.count):
            self._start_worker(number)

    def _on_prepare(self, listeners: list[Words], blob: bytes, answer: Then) -> None:
        self._drop()
        try:
            self.sockets.bind(listeners, self.count)
        except ListenError as exc:
            answer([{"failed": exc.what, "listener": exc.listener}])
            return
        number, addresses = self.children.number(), self.sockets.addresses()
        self.pending = number, blob, listeners
        for child in self.workers.values():
            self._prepare(child, number, blob)
        self.children.ask(number, self.workers.values(), lambda found: answer([{"addresses": addresses}, *found]))

    def _drop(self) -> None:
        if self.pending is not None:
            self.pending = None
            self.sockets.forget_new()
            for child in self.workers.values():
                child.given &= self.sockets.keys()
                child.channel.send("drop")

    def _on_commit(self, words: Words, answer: Then) -> None:
        """What was prepared comes into force; a worker that was born meanwhile prepares it first."""
        assert self.pending is not None, "nothing was prepared"
        number, self.snapshot, listeners = self.pending
        self.pending = None
        self.drain_s = words["drain_s"]
        for child in self.workers.values():
            if child.prepared != number:
                self._prepare(child, number, self.snapshot)

        def switched(answers: list[Words]) -> None:
            self.sockets.keep(listeners)
            for child in self.workers.values():
                child.given &= self.sockets.keys()
            answer(answers)
            if not self.serving and not self.stopping:
                self._serve(words["lines"])

        self._ask("commit", {}, switched)

    def _serve(self, lines: list[str]) -> None:
        """All workers serve for the first time: say so to whoever waits for it."""
        self.serving = True
        pid_file.write(self.pid_file)
        for line in lines:
            say(line, sys.stdout)
        notify("READY=1", f"MAINPID={os.getpid()}", "STATUS=serving")
        report_ready()

    # Signals, time and death.

    def _on_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGCHLD:
                self._reap()
            elif number in STOP:
                # An init system may well send SIGTERM twice; a person's second Ctrl-C means what it says.
                self._stop(at_once=self.stopping and number == signal.SIGINT)
            elif number == signal.SIGUSR2:
                self._upgrade(lambda answers: None)
            elif self.had_terminal and not has_terminal():
                self._stop()  # the terminal was closed, which nobody means as a reload
            elif self.control is not None:
                self.control.channel.send("reload")

    def _tick(self, now: float) -> None:
        gap_s, self.ticked = now - self.ticked, now
        for item in [item for item in self.later if item[0] <= now]:
            self.later.remove(item)
            item[1]()
        if self.watchdog_s is not None and now >= self.next_watchdog:
            self.next_watchdog = now + self.watchdog_s
            notify("WATCHDOG=1")
        if self.table is None or gap_s > HANG_S / 2:  # the machine slept, and so did the workers
            return
        for child in self.workers.values():
            beat_s = self.table.of_worker(cells.BALANCER, child.number, cells.BEAT) / 1000
            if now - max(beat_s, child.born) > HANG_S and not child.ending:
                _log.warning("%s", f"{child.name} hangs: its loop has not come round for {HANG_S:g} s; it is killed")
                child.process.kill()

    def _reap(self) -> None:
        for child in [*self.workers.values(), *filter(None, [self.control])]:
            if child.process.poll() is not None:
                self._ended(child, child.process.returncode)
        if self.successor is not None:
            self.successor.process.poll()

    def _ended(self, child: Child, code: int) -> None:
        """A child is gone: forget it, and start another one in its place unless all is to end."""
        if not child.channel.closed:
            self._talk(child, selectors.EVENT_READ)  # what it said last
        if child is self.control:
            self.control = None
            self._drop()  # what it had prepared, nobody will commit
        elif self.table is not None:
            del self.workers[child.number]
            self.table.clear_column(child.number, self.table.get(cells.BALANCER, cells.ROWS_USED))
        self.children.forget(child)
        if self.stopping:
            self._end_if_alone()
            return
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        if not self.serving:
            if child.number != CONTROL or code != 1:  # else it has said itself what is wrong
                _log.warning("%s", f"{child.name} ended before it served: {how}")
            self.children.kill()
            self.status = 1
            return
        pause_s = self.pause_s.get(child.number, 0.0) if time.monotonic() - child.born < YOUNG_S else 0.0
        self.pause_s[child.number] = min(max(2 * pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self.replaced[child.number] = self.replaced.get(child.number, 0) + 1
        _log.warning(
            "%s", f"{child.name} ended: {how}; another one is started" + (f" in {pause_s:g} s" if pause_s else "")
        )
        if child.number == CONTROL:
            self._in(pause_s, self._start_control)
        else:
            assert self.table is not None
            self.table.fetch_add(cells.BALANCER, cells.WORKERS_LOST, 1)
            self._in(pause_s, lambda: self._start_worker(child.number))

    def _in(self, seconds: float, call: Callable[[], None]) -> None:
        """Do it then, or at once."""
        if seconds > 0.0:
            self.later.append((time.monotonic() + seconds, call))
        else:
            call()

    # Ending.

    def _stop(self, at_once: bool = False, handed_over: bool = False) -> None:
        """Accept no more, let what is in flight finish, and end. handed_over: another program goes on."""
        if self.stopping and not at_once:
            return
        self.stopping = True
        drain_s = 0.0 if at_once else self.drain_s
        self.sockets.close(files_too=not handed_over)
        notify(*([] if handed_over else ["STOPPING=1"]), "STATUS=requests in flight finish")
        if not at_once:
            what = "handed over" if handed_over else "stopping"
            say(f"{what}: requests in flight have {drain_s:g} s to finish; Ctrl-C again stops at once", sys.stderr)
        for child in self.workers.values():
            child.ending = True
            child.channel.send("stop", {"drain_s": drain_s})
        self._in(drain_s + KILL_AFTER_S, self.children.kill)
        if not handed_over:
            pid_file.remove(self.pid_file)
        self._end_if_alone()

    def _end_if_alone(self) -> None:
        if not self.workers:
            self.children.kill()
            self.status = 0

    def _upgrade(self, then: Then) -> None:
        """Start the program anew on our sockets; when it serves we drain, and when it does not we go on."""
        refused = ""
        if os.getpid() == 1:
            refused = "this is process 1 of a container, which ends with it; replace the container instead"
        elif self.successor is not None and not self.successor.decided:
            refused = f"an upgrade goes on already (pid {self.successor.process.pid})"
        elif self.stopping or not self.serving:
            refused = "this balancer is starting or stopping"
        if refused:
            _log.warning("%s", f"no upgrade: {refused}")
            then([{"failed": refused}])
            return

        def decided(came_up: bool) -> None:
            if came_up:
                notify(f"MAINPID={successor.process.pid}")
                then([{"pid": successor.process.pid}])
                self._stop(handed_over=True)
            else:
                message = "the new program did not come up (what it said stands in the log); this one goes on"
                _log.warning("%s", f"upgrade: {message}")
                then([{"failed": message}])

        environ, sockets = self.sockets.hand_over()
        try:
            successor = Successor(self.selector, command(SUPERVISOR, self.source), environ, sockets, decided)
        except OSError as exc:  # it was moved away, or there is no room for a process
            message = f"the new program cannot be started: {exc}; this one goes on"
            _log.error("%s", f"upgrade: {message}")
            then([{"failed": message}])
            return
        self.successor = successor
        _log.warning("%s", f"upgrade: the new program is pid {successor.process.pid}")
        self._in(UPGRADE_S, successor.give_up)


def _wake(number: int, frame: FrameType | None) -> None:
    """The number goes through the wakeup descriptor; without a handler it would not."""


def main() -> None:
    """`python -m steelyard.supervisor WORDS`: what `steelyard run` becomes. WORDS: JSON, for the control process."""
    with outlived():
        log.to_standard_error()
        with suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write("steelyard")
        status = Supervisor(json.loads(sys.argv[1])).run()
    sys.exit(status)


if __name__ == "__main__":
    main()
