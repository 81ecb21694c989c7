"""What the demo shows: nine requests in turn, a killed server that nobody misses, its return, then every request.

Each act asks like any client, over real connections, prints what it saw, and says whether that was right.
"""

import asyncio
import logging
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from steelyard.cli.demo_server import HOST, DemoServer
from steelyard.cli.demo_watch import Watch
from steelyard.embed import LoadBalancer
from steelyard.observe import log
from steelyard.processes import loop

COLOURS: Final = ("cyan", "magenta", "yellow")
ASK_S: Final = 10.0  # Python starts in a tenth of this on the slowest machine that we know
IN_TURN: Final = 9
CLIENTS: Final = 3
BEFORE: Final = 24  # requests before the kill; they earn the retries that it takes (core/retry.py: 20 %)
AFTER: Final = 36
VICTIM: Final = 1
CHECK: Final = {"interval": "500ms", "timeout": "500ms"}  # so that the return is worth waiting for
RETURN_S: Final = 10.0
POLL_S: Final = 0.02

Hints = Callable[[str, list[str], int | None], list[tuple[str, str]]]


class Answer(NamedTuple):
    """What a client got: status 0 and the reason as text when it got nothing."""

    status: int
    text: str
    ms: float


async def ask(port: int) -> Answer:
    """GET / over a connection of its own."""
    began = monotonic()
    status, text = 0, ""
    try:
        async with asyncio.timeout(ASK_S):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode())
                head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
            finally:
                writer.close()
        status, text = int(head.split(b" ", 2)[1]), body.decode()
    except (OSError, TimeoutError, IndexError, ValueError) as exc:
        text = f"no answer ({str(exc) or type(exc).__name__})"
    return Answer(status, text, (monotonic() - began) * 1000)


