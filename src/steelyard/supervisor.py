"""The supervisor: the parent of all processes of a balancer. It starts, watches, replaces and stops them.

It holds what must outlive each of them: the listening sockets, the table, and the snapshot of the configuration in
force, which it hands to whoever starts. It reads no configuration and serves no request: the control process checks and
plans, the workers serve, and between them it passes messages on (processes/description.py lists them all).

- A worker that ends is replaced at once, later and later if it keeps ending; its column of the table is zeroed, and
  connections that wait at its socket wait for its successor, which gets the same one.
- The control process is replaced likewise; meanwhile requests go on, only checks and reloads do not.
- Local backends (processes/locals.py) are started before anything is served, and are the last to end.
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
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from mmap import mmap
from typing import Final

from steelyard.backends.restarts import Restarts, how_ended
from steelyard.core.table import Table
from steelyard.errors import ListenError
from steelyard.observe import log
from steelyard.observe.streams import outlived, say
from steelyard.processes import orphans, pid_file, runtime, signals
from steelyard.processes.channel import Message
from steelyard.processes.children import CONTROL, Child, Children, Then, Words, name_of
from steelyard.processes.hangs import Hangs
from steelyard.processes.later import Later
from steelyard.processes.limits import raise_file_limit
from steelyard.processes.locals import Locals
from steelyard.processes.memory import clear_column, shared_memory
from steelyard.processes.notify import Watchdog, notify
from steelyard.processes.sockets import Sockets
from steelyard.processes.succession import SUPERVISOR, UPGRADE_S, Successor, command, report_ready, why_not
from steelyard.processes.terminal import Terminal

CONTROL_MODULE: Final = "steelyard.processes.control_process"
WORKER_MODULE: Final = "steelyard.processes.worker_process"
STOP: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
TICK_S: Final = 0.25
KILL_AFTER_S: Final = 5.0  # what a process gets beyond its drain before it is killed
ANSWER_S: Final = 0.5

_log = logging.getLogger("steelyard")


class Supervisor:
    """One balancer. source: what it runs, as words for the control process.

    pending: a snapshot that is being prepared, with its number and listeners. snapshot: the one in force.
    later: what is to be done when. verdict: the status with which we shall end; status: the same, when all have ended.
    """

    def __init__(self, source: Words) -> None:
        self.source = source
        self.selector = selectors.DefaultSelector()
        self.children = Children(self.selector)
        self.sockets = Sockets()
        self.commands = runtime.listen_if_possible()
        self.control: Child | None = None
        self.workers: dict[int, Child] = {}
        self.count = self.rows = self.verdict = 0
        self.memory = -1
        self.table: Table | None = None
        self.pid_file, self.drain_s = "", 0.0
        self.pending: tuple[int, bytes, list[Words]] | None = None
        self.snapshot: bytes | None = None
        self.later, self.restarts = Later(), Restarts()
        self.locals = Locals(self.selector, self.later, self._tell_of_local)
        self.successor: Successor | None = None
        self.serving = self.stopping = self.at_once = False
        self.status: int | None = None
        self.began = time.monotonic()
        self.hangs = Hangs(self.began)
        self.watchdog, self.terminal = Watchdog(), Terminal()

    def run(self) -> int:
        """Run to the end. The exit status: 0, or that of the control process where it cannot start."""
        read = signals.as_bytes((*STOP, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD))
        self.selector.register(read, selectors.EVENT_READ, lambda: self._on_signals(read.recv(64)))
        self._start_control()
        while self.status is None:
            self.turn(self.later.wait_s(TICK_S))
        runtime.remove()
        return self.status

    def turn(self, patience_s: float) -> None:
        """Do what there is to do, and wait at most so long for it."""
        self.children.watch()
        for key, events in self.selector.select(patience_s):
            try:
                self._talk(key.data, events) if isinstance(key.data, Child) else key.data()
            except Exception:  # a bug, or no descriptor left: what one child said must not end all
                _log.exception("a message or an event was not understood")
        self._tick(time.monotonic())

    # Starting.

    def _start(self, number: int, module: str, words: Sequence[object], descriptors: list[int]) -> Child | None:
        """Start one of ours, unless all is to end; where there is no room for it, it is tried again."""
        if self.stopping or self.status is not None:
            return None
        try:
            return self.children.start(number, module, words, descriptors)
        except OSError as exc:
            self._replace(number, name_of(number), f"cannot be started: {exc}{self.children.mend}", 0.0)
            return None

    def _start_control(self) -> None:
        fds, none = ([], [-1]) if self.commands is None else ([self.commands.fileno()], [])
        if (child := self._start(CONTROL, CONTROL_MODULE, none, fds)) is None:
            return
        self.control = child
        if self.snapshot is None:
            child.channel.send("begin", {"source": self.source})
        else:
            words = {"source": self.source, "workers": self.count, "rows": self.rows, **self.locals.words()}
            child.channel.send("resume", words, self.snapshot, [self.memory])

    def _start_worker(self, number: int) -> None:
        words = [self.count, self.rows, self.source.get("title", "")]
        if (child := self._start(number, WORKER_MODULE, words, [self.memory])) is None:
            return
        self.workers[number] = child
        if self.snapshot is not None:  # before that it is told with the others
            self._prepare(child, self.children.number(), self.snapshot, new=False)
            child.channel.send("commit", {"id": self.children.number()})

    def _prepare(self, child: Child, number: int, blob: bytes, new: bool = True) -> None:
        """Have a worker prepare a snapshot; the sockets that it has not yet come before it.

        new: those of listeners too that only the pending snapshot has. Who commits without them closes them.
        """
        child.hand(self.sockets.of(child.number, self.count, new))
        child.prepared = number
        child.channel.send("prepare", {"id": number}, blob)

    # Talking.

    def _talk(self, child: Child, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            child.channel.flush()
        for message in child.channel.receive():
            if child.number == CONTROL:
                self._on_control(child, message, message.words)
            elif not self.children.answered(child, message.words) and "failed" in message.words:
                _log.warning("%s", f"{child.name}: {message.words['failed']}")

    def _on_control(self, child: Child, message: Message, words: Words) -> None:
        def answer(answers: list[Words], descriptors: tuple[int, ...] = ()) -> None:  # to this one, not its successor
            child.channel.send("answer", {"id": words["id"], "answers": answers}, b"", descriptors)

        match message.name:
            case "open" if self.table is None:  # once: after that it is another user's word
                self._open(words)
                answer([self.locals.words()], (self.memory,))
            case "prepare" if not self.stopping:
                self._on_prepare(words["listeners"], message.blob, answer)
            case "commit" if self.pending is not None:
                self._on_commit(words, answer)
            case "drop":
                self._drop()
                self.locals.drop()
            case "locals" | "restart" | "end" if not self.stopping:
                self.locals.do(message, answer)
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
        now, replaced = time.monotonic(), self.restarts.replaced
        children = [{**one.report(now), "replaced": replaced.get(n, 0)} for n, one in sorted(self.workers.items())]
        return {"pid": os.getpid(), "age_s": now - self.began, "workers": children, "locals": self.locals.reports()}

    def _tell_of_local(self, report: Words) -> None:
        if self.control is not None and not self.stopping:
            self.control.channel.send("local", report)

    # Configurations.

    def _open(self, words: Words) -> None:
        """The first message of the control process says how large all is, and who the others are to be."""
        self.count, self.rows, self.pid_file = words["workers"], words["rows"], words["pid_file"]
        self.children.user = words["user"]
        self.locals.run_as(words["user"])
        self.memory = shared_memory(words["table_bytes"])
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
        assert self.pending is not None
        number, self.snapshot, listeners = self.pending
        self.pending = None
        self.drain_s = words["drain_s"]
        self.locals.decided()
        for child in self.workers.values():
            if child.prepared != number:
                self._prepare(child, number, self.snapshot)

        def switched(answers: list[Words]) -> None:
            self.sockets.keep(listeners)
            for child in self.workers.values():
                child.given &= self.sockets.keys()
            self.locals.keep(words["locals"], self.drain_s)
            answer(answers)
            if not self.serving and not self.stopping:
                self._serve(words["lines"])

        self._ask("commit", {}, switched)

    def _serve(self, lines: list[str]) -> None:
        """All workers serve for the first time: say so to whoever waits for it."""
        self.serving = True
        pid_file.write(self.pid_file)
        say("\n".join(lines), sys.stdout)
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
            elif self.terminal.just_closed():
                self._stop()  # the terminal was closed, which nobody means as a reload
            elif self.control is not None:
                self.control.channel.send("reload")
            else:
                _log.warning("no reload: the control process is being replaced; ask again")

    def _tick(self, now: float) -> None:
        self.later.do(now)
        self.terminal.tick(now)
        self.watchdog.tick(now)
        self.hangs.end(now, self.table, self.workers.values())
        orphans.tick(self.children, self.locals)

    def _reap(self) -> None:
        for child in [*self.workers.values(), *filter(None, [self.control])]:
            if child.process.poll() is not None:
                self._ended(child, child.process.returncode)

    def _ended(self, child: Child, code: int) -> None:
        """A child is gone: forget it, and start another one in its place unless all is to end."""
        self._talk(child, selectors.EVENT_READ)  # what it said last
        if child is self.control:
            self.control = None
            self._drop()  # who would put it into force is gone
            self.locals.drop()
        elif self.table is not None:
            del self.workers[child.number]
            clear_column(self.table, child.number, lost=not self.stopping)
        self.children.forget(child)
        if self.stopping:
            self._end_if_alone()
            return
        # The control process has said itself what is wrong when it ends with 1.
        said = not self.serving and child.number == CONTROL and code == 1
        name, age_s = "" if said else child.name, time.monotonic() - child.born
        self._replace(child.number, name, f"ended: {how_ended(code)}", age_s)

    def _replace(self, number: int, name: str, what: str, age_s: float) -> None:
        """Have another one in the place of one that is no more; without it there is no start."""
        if not self.serving:
            if name:
                _log.warning("%s", f"{name} {what}; nothing was served yet")
            self.sockets.close(files_too=True)
            self.stopping, self.verdict = True, 1
            self.locals.stop(self._end, at_once=True)
            return
        pause_s = self.restarts.pause_s(number, age_s)
        _log.warning("%s", f"{name} {what}; another one is started" + (f" in {pause_s:g} s" if pause_s else ""))
        start = self._start_control if number == CONTROL else lambda: self._start_worker(number)
        self.later.after(pause_s, start)

    # Ending.

    def _stop(self, at_once: bool = False, handed_over: bool = False) -> None:
        """Accept no more, let what is in flight finish, and end. handed_over: another program goes on."""
        if self.stopping and not at_once:
            return
        self.stopping, self.at_once = True, at_once
        drain_s = 0.0 if at_once else self.drain_s
        self.sockets.close(files_too=not handed_over)
        if self.successor is not None and not handed_over:
            self.successor.give_up()
        if not at_once:
            what = "handed over" if handed_over else "stopping"
            say(f"{what}: requests in flight have {drain_s:g} s to finish; Ctrl-C again stops at once", sys.stderr)
        for child in self.workers.values():
            child.ending = True
            child.channel.send("stop", {"drain_s": drain_s})
        self.later.after(drain_s + KILL_AFTER_S, self.children.kill)
        if handed_over:
            runtime.remove()  # commands are for the new one
        else:
            notify("STOPPING=1", "STATUS=requests in flight finish")
            pid_file.remove(self.pid_file)
        self._end_if_alone()

    def _end_if_alone(self) -> None:
        if not self.workers:  # who asked for an upgrade may still wait for what the control process says of it
            self.later.after(ANSWER_S if self.successor else 0.0, lambda: self.locals.stop(self._end, self.at_once))

    def _end(self) -> None:
        self.children.kill()
        self.status = self.verdict

    def _upgrade(self, then: Then) -> None:
        """Start the program anew on our sockets; when it serves we drain, and when it does not we go on."""

        def refuse(why: str) -> None:
            _log.warning("%s", f"no upgrade: {why}")
            then([{"failed": why}])

        if why := why_not(self.successor, self.serving and not self.stopping):
            refuse(why)
            return

        def decided(came_up: bool) -> None:
            if came_up:
                notify(f"MAINPID={successor.process.pid}")
                then([{"pid": successor.process.pid}])
                self._stop(handed_over=True)
            else:
                refuse("the new program did not come up (what it said stands in the log); this one goes on")

        try:
            words = command(SUPERVISOR, self.source)
            successor = self.successor = Successor(self.selector, words, *self.sockets.hand_over(), decided)
        except OSError as exc:
            refuse(f"the new program cannot be started: {exc}")
            return
        _log.warning("%s", f"upgrade: the new program is pid {successor.process.pid}")
        self.later.after(UPGRADE_S, successor.give_up)


def main() -> None:
    """`python -m steelyard.supervisor WORDS`: what `steelyard run` becomes. WORDS: JSON, for the control process."""
    with outlived():
        log.to_standard_error()
        raise_file_limit()
        with suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write("steelyard")
        sys.exit(Supervisor(json.loads(sys.argv[1])).run())


if __name__ == "__main__":
    main()
