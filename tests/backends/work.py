"""What workers do in the tests of LocalPool: functions that they can import."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

FOR_EVER_S: Final = 3600.0


def plus_one(number: int) -> int:
    return number + 1


def other(number: int) -> str:
    return f"other {number}"


def who(_: object) -> int:
    """The process that did it."""
    return os.getpid()


def do(order: tuple[Any, ...]) -> Any:
    """What is asked for, by its name."""
    name, *words = order
    return globals()[f"_{name}"](*words)


def _echo(value: Any = None) -> Any:
    return value


def _raise(text: str) -> None:
    raise ValueError(text)


def _raise_odd() -> None:
    raise Odd("one", "two")


def _raise_unspeakable() -> None:
    raise Unspeakable


def _exit(status: int) -> None:
    sys.exit(status)


def _die(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)
    wait_for_ever()


def _end(status: int) -> None:
    os._exit(status)


def _hang(begun: str = "") -> None:
    """Say that it has begun, by a file, and never end."""
    if begun:
        Path(begun).write_text(str(os.getpid()))
    wait_for_ever()


def _wait(file: str, value: Any = None, begun: str = "") -> Any:
    """Until there is a file. begun: another one, which says that this has begun."""
    if begun:
        Path(begun).touch()
    while not Path(file).exists():
        time.sleep(0.002)
    return value


def _die_once(file: str) -> str:
    """Die, unless somebody has died of it before."""
    try:
        Path(file).touch(exist_ok=False)
    except FileExistsError:
        return "survived"
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def _note(file: str, number: int, fatal: bool) -> int:
    """Write down that it has begun; then die of it, or not."""
    with Path(file).open("a") as notes:
        notes.write(f"{number}\n")
    if fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _start_and_hang(file: str) -> None:
    """Have another program do the work, and wait for it for ever."""
    child = subprocess.Popen(["sleep", str(FOR_EVER_S)])
    with Path(file).open("a") as notes:
        notes.write(f"{child.pid}\n")
    wait_for_ever()


def _start_and_die(file: str) -> None:
    child = subprocess.Popen(["sleep", str(FOR_EVER_S)])
    with Path(file).open("a") as notes:
        notes.write(f"{child.pid}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def _fork_and_return() -> str:
    """Come back twice."""
    return "child" if os.fork() == 0 else "parent"


def _raise_noteless() -> None:
    raise Noteless


def _raise_ending() -> None:
    raise Ending


def _raise_own_words() -> None:
    class Words(str):
        __slots__ = ()

    class Own(Exception):
        def __str__(self) -> str:
            return Words("own words")

    raise Own


def _ending() -> Any:
    return Ending()


def _socket() -> Any:
    return threading.Lock()


def _unloadable() -> Any:
    return Unloadable()


def _unloadable_unspeakably() -> Any:
    return UnloadableUnspeakably()


def _print(text: str) -> None:
    print(text)


def _path() -> list[str]:
    return sys.path


def _nested(numbers: list[int]) -> list[int]:
    from steelyard import SyncLocalPool  # not for all the others, who start sooner without

    with SyncLocalPool([plus_one], processes=1) as pool:
        return sorted(result.value for result in pool.map(numbers))


def _fork(file: str) -> int:
    """Leave a child behind that holds what this process holds, and die."""
    pid = os.fork()
    if pid == 0:
        _wait(file)
        os._exit(0)
    Path(f"{file}.pid").write_text(str(pid))
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def _linger() -> None:
    """Have a thread that does not let the process end."""
    threading.Thread(target=wait_for_ever).start()


def wait_for_ever() -> None:
    threading.Event().wait(FOR_EVER_S)


async def asynchronous(_: object) -> None:
    """No function for a worker."""


class Odd(Exception):
    """Can be pickled, and not unpickled."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


class Unspeakable(Exception):
    """Its own text cannot be had, nor itself be pickled."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __reduce__(self) -> Any:
        raise RuntimeError("no pickle")


class Noteless(Exception):
    """It cannot be changed, as one that is a frozen dataclass, and so takes no note."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("it cannot be changed")


class Ending(Exception):
    """Who unpickles it is to end."""

    def __reduce__(self) -> Any:
        return sys.exit, (3,)


class Unloadable:
    """A value that can be pickled, and not unpickled."""

    def __reduce__(self) -> Any:
        return fail, ("not here",)


class UnloadableUnspeakably:
    """The same, and why cannot be said."""

    def __reduce__(self) -> Any:
        return fail_unspeakably, ()


class Unpicklable:
    """A task that cannot be pickled."""

    def __reduce__(self) -> Any:
        raise TypeError("no pickle of it")


class LoadsElsewhere:
    """A task that can be unpickled in this process alone."""

    def __init__(self) -> None:
        self.pid = os.getpid()

    def __reduce__(self) -> Any:
        return only_in, (self.pid,)


def fail(text: str) -> Any:
    raise RuntimeError(text)


def fail_unspeakably() -> Any:
    raise Unspeakable


def only_in(pid: int) -> Any:
    if os.getpid() != pid:
        raise ImportError(f"not process {pid}")
    return LoadsElsewhere()
