"""System 3: clients of every kind, and for each kind of work a manager; examples/processing as a person runs it."""

import http.client
import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from steelyard.control import config
from tests.real.support import free_ports
from tests.systems.programs import EXAMPLES, HOST, PATIENCE_S, Program, program

EXAMPLE = EXAMPLES / "processing"
SAMPLES = EXAMPLE / "samples"


class Stage:
    """The balancer with its processes. door, gps: its ports."""

    def __init__(self, running: Program, door: int, gps: int) -> None:
        self.running = running
        self.door = door
        self.gps = gps

    def post(self, body: bytes, content_type: str, path: str = "/") -> tuple[int, str, bytes]:
        """Status, content type and body of the answer."""
        connection = http.client.HTTPConnection(HOST, self.door, timeout=PATIENCE_S)
        try:
            connection.request("POST", path, body, {"Content-Type": content_type})
            answer = connection.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read()
        finally:
            connection.close()

    def until_served(self, body: bytes, content_type: str) -> None:
        """Wait until the pool of this kind answers: its processes have to start."""
        give_up = monotonic() + PATIENCE_S
        while (answer := self.post(body, content_type))[0] != 200:
            assert monotonic() < give_up, answer
            sleep(0.05)

    def play(self, *options: object) -> tuple[int, str]:
        """Run play.py; its status and all that it said."""
        places = ["--door", f"http://{HOST}:{self.door}", "--sensors", f"{HOST}:{self.gps}"]
        words = [*places, "--datagrams", f"{HOST}:{self.gps}", *options]
        with program(EXAMPLE / "play.py", *words, COLUMNS="160") as clients:
            status = clients.process.wait(PATIENCE_S)
            clients.end()
            return status, "\n".join(clients.rest())


@contextmanager
def stage(directory: Path) -> Iterator[Stage]:
    door, gps = free_ports(2)
    places = {"DOOR": f"{HOST}:{door}", "SENSORS": f"{HOST}:{gps}", "DATAGRAMS": f"{HOST}:{gps}"}
    command = ["-m", "steelyard", "run", "-c", EXAMPLE / "steelyard.yaml"]
    with program(*command, RUNTIME_DIRECTORY=str(directory), **places) as running:
        running.until("listening on ")
        on = Stage(running, door, gps)
        on.until_served((SAMPLES / "balance.png").read_bytes(), "image/png")
        on.until_served((SAMPLES / "levels.mp4").read_bytes(), "video/mp4")
        on.until_served(b"one", "text/plain")
        on.until_served(b"[1]", "application/json")
        yield on


def test_the_configuration_is_one_that_can_run() -> None:
    spec = config.load(EXAMPLE / "steelyard.yaml", {})
    assert ["http", "tcp", "udp"] == [listener.protocol for listener in spec.listeners]
    assert {"images", "videos", "texts", "numbers", "sensors", "datagrams"} == {pool.name for pool in spec.pools}
    assert {2} == {len(pool.backends) for pool in spec.pools}


@pytest.mark.real
@pytest.mark.slow
def test_every_client_gets_its_work_done_by_a_manager_of_its_kind(tmp_path: Path) -> None:
    """One start for all that is promised of it: twelve processes take a second or two to come up."""
    with stage(tmp_path) as on:
        status, said = on.play("--rounds", 3)
        assert 0 == status, said
        assert "63 of 63 answers are right" in said
        workers = set(re.findall(r"(\w+/\d): \d+", said))
        assert {"texts/0", "texts/1", "numbers/0", "numbers/1", "images/0", "images/1"} <= workers
        assert {"sensors/0", "sensors/1", "datagrams/0", "datagrams/1"} <= workers

        # The kind is what the content type says, or the path where that says nothing.
        picture = (SAMPLES / "balance.png").read_bytes()
        assert (200, "image/png") == on.post(picture, "", "/image/thumbnail")[:2]
        assert 422 == on.post(picture, "text/plain")[0]
        assert 404 == on.post(picture, "application/pdf")[0]
        refused = on.post(picture[:700], "image/png")
        assert (422, "text/plain; charset=utf-8") == refused[:2]
        assert b"the image cannot be read: image file is truncated\n" == refused[2]

        # The two clients that are programs of their own.
        camera = output_of(EXAMPLE / "camera" / "camera.py", f"http://{HOST}:{on.door}", "--frames", 2, "--every", 0)
        assert ["frame 0: images/ made 128 x 96 of it", "frame 1: images/ made 128 x 96 of it"] == [
            re.sub(r"/\d", "/", line) for line in camera
        ]
        for protocol in ("tcp", "udp"):
            words = [protocol, f"{HOST}:{on.gps}", "--fixes", 3, "--every", 0]
            answers = [json.loads(line) for line in output_of(EXAMPLE / "gps_sensor" / "gps_sensor.py", *words)]
            assert [35.9] * 3 == [answer["speed_kmh"] for answer in answers]

        assert 0 == on.running.end(signal.SIGTERM)
        assert not [line for line in on.running.rest() if "Traceback" in line]


@pytest.mark.real
@pytest.mark.slow
def test_a_manager_that_is_killed_is_replaced_and_the_others_notice_nothing(tmp_path: Path) -> None:
    with stage(tmp_path) as on:
        victims = processes_of(on.running.process.pid, "managers.text:text")
        assert 2 == len(victims)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        assert 200 == on.post(b"[1, 2]", "application/json")[0]
        on.until_served(b"one two", "text/plain")
        status, answered, body = on.post(b"one two", "text/plain")
        assert (200, "application/json", 2) == (status, answered, json.loads(body)["words"])
        assert not set(victims) & set(processes_of(on.running.process.pid, "managers.text:text"))


def output_of(*command: object) -> list[str]:
    """The lines that a program has said when it has ended well."""
    with program(*command) as running:
        status = running.process.wait(PATIENCE_S)
        running.end()
        assert 0 == status, running.rest()
        return running.rest()


def processes_of(ancestor: int, word: str) -> list[int]:
    """The descendants of a process whose title or command line has this word in it."""
    parents, matching = {}, []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended
                continue
            if word in words:
                matching.append(int(entry.name))

    def descends(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == ancestor:
                return True
        return False

    return [pid for pid in matching if descends(pid)]
