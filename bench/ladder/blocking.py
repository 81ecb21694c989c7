"""Steps that are waited for where they are: the thread that takes one does nothing else until it is done."""

import socket

from bench.ladder.steps import CONNECT, RECEIVE_BYTES, REST, SEND, Step, Task, address_of, at_once


def take(step: Step) -> bytes | socket.socket | None:
    """Do it, however long that takes. Raises OSError."""
    act, where, data = step
    if act == SEND:
        where.sendall(data)
        return None
    if act == CONNECT:
        family, address = address_of(where)
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        at_once(sock)
        return sock
    received: bytes = where.recv(RECEIVE_BYTES)
    return received


def go_on(task: Task, step: Step | None, until_rest: bool) -> Step | None:
    """Take this step of a task, or begin it, and all that follow; None when it is over.

    until_rest: come back with the step that waits for a client which owes us nothing, rather than wait for it.
    """
    try:
        step = next(task) if step is None else _after(task, step)
        while not (until_rest and step[0] == REST):
            step = _after(task, step)
    except StopIteration:
        return None
    return step


def _after(task: Task, step: Step) -> Step:
    try:
        result = take(step)
    except OSError as exc:
        return task.throw(exc)
    return task.send(result)
