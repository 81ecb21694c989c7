"""`user: nobody`, started as root: who runs as whom, and what each may still do."""

import os
import pwd
import signal
import socket
from pathlib import Path

import pytest

from tests.processes.anyone import ANYONE, NOBODY, Anyone
from tests.processes.balancer import (
    alive,
    balancing,
    children,
    environment,
    status_field,
    supervisors,
    with_workers,
    write,
)
from tests.real.backends import backend
from tests.real.client import HOST, Client
from tests.real.programs import program
from tests.real.support import until

pytestmark = [pytest.mark.real, ANYONE]

UID, GID = pwd.getpwnam(NOBODY)[2:4]


def users(pid: int) -> set[str]:
    """Real, effective, saved and file system user: all that it could become again."""
    return set(status_field(pid, "Uid"))


def privileged_port() -> int:
    """One below 1024 that is free."""
    for port in range(1023, 600, -1):
        with socket.socket() as sock:
            try:
                sock.bind((HOST, port))
            except OSError:
                continue
            return port
    raise AssertionError("none is free")


async def test_workers_and_control_run_as_the_user_and_the_supervisor_binds_for_them(roots: Anyone) -> None:
    """A reload adds a port that only root may bind; the log that it names is written as the user; a replaced worker
    and a replaced control process are the user's, too."""
    log, port = roots.home / "logs" / "access.log", privileged_port()
    log.parent.mkdir()
    os.chown(log.parent, UID, GID)
    async with backend() as one:
        config = {**with_workers(2, one.port), "user": NOBODY, "access_log": str(log)}
        async with balancing(roots.home, config, **roots.how(None)) as lb:
            nobody = {str(UID)}
            assert {"0"} == users(lb.pid)
            assert [nobody] * 3 == [users(pid) for pid in children(lb.pid)]
            for pid in children(lb.pid):
                assert {str(GID)} == set(status_field(pid, "Gid"))
            config["listeners"]["low"] = {"bind": f"{HOST}:{port}", "pool": "web"}
            await lb.reload(config)
            client = await Client.open(port)
            assert 200 == (await client.ask()).status
            client.close()
            await until(lambda: log.exists() and log.read_text())
            assert UID == log.stat().st_uid
            for pid in (lb.control(), (await lb.workers())[0]):
                os.kill(pid, signal.SIGKILL)
                await until(lambda pid=pid: not alive(pid) and len(children(lb.pid)) == 3)  # type: ignore[misc]
            await lb.says("the control process goes on with configuration 2")
            await until(lambda: [nobody] * 3 == [users(pid) for pid in children(lb.pid)])
            await lb.reload(config)
            assert "failed" not in await lb.ask("upgrade")
            old = lb.pid
            await until(lambda: not alive(old))
            (lb.pid,) = supervisors(roots.home)
            assert {"0"} == users(lb.pid)
            assert [nobody] * 3 == [users(pid) for pid in children(lb.pid)]


async def test_a_file_that_the_user_may_not_read_is_said_at_the_start(roots: Anyone) -> None:
    """Root can read it, but no reload could: one line with the key and the mend."""
    file = roots.home / "balancer.yaml"
    write(file, {**with_workers(2, 1), "user": NOBODY})
    file.chmod(0o600)
    run = (*roots.how()["command"], "run", "-c", str(file))
    async with program(*run, environ={**environment(roots.home), **roots.environ()}) as started:
        assert 1 == await started.ended()
        assert "" == started.said
        assert 1 == len(started.complained.splitlines()), started.complained
        assert started.complained.startswith(f"{file}: user: cannot be read by that user")


async def test_a_log_that_the_user_may_not_write_is_said_at_the_start(roots: Anyone) -> None:
    file = roots.home / "balancer.yaml"
    write(file, {**with_workers(2, 1), "user": NOBODY, "access_log": str(Path("/root/access.log"))})
    run = (*roots.how()["command"], "run", "-c", str(file))
    async with program(*run, environ={**environment(roots.home), **roots.environ()}) as started:
        assert 1 == await started.ended()
        assert 1 == len(started.complained.splitlines()), started.complained
        assert "access_log" in started.complained
        assert "/root/access.log" in started.complained