class Show:
    """The demo from its first line to its last. stay: go on showing requests until a signal comes."""

    def __init__(self, port: int, server_ports: Iterable[int], hints: Hints, *, stay: bool) -> None:
        self.port = port
        self.servers = [DemoServer(f"Server {number}", each) for number, each in enumerate(server_ports, 1)]
        self.hints = hints
        self.stay = stay
        self.console = Console(highlight=False)
        self.right = stay  # who watches may leave at any time; who only wants the result needs all of it

    def run(self) -> bool:
        """Play it; whether all went right. Raises ListenError or OSError when a port cannot be had."""
        loop.run(self._play())
        return self.right

    async def _play(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        watch = Watch(self.console, self._server_of)
        log.to(_OnConsole(self.console))  # what the balancer itself says, [up] and [down], between what we say
        try:
            for server in self.servers:
                server.start()
            by_themselves = [await ask(server.port) for server in self.servers]
            async with LoadBalancer(self._config(), on_record=watch.add) as balancer:
                self.port = balancer.address("web").port
                self.right = await self._acts(balancer, by_themselves)
                if self.stay:
                    self._say_what_next()
                    await watch.show()
        except asyncio.CancelledError:  # Ctrl-C is the way out
            self.console.print("\nThe demo ends; its servers end with it.")
        finally:
            for server in self.servers:
                server.kill()

    def _config(self) -> dict[str, Any]:
        return {
            "listeners": {"web": {"bind": f"{HOST}:{self.port}", "pool": "web"}},
            "pools": {"web": {"backends": [server.address for server in self.servers], "health_check": CHECK}},
            "drain_timeout": "1s",
        }

    async def _acts(self, balancer: LoadBalancer, by_themselves: list[Answer]) -> bool:
        """All acts, also after one that went wrong; whether all went right."""
        results = [
            self._introduce(by_themselves),
            await self._in_turn(),
            await self._kill_one(),
            await self._return(balancer),
        ]
        if not all(results):
            self.console.print("\nSomething of this did not go right.", style="bold red")
        return all(results)

    def _introduce(self, answers: list[Answer]) -> bool:
        """Who is where, and what each server said by itself; right when that was its name."""
        self._title("Three servers, and Steelyard in front of them")
        table = Table(box=None, show_header=False, pad_edge=True)
        for server, answer in zip(self.servers, answers, strict=True):
            said = Text.assemble("answers by itself: ", (answer.text, self._colour(server.name)))
            table.add_row(server.name, f"http://{server.address}", said)
        table.add_row("Steelyard", f"http://{HOST}:{self.port}", "passes each request to one of them, in turn")
        self.console.print(table)
        return [server.name for server in self.servers] == [answer.text for answer in answers]

    async def _in_turn(self) -> bool:
        """Nine requests; right when they were answered 1, 2, 3, three times over."""
        self._title("Nine requests, each over a connection of its own: who answers?")
        table = Table(pad_edge=True)
        table.add_column("request", justify="right")
        for server in self.servers:
            table.add_column(server.name, style=self._colour(server.name), justify="center")
        table.add_column("status", justify="right")
        table.add_column("ms", justify="right")
        answers = [await ask(self.port) for _ in range(IN_TURN)]
        names = [server.name for server in self.servers]
        for number, answer in enumerate(answers, 1):
            marks = ["●" if answer.text == name else "" for name in names]
            table.add_row(str(number), *marks, str(answer.status), f"{answer.ms:.1f}")
        self.console.print(table)
        return (names * IN_TURN)[:IN_TURN] == [answer.text for answer in answers]

    async def _kill_one(self) -> bool:
        """Kill a server under load; right when every client got a good answer, and none from the dead."""
        victim = self.servers[VICTIM]
        self._title(
            f"{BEFORE + AFTER} requests of {CLIENTS} clients at once, and {victim.name} is killed in their midst"
        )
        before: list[Answer] = []
        after: list[Answer] = []

        async def client(numbers: Iterable[int]) -> None:
            for number in numbers:
                if number == BEFORE:
                    self.console.print(f"kill -9 {victim.pid}", style="bold red")
                    victim.kill()
                (before if number < BEFORE else after).append(await ask(self.port))

        numbers = iter(range(BEFORE + AFTER))
        await asyncio.gather(*[client(numbers) for _ in range(CLIENTS)])
        table = Table(pad_edge=True)
        for heading in ("answered by", "before", "after"):
            table.add_column(heading, justify="left" if heading == "answered by" else "right")
        counts = [Counter(answer.text for answer in answers if answer.status == 200) for answers in (before, after)]
        for server in self.servers:
            name = Text(server.name, self._colour(server.name))
            table.add_row(name, *(str(count[server.name]) for count in counts))
        errors = [answer for answer in before + after if answer.status != 200]
        table.add_row("errors", "", str(len(errors)), style="red" if errors else "bold green")
        self.console.print(table)
        for answer in errors[:3]:
            self.console.print(f"{answer.status}: {answer.text}", style="red", markup=False)
        if not errors:
            self.console.print(
                f"{BEFORE + AFTER} requests, {BEFORE + AFTER} good answers: nobody noticed.", style="green"
            )
        return not errors and counts[1][victim.name] == 0

    async def _return(self, balancer: LoadBalancer) -> bool:
        """Start it again; right when it is found to be up and gets its share again."""
        server = self.servers[VICTIM]
        self._title(f"{server.name} comes back")
        server.start()
        began = monotonic()
        backend = balancer.pool("web").backends[VICTIM]
        for _ in range(round(RETURN_S / POLL_S)):
            if backend.healthy:
                break
            await asyncio.sleep(POLL_S)
        self.console.print(f"two checks in a row found it well; it is in again after {monotonic() - began:.1f} s")
        await self._round_off()
        answers = [await ask(self.port) for _ in range(2 * len(self.servers))]
        line = Text("six requests: ")
        for answer in answers:
            line.append(answer.text + "  ", self._colour(answer.text))
        self.console.print(line)
        shares = Counter(answer.text for answer in answers)
        return all(shares[each.name] == 2 for each in self.servers)

    async def _round_off(self) -> None:
        """Ask until the turn is the first server's again: the tries that met the killed one took turns too.

        So what is shown, and whoever tries the commands of the README next, begins with Server 1.
        """
        for _ in self.servers:
            if (await ask(self.port)).text == self.servers[-1].name:
                return

    def _say_what_next(self) -> None:
        self._title("Try next, in another terminal")
        addresses = [f"localhost:{server.port}" for server in self.servers]
        for command, shows in self.hints(f"localhost:{self.port}", addresses, self.servers[-1].pid):
            self.console.print(Text.assemble(("# " + shows, "dim"), "\n", command), soft_wrap=True)
        self.console.print(Text(f"# or open http://localhost:{self.port} in a browser, and reload", "dim"))
        self._title("Requests as they come (Ctrl-C ends the demo)")

    def _title(self, text: str) -> None:
        self.console.print(f"\n{text}", style="bold", markup=False)

    def _colour(self, name: str) -> str:
        names = [server.name for server in self.servers]
        return COLOURS[names.index(name)] if name in names else "red"

    def _server_of(self, address: str) -> tuple[str, str]:
        """The name and the colour of a backend."""
        for server in self.servers:
            if server.address == address:
                return f"{server.name} :{server.port}", self._colour(server.name)
        return address, "red"


class _OnConsole(logging.Handler):
    """Prints log records."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.print(Text(f"log: {record.getMessage()}", "dim"), soft_wrap=True)
